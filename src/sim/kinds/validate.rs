//! What is wrong with an object of a built-in kind: the rules that a client of the simulated cluster can run into.

use serde_json::Value;

use super::{KindInfo, check, meta};
use crate::sim::status::Cause;

/// A new object.
pub(super) fn create(kind: &KindInfo, object: &Value) -> Vec<Cause> {
    let mut causes = meta::create(kind, object);
    match &kind.schema {
        Some(schema) => causes.extend(schema.check(object, None, None)),
        None => causes.extend(check::create(kind, object)),
    }
    causes
}

/// An object that is to replace `old`, or its status.
pub(super) fn update(kind: &KindInfo, object: &Value, old: &Value, subresource: Option<&str>) -> Vec<Cause> {
    let mut causes = meta::update(kind, object, old);
    match &kind.schema {
        Some(schema) => causes.extend(schema.check(object, Some(old), subresource)),
        None if subresource == Some("status") => causes.extend(check::status(kind, object, old)),
        None if subresource.is_some() => {}
        None => causes.extend(check::update(kind, object, old)),
    }
    causes
}
