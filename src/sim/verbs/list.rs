//! GET of an object or of a collection: the newest, those of a version, or page by page.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Target, meta, options};
use crate::sim::{
    kinds::KindInfo,
    request::Query,
    selector::{FieldSelector, LabelSelector},
    state::{self, State},
    status::Status,
};

/// Which objects of a kind are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Those of one namespace, or of all.
    pub namespace: Option<String>,
    /// Only the one of that name, where the path has one.
    pub name: Option<String>,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Selection {
    /// From a path and a query.
    ///
    /// Refuses selectors that are none with 400.
    pub fn read(kind: &KindInfo, namespace: Option<&str>, query: &Query) -> Result<Self, Status> {
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: None,
            labels: LabelSelector::parse(query.get("labelSelector").unwrap_or_default())?,
            fields: FieldSelector::parse(kind, query.get("fieldSelector").unwrap_or_default())?,
        })
    }

    /// Whether it takes all objects of its namespaces.
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty() && self.name.is_none()
    }

    /// Whether it takes an object.
    pub fn takes(&self, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| meta(object, "namespace") == namespace)
            && self.name.as_deref().is_none_or(|name| meta(object, "name") == name)
            && self.labels.matches(object)
            && self.fields.matches(object)
    }
}

/// A list, or one page of it.
#[derive(Debug)]
pub(crate) struct Page {
    pub items: Vec<Arc<Value>>,
    /// Its metadata.
    pub metadata: Value,
}

/// One object.
///
/// Refuses what is not there with 404, a version that is none with 400, and one that has not come with 504.
pub(crate) fn get(state: &State, target: &Target<'_>, query: &Query) -> Result<Arc<Value>, Status> {
    come(state, version(query)?)?;
    let found = state.object(target.kind, target.namespace, target.name);
    found.cloned().ok_or_else(|| Status::not_found(target.kind.resource(), target.name))
}

/// The version that a query asks for; 0 where it asks for any.
fn version(query: &Query) -> Result<Option<u64>, Status> {
    query
        .get("resourceVersion")
        .map(|text| {
            let error = || {
                Status::bad_request(format!(
                    "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
                ))
            };
            text.parse().map_err(|_| error())
        })
        .transpose()
}

fn come(state: &State, version: Option<u64>) -> Result<(), Status> {
    match version {
        Some(version) if version > state.revision() => Err(Status::too_large_version(version, state.revision())),
        _ => Ok(()),
    }
}

/// What a selection takes now.
pub(super) fn selected(state: &State, kind: &KindInfo, selection: &Selection) -> Vec<Arc<Value>> {
    state.objects(kind, selection.namespace.as_deref()).filter(|object| selection.takes(object)).cloned().collect()
}

/// The objects of a kind that a selection takes.
///
/// Refuses: parameters that do not go together (422), a version or a token that is none (400), one that is forgotten
/// (410), and one that has not come (504).
pub(crate) fn list(state: &State, kind: &KindInfo, selection: &Selection, query: &Query) -> Result<Page, Status> {
    options::refuse_unknown(query, false)?;
    let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or_default();
    let version = version(query)?;
    let token = query.get("continue").map(Token::read).transpose()?;
    if token.is_some() && version.is_some_and(|version| version != 0) {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    if query.get("continue").is_none() {
        come(state, version)?;
    }
    // Any version will do: that comes from memory, which knows no pages.
    let limit = if version == Some(0) { 0 } else { limit };
    let exact = match (&token, query.get("resourceVersionMatch"), version) {
        (Some(token), ..) => Some(token.revision),
        (None, Some("Exact"), Some(version)) => Some(version),
        // An old version with a limit means exactly that one.
        (None, None, Some(version)) if limit > 0 && version > 0 => Some(version),
        _ => None,
    };
    if let Some(exact) = exact.filter(|exact| *exact < state.compacted()) {
        let message = if token.is_some() {
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the \
             continue parameter."
                .to_owned()
        } else {
            format!("The resourceVersion for the provided list is too old: {exact} ({})", state.compacted())
        };
        return Err(Status::expired(message));
    }
    let after = token.map(|token| token.start).unwrap_or_default();
    let revision = exact.unwrap_or_else(|| state.revision());
    let page = match exact.filter(|exact| *exact < state.revision()) {
        Some(exact) => {
            let past = state.at(exact, kind.storage);
            let prefix = selection.namespace.as_deref().map(|namespace| state::key(namespace, "")).unwrap_or_default();
            let within = past.iter().filter(|(key, _)| key.starts_with(&prefix));
            cut(within, selection, &after, limit)
        }
        None => cut(state.keyed(kind.storage, selection.namespace.as_deref()), selection, &after, limit),
    };
    Ok(page.finish(kind, revision, selection.is_empty()))
}

/// What a page has, and what comes after it.
struct Cut {
    items: Vec<Arc<Value>>,
    last: String,
    left: usize,
}

fn cut<'a>(
    all: impl Iterator<Item = (&'a String, &'a Arc<Value>)>,
    selection: &Selection,
    after: &str,
    limit: usize,
) -> Cut {
    let mut cut = Cut { items: Vec::new(), last: String::new(), left: 0 };
    for (key, object) in all.filter(|(key, _)| after.is_empty() || key.as_str() > after) {
        if !selection.takes(object) {
            continue;
        }
        if limit > 0 && cut.items.len() == limit {
            cut.left += 1;
            continue;
        }
        cut.items.push(object.clone());
        cut.last.clone_from(key);
    }
    cut
}

impl Cut {
    fn finish(self, kind: &KindInfo, revision: u64, all: bool) -> Page {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if kind.is_custom() {
            metadata["continue"] = json!("");
        }
        if self.left > 0 {
            metadata["continue"] = json!(Token { revision, start: self.last }.text());
            if all {
                metadata["remainingItemCount"] = json!(self.left);
            }
        }
        Page { items: self.items, metadata }
    }
}

/// Where a list goes on.
struct Token {
    revision: u64,
    start: String,
}

impl Token {
    fn text(&self) -> String {
        let token = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": format!("{}\u{0}", self.start)});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn read(text: &str) -> Result<Self, Status> {
        let refused = || Status::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        let start = token["start"].as_str().filter(|start| !start.is_empty()).ok_or_else(refused)?;
        let revision = token["rv"].as_u64().filter(|revision| *revision > 0).ok_or_else(refused)?;
        Ok(Self { revision, start: start.trim_end_matches('\u{0}').to_owned() })
    }
}
