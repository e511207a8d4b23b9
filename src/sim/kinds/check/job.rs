//! Jobs and cron jobs.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Found, or_empty, text, workload};
use crate::sim::{LabelSelector, status::Cause};

/// What the controller appends must fit a job's name.
const CRON_JOB_NAME: usize = 52;
const MODES: &[&str] = &["NonIndexed", "Indexed"];

pub(super) fn job(object: &Value, found: &mut Found) {
    let spec = &object["spec"];
    generated_selector(object, found);
    job_spec("spec", spec, found);
    match spec.get("selector") {
        None => found.add(Cause::required("spec.selector", "")),
        Some(selector) => found.selector("spec.selector", selector),
    }
    if !spec.get("selector").and_then(LabelSelector::of_object).is_some_and(|s| s.matches(&spec["template"])) {
        let labels = or_empty(spec["template"]["metadata"].get("labels"));
        let why = "`selector` does not match template `labels`";
        found.add(Cause::invalid("spec.template.metadata.labels", &labels, why));
    }
}

/// Unless it is made by hand, the selector is the job's uid.
fn generated_selector(object: &Value, found: &mut Found) {
    let spec = &object["spec"];
    if spec.get("manualSelector").and_then(Value::as_bool).unwrap_or_default() {
        return;
    }
    let uid = text(&object["metadata"], "uid");
    let wanted = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    if let Some(selector) = spec.get("selector").filter(|selector| **selector != wanted) {
        found.add(Cause::invalid("spec.selector", selector, "`selector` not auto-generated"));
    }
}

fn job_spec(path: &str, spec: &Value, found: &mut Found) {
    let numbers = ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"];
    found.not_negative(path, spec, &numbers);
    found.one_of(format!("{path}.completionMode"), spec.get("completionMode"), MODES);
    workload::pod_template(&format!("{path}.template"), &spec["template"], found);
    let policy = text(&spec["template"]["spec"], "restartPolicy");
    if ["Always", ""].contains(&policy) {
        let why = "valid values: \"OnFailure\", \"Never\"";
        found.add(Cause::required(format!("{path}.template.spec.restartPolicy"), why));
    }
}

/// Most of a job is as it was made.
pub(super) fn update(spec: &Value, old: &Value, found: &mut Found) {
    job_spec("spec", spec, found);
    let indexed = text(spec, "completionMode") == "Indexed" && spec.get("completions") == spec.get("parallelism");
    if !indexed {
        found.unchanged("spec", spec, old, &["completions"]);
    }
    let fixed = [
        "selector",
        "template",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ];
    found.unchanged("spec", spec, old, &fixed);
}

pub(super) fn cron_job(object: &Value, found: &mut Found) {
    cron_job_spec(&object["spec"], None, found);
    let name = text(&object["metadata"], "name");
    if name.len() > CRON_JOB_NAME {
        let why = format!("must be no more than {CRON_JOB_NAME} characters");
        found.add(Cause::invalid("metadata.name", &json!(name), &why));
    }
}

pub(super) fn cron_job_spec(spec: &Value, old: Option<&Value>, found: &mut Found) {
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        found.add(Cause::required("spec.schedule", ""));
    } else if !is_schedule(schedule) {
        found.add(Cause::invalid("spec.schedule", &json!(schedule), "is no schedule of cron's"));
    }
    found.not_negative("spec", spec, &["startingDeadlineSeconds"]);
    let zone = spec.get("timeZone").and_then(Value::as_str);
    if let Some(zone) = zone
        && old.is_none_or(|old| old.get("timeZone") != spec.get("timeZone"))
        && TimeZone::get(zone).is_err()
    {
        found.add(Cause::invalid("spec.timeZone", &json!(zone), &format!("unknown time zone {zone}")));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    found.one_of("spec.concurrencyPolicy".to_owned(), spec.get("concurrencyPolicy"), &policies);
    job_spec("spec.jobTemplate.spec", &spec["jobTemplate"]["spec"], found);
    found.not_negative("spec", spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"]);
}

/// Whether it looks like a schedule of cron's: a word with an at sign, or five fields.
fn is_schedule(schedule: &str) -> bool {
    let in_field = |c: char| c.is_ascii_alphanumeric() || "*/,-?".contains(c);
    match schedule.strip_prefix('@') {
        Some(word) => ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"].contains(&word),
        None => {
            schedule.split_whitespace().count() == 5
                && schedule.split_whitespace().all(|field| field.chars().all(in_field))
        }
    }
}
