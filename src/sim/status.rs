//! The answers that are no objects: `metav1.Status`, worded as the API server words them.

use std::{borrow::Cow, fmt};

use serde_json::{Map, Value, json};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// One word for programs; empty where the API server gives none.
    pub reason: Cow<'static, str>,
    /// The same for people.
    pub message: String,
    /// What it is about; `None` is left out of the answer.
    pub details: Option<Box<Details>>,
}

/// What a refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The name of the object.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its kind, or its resource.
    pub kind: String,
    /// Its UID.
    pub uid: String,
    /// Each single cause.
    pub causes: Vec<Cause>,
    /// After how many seconds it is worth to try again; 0 is not said.
    pub retry_after_seconds: u32,
}

/// One cause of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// One word for programs: `FieldValueInvalid` and the like.
    pub reason: Cow<'static, str>,
    /// The same for people.
    pub message: String,
    /// The field, where it is one.
    pub field: String,
}

/// A resource and its group, as messages name it: `deployments.apps`.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The group; empty for the core.
    pub group: &'a str,
    /// The resource, or the kind.
    pub name: &'a str,
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

impl Cause {
    fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        Self { reason: Cow::Borrowed(reason), message, field: field.into() }
    }

    /// The value cannot be.
    pub fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {}: {why}", shown(value)))
    }

    /// The value has the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self::new("FieldValueTypeInvalid", field, format!("Invalid value: {}: {why}", shown(value)))
    }

    /// There must be a value.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        Self::new("FieldValueRequired", field, with("Required value".to_owned(), why))
    }

    /// There must not be one, or not this one.
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self::new("FieldValueForbidden", field, with("Forbidden".to_owned(), why))
    }

    /// There is one already.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(value)))
    }

    /// What it names is not there.
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueNotFound", field, format!("Not found: {}", shown(value)))
    }

    /// The value is none of those that there are.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), supported.join(", "));
        Self::new("FieldValueNotSupported", field, message)
    }

    /// The text is too long.
    pub fn too_long(field: impl Into<String>, most: usize) -> Self {
        Self::new("FieldValueTooLong", field, format!("Too long: may not be more than {most} bytes"))
    }

    /// The list is too long.
    pub fn too_many(field: impl Into<String>, found: usize, most: usize) -> Self {
        Self::new("FieldValueTooMany", field, format!("Too many: {found}: must have at most {most} items"))
    }
}

