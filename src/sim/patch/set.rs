//! Sets of fields as `managedFields` writes them: an object whose keys are `f:` fields, `k:` and `v:` elements of lists. What
//! is in the set has no keys, or the key `.` beside those within it.

use serde_json::{Map, Value};

/// A node, or the whole, of a set.
pub(super) type Set = Map<String, Value>;

/// What says that a node which leads to others is in the set itself.
pub(super) const SELF: &str = ".";

/// Whether the node is in the set, and does not only lead to others.
pub(super) fn is_member(node: &Set) -> bool {
    node.is_empty() || node.contains_key(SELF)
}

/// The nodes below one.
pub(super) fn children(node: &Set) -> impl Iterator<Item = (&String, &Set)> {
    node.iter().filter(|(key, _)| *key != SELF).filter_map(|(key, below)| Some((key, below.as_object()?)))
}

/// The node below one at that key.
pub(super) fn child<'a>(node: Option<&'a Set>, key: &str) -> Option<&'a Set> {
    node?.get(key)?.as_object()
}

/// A node from what is below it; nothing if it would be neither in the set nor lead to anything.
fn node(member: bool, mut below: Set) -> Option<Set> {
    if member && !below.is_empty() {
        below.insert(SELF.to_owned(), Value::Object(Set::new()));
    }
    (member || !below.is_empty()).then_some(below)
}

/// What is in either.
pub(super) fn union(one: &Set, other: &Set) -> Set {
    // The root is never in a set itself, so that an empty one is the empty set.
    if one.is_empty() {
        return other.clone();
    }
    let mut both = one.clone();
    add(&mut both, other);
    both
}

/// Adds what is in the other set.
pub(super) fn add(to: &mut Set, other: &Set) {
    for (key, below) in children(other) {
        match to.get_mut(key).and_then(Value::as_object_mut) {
            Some(there) => {
                let member = is_member(there) || is_member(below);
                add(there, below);
                if member && !there.is_empty() {
                    there.insert(SELF.to_owned(), Value::Object(Set::new()));
                }
            }
            None => {
                to.insert(key.clone(), Value::Object(below.clone()));
            }
        }
    }
}

/// What is in the one and not in the other.
pub(super) fn difference(one: &Set, other: &Set) -> Set {
    let mut left = Set::new();
    for (key, below) in children(one) {
        let kept = match child(Some(other), key) {
            None => Some(below.clone()),
            Some(taken) => node(is_member(below) && !is_member(taken), difference(below, taken)),
        };
        if let Some(kept) = kept {
            left.insert(key.clone(), Value::Object(kept));
        }
    }
    left
}

/// What is in both.
pub(super) fn intersection(one: &Set, other: &Set) -> Set {
    let mut both = Set::new();
    for (key, below) in children(one) {
        let Some(there) = child(Some(other), key) else { continue };
        if let Some(shared) = node(is_member(below) && is_member(there), intersection(below, there)) {
            both.insert(key.clone(), Value::Object(shared));
        }
    }
    both
}

/// The paths in a set, as conflicts name them: `.spec.template.spec.containers[name="app"].image`.
pub(super) fn paths(set: &Set) -> Vec<String> {
    let mut found = Vec::new();
    collect(set, "", &mut found);
    found
}

fn collect(set: &Set, prefix: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Set)> =
        children(set).map(|(key, below)| (prefix.to_owned() + &step(key), below)).collect();
    found.extend(below.iter().filter(|(_, node)| is_member(node)).map(|(path, _)| path.clone()));
    for (path, node) in below {
        collect(node, &path, found);
    }
}

fn step(key: &str) -> String {
    match key.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("k", keys)) => match serde_json::from_str::<Map<String, Value>>(keys) {
            Ok(keys) => {
                let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("[{}]", keys.join(","))
            }
            Err(_) => format!("[{keys}]"),
        },
        _ => format!("[{key}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: &Value) -> Set {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn sets_are_united_intersected_and_taken_from_each_other() {
        let one = set(&json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}}));
        let other = set(&json!({"f:b": {"f:c": {}, "f:d": {}}}));
        assert_eq!(Value::Object(union(&one, &other)), json!({"f:a": {}, "f:b": {".": {}, "f:c": {}, "f:d": {}}}));
        assert_eq!(Value::Object(intersection(&one, &other)), json!({"f:b": {"f:c": {}}}));
        assert_eq!(Value::Object(difference(&one, &other)), json!({"f:a": {}, "f:b": {}}));
        assert!(difference(&one, &one).is_empty());
    }

    #[test]
    fn a_node_that_both_reach_stays_in_the_set_when_one_has_it() {
        let leaf = set(&json!({"f:b": {}}));
        let deeper = set(&json!({"f:b": {"f:c": {}}}));
        assert_eq!(Value::Object(union(&leaf, &deeper)), json!({"f:b": {".": {}, "f:c": {}}}));
    }

    #[test]
    fn paths_read_like_those_of_the_api_server() {
        let fields = json!({"f:spec": {"f:replicas": {}, "f:ports": {r#"k:{"containerPort":80,"protocol":"TCP"}"#: {}}},
            "f:metadata": {"f:finalizers": {r#"v:"a/b""#: {}}}});
        assert_eq!(
            paths(&set(&fields)),
            [r#".metadata.finalizers[="a/b"]"#, ".spec.replicas", r#".spec.ports[containerPort=80,protocol="TCP"]"#]
        );
    }
}
