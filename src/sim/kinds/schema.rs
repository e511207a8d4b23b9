//! The structural schema of our own kinds: what is dropped, filled in and refused, as the API server does it for any
//! custom resource.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use super::rules;
use crate::sim::{path::Path, status::Cause};

/// A schema, ready to be used.
#[derive(Debug, Default)]
pub struct Schema {
    of: Option<Type>,
    nullable: bool,
    properties: BTreeMap<String, Schema>,
    additional: Option<Box<Schema>>,
    keeps_unknown: bool,
    items: Option<Box<Schema>>,
    required: Vec<String>,
    default: Option<Value>,
    values: Vec<Value>,
    pattern: Option<Regex>,
    lengths: (Option<usize>, Option<usize>),
    sizes: (Option<usize>, Option<usize>),
    bounds: (Option<f64>, Option<f64>),
    is_time: bool,
    keys: Vec<String>,
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// A rule of CEL.
#[derive(Debug)]
struct Rule {
    text: String,
    message: String,
    holds: Option<rules::Holds>,
}

impl Schema {
    /// From the JSON of a schema as a definition has it.
    pub fn new(schema: &Value) -> Self {
        let word = |name: &str| schema.get(name).and_then(Value::as_str);
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or_default();
        let size = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let words = |name: &str| -> Vec<String> {
            let list = schema.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let of = match word("type") {
            Some("object") => Some(Type::Object),
            Some("array") => Some(Type::Array),
            Some("string") => Some(Type::String),
            Some("integer") => Some(Type::Integer),
            Some("number") => Some(Type::Number),
            Some("boolean") => Some(Type::Boolean),
            _ if flag("x-kubernetes-int-or-string") => Some(Type::IntOrString),
            _ => None,
        };
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
        Self {
            of,
            nullable: flag("nullable"),
            properties: properties.map(|(name, schema)| (name.clone(), Self::new(schema))).collect(),
            additional: schema
                .get("additionalProperties")
                .filter(|below| below.is_object())
                .map(|s| Box::new(Self::new(s))),
            keeps_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            items: schema.get("items").map(|items| Box::new(Self::new(items))),
            required: words("required"),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            values: schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            pattern: word("pattern").and_then(|pattern| Regex::new(pattern).ok()),
            lengths: (size("minLength"), size("maxLength")),
            sizes: (size("minItems"), size("maxItems")),
            bounds: (schema.get("minimum").and_then(Value::as_f64), schema.get("maximum").and_then(Value::as_f64)),
            is_time: word("format") == Some("date-time"),
            keys: words("x-kubernetes-list-map-keys"),
            rules: rules.map(Rule::new).collect(),
        }
    }

    /// Drops what an object of this kind does not have, and names it.
    pub(super) fn prune(&self, object: &mut Value, unknown: &mut Vec<String>) {
        let Value::Object(fields) = object else { return };
        fields.retain(|name, value| match (name.as_str(), self.properties.get(name)) {
            ("apiVersion" | "kind" | "metadata", _) => true,
            (_, Some(schema)) => {
                schema.prune_at(Path::Field(&Path::Root, name), value, unknown);
                true
            }
            (_, None) => {
                unknown.push(name.clone());
                false
            }
        });
    }

    fn prune_at(&self, path: Path<'_>, value: &mut Value, unknown: &mut Vec<String>) {
        match value {
            Value::Object(fields) if !self.keeps_unknown => fields.retain(|name, value| {
                let path = Path::Field(&path, name);
                let known = self.below(name);
                match known {
                    Some(schema) => schema.prune_at(path, value, unknown),
                    None => unknown.push(path.to_string()),
                }
                known.is_some()
            }),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if let Some(schema) = &self.items {
                        schema.prune_at(Path::Item(&path, index), item, unknown);
                    }
                }
            }
            _ => {}
        }
    }

