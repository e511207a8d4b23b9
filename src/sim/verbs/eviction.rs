//! POST of an eviction, against the pod's budget.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Target, Write, delete, meta, unknown_fields, word};
use crate::sim::{
    kinds::{self, KindInfo},
    selector::LabelSelector,
    state::State,
    status::{Cause, Of, Status},
};

/// More pods than this are not under way at once.
const MOST_DISRUPTED: usize = 2000;
const BUDGET: Of<'_> = Of { group: "policy", name: "poddisruptionbudget" };

/// Evicts a pod.
///
/// Refuses: another name than the path's (400), a pod that is not there (404), another UID or version than the
/// preconditions want (409), a budget without room (429), more than one budget (500).
///
/// Gives what to warn of.
pub(crate) fn evict(
    state: &mut State,
    target: &Target<'_>,
    body: &Value,
    write: &Write,
) -> Result<Vec<String>, Status> {
    let said = word(body, &["kind"]);
    if !matches!(said, "" | "Eviction") {
        return Err(Status::bad_request(format!("{said} in version \"v1\" cannot be handled as a Eviction")));
    }
    if !matches!(word(body, &["apiVersion"]), "" | "policy/v1" | "policy/v1beta1") {
        return Err(Status::bad_request(
            "the API version in the data does not match the expected API version (policy/v1)",
        ));
    }
    if meta(body, "name") != target.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let unknown = body.as_object().into_iter().flat_map(|fields| fields.keys());
    let unknown = unknown.filter(|name| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "deleteOptions"));
    let warnings = unknown_fields(target.kind, unknown.cloned().collect(), write)?;
    let mut options = match body.get("deleteOptions").filter(|options| !options.is_null()) {
        Some(options) => DeleteOptions::deserialize(options).map_err(|error| Status::bad_request(error.to_string()))?,
        None => DeleteOptions::default(),
    };
    let dry = write.dry || options.dry_run.as_ref().is_some_and(|values| !values.is_empty());
    options.dry_run = None;
    let Some(pod) = state.object(target.kind, target.namespace, target.name).cloned() else {
        return Err(Status::not_found(target.kind.resource(), target.name));
    };
    if guarded(&pod) {
        ask_budget(state, target, &pod, dry)?;
    } else {
        let over = matches!(word(&pod, &["status", "phase"]), "Failed" | "Succeeded");
        if !over && meta(&pod, "deletionTimestamp").is_empty() && unversioned(&options) {
            over_version(&mut options, &pod);
        }
    }
    finish(state, target, options, dry)?;
    Ok(warnings)
}

/// Whether a pod's budget has a say: one that does not run, or goes, disrupts nobody.
fn guarded(pod: &Value) -> bool {
    !matches!(word(pod, &["status", "phase"]), "Failed" | "Succeeded" | "Pending")
        && meta(pod, "deletionTimestamp").is_empty()
}

fn unversioned(options: &DeleteOptions) -> bool {
    options.preconditions.as_ref().is_none_or(|wanted| wanted.resource_version.is_none())
}

fn over_version(options: &mut DeleteOptions, pod: &Value) {
    let wanted = options.preconditions.get_or_insert_with(Preconditions::default);
    wanted.resource_version = Some(meta(pod, "resourceVersion").to_owned());
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Asks the pod's budget, and takes one from it.
fn ask_budget(state: &mut State, target: &Target<'_>, pod: &Value, dry: bool) -> Result<(), Status> {
    let Some(kind) = kinds::of_kind("policy", "PodDisruptionBudget") else { return Ok(()) };
    let selects = |budget: &Value| {
        LabelSelector::of_object(&budget["spec"]["selector"]).is_some_and(|selector| selector.matches(pod))
    };
    let budgets: Vec<Arc<Value>> =
        state.objects(kind, Some(target.namespace)).filter(|budget| selects(budget)).cloned().collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [budget] => budget,
        _ => {
            return Err(Status {
                code: 500,
                reason: Cow::Borrowed(""),
                message:
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                        .to_owned(),
                details: None,
            });
        }
    };
    let status = |name: &str| budget["status"][name].as_i64().unwrap_or_default();
    if !is_ready(pod) {
        // What is not ready takes nothing away, as long as the others suffice, or the budget does not mind.
        let always = word(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
        let met = status("currentHealthy") >= status("desiredHealthy") && status("desiredHealthy") > 0;
        if always || met {
            return Ok(());
        }
    }
    take(state, kind, budget, target.name, dry)
}

/// Takes one disruption from a budget.
fn take(state: &mut State, kind: &KindInfo, budget: &Arc<Value>, pod: &str, dry: bool) -> Result<(), Status> {
    let name = meta(budget, "name");
    let status = |field: &str| budget["status"][field].as_i64().unwrap_or_default();
    let refuse = |retry: u32, why: String| {
        let cause = Cause { reason: Cow::Borrowed("DisruptionBudget"), message: why, field: String::new() };
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Status::too_many_requests(message, retry, vec![cause])
    };
    if status("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or_default() {
        return Err(refuse(10, format!("The disruption budget {name} is still being processed by the server.")));
    }
    let allowed = status("disruptionsAllowed");
    if allowed < 0 {
        return Err(Status::forbidden(BUDGET, name, "pdb disruptions allowed is negative"));
    }
    if budget["status"]["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MOST_DISRUPTED) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(BUDGET, name, why));
    }
    if allowed == 0 {
        let (desired, current) = (status("desiredHealthy"), status("currentHealthy"));
        let why = format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently");
        return Err(refuse(0, why));
    }
    if dry {
        return Ok(());
    }
    let mut changed = Value::clone(budget);
    let now = state.now_text();
    let status = &mut changed["status"];
    status["disruptionsAllowed"] = json!(allowed - 1);
    status["disruptedPods"][pod] = json!(now);
    if allowed == 1 {
        let generation = status["observedGeneration"].clone();
        let condition = json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": generation, "lastTransitionTime": now,
        });
        set_condition(status, condition);
    }
    state.put(kind, changed);
    Ok(())
}

/// Puts a condition in the place of the one of its type; one of the same status keeps its time.
fn set_condition(status: &mut Value, mut condition: Value) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(all) = status["conditions"].as_array_mut() else { return };
    match all.iter_mut().find(|there| there["type"] == condition["type"]) {
        Some(there) => {
            if there["status"] == condition["status"] {
                condition["lastTransitionTime"] = there["lastTransitionTime"].clone();
            }
            *there = condition;
        }
        None => all.push(condition),
    }
}

/// Says in the pod's conditions why it goes, and deletes it.
fn finish(state: &mut State, target: &Target<'_>, mut options: DeleteOptions, dry: bool) -> Result<(), Status> {
    if !dry && let Some(pod) = state.object(target.kind, target.namespace, target.name).cloned() {
        delete::preconditions(target.kind, options.preconditions.as_ref(), &pod, false)?;
        let mut marked = Value::clone(&pod);
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": state.now_text(),
        });
        set_condition(&mut marked["status"], condition);
        if marked != *pod {
            let marked = state.put(target.kind, marked);
            if !unversioned(&options) {
                over_version(&mut options, &marked);
            }
        }
    }
    delete::delete(state, target, &options, dry).map(drop)
}
