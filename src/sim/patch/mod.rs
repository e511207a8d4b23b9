//! The four ways in which the API changes an object by a patch, and who owns which field afterwards. All pure.

mod compare;
mod managed;
mod merge;
mod schema;
mod set;
mod strategic;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Why a patch is not applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read: 400.
    #[error("{0}")]
    BadRequest(String),
    /// It does not fit the object: 422.
    #[error("{0}")]
    Unprocessable(String),
    /// It is too large: 413.
    #[error("{0}")]
    TooLarge(String),
    /// It does not make sense, which the API server answers 500.
    #[error("{0}")]
    Internal(String),
    /// Others own what it would change: 409.
    #[error("{message}")]
    ApplyConflict {
        /// What to say.
        message: String,
        /// Each conflict, and the field it is about.
        causes: Vec<(String, String)>,
    },
}

/// The most operations that a JSON patch may have.
const MOST_OPERATIONS: usize = 10_000;

/// Applies a merge patch (RFC 7386).
pub fn merge(current: &Value, patch: &Value) -> Value {
    let mut patched = current.clone();
    json_patch::merge(&mut patched, patch);
    patched
}

/// Applies a JSON patch (RFC 6902), given as it came. Unlike there, and as the API server has it, what is not there can be
/// replaced in an object.
pub fn json(current: &Value, patch: &[u8]) -> Result<Value, Refused> {
    let patch: Vec<Map<String, Value>> =
        serde_json::from_slice(patch).map_err(|err| Refused::BadRequest(format!("error decoding patch: {err}")))?;
    if patch.len() > MOST_OPERATIONS {
        return Err(Refused::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
            patch.len()
        )));
    }
    let unprocessable = |err: &dyn std::error::Error| Refused::Unprocessable(err.to_string());
    let mut patched = current.clone();
    for mut operation in patch {
        if operation.get("op").is_some_and(|op| op == "replace") && adds(&patched, operation.get("path")) {
            operation.insert("op".to_owned(), Value::from("add"));
        }
        let operation = serde_json::from_value(Value::Object(operation)).map_err(|err| unprocessable(&err))?;
        json_patch::patch(&mut patched, &[operation]).map_err(|err| unprocessable(&err))?;
    }
    Ok(patched)
}

/// Whether that path leads to a field that an object does not have yet.
fn adds(object: &Value, path: Option<&Value>) -> bool {
    let Some(path) = path.and_then(Value::as_str) else { return false };
    let Some((parent, _)) = path.rsplit_once('/') else { return false };
    object.pointer(path).is_none() && object.pointer(parent).is_some_and(Value::is_object)
}

/// Who makes a write, and of which kind the object is.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The group of the object's kind.
    pub group: &'a str,
    /// The version in which it is written.
    pub version: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Whoever writes: `?fieldManager`, else the beginning of the user agent.
    pub manager: &'a str,
    /// The subresource that is written, if it is one.
    pub subresource: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

impl Write<'_> {
    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Applies a strategic merge patch to an object of that kind, which must be built in: others know no such patch.
pub fn strategic(group: &str, kind: &str, current: &Value, patch: &Value) -> Result<Value, Refused> {
    strategic::patch(&schema::of_kind(group, kind), current, patch)
}

/// The object after `config` was applied to it, server-side, with its `managedFields`. `current` is `None` if there is none.
/// What others own is taken from them if `force`, and is refused otherwise.
pub fn apply(write: &Write<'_>, current: Option<&Value>, config: &Value, force: bool) -> Result<Value, Refused> {
    let api_version = write.api_version();
    if let Some(given) = config.get("apiVersion").and_then(Value::as_str)
        && given != api_version
    {
        return Err(Refused::BadRequest(format!(
            "Incorrect version specified in apply patch. Specified patch version: {given}, expected: {api_version}"
        )));
    }
    let writer = managed::Writer {
        manager: write.manager,
        api_version: &api_version,
        subresource: write.subresource,
        now: write.now,
    };
    let status = write.subresource == Some("status");
    let of = schema::of_kind(write.group, write.kind);
    managed::apply(&of, current.unwrap_or(&Value::Null), config, &writer, force, |name| (name == "status") == status)
}

/// Keeps count of who owns what in `new`, which is about to be stored in the place of `current`, after a write that was not an
/// apply. Of objects on which no count is kept, none is begun, except when they are created.
pub fn managed(write: &Write<'_>, current: Option<&Value>, new: &mut Value) {
    let api_version = write.api_version();
    let writer = managed::Writer {
        manager: write.manager,
        api_version: &api_version,
        subresource: write.subresource,
        now: write.now,
    };
    managed::update(&schema::of_kind(write.group, write.kind), current.unwrap_or(&Value::Null), new, &writer);
}

#[cfg(test)]
mod tests;
