//! What is wrong with an object of a built-in kind, beside its metadata: the rules that clients run into.
//!
//! Objects were read and completed before, so that fields have their types and their defaults.

mod event;
mod job;
mod pod;
mod small;
mod workload;

use serde_json::{Value, json};

use super::{KindInfo, meta};
use crate::sim::status::Cause;

/// A new object.
pub(super) fn create(kind: &KindInfo, object: &Value) -> Vec<Cause> {
    let mut found = Found::default();
    match kind.kind.as_str() {
        "Pod" => pod::spec("spec", &object["spec"], &mut found),
        "Deployment" => workload::deployment(&object["spec"], &mut found),
        "ReplicaSet" => workload::replica_set(&object["spec"], &mut found),
        "StatefulSet" => workload::stateful_set(&object["spec"], &mut found),
        "Job" => job::job(object, &mut found),
        "CronJob" => job::cron_job(object, &mut found),
        "PodDisruptionBudget" => small::budget(&object["spec"], &mut found),
        "ConfigMap" => small::config_map(object, &mut found),
        "Lease" => small::lease(&object["spec"], &mut found),
        "Event" => event::create(&kind.group, object, &mut found),
        _ => {}
    }
    found.0
}

/// An object that is to replace `old`.
pub(super) fn update(kind: &KindInfo, object: &Value, old: &Value) -> Vec<Cause> {
    let mut found = Found::default();
    let (spec, was) = (&object["spec"], &old["spec"]);
    match kind.kind.as_str() {
        "Pod" => pod::update(spec, was, &mut found),
        "Deployment" => {
            workload::deployment(spec, &mut found);
            found.unchanged("spec", spec, was, &["selector"]);
        }
        "ReplicaSet" => {
            workload::replica_set(spec, &mut found);
            found.unchanged("spec", spec, was, &["selector"]);
        }
        "StatefulSet" => workload::stateful_set_update(spec, was, &mut found),
        "Job" => job::update(spec, was, &mut found),
        "CronJob" => job::cron_job_spec(spec, Some(was), &mut found),
        "PodDisruptionBudget" => small::budget(spec, &mut found),
        "ConfigMap" => small::config_map_update(object, old, &mut found),
        "Lease" => small::lease(spec, &mut found),
        "Event" => event::update(&kind.group, object, old, &mut found),
        _ => {}
    }
    found.0
}

/// An object whose status is to replace that of `old`.
pub(super) fn status(kind: &KindInfo, object: &Value, old: &Value) -> Vec<Cause> {
    let mut found = Found::default();
    let status = &object["status"];
    match kind.kind.as_str() {
        "Pod" => pod::status(status, &old["status"], &mut found),
        "Deployment" => workload::deployment_status(status, &mut found),
        "ReplicaSet" => workload::replica_set_status(status, &mut found),
        "StatefulSet" => workload::stateful_set_status(status, &mut found),
        "PodDisruptionBudget" => found.not_negative(
            "status",
            status,
            &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
        ),
        _ => {}
    }
    found.0
}

/// What was found so far.
#[derive(Default)]
struct Found(Vec<Cause>);

impl Found {
    fn add(&mut self, cause: Cause) {
        self.0.push(cause);
    }

    /// Refuses numbers below zero.
    fn not_negative(&mut self, path: &str, fields: &Value, names: &[&str]) {
        for name in names {
            if let Some(number) = fields.get(name).filter(|number| number.as_i64().is_some_and(|number| number < 0)) {
                self.add(Cause::invalid(format!("{path}.{name}"), number, "must be greater than or equal to 0"));
            }
        }
    }

    /// Refuses another value than before.
    fn unchanged(&mut self, path: &str, fields: &Value, old: &Value, names: &[&str]) {
        for name in names {
            if fields.get(name) != old.get(name) {
                let value = fields.get(name).unwrap_or(&Value::Null);
                let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
                self.add(Cause::invalid(path, value, "field is immutable"));
            }
        }
    }

    /// Refuses what is neither a number from zero nor a share of at most 100%.
    fn count_or_share(&mut self, path: &str, value: Option<&Value>) {
        let Some(value) = value else { return };
        match value {
            Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
                self.add(Cause::invalid(path, value, "must be greater than or equal to 0"));
            }
            Value::String(_) if share(value).is_none() => {
                let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                           regex used for validation is '[0-9]+%')";
                self.add(Cause::invalid(path, value, why));
            }
            _ => {}
        }
    }

    /// Refuses a share of more than all.
    fn at_most_all(&mut self, path: &str, value: Option<&Value>) {
        if let Some(value) = value
            && share(value).is_some_and(|share| share > 100)
        {
            self.add(Cause::invalid(path, value, "must not be greater than 100%"));
        }
    }

    /// Refuses a text that is none of these.
    fn one_of(&mut self, path: String, value: Option<&Value>, supported: &[&str]) {
        if let Some(value) = value
            && !value.as_str().is_some_and(|text| supported.contains(&text))
        {
            self.add(Cause::not_supported(path, value, supported));
        }
    }

    /// Refuses labels in a selector that are none.
    fn selector(&mut self, path: &str, selector: &Value) {
        meta::labels(&format!("{path}.matchLabels"), selector.get("matchLabels"), &mut self.0);
    }
}

/// The number of a percentage.
fn share(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    digits.chars().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// A number, or zero.
fn number(fields: &Value, name: &str) -> i64 {
    fields.get(name).and_then(Value::as_i64).unwrap_or_default()
}

/// A text, or an empty one.
fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list, or none.
fn items<'a>(fields: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    fields.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A field's value where it differs from others only by being absent.
fn or_empty(value: Option<&Value>) -> Value {
    value.cloned().unwrap_or_else(|| json!({}))
}

#[cfg(test)]
mod tests {
    use super::{super::of_kind, *};

    fn fields(causes: &[Cause]) -> Vec<&str> {
        causes.iter().map(|cause| cause.field.as_str()).collect()
    }

    fn completed(group: &str, kind: &str, object: Value) -> Value {
        of_kind(group, kind).unwrap().read(object).unwrap().0
    }

    #[test]
    fn a_deployment_that_is_right_is_not_complained_about() {
        let kind = of_kind("apps", "Deployment").unwrap();
        let template =
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
        let spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template});
        let right = completed("apps", "Deployment", json!({"metadata": {"name": "a"}, "spec": spec}));
        assert_eq!(create(kind, &right), []);
        let mut wrong = right.clone();
        wrong["spec"]["selector"]["matchLabels"]["app"] = json!("b");
        assert_eq!(fields(&create(kind, &wrong)), ["spec.template.metadata.labels"]);
        assert_eq!(fields(&update(kind, &wrong, &right)), ["spec.template.metadata.labels", "spec.selector"]);
    }

    #[test]
    fn a_pods_spec_changes_in_a_few_fields_alone() {
        let kind = of_kind("", "Pod").unwrap();
        let old = completed(
            "",
            "Pod",
            json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}),
        );
        let mut new = old.clone();
        new["spec"]["containers"][0]["image"] = json!("b");
        new["spec"]["activeDeadlineSeconds"] = json!(5);
        assert_eq!(update(kind, &new, &old), []);
        new["spec"]["restartPolicy"] = json!("Never");
        assert_eq!(fields(&update(kind, &new, &old)), ["spec"]);
    }

    #[test]
    fn shares_are_digits_and_a_sign() {
        assert_eq!(share(&json!("50%")), Some(50));
        for text in ["50", "%", "-1%", "a%", "+1%"] {
            assert_eq!(share(&json!(text)), None, "{text}");
        }
    }
}
