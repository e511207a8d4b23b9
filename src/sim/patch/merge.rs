//! What an apply makes of an object: the configuration merged into it, and what the applier no longer names taken out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    schema::{Field, PLAIN, Shape, Type},
    set::{self, Set},
};

/// The object with the configuration merged into it; null is an object that is new.
pub(super) fn merge(of: &Type, live: &Value, config: &Value) -> Value {
    let nothing = Map::new();
    let (live, config) = (live.as_object().unwrap_or(&nothing), config.as_object().unwrap_or(&nothing));
    Value::Object(objects(live, config, &|name| of.field(name)))
}

fn objects<'a>(
    live: &Map<String, Value>,
    config: &Map<String, Value>,
    of: &dyn Fn(&str) -> &'a Field,
) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, wanted) in config {
        if wanted.is_null() {
            merged.remove(name);
            continue;
        }
        let value = live.get(name).map_or_else(|| wanted.clone(), |there| values(there, wanted, of(name)));
        merged.insert(name.clone(), value);
    }
    merged
}

fn values(live: &Value, config: &Value, of: &Field) -> Value {
    match (live, config, &of.shape) {
        (Value::Object(live), Value::Object(config), Shape::Plain) => {
            Value::Object(objects(live, config, &|name| of.within(name)))
        }
        (Value::Array(live), Value::Array(config), Shape::Set | Shape::Keyed(_)) => {
            Value::Array(lists(live, config, of))
        }
        _ => config.clone(),
    }
}

/// Elements of the configuration in its order; those that only the object has stay where they were between them.
fn lists(live: &[Value], config: &[Value], of: &Field) -> Vec<Value> {
    let there: BTreeMap<String, &Value> = live.iter().filter_map(|item| Some((of.element(item)?, item))).collect();
    let wanted: BTreeMap<String, &Value> = config.iter().filter_map(|item| Some((of.element(item)?, item))).collect();
    let only_live = |item: &Value| of.element(item).is_none_or(|name| !wanted.contains_key(&name));
    let mut merged = Vec::with_capacity(live.len() + config.len());
    let mut rest = live.iter().peekable();
    for item in config {
        let name = of.element(item);
        while let Some(other) = rest.next_if(|other| only_live(other)) {
            merged.push(other.clone());
        }
        // Those that the configuration has too come at its place for them.
        rest.next_if(|other| !only_live(other));
        merged.push(match name.and_then(|name| there.get(&name).copied()) {
            Some(Value::Object(live)) => match item {
                Value::Object(config) => Value::Object(objects(live, config, &|name| of.within(name))),
                _ => item.clone(),
            },
            _ => item.clone(),
        });
    }
    merged.extend(rest.filter(|other| only_live(other)).cloned());
    merged
}

/// Takes out of the object what the applier owned by its `last` configuration and nobody owns now.
pub(super) fn remove(of: &Type, object: &mut Value, last: &Set, owned: &Set) {
    if let Some(fields) = object.as_object_mut() {
        remove_fields(fields, last, Some(owned), &|name| of.field(name), true);
    }
}

fn remove_fields<'a>(
    object: &mut Map<String, Value>,
    last: &Set,
    owned: Option<&Set>,
    of: &dyn Fn(&str) -> &'a Field,
    top: bool,
) {
    for (key, below) in set::children(last) {
        let Some(name) = key.strip_prefix("f:") else { continue };
        match set::child(owned, key) {
            // The metadata holds what tells the object, which nobody owns.
            owned if owned.is_some() || (top && name == "metadata") => {
                if let Some(value) = object.get_mut(name) {
                    remove_within(value, below, owned, of(name));
                }
            }
            _ => {
                object.remove(name);
            }
        }
    }
}

fn remove_within(value: &mut Value, last: &Set, owned: Option<&Set>, of: &Field) {
    match (value, &of.shape) {
        (Value::Object(fields), Shape::Plain) => remove_fields(fields, last, owned, &|name| of.within(name), false),
        (Value::Array(items), Shape::Set | Shape::Keyed(_)) => {
            items.retain_mut(|item| {
                let Some(name) = of.element(item) else { return true };
                let Some(below) = set::child(Some(last), &name) else { return true };
                let owned = set::child(owned, &name);
                if owned.is_none() && set::is_member(below) {
                    return false;
                }
                if let Some(fields) = item.as_object_mut() {
                    let within = |name: &str| of.of.as_ref().map_or(&PLAIN, |of| of.field(name));
                    remove_fields(fields, below, owned, &within, false);
                }
                true
            });
        }
        _ => {}
    }
}
