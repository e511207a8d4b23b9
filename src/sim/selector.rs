//! Label selectors and field selectors.

use serde_json::Value;

use super::{
    kinds::{KindInfo, label_value, qualified_name},
    status::Status,
};

/// Which labels an object must have; an empty one takes all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    wants: Wants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// As a query says it: `app=a,tier in (x,y),!canary`.
    ///
    /// Refuses with 400 what is none.
    pub fn parse(text: &str) -> Result<Self, Status> {
        Reader(text).all().map(Self).map_err(|why| Status::bad_request(format!("unable to parse requirement: {why}")))
    }

    /// As an object says it, with `matchLabels` and `matchExpressions`; null takes nothing, which is `None`, as is one
    /// that makes no sense.
    pub fn of_object(selector: &Value) -> Option<Self> {
        let fields = selector.as_object()?;
        let labels = fields.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        let mut all: Vec<Requirement> = labels
            .map(|(key, value)| {
                Some(Requirement { key: key.clone(), wants: Wants::In(vec![value.as_str()?.to_owned()]) })
            })
            .collect::<Option<_>>()?;
        for expression in fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let values = || -> Vec<String> {
                let values = expression["values"].as_array().into_iter().flatten();
                values.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let wants = match expression["operator"].as_str()? {
                "In" => Wants::In(values()),
                "NotIn" => Wants::NotIn(values()),
                "Exists" => Wants::Exists,
                "DoesNotExist" => Wants::DoesNotExist,
                _ => return None,
            };
            all.push(Requirement { key: expression["key"].as_str()?.to_owned(), wants });
        }
        Some(Self(all))
    }

    /// Whether it takes all objects.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object has the labels.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
        self.0.iter().all(|requirement| {
            let label = labels.and_then(|labels| labels.get(&requirement.key)).and_then(Value::as_str);
            let number = || label.and_then(|label| label.parse::<i64>().ok());
            match &requirement.wants {
                Wants::In(values) => label.is_some_and(|label| values.iter().any(|value| value == label)),
                Wants::NotIn(values) => label.is_none_or(|label| values.iter().all(|value| value != label)),
                Wants::Exists => label.is_some(),
                Wants::DoesNotExist => label.is_none(),
                Wants::Above(bound) => number().is_some_and(|number| number > *bound),
                Wants::Below(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}

/// Reads a selector from its text, from left to right.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn all(&mut self) -> Result<Vec<Requirement>, String> {
        let mut all = Vec::new();
        self.skip();
        if self.0.is_empty() {
            return Ok(all);
        }
        loop {
            all.push(self.one()?);
            if self.0.is_empty() {
                return Ok(all);
            }
            if !self.sign(",") {
                return Err(format!("found '{}', expected: ',' or 'end of string'", self.0));
            }
        }
    }

    fn skip(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn sign(&mut self, sign: &str) -> bool {
        let rest = self.0.strip_prefix(sign);
        if let Some(rest) = rest {
            self.0 = rest;
            self.skip();
        }
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        let end = self.0.find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '>', '<']).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        self.skip();
        word
    }

    fn one(&mut self) -> Result<Requirement, String> {
        let absent = self.sign("!");
        let key = self.word().to_owned();
        if let Some(why) = qualified_name(&key).first() {
            return Err(format!("<nil>: Invalid value: {key:?}: {why}"));
        }
        let wants = if absent {
            Wants::DoesNotExist
        } else if self.0.is_empty() || self.0.starts_with(',') {
            Wants::Exists
        } else if self.sign("==") || self.sign("=") {
            Wants::In(vec![self.value()?])
        } else if self.sign("!=") {
            Wants::NotIn(vec![self.value()?])
        } else if self.sign(">") {
            Wants::Above(self.number()?)
        } else if self.sign("<") {
            Wants::Below(self.number()?)
        } else {
            match self.word() {
                "in" => Wants::In(self.values()?),
                "notin" => Wants::NotIn(self.values()?),
                other => {
                    return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt"));
                }
            }
        };
        Ok(Requirement { key, wants })
    }

    fn value(&mut self) -> Result<String, String> {
        let value = self.word();
        match label_value(value).first() {
            Some(why) => Err(format!("values[0]: Invalid value: {value:?}: {why}")),
            None => Ok(value.to_owned()),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word();
        word.parse().map_err(|_| {
            format!("values[0]: Invalid value: {word:?}: for 'Gt', 'Lt' operators, the value must be an integer")
        })
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        if !self.sign("(") {
            return Err(format!("found '{}' expected: '('", self.0));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            if self.sign(")") {
                return Ok(values);
            }
            if !self.sign(",") {
                return Err(format!("found '{}', expected: ',' or ')'", self.0));
            }
        }
    }
}

/// Which fields an object must have; an empty one takes all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// As a query says it: `metadata.name=a,status.phase!=Running`.
    ///
    /// Refuses with 400 what is none, and a field that cannot be selected by.
    pub fn parse(kind: &KindInfo, text: &str) -> Result<Self, Status> {
        let mut all = Vec::new();
        for term in terms(text).into_iter().filter(|term| !term.is_empty()) {
            let split = |sign: &str| term.split_once(sign).map(|(field, value)| (field.to_owned(), value.to_owned()));
            let equal = || split("==").or_else(|| split("="));
            let parsed = match (split("!="), equal()) {
                (Some((field, value)), _) => Some((field, false, value)),
                (None, Some((field, value))) => Some((field, true, value)),
                (None, None) => None,
            };
            let invalid =
                |term: &str| Status::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'"));
            let (field, wanted, value) = parsed.ok_or_else(|| invalid(&term))?;
            let value = unescaped(&value).ok_or_else(|| invalid(&term))?;
            if fields_of(kind).all(|known| known != field) {
                let label = format!("field label not supported: {field}");
                let why = if kind.kind == "Pod" || kind.is_custom() || fields_of(kind).count() > 2 {
                    label
                } else {
                    format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                };
                return Err(Status::bad_request(why));
            }
            all.push((field, wanted, value));
        }
        Ok(Self(all))
    }

    /// Whether it takes all objects.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object has the fields.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, wanted, value)| (read(object, field) == *value) == *wanted)
    }
}

