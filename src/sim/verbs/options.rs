//! The options of writes, from the query and the body.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Unknown, Write};
use crate::sim::{
    kinds::KindInfo,
    request::Query,
    status::{Cause, Of, Status},
};

const META: &str = "meta.k8s.io";

/// What is wrong with options of that kind.
fn refused(kind: &str, causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid(Of { group: META, name: kind }, "", causes)) }
}

fn dry_run(values: &[String], causes: &mut Vec<Cause>) -> bool {
    let values: Vec<&String> = values.iter().filter(|value| !value.is_empty()).collect();
    if values.iter().any(|value| *value != "All") {
        let all = values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(",");
        causes.push(Cause::not_supported("dryRun", &json!(all), &["All"]));
    }
    !values.is_empty()
}

/// The options of a write; `kind` is theirs: `CreateOptions`.
///
/// Refuses with 422 what there is not.
pub(crate) fn write_options(query: &Query, kind: &str, agent: &str, apply: bool) -> Result<Write, Status> {
    let mut causes = Vec::new();
    let given = query.get("fieldManager");
    let force = query.get("force");
    if kind == "PatchOptions" {
        if apply && given.is_none() {
            causes.push(Cause::required("fieldManager", "is required for apply patch"));
        }
        if !apply && force.is_some() {
            causes.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
        }
    }
    if given.is_some_and(|manager| manager.len() > 128) {
        causes.push(Cause::too_long("fieldManager", 128));
    }
    let dry = dry_run(query.all("dryRun"), &mut causes);
    let unknown = match query.get("fieldValidation") {
        None | Some("Warn") => Unknown::Warned,
        Some("Ignore") => Unknown::Ignored,
        Some("Strict") => Unknown::Refused,
        Some(other) => {
            causes.push(Cause::not_supported("fieldValidation", &json!(other), &["Ignore", "Strict", "Warn"]));
            Unknown::Warned
        }
    };
    refused(kind, causes)?;
    let manager = given.map_or_else(|| agent.split('/').next().unwrap_or_default().to_owned(), str::to_owned);
    Ok(Write { dry, manager, unknown, twice: Vec::new(), force: force == Some("true") })
}

/// The options of a deletion: those of the body, or else those of the query. Gives also whether it is a dry run.
///
/// Refuses with 400 what is none, with 422 what there is not.
pub(crate) fn delete_options(query: &Query, body: Option<Value>) -> Result<(DeleteOptions, bool), Status> {
    let mut options = match body {
        Some(body) => read(&body)?,
        None => DeleteOptions {
            grace_period_seconds: query.number("gracePeriodSeconds")?,
            propagation_policy: query.get("propagationPolicy").map(str::to_owned),
            orphan_dependents: query.get("orphanDependents").map(|value| value == "true"),
            ..DeleteOptions::default()
        },
    };
    if options.dry_run.as_ref().is_none_or(Vec::is_empty) {
        options.dry_run = Some(query.all("dryRun").to_vec());
    }
    let dry = check(&options)?;
    Ok((options, dry))
}

fn read(body: &Value) -> Result<DeleteOptions, Status> {
    let word = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    if !matches!(word("kind"), "" | "DeleteOptions") {
        return Err(Status::unexplained("decoded object cannot be converted to DeleteOptions"));
    }
    DeleteOptions::deserialize(body).map_err(|error| Status::unexplained(error.to_string()))
}

/// What a client should know that deletes an object of that kind in that way.
pub(crate) fn deletion_warnings(kind: &KindInfo, options: &DeleteOptions) -> Vec<String> {
    let said = options.propagation_policy.is_some() || options.orphan_dependents.is_some();
    if kind.kind != "Job" || said {
        return Vec::new();
    }
    let why = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set \
               propagationPolicy=Orphan to suppress this warning";
    vec![why.to_owned()]
}

/// Whether it is a dry run.
///
/// Refuses with 422 what makes no sense.
pub(super) fn check(options: &DeleteOptions) -> Result<bool, Status> {
    let mut causes = Vec::new();
    match options.propagation_policy.as_deref() {
        None | Some("Foreground" | "Background" | "Orphan") => {}
        Some(other) => {
            let all = ["Background", "Foreground", "Orphan"];
            causes.push(Cause::not_supported("propagationPolicy", &json!(other), &all));
        }
    }
    if options.propagation_policy.is_some() && options.orphan_dependents.is_some() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        causes.push(Cause::invalid("propagationPolicy", &json!(options.propagation_policy), why));
    }
    let dry = dry_run(options.dry_run.as_deref().unwrap_or_default(), &mut causes);
    refused("DeleteOptions", causes)?;
    Ok(dry)
}

/// Refuses a parameter of the query that cannot be together with others, for lists and watches.
pub(crate) fn refuse_unknown(query: &Query, watch: bool) -> Result<(), Status> {
    let mut causes = Vec::new();
    let version = query.get("resourceVersion").unwrap_or_default();
    let initial = query.get("sendInitialEvents");
    let how = query.get("resourceVersionMatch");
    if watch {
        match (how, initial) {
            (Some(_), None) => causes.push(Cause::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            (None, Some(_)) => causes.push(Cause::forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )),
            (Some(how), Some(_)) if how != "NotOlderThan" => {
                causes.push(Cause::forbidden(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
                causes.push(Cause::not_supported("resourceVersionMatch", &json!(how), &["NotOlderThan"]));
            }
            _ => {}
        }
    } else {
        if let Some(how) = how {
            if version.is_empty() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                causes.push(Cause::forbidden("resourceVersionMatch", why));
            }
            if query.get("continue").is_some() {
                causes.push(Cause::forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if how != "Exact" && how != "NotOlderThan" {
                let all = ["Exact", "NotOlderThan", ""];
                causes.push(Cause::not_supported("resourceVersionMatch", &json!(how), &all));
            }
            if how == "Exact" && version == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                causes.push(Cause::forbidden("resourceVersionMatch", why));
            }
        }
        if initial.is_some() {
            causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
    }
    refused("ListOptions", causes)
}