fn with(what: String, why: &str) -> String {
    if why.is_empty() { what } else { format!("{what}: {why}") }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => value.to_string(),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

impl Status {
    /// A refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason: Cow::Borrowed(reason), message: message.into(), details: None }
    }

    fn about(code: u16, reason: &'static str, of: Of<'_>, name: &str, message: String) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: of.group.to_owned(),
            kind: of.name.to_owned(),
            ..Details::default()
        };
        Self { details: Some(Box::new(details)), ..Self::new(code, reason, message) }
    }

    /// 404 for an object.
    pub fn not_found(of: Of<'_>, name: &str) -> Self {
        Self::about(404, "NotFound", of, name, format!("{of} {name:?} not found"))
    }

    /// 404 for a resource.
    pub fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: Some(Box::default()), ..Self::new(404, "NotFound", message) }
    }

    /// 404 for a path that nobody knows, which is answered in words.
    pub fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found")
    }

    /// Whether it is answered in words.
    pub fn is_of_no_path(&self) -> bool {
        self.code == 404 && self.reason.is_empty()
    }

    /// 500 without a reason, for an error that the API server did not expect.
    pub fn unexplained(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 409 for an object that is there.
    pub fn already_exists(of: Of<'_>, name: &str) -> Self {
        Self::about(409, "AlreadyExists", of, name, format!("{of} {name:?} already exists"))
    }

    /// 409 for a precondition that does not hold.
    pub fn conflict(of: Of<'_>, name: &str, why: &str) -> Self {
        Self::about(409, "Conflict", of, name, format!("Operation cannot be fulfilled on {of} {name:?}: {why}"))
    }

    /// 409 for a write over an older version.
    pub fn modified(of: Of<'_>, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(of, name, why)
    }

    /// 409 for fields that others own.
    pub fn apply_conflict(causes: Vec<Cause>, message: String) -> Self {
        let details = Details { causes, ..Details::default() };
        Self { details: Some(Box::new(details)), ..Self::new(409, "Conflict", message) }
    }

    /// 403.
    pub fn forbidden(of: Of<'_>, name: &str, why: &str) -> Self {
        let message = match name {
            "" => format!("{of} is forbidden: {why}"),
            name => format!("{of} {name:?} is forbidden: {why}"),
        };
        Self::about(403, "Forbidden", of, name, message)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 422 for fields; `of` has the kind.
    pub fn invalid(of: Of<'_>, name: &str, causes: Vec<Cause>) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for cause in &causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let all = match lines.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            more => format!(": [{}]", more.join(", ")),
        };
        let mut status = Self::about(422, "Invalid", of, name, format!("{of} {name:?} is invalid{all}"));
        if let Some(details) = &mut status.details {
            details.causes = causes;
        }
        status
    }

    /// 422 for a patch that cannot be made.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        let message = format!("the server rejected our request due to an error in our request{}", {
            let why: String = message.into();
            if why.is_empty() { why } else { format!(" ({why})") }
        });
        Self { details: Some(Box::default()), ..Self::new(422, "Invalid", message) }
    }

    /// 429 with the seconds after which to try again; with 0 none are said.
    pub fn too_many_requests(message: &str, retry_after_seconds: u32, causes: Vec<Cause>) -> Self {
        let details = Details { causes, retry_after_seconds, ..Details::default() };
        Self { details: Some(Box::new(details)), ..Self::new(429, "TooManyRequests", message) }
    }

    /// 405.
    pub fn method_not_allowed(of: Of<'_>, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{of}\"");
        Self::about(405, "MethodNotAllowed", of, "", message)
    }

    /// 405 for a method that is none of the API's.
    pub fn no_such_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self { details: Some(Box::default()), ..Self::new(405, "MethodNotAllowed", message) }
    }

    /// 406.
    pub fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self { details: Some(Box::default()), ..Self::new(406, "NotAcceptable", message) }
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self { details: Some(Box::default()), ..Self::new(415, "UnsupportedMediaType", message) }
    }

    /// 410 for a version that is no longer known.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 500.
    pub fn internal(why: &str) -> Self {
        let cause = Cause { reason: Cow::Borrowed(""), message: why.to_owned(), field: String::new() };
        let details = Details { causes: vec![cause], ..Details::default() };
        let message = format!("Internal error occurred: {why}");
        Self { details: Some(Box::new(details)), ..Self::new(500, "InternalError", message) }
    }

    /// 504 for a version that has not come yet.
    pub fn too_large_version(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let cause = Cause {
            reason: Cow::Borrowed("ResourceVersionTooLarge"),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        };
        let details = Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() };
        Self { details: Some(Box::new(details)), ..Self::new(504, "Timeout", message) }
    }

    /// 501 for what a real API server has, and the simulated one has not.
    pub fn not_implemented(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("the simulated cluster has no {what}; a real API server has"))
    }

    /// Whether it says that the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    /// Whether it says that the object is there already.
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// Whether it says that somebody else was faster.
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// The object as it is sent.
    pub fn to_value(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = Value::from(self.reason.as_ref());
        }
        if let Some(details) = &self.details {
            body["details"] = details.to_value();
        }
        body
    }
}

impl Details {
    /// The object as it is sent; what is empty is left out.
    pub fn to_value(&self) -> Value {
        let mut body = Map::new();
        let words = [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)];
        for (key, word) in words.into_iter().filter(|(_, word)| !word.is_empty()) {
            body.insert(key.to_owned(), Value::from(word.as_str()));
        }
        if !self.causes.is_empty() {
            body.insert("causes".to_owned(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            body.insert("retryAfterSeconds".to_owned(), Value::from(self.retry_after_seconds));
        }
        Value::Object(body)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut body = Map::new();
        let words = [("reason", self.reason.as_ref()), ("message", &self.message), ("field", &self.field)];
        for (key, word) in words.into_iter().filter(|(_, word)| !word.is_empty()) {
            body.insert(key.to_owned(), Value::from(word));
        }
        Value::Object(body)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_the_api_server_words_them() {
        let of = Of { group: "apps", name: "deployments" };
        assert_eq!(Status::not_found(of, "a").message, "deployments.apps \"a\" not found");
        let kind = Of { group: "apps", name: "Deployment" };
        let causes = vec![Cause::required("spec.selector", ""), Cause::invalid("spec.replicas", &json!(-1), "no")];
        let status = Status::invalid(kind, "a", causes);
        assert_eq!(
            status.message,
            "Deployment.apps \"a\" is invalid: [spec.selector: Required value, spec.replicas: Invalid value: -1: no]"
        );
        assert_eq!(status.to_value()["details"]["causes"][1]["field"], "spec.replicas");
        assert_eq!(Status::no_such_resource().to_value()["details"], json!({}));
    }
}