    fn below(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    /// Fills in the defaults; a null where none may be is as good as nothing.
    pub(super) fn complete(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    let null = fields.get(name).is_some_and(Value::is_null) && !schema.nullable;
                    match &schema.default {
                        Some(default) if null || !fields.contains_key(name) => {
                            fields.insert(name.clone(), default.clone());
                        }
                        None if null => drop(fields.remove(name)),
                        _ => {}
                    }
                }
                for (name, value) in fields.iter_mut() {
                    if let Some(schema) = self.below(name) {
                        schema.complete(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.complete(item);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is wrong with an object, or only with its status; `old` is what it is to replace.
    pub(super) fn check(&self, object: &Value, old: Option<&Value>, only: Option<&str>) -> Vec<Cause> {
        let mut causes = Vec::new();
        match only {
            None => self.check_at(Path::Root, object, &mut causes),
            Some(name) => {
                if let (Some(schema), Some(value)) = (self.properties.get(name), object.get(name)) {
                    schema.check_at(Path::Field(&Path::Root, name), value, &mut causes);
                }
            }
        }
        if causes.iter().any(|cause| cause.reason != "FieldValueInvalid" && cause.reason != "FieldValueDuplicate") {
            if !self.has_rules() {
                return causes;
            }
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to \
                       complete validation";
            causes.push(Cause::invalid("<nil>", &Value::Null, why));
        } else {
            self.ask_rules(Path::Root, object, old, &mut causes);
        }
        causes
    }

    fn check_at(&self, path: Path<'_>, value: &Value, causes: &mut Vec<Cause>) {
        let here = if path.is_root() { Path::Field(&Path::Root, "<nil>") } else { path };
        if value.is_null() && self.nullable {
            return;
        }
        if let Some(of) = self.of
            && !of.has(value)
        {
            let why = format!("{path} in body must be of type {}: {:?}", of.name(), type_name(value));
            causes.push(Cause::type_invalid(here, &Value::from(type_name(value)), &why));
            return;
        }
        if !self.values.is_empty() && !self.values.contains(value) {
            let supported: Vec<&str> = self.values.iter().filter_map(Value::as_str).collect();
            causes.push(Cause::not_supported(here, value, &supported));
        }
        match value {
            Value::String(text) => self.check_text(here, text, value, causes),
            Value::Number(number) => self.check_number(here, number.as_f64().unwrap_or_default(), value, causes),
            Value::Array(items) => self.check_items(here, items, causes),
            Value::Object(fields) => {
                for name in self.required.iter().filter(|name| !fields.contains_key(*name)) {
                    causes.push(Cause::required(Path::Field(&path, name), ""));
                }
                for (name, value) in fields.iter().filter(|(name, _)| !path.is_root() || *name != "metadata") {
                    if let Some(schema) = self.below(name) {
                        schema.check_at(Path::Field(&path, name), value, causes);
                    }
                }
            }
            _ => {}
        }
    }

    fn check_text(&self, path: Path<'_>, text: &str, value: &Value, causes: &mut Vec<Cause>) {
        let length = text.chars().count();
        match self.lengths {
            (_, Some(most)) if length > most => causes.push(Cause::too_long(path, most)),
            (Some(least), _) if length < least => {
                causes.push(Cause::invalid(
                    path,
                    value,
                    &format!("{path} in body should be at least {least} chars long"),
                ));
            }
            _ => {}
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            let why = format!("{path} in body should match '{pattern}'");
            causes.push(Cause::invalid(path, value, &why));
        }
        if self.is_time && text.parse::<Timestamp>().is_err() {
            let why = format!("{path} in body must be of type date-time: {text:?}");
            causes.push(Cause::type_invalid(path, value, &why));
        }
    }

    fn check_number(&self, path: Path<'_>, number: f64, value: &Value, causes: &mut Vec<Cause>) {
        match self.bounds {
            (Some(least), _) if number < least => {
                let why = format!("{path} in body should be greater than or equal to {least}");
                causes.push(Cause::invalid(path, value, &why));
            }
            (_, Some(most)) if number > most => {
                let why = format!("{path} in body should be less than or equal to {most}");
                causes.push(Cause::invalid(path, value, &why));
            }
            _ => {}
        }
    }

    fn check_items(&self, path: Path<'_>, items: &[Value], causes: &mut Vec<Cause>) {
        match self.sizes {
            (_, Some(most)) if items.len() > most => causes.push(Cause::too_many(path, items.len(), most)),
            (Some(least), _) if items.len() < least => {
                let why = format!("{path} in body should have at least {least} items");
                causes.push(Cause::invalid(path, &json!(items.len()), &why));
            }
            _ => {}
        }
        if let Some(schema) = &self.items {
            for (index, item) in items.iter().enumerate() {
                schema.check_at(Path::Item(&path, index), item, causes);
            }
        }
        if !self.keys.is_empty() {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let key: serde_json::Map<String, Value> =
                    self.keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect();
                let key = Value::Object(key);
                if !seen.insert(key.to_string()) {
                    causes.push(Cause::duplicate(Path::Item(&path, index), &key));
                }
            }
        }
    }

    /// Whether there is a rule at all.
    fn has_rules(&self) -> bool {
        let below = self.properties.values().chain(self.items.as_deref()).chain(self.additional.as_deref());
        !self.rules.is_empty() || below.into_iter().any(Self::has_rules)
    }

    fn ask_rules(&self, path: Path<'_>, value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
        if value.is_null() {
            return;
        }
        for rule in &self.rules {
            // What may be a number or a text has no type of its own.
            let of = self.of.filter(|of| *of != Type::IntOrString).map_or("", Type::name);
            let of = Value::from(of);
            match rule.holds {
                Some(holds) if holds(value, old) => {}
                Some(_) => causes.push(Cause::invalid(path, &of, &rule.message)),
                None => causes.push(Cause::invalid(path, &of, &format!("nobody knows the rule {}", rule.text))),
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(schema) = self.below(name) {
                        schema.ask_rules(Path::Field(&path, name), value, old.and_then(|old| old.get(name)), causes);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for (index, item) in items.iter().enumerate() {
                        // Items of a plain list have no predecessors.
                        schema.ask_rules(Path::Item(&path, index), item, None, causes);
                    }
                }
            }
            _ => {}
        }
    }

    /// Every rule of CEL in it, for the test that none is forgotten.
    #[cfg(test)]
    pub(super) fn rule_texts(&self) -> Vec<(String, bool)> {
        let mut texts: Vec<_> = self.rules.iter().map(|rule| (rule.text.clone(), rule.holds.is_some())).collect();
        let below = self.properties.values().chain(self.items.as_deref()).chain(self.additional.as_deref());
        texts.extend(below.flat_map(Self::rule_texts));
        texts
    }
}

impl Rule {
    fn new(rule: &Value) -> Self {
        let word = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let text = word("rule");
        Self { holds: rules::find(&text), message: word("message"), text }
    }
}

impl Type {
    fn has(self, value: &Value) -> bool {
        let whole =
            |value: &Value| value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0);
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Integer => whole(value),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::IntOrString => value.is_string() || whole(value),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::of_kind;

    fn causes(kind: &str, spec: &serde_json::Value) -> Vec<(String, String)> {
        let kind = of_kind("paramedic.dev", kind).unwrap();
        let object =
            json!({"apiVersion": "paramedic.dev/v1alpha1", "kind": kind.kind, "metadata": {"name": "a"}, "spec": spec});
        let (object, _) = kind.read(object).unwrap();
        let causes = kind.schema.as_ref().unwrap().check(&object, None, None);
        causes.into_iter().map(|cause| (cause.field, cause.reason.into_owned())).collect()
    }

    #[test]
    fn a_policy_is_completed_and_checked() {
        let kind = of_kind("paramedic.dev", "RemediationPolicy").unwrap();
        let spec = json!({"match": ["a=\"b\""], "target": {"kind": "Pod"}, "steps": [{"restartPod": {}}], "odd": 1});
        let object = json!({"apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy", "metadata": {"name": "a"}, "spec": spec});
        let (object, unknown) = kind.read(object).unwrap();
        assert_eq!(unknown, ["spec.odd"]);
        assert_eq!(object["spec"]["steps"][0]["verify"]["within"], "5m");
        assert_eq!(object["spec"]["steps"][0]["restartPod"]["method"], "Evict");
        assert_eq!(kind.schema.as_ref().unwrap().check(&object, None, None), []);
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_type_keeps_the_rules_from_being_asked() {
        let found = causes("RemediationPolicy", &json!({"match": "a", "target": {"kind": "Cat"}, "steps": [{}]}));
        let expected = [
            ("spec.match", "FieldValueTypeInvalid"),
            ("spec.target.kind", "FieldValueNotSupported"),
            ("<nil>", "FieldValueInvalid"),
        ];
        assert_eq!(found, expected.map(|(field, reason)| (field.to_owned(), reason.to_owned())));
    }

    #[test]
    fn rules_are_asked_where_the_schema_is_content() {
        let step = json!({"restartPod": {}, "rolloutRestart": {}, "verify": {"within": "1m", "stableFor": "2m"}});
        let limits = json!({"cooldown": "25h", "minAvailable": "0%"});
        let spec = json!({"match": ["a=\"b\""], "target": {"kind": "Pod"}, "steps": [step], "limits": limits});
        let mut found: Vec<_> = causes("RemediationPolicy", &spec).into_iter().map(|(field, _)| field).collect();
        found.sort();
        let expected = ["spec.limits.cooldown", "spec.limits.minAvailable", "spec.steps[0]", "spec.steps[0].verify"];
        assert_eq!(found, expected);
    }
}
