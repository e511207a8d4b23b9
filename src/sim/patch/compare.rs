//! What changed between two versions of an object, and which fields a configuration names, as sets of fields.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    schema::{Field, Shape, Type},
    set::{SELF, Set},
};

/// What changed, as sets of fields.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// What only the new version has.
    pub added: Set,
    /// What both have, with another value.
    pub modified: Set,
    /// What only the old version has.
    pub removed: Set,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }
}

/// The same for one node, which can be in a set itself.
#[derive(Default)]
struct Node {
    added: Option<Set>,
    modified: Option<Set>,
    removed: Option<Set>,
}

/// Nobody owns these fields of the metadata: the API server sets them, or they tell which object it is.
const NOT_OWNED: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Objects that a built-in kind has even when nobody gave them, so that nobody adds them.
const ALWAYS_THERE: &[&str] =
    &["metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "containers"];

/// Where in an object a comparison is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At its top.
    Root { built_in: bool },
    /// In its metadata.
    Metadata,
    /// In an object that is always there.
    Struct,
    /// Anywhere else.
    Inner,
}

impl Place {
    fn counts(self, name: &str) -> bool {
        match self {
            Self::Root { .. } => name != "apiVersion" && name != "kind",
            Self::Metadata => !NOT_OWNED.contains(&name),
            Self::Struct | Self::Inner => true,
        }
    }

    fn below(self, name: &str) -> Self {
        match self {
            Self::Root { .. } if name == "metadata" => Self::Metadata,
            Self::Root { built_in: true } | Self::Struct if ALWAYS_THERE.contains(&name) => Self::Struct,
            _ => Self::Inner,
        }
    }
}

/// What changed from one version to the other; `old` is null for an object that is new.
pub(super) fn changes(of: &Type, old: &Value, new: &Value) -> Changes {
    let mut found = Node::default();
    object(&mut found, old, new, &|name| of.field(name), Place::Root { built_in: of.built_in });
    Changes {
        added: found.added.unwrap_or_default(),
        modified: found.modified.unwrap_or_default(),
        removed: found.removed.unwrap_or_default(),
    }
}

/// The fields that a configuration names: what its applier owns.
pub(super) fn named(of: &Type, config: &Value) -> Set {
    let mut set = Set::new();
    let place = Place::Root { built_in: of.built_in };
    for (name, value) in config.as_object().into_iter().flatten().filter(|(name, _)| place.counts(name)) {
        let mut below = all(value, of.field(name), false);
        if name == "metadata" {
            below.retain(|key, _| key.strip_prefix("f:").is_some_and(|name| Place::Metadata.counts(name)));
            if below.is_empty() {
                continue;
            }
        }
        set.insert(format!("f:{name}"), Value::Object(below));
    }
    set
}

/// The node for a value of which everything belongs to the set. Where `whole`, the objects and lists that hold others do too.
fn all(value: &Value, of: &Field, whole: bool) -> Set {
    let mut node = match (value, &of.shape) {
        (Value::Object(_), Shape::Plain) => fields(value, of, whole),
        (Value::Array(items), Shape::Set | Shape::Keyed(_)) => {
            let elements =
                items.iter().filter_map(|item| Some((of.element(item)?, Value::Object(element(item, of, whole)))));
            elements.collect()
        }
        _ => Set::new(),
    };
    if whole {
        include(&mut node);
    }
    node
}

/// What is below an object, or an element of the list that `of` describes.
fn fields(value: &Value, of: &Field, whole: bool) -> Set {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (format!("f:{name}"), Value::Object(all(value, of.within(name), whole)))).collect()
}

fn element(item: &Value, of: &Field, whole: bool) -> Set {
    let mut node = fields(item, of, whole);
    include(&mut node);
    node
}

/// Makes a node one that is in the set; an empty one is already.
fn include(node: &mut Set) {
    if !node.is_empty() {
        node.insert(SELF.to_owned(), Value::Object(Set::new()));
    }
}

fn object<'a>(found: &mut Node, old: &Value, new: &Value, within: &dyn Fn(&str) -> &'a Field, place: Place) {
    let (old, new) = (old.as_object(), new.as_object());
    for (name, was) in old.into_iter().flatten().filter(|(name, _)| place.counts(name)) {
        let is = new.and_then(|new| new.get(name));
        field(found, name, Some(was), is, within(name), place.below(name));
    }
    for (name, is) in new.into_iter().flatten().filter(|(name, _)| place.counts(name)) {
        if old.is_none_or(|old| !old.contains_key(name)) {
            field(found, name, None, Some(is), within(name), place.below(name));
        }
    }
}

