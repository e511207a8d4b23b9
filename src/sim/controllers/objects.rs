//! What the controllers ask of any object: whose it is, whether it is going, whether a selector means it. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::PodTemplateSpec,
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference, Time},
        util::intstr::IntOrString,
    },
};
use kube::Resource;

/// Namespace and name; the namespace of what belongs to the cluster is empty.
pub(super) type Key = (String, String);

/// Labels, or annotations.
pub(super) type Labels = BTreeMap<String, String>;

pub(super) fn key_of(meta: &ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

pub(super) fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

pub(super) fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The controller of an object: the one owner that manages it.
pub(super) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// What an object that `owner` makes says of it.
pub(super) fn owned_by<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name(owner.meta()).to_owned(),
        uid: uid(owner.meta()).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub(super) const fn is_deleting(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// When it was created, for orders.
pub(super) fn created(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.creation_timestamp.as_ref().map(|time| time.0)
}

/// Whether a selector means these labels. An empty one means all; whoever has none must not ask.
pub(super) fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let value = |key: &str| labels.and_then(|labels| labels.get(key));
    let pairs = selector.match_labels.iter().flatten().all(|(key, wanted)| value(key) == Some(wanted));
    pairs
        && selector.match_expressions.iter().flatten().all(|rule| {
            let found = value(&rule.key);
            let listed = || found.is_some_and(|found| rule.values.iter().flatten().any(|value| value == found));
            match rule.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

pub(super) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.iter().flatten().next().is_none()
        && selector.match_expressions.iter().flatten().next().is_none()
}

/// A number, or a share of `total`.
///
/// Refuses what is neither.
pub(super) fn scaled(value: &IntOrString, total: i32, up: bool) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|share| share.parse::<i32>().ok());
            let percent = percent.ok_or_else(|| format!("invalid value for IntOrString: {text:?}"))?;
            let hundredths = i64::from(percent) * i64::from(total);
            let whole = if up { (hundredths + 99).div_euclid(100) } else { hundredths.div_euclid(100) };
            i32::try_from(whole).map_err(|error| error.to_string())
        }
    }
}

/// A time as objects write it: in whole seconds.
pub(super) fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// That many seconds later.
pub(super) fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// The earlier of two times, where there are any.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The letters that make no words.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short word for something that is the same whenever that is: the FNV-1a hash of its JSON, written with letters that
/// make no words. Not the same as a real controller's, which hashes Go's memory layout.
pub(super) fn hash<T: serde::Serialize>(of: &T, salt: Option<i32>) -> String {
    let json = serde_json::to_vec(of).unwrap_or_default();
    let salt = salt.map(i32::to_le_bytes);
    let bytes = json.iter().chain(salt.iter().flatten());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// The label with a hash of the template that tells a Deployment's ReplicaSets apart.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

/// Whether two templates are the same but for the hash.
pub(super) fn same_template(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    let labels = |template: &PodTemplateSpec| -> Labels {
        let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone());
        labels.into_iter().flatten().filter(|(key, _)| key != TEMPLATE_HASH).collect()
    };
    let rest = |template: &PodTemplateSpec| {
        let mut meta = template.metadata.clone().unwrap_or_default();
        meta.labels = None;
        meta.annotations = meta.annotations.filter(|annotations| !annotations.is_empty());
        meta
    };
    one.spec == other.spec && labels(one) == labels(other) && rest(one) == rest(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_are_rounded_the_way_that_is_asked() {
        let share = |text: &str, total, up| scaled(&IntOrString::String(text.to_owned()), total, up).unwrap();
        assert_eq!((share("25%", 3, true), share("25%", 3, false)), (1, 0));
        assert_eq!((share("50%", 4, true), share("50%", 4, false)), (2, 2));
        assert_eq!((share("1%", 10, true), share("99%", 10, false)), (1, 9));
        assert_eq!(scaled(&IntOrString::Int(7), 3, true), Ok(7));
        assert!(scaled(&IntOrString::String("many".to_owned()), 3, true).is_err());
    }

    #[test]
    fn a_selector_means_what_all_of_its_rules_mean() {
        let selects = |selector: serde_json::Value, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            matches(&serde_json::from_value(selector).unwrap(), Some(&labels))
        };
        let rule = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        assert!(selects(json!({}), &[]));
        assert!(selects(json!({"matchLabels": {"app": "web"}}), &[("app", "web"), ("tier", "front")]));
        assert!(!selects(json!({"matchLabels": {"app": "web"}}), &[("app", "db")]));
        assert!(selects(rule("In", &["a", "b"]), &[("tier", "b")]));
        assert!(!selects(rule("In", &["a"]), &[]));
        assert!(selects(rule("NotIn", &["a"]), &[]));
        assert!(selects(rule("Exists", &[]), &[("tier", "")]));
        assert!(!selects(rule("DoesNotExist", &[]), &[("tier", "")]));
    }
}
