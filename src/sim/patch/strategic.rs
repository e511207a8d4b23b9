//! Strategic merge patch: a merge patch that knows which lists are merged, and by what.

use serde_json::{Map, Value};

use super::{
    Refused,
    schema::{Field, Strategy, Type},
};

/// Says what is to be done with the object it is in: `replace`, `delete` or `merge`.
const DIRECTIVE: &str = "$patch";
/// Names the fields that an object keeps.
const RETAIN: &str = "$retainKeys";
/// Before the name of a list of values: those that are taken out.
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
/// Before the name of a list: the order it ends up in.
const ORDER: &str = "$setElementOrder/";

/// Applies the patch.
pub(super) fn patch(of: &Type, current: &Value, patch: &Value) -> Result<Value, Refused> {
    let Some(patch) = patch.as_object() else {
        return Err(Refused::BadRequest("the patch must be an object".to_owned()));
    };
    let nothing = Map::new();
    merge_object(current.as_object().unwrap_or(&nothing), patch, &|name| of.field(name)).map(Value::Object)
}

type Within<'a> = dyn Fn(&str) -> &'a Field + 'a;

fn merge_object(
    before: &Map<String, Value>,
    patch: &Map<String, Value>,
    of: &Within,
) -> Result<Map<String, Value>, Refused> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            let mut patch = patch.clone();
            patch.remove(DIRECTIVE);
            return Ok(patch);
        }
        Some("delete") => return Ok(Map::new()),
        Some(_) => return Err(unknown_directive(patch)),
    }
    let mut current = before.clone();
    if let Some(keys) = patch.get(RETAIN) {
        let keys = keys.as_array().ok_or_else(|| malformed("invalid patch format of retainKeys"))?;
        let given = patch.iter().filter(|(name, value)| !value.is_null() && !name.starts_with('$'));
        if given.map(|(name, _)| name).any(|name| !keys.iter().any(|key| key == name)) {
            return Err(malformed("invalid patch format of retainKeys"));
        }
        current.retain(|name, _| keys.iter().any(|key| key == name));
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let field = of(name);
        let merged = match (current.get(name), value) {
            (_, Value::Null) => None,
            (Some(Value::Object(_)), Value::Object(value)) if field.strategy == Strategy::Replace => {
                without_directives(&Value::Object(value.clone()))
            }
            (Some(Value::Object(there)), Value::Object(value)) => {
                Some(Value::Object(merge_object(there, value, &|name| field.within(name))?))
            }
            (Some(Value::Array(there)), Value::Array(items)) => Some(Value::Array(merge_list(there, items, field)?)),
            _ => without_directives(value),
        };
        match merged {
            Some(merged) => current.insert(name.clone(), merged),
            None => current.remove(name),
        };
    }
    for (name, gone) in directives(patch, DELETE_FROM) {
        let gone = gone.as_array().ok_or_else(|| malformed("invalid patch format of delete primitive list"))?;
        if let Some(Value::Array(items)) = current.get_mut(name) {
            items.retain(|item| !gone.contains(item));
        }
    }
    for (name, order) in directives(patch, ORDER) {
        let order = order.as_array().ok_or_else(|| malformed("invalid patch format of setElementOrder list"))?;
        if let Some(Value::Array(items)) = current.get_mut(name) {
            let before = before.get(name).and_then(Value::as_array).map_or(&[] as &[_], Vec::as_slice);
            *items = put_in_order(std::mem::take(items), order, before, &of(name).strategy);
        }
    }
    Ok(current)
}

fn directives<'a>(patch: &'a Map<String, Value>, prefix: &'static str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    patch.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
}

fn merge_list(current: &[Value], patch: &[Value], field: &Field) -> Result<Vec<Value>, Refused> {
    match &field.strategy {
        Strategy::Plain | Strategy::Replace => {
            Ok(patch.iter().filter(|item| item.get(DIRECTIVE).is_none()).filter_map(without_directives).collect())
        }
        Strategy::Values => {
            let mut merged = current.to_vec();
            for item in patch {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            Ok(put_in_order(merged, patch, current, &field.strategy))
        }
        Strategy::By(key) => {
            let merged = merge_by(current, patch, key, field)?;
            Ok(put_in_order(merged, patch, current, &field.strategy))
        }
    }
}

fn merge_by(current: &[Value], patch: &[Value], key: &str, field: &Field) -> Result<Vec<Value>, Refused> {
    // One element that says so makes the patch the whole list.
    if patch.iter().any(|item| item.get(DIRECTIVE).is_some_and(|directive| directive == "replace")) {
        return Ok(patch.iter().filter(|item| item.get(DIRECTIVE).is_none()).cloned().collect());
    }
    let mut merged = current.to_vec();
    for item in patch {
        let Some(fields) = item.as_object() else {
            return Err(internal(&format!("map: {item} does not contain declared merge key: {key}")));
        };
        let Some(name) = fields.get(key) else {
            let shown = Value::Object(fields.clone());
            return Err(internal(&format!("map: {shown} does not contain declared merge key: {key}")));
        };
        let same = |there: &Value| there.get(key) == Some(name);
        match fields.get(DIRECTIVE).and_then(Value::as_str) {
            Some("delete") => merged.retain(|there| !same(there)),
            Some("merge") | None => match merged.iter_mut().find(|there| same(there)) {
                Some(there) => {
                    if let Some(was) = there.as_object() {
                        *there = Value::Object(merge_object(was, fields, &|name| field.within(name))?);
                    }
                }
                None => merged.extend(without_directives(item)),
            },
            Some(_) => return Err(unknown_directive(fields)),
        }
    }
    Ok(merged)
}

/// Puts those elements that `order` names in its order, and each of the others before the first of them that it was before.
fn put_in_order(items: Vec<Value>, order: &[Value], before: &[Value], strategy: &Strategy) -> Vec<Value> {
    let rank = |list: &[Value], item: &Value| match strategy {
        Strategy::By(key) => list.iter().position(|other| other.get(key).is_some() && other.get(key) == item.get(key)),
        _ => list.iter().position(|other| other == item),
    };
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| rank(order, item).is_some());
    named.sort_by_key(|item| rank(order, item));
    others.sort_by_key(|item| rank(before, item));
    let mut sorted = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        let place = rank(before, &item);
        while let Some(other) = others.next_if(|other| place.is_some() && rank(before, other) < place) {
            sorted.push(other);
        }
        sorted.push(item);
    }
    sorted.extend(others);
    sorted
}