fn field(found: &mut Node, name: &str, was: Option<&Value>, is: Option<&Value>, of: &Field, place: Place) {
    let mut node = Node::default();
    match (was, is) {
        (Some(was), Some(is)) => compare(&mut node, was, is, of, place),
        (was, is) if place != Place::Inner => {
            compare(&mut node, was.unwrap_or(&Value::Null), is.unwrap_or(&Value::Null), of, place);
        }
        (Some(was), None) => node.removed = Some(all(was, of, true)),
        (None, Some(is)) => node.added = Some(all(is, of, true)),
        (None, None) => {}
    }
    attach(found, || format!("f:{name}"), node);
}

fn attach(to: &mut Node, key: impl Fn() -> String, node: Node) {
    let each = [(&mut to.added, node.added), (&mut to.modified, node.modified), (&mut to.removed, node.removed)];
    for (to, below) in each {
        if let Some(below) = below {
            to.get_or_insert_default().insert(key(), Value::Object(below));
        }
    }
}

fn compare(found: &mut Node, old: &Value, new: &Value, of: &Field, place: Place) {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    let both_empty = nothing(old) && nothing(new);
    match &of.shape {
        _ if both_empty && place != Place::Inner => {}
        Shape::Plain if !both_empty && [old, new].iter().all(|value| value.is_object() || value.is_null()) => {
            object(found, old, new, &|name| of.within(name), place);
        }
        Shape::Set | Shape::Keyed(_)
            if !both_empty && [old, new].iter().all(|value| value.is_array() || value.is_null()) =>
        {
            if old != new {
                elements(found, old, new, of);
            }
        }
        _ if old == new => {}
        _ => found.modified = Some(Set::new()),
    }
}

fn elements(found: &mut Node, old: &Value, new: &Value, of: &Field) {
    let by_name = |list| by_name(list, of);
    let (old, new) = (by_name(old), by_name(new));
    for (name, was) in &old {
        let mut node = Node::default();
        match new.get(name) {
            Some(is) => object(&mut node, was, is, &|name| of.within(name), Place::Inner),
            None => node.removed = Some(element(was, of, true)),
        }
        attach(found, || name.clone(), node);
    }
    for (name, is) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        attach(found, || name.clone(), Node { added: Some(element(is, of, true)), ..Node::default() });
    }
}

/// The elements of a list by what they are called.
fn by_name<'a>(list: &'a Value, of: &Field) -> BTreeMap<String, &'a Value> {
    list.as_array().into_iter().flatten().filter_map(|item| Some((of.element(item)?, item))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::schema::of_kind, *};

    #[test]
    fn a_new_object_is_owned_as_the_api_server_says() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "web", "image": "x", "resources": {},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}}});
        let changes = changes(&of_kind("apps", "Deployment"), &Value::Null, &object);
        assert!(changes.modified.is_empty() && changes.removed.is_empty());
        let expected = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:resources": {},
                    "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                        {".": {}, "f:containerPort": {}, "f:protocol": {}}}}}},
            }},
        });
        assert_eq!(Value::Object(changes.added), expected);
    }

    #[test]
    fn only_what_changed_is_in_the_changes() {
        let of = of_kind("", "Pod");
        let old = json!({"metadata": {"resourceVersion": "1", "finalizers": ["a/b", "c/d"], "annotations": {"x": "1"}},
            "spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "tolerations": [{"key": "x"}]}});
        let new = json!({"metadata": {"resourceVersion": "2", "finalizers": ["c/d", "e/f"]},
            "spec": {"containers": [{"name": "b"}, {"name": "a", "image": "2"}], "tolerations": [{"key": "y"}]}});
        let found = changes(&of, &old, &new);
        assert_eq!(Value::Object(found.added), json!({"f:metadata": {"f:finalizers": {"v:\"e/f\"": {}}}}));
        assert_eq!(
            Value::Object(found.modified),
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}}, "f:tolerations": {}}})
        );
        assert_eq!(
            Value::Object(found.removed),
            json!({"f:metadata": {"f:annotations": {".": {}, "f:x": {}}, "f:finalizers": {"v:\"a/b\"": {}}}})
        );
    }

    #[test]
    fn what_an_applier_names_does_not_include_what_tells_the_object() {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "y"}, "data": {"a": "b"}});
        assert_eq!(Value::Object(named(&of_kind("", "ConfigMap"), &config)), json!({"f:data": {"f:a": {}}}));
    }
}