/// The parts between commas that are not escaped.
fn terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match c {
            ',' if !escaped => {
                terms.push(String::new());
                continue;
            }
            _ => escaped = c == '\\' && !escaped,
        }
        if let Some(term) = terms.last_mut() {
            term.push(c);
        }
    }
    terms
}

fn unescaped(value: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().filter(|c| matches!(c, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}

/// The fields that a kind can be selected by.
fn fields_of(kind: &KindInfo) -> impl Iterator<Item = &'static str> + use<> {
    let own: &[&str] = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", _) => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("apps", "ReplicaSet") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    };
    let none_at_all = kind.kind == "ReplicaSet" && kind.group.is_empty();
    ["metadata.name", "metadata.namespace"].into_iter().chain(own.iter().copied()).filter(move |_| !none_at_all)
}

/// A field as text; what is absent is empty, or what it stands for.
fn read(object: &Value, field: &str) -> String {
    let at = |path: &str| path.split('.').try_fold(object, |value, name| value.get(name));
    let field =
        field.strip_prefix("regarding.").map_or_else(|| field.to_owned(), |rest| format!("involvedObject.{rest}"));
    let (path, absent) = match field.as_str() {
        "reportingController" => ("reportingComponent", ""),
        "source" => ("source.component", ""),
        "status.successful" => ("status.succeeded", "0"),
        "spec.hostNetwork" => ("spec.hostNetwork", "false"),
        "spec.unschedulable" => ("spec.unschedulable", "false"),
        path => (path, ""),
    };
    let found = at(path).or_else(|| {
        // The source of an event that does not say so is its reporter.
        (field == "source").then(|| at("reportingComponent")).flatten()
    });
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => absent.to_owned(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::kinds, *};

    fn labelled(labels: &Value) -> Value {
        json!({"metadata": {"labels": labels}})
    }

    #[test]
    fn labels_are_selected_as_the_api_selects_them() {
        let object = labelled(&json!({"app": "web", "tier": "front", "n": "5"}));
        for (text, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (web, api)", true),
            ("app notin (web)", false),
            ("other notin (web)", true),
            ("app", true),
            ("!app", false),
            ("!other,app", true),
            ("n>4,n<6", true),
            ("n>5", false),
            ("app=", false),
            ("other!=x", true),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&object), expected, "{text}");
        }
        for text in ["a b", "=x", "a in", "a in (b", "a=b c", "a,,b", "-a=b", "a=b!", "a>x"] {
            assert_eq!(LabelSelector::parse(text).unwrap_err().code, 400, "{text}");
        }
    }

    #[test]
    fn an_objects_own_selector_is_read_too() {
        let selector =
            json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]});
        let selector = LabelSelector::of_object(&selector).unwrap();
        assert!(selector.matches(&labelled(&json!({"a": "1"}))));
        assert!(!selector.matches(&labelled(&json!({"a": "1", "b": ""}))));
        assert!(LabelSelector::of_object(&json!({})).unwrap().matches(&json!({})), "an empty one takes all");
        assert!(LabelSelector::of_object(&Value::Null).is_none());
    }

    #[test]
    fn fields_are_those_of_the_kind() {
        let pod = kinds::of_kind("", "Pod").unwrap();
        let object = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        let selected = |text: &str| FieldSelector::parse(pod, text).unwrap().matches(&object);
        assert!(selected("spec.nodeName=n,status.phase!=Pending,metadata.name==a"));
        assert!(!selected("spec.nodeName="));
        assert_eq!(FieldSelector::parse(pod, "spec.odd=1").unwrap_err().code, 400);
        assert_eq!(FieldSelector::parse(pod, "metadata.name").unwrap_err().code, 400);
        let lease = kinds::of_kind("coordination.k8s.io", "Lease").unwrap();
        assert_eq!(FieldSelector::parse(lease, "status.phase=a").unwrap_err().code, 400);
    }
}