/// A value of the patch where the object has none: directives make no sense there. Nothing for an object that was to be
/// deleted.
fn without_directives(value: &Value) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            if fields.get(DIRECTIVE).is_some_and(|directive| directive == "delete") {
                return None;
            }
            let kept = fields.iter().filter(|(name, value)| !name.starts_with('$') && !value.is_null());
            Some(Value::Object(
                kept.filter_map(|(name, value)| Some((name.clone(), without_directives(value)?))).collect(),
            ))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(without_directives).collect())),
        _ => Some(value.clone()),
    }
}

fn unknown_directive(patch: &Map<String, Value>) -> Refused {
    let directive = patch.get(DIRECTIVE).unwrap_or(&Value::Null);
    internal(&format!("unknown patch type {directive} found: delete, merge and replace are known"))
}

fn malformed(message: &str) -> Refused {
    Refused::BadRequest(message.to_owned())
}

fn internal(message: &str) -> Refused {
    Refused::Internal(message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::schema::of_kind, *};

    fn patched(kind: &str, current: &Value, with: &Value) -> Value {
        let group = if kind == "Deployment" { "apps" } else { "" };
        patch(&of_kind(group, kind), current, with).unwrap()
    }

    #[test]
    fn lists_are_merged_by_their_keys_and_others_replaced() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}],
            "tolerations": [{"key": "x"}]}});
        let with = json!({"spec": {"containers": [{"name": "a", "image": "2", "args": ["y"]}], "tolerations": [{"key": "y"}]}});
        let expected = json!({"spec": {"containers": [{"name": "a", "image": "2", "args": ["y"]}, {"name": "b"}],
            "tolerations": [{"key": "y"}]}});
        assert_eq!(patched("Pod", &pod, &with), expected);
    }

    #[test]
    fn a_new_element_comes_before_those_that_the_patch_does_not_name() {
        let pod = json!({"spec": {"containers": [{"name": "a"}]}});
        let with = json!({"spec": {"containers": [{"name": "b"}]}});
        assert_eq!(patched("Pod", &pod, &with), json!({"spec": {"containers": [{"name": "b"}, {"name": "a"}]}}));
    }

    #[test]
    fn directives_delete_and_replace() {
        let pod = json!({"metadata": {"labels": {"a": "1", "b": "2"}},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        let with = json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}},
            "spec": {"containers": [{"name": "a", "$patch": "delete"}], "volumes": [{"$patch": "replace"}, {"name": "w"}]}});
        let expected = json!({"metadata": {"labels": {"c": "3"}}, "spec": {"containers": [{"name": "b"}], "volumes": [{"name": "w"}]}});
        assert_eq!(patched("Pod", &pod, &with), expected);
    }

    #[test]
    fn null_removes_a_field_and_is_not_kept_in_a_new_one() {
        let map = json!({"data": {"a": "1", "b": "2"}});
        let with = json!({"data": {"a": null}, "binaryData": {"x": null}});
        assert_eq!(patched("ConfigMap", &map, &with), json!({"data": {"b": "2"}, "binaryData": {}}));
    }

    #[test]
    fn finalizers_are_added_to_taken_out_and_put_in_order() {
        let pod = json!({"metadata": {"finalizers": ["a/a", "b/b"]}});
        let with = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"],
            "$setElementOrder/finalizers": ["c/c", "b/b"], "finalizers": ["c/c"]}});
        assert_eq!(patched("Pod", &pod, &with), json!({"metadata": {"finalizers": ["c/c", "b/b"]}}));
    }

    #[test]
    fn the_order_of_elements_can_be_given() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}});
        let with = json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}});
        let expected = json!({"spec": {"containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}});
        assert_eq!(patched("Pod", &pod, &with), expected);
    }

    #[test]
    fn fields_that_are_not_to_be_retained_go() {
        let deployment = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
        let with = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
        assert_eq!(patched("Deployment", &deployment, &with), json!({"spec": {"strategy": {"type": "Recreate"}}}));
    }

    #[test]
    fn an_element_without_its_key_is_refused() {
        let pod = json!({"spec": {"containers": [{"name": "a"}]}});
        let with = json!({"spec": {"containers": [{"image": "x"}]}});
        let refused = patch(&of_kind("", "Pod"), &pod, &with).unwrap_err();
        assert!(matches!(refused, Refused::Internal(message) if message.contains("merge key: name")));
    }
}
