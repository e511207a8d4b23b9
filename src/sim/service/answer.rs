//! Answers, and the forms in which a client may want them.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, header},
};
use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::list_kind;
use crate::sim::{
    discovery,
    kinds::KindInfo,
    request::Query,
    status::Status,
    table::{self, Include},
    verbs::{Page, Written, from_storage, meta},
};

/// In what form objects are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    #[default]
    Whole,
    /// Without all but their metadata.
    Metadata,
    /// As the rows of a table.
    Table(Include),
}

impl Form {
    /// What the client accepts first that there is.
    ///
    /// Refuses with 406 where nothing fits.
    pub fn read(headers: &HeaderMap, query: &str) -> Result<Self, Status> {
        let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else {
            return Ok(Self::Whole);
        };
        for wanted in accept.split(',').map(str::trim) {
            let mut parts = wanted.split(';').map(str::trim);
            if !matches!(parts.next(), Some("application/json" | "*/*" | "application/*" | "")) {
                continue;
            }
            match parts.find_map(|part| part.strip_prefix("as=")) {
                None => return Ok(Self::Whole),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Ok(Self::Metadata),
                Some("Table") if table::asked(wanted) => {
                    let query = Query::parse(query);
                    let include = query.get("includeObject");
                    return Include::parse(include).map(Self::Table).ok_or_else(|| {
                        Status::bad_request(format!(
                            "unrecognized includeObject value: {:?}",
                            include.unwrap_or_default()
                        ))
                    });
                }
                Some(_) => {}
            }
        }
        Err(Status::not_acceptable("application/json, application/yaml, application/vnd.kubernetes.protobuf"))
    }
}

/// An answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// An object of a kind.
    Object { kind: &'static KindInfo, object: Arc<Value>, code: u16, warnings: Vec<String> },
    /// Objects of a kind.
    List { kind: &'static KindInfo, page: Page },
    /// What is no object of a kind.
    Plain { body: Value, code: u16, warnings: Vec<String> },
    /// What is known before any object is.
    Page(discovery::Page),
    /// Text.
    Text(String, u16),
    /// A refusal.
    Refusal(Status),
    /// What goes on, and its type.
    Stream(Body, &'static str),
}

impl Answer {
    pub const fn plain(body: Value) -> Self {
        Self::Plain { body, code: 200, warnings: Vec::new() }
    }

    pub fn object(kind: &'static KindInfo, object: &Arc<Value>, code: u16) -> Self {
        Self::Object { kind, object: from_storage(kind, object), code, warnings: Vec::new() }
    }

    pub fn list(kind: &'static KindInfo, mut page: Page) -> Self {
        page.items.iter_mut().for_each(|item| *item = from_storage(kind, item));
        Self::List { kind, page }
    }

    pub fn written(kind: &'static KindInfo, written: Written) -> Self {
        if meta(&written.object, "name").is_empty() || written.object["kind"] == "Scale" {
            return Self::Plain { body: Value::clone(&written.object), code: 200, warnings: written.warnings };
        }
        let code = if written.created { 201 } else { 200 };
        Self::Object { kind, object: from_storage(kind, &written.object), code, warnings: written.warnings }
    }

    /// What a deletion answers: the object, where it is there still or its kind says it, else a Status.
    pub fn deleted(kind: &'static KindInfo, object: &Arc<Value>, gone: bool, warnings: Vec<String>) -> Self {
        if !gone || kind.returns_deleted {
            return Self::Object { kind, object: from_storage(kind, object), code: 200, warnings };
        }
        let mut details = json!({"name": meta(object, "name"), "kind": kind.plural, "uid": meta(object, "uid")});
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
        });
        Self::Plain { body, code: 200, warnings }
    }

    /// As it is sent.
    pub fn response(self, form: Form, head: bool, now: Timestamp) -> Response<Body> {
        match self {
            Self::Object { kind, object, code, warnings } => {
                let body = match form {
                    Form::Whole => serde_json::to_vec(&*object),
                    Form::Metadata => serde_json::to_vec(&partial(kind, &object)),
                    Form::Table(include) => {
                        serde_json::to_vec(&table::table(kind, [&*object], &object["metadata"], include, true, now))
                    }
                };
                send(code, "application/json", body.unwrap_or_default(), &warnings, head)
            }
            Self::List { kind, page } => {
                let body = match form {
                    Form::Whole => serde_json::to_vec(&List { kind, page: &page }),
                    Form::Table(include) => {
                        let items = page.items.iter().map(|item| &**item);
                        serde_json::to_vec(&table::table(kind, items, &page.metadata, include, true, now))
                    }
                    Form::Metadata => {
                        let items: Vec<Value> = page.items.iter().map(|item| partial(kind, item)).collect();
                        serde_json::to_vec(&json!({
                            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                            "metadata": page.metadata, "items": items,
                        }))
                    }
                };
                send(200, "application/json", body.unwrap_or_default(), &[], head)
            }
            Self::Plain { body, code, warnings } => {
                send(code, "application/json", body.to_string().into_bytes(), &warnings, head)
            }
            Self::Page(page) => send(200, page.content_type, page.body, &[], head),
            Self::Text(text, code) => send(code, "text/plain; charset=utf-8", text.into_bytes(), &[], head),
            Self::Refusal(status) if status.is_of_no_path() => {
                Self::Text(format!("{}\n", status.message), status.code).response(form, head, now)
            }
            Self::Refusal(status) => {
                let body = status.to_value().to_string().into_bytes();
                let mut response = send(status.code, "application/json", body, &[], head);
                if let Some(seconds) = status.details.map(|details| details.retry_after_seconds).filter(|n| *n > 0) {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
            Self::Stream(body, kind) => {
                let mut response = Response::new(body);
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                response
            }
        }
    }
}

fn send(code: u16, kind: &'static str, body: Vec<u8>, warnings: &[String], head: bool) -> Response<Body> {
    let mut response = Response::new(if head { Body::empty() } else { Body::from(body) });
    *response.status_mut() = axum::http::StatusCode::from_u16(code).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
            headers.append(header::WARNING, value);
        }
    }
    response
}

/// An object without all but its metadata.
pub(super) fn partial(_: &KindInfo, object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A list as it is sent: the items of built-in kinds do not say their kind.
struct List<'a> {
    kind: &'a KindInfo,
    page: &'a Page,
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("kind", &list_kind(self.kind))?;
        map.serialize_entry("apiVersion", &self.kind.api_version())?;
        map.serialize_entry("metadata", &self.page.metadata)?;
        let items: Vec<Item<'_>> =
            self.page.items.iter().map(|object| Item { object, named: self.kind.is_custom() }).collect();
        map.serialize_entry("items", &items)?;
        map.end()
    }
}

struct Item<'a> {
    object: &'a Value,
    named: bool,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.object.as_object().into_iter().flatten();
        serializer.collect_map(fields.filter(|(name, _)| self.named || !matches!(name.as_str(), "kind" | "apiVersion")))
    }
}
