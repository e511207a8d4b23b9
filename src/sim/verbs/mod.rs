//! What can be done with objects. Each is a function of the state and a request's parts; nothing here waits.

mod create;
mod delete;
mod event;
mod eviction;
mod furnish;
mod list;
mod namespace;
mod options;
mod patch;
mod read;
mod scale;
mod update;

use std::sync::Arc;

use serde_json::Value;

use super::{kinds::KindInfo, patch as patching, state::State, status::Status};

pub(crate) use create::create;
pub(crate) use delete::{delete, delete_collection};
pub(crate) use event::from_storage;
pub(crate) use eviction::evict;
pub(crate) use furnish::furnish;
pub(crate) use list::{Page, Selection, get, list};
pub(crate) use options::{delete_options, deletion_warnings, refuse_unknown, write_options};
pub(crate) use patch::patch;
pub(crate) use read::read_body;
pub(crate) use scale::{read_scale, write_scale};
pub(crate) use update::update;

/// The object that is meant; its name is empty where a POST is to say it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub kind: &'static KindInfo,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: Option<&'a str>,
}

/// What is done about fields that are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    #[default]
    Ignored,
    Warned,
    Refused,
}

/// How a write is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Write {
    /// Whether only the answer is wanted.
    pub dry: bool,
    /// Who writes.
    pub manager: String,
    /// What is done about fields that are not known.
    pub unknown: Unknown,
    /// The fields that the body has twice.
    pub twice: Vec<String>,
    /// Whether an apply takes what others own.
    pub force: bool,
}

impl Write {
    /// A plain write by somebody.
    pub fn by(manager: &str) -> Self {
        Self { manager: manager.to_owned(), ..Self::default() }
    }
}

/// What a write left.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub object: Arc<Value>,
    pub created: bool,
    pub warnings: Vec<String>,
}

/// Text at a path of an object; empty where there is none.
pub(crate) fn word<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(object, |value, name| value.get(name)).and_then(Value::as_str).unwrap_or_default()
}

/// A text of the metadata.
pub(crate) fn meta<'a>(object: &'a Value, name: &str) -> &'a str {
    word(object, &["metadata", name])
}

/// Notes in an object's managedFields who writes what of it.
fn note_manager(state: &State, target: &Target<'_>, object: &mut Value, old: Option<&Value>, write: &Write) {
    let kept = match old {
        Some(old) => old["metadata"].get("managedFields").is_some(),
        None => state.keeps_managed_fields,
    };
    if kept {
        patching::managed(&authorship(state, target, write), old, object);
    }
}

/// Whose write it is, of what, and when: what managedFields say of it.
fn authorship<'w>(state: &State, target: &Target<'w>, write: &'w Write) -> patching::Write<'w> {
    patching::Write {
        group: &target.kind.group,
        version: &target.kind.version,
        kind: &target.kind.kind,
        manager: &write.manager,
        subresource: target.subresource,
        now: state.now(),
    }
}

/// Refuses or warns of fields that are not known, or that are there twice.
pub(super) fn unknown_fields(kind: &KindInfo, unknown: Vec<String>, write: &Write) -> Result<Vec<String>, Status> {
    let unknown = unknown.into_iter().map(|field| format!("unknown field {field:?}"));
    let all: Vec<String> =
        unknown.chain(write.twice.iter().map(|field| format!("duplicate field {field:?}"))).collect();
    match write.unknown {
        Unknown::Refused if !all.is_empty() => Err(Status::bad_request(format!(
            "{0} in version {1:?} cannot be handled as a {0}: strict decoding error: {2}",
            kind.kind,
            kind.version,
            all.join(", ")
        ))),
        Unknown::Warned => Ok(all),
        _ => Ok(Vec::new()),
    }
}
