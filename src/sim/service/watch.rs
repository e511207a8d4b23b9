//! A watch: what is there, if that is wanted, and then what changes.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures::Stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};

use super::answer::{Answer, Form, partial};
use crate::sim::{
    Cluster, Place,
    kinds::KindInfo,
    request::Request,
    state::{Change, State},
    status::Status,
    table,
    verbs::{Selection, from_storage, refuse_unknown},
};

/// How long a watch may last where the client does not say.
const LONGEST: Duration = Duration::from_mins(30);
/// How often a watch that takes bookmarks gets one.
const BOOKMARK: Duration = Duration::from_mins(1);
/// Marks the end of what was there at the beginning.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Opens a watch.
///
/// Refuses: parameters that do not go together (422), selectors that are none (400), a version that is none (500, as the
/// API server does). A version that is forgotten is an event.
pub(super) fn open(cluster: &Cluster, request: &Request, form: Form) -> Result<Answer, Status> {
    let query = &request.query;
    refuse_unknown(query, true)?;
    let kind = request.kind;
    let mut selection = Selection::read(kind, request.namespace.as_deref(), query)?;
    selection.name.clone_from(&request.name);
    let from = match query.get("resourceVersion") {
        None => 0,
        Some(text) => text.parse::<u64>().map_err(|_| Status {
            reason: "".into(),
            details: None,
            ..Status::internal(&format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
        })?,
    };
    let initial = query.get("sendInitialEvents");
    let bookmarks = query.flag("allowWatchBookmarks");
    let lasts = query.number("timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok()).filter(|s| *s > 0);
    let now = Instant::now();
    let mut watch = Watch {
        cluster: cluster.clone(),
        kind,
        selection,
        form,
        seen: from,
        waiting: VecDeque::new(),
        over: false,
        headed: false,
        place: Place::default(),
        end: Box::pin(tokio::time::sleep_until(now + lasts.map_or(LONGEST, Duration::from_secs))),
        bookmark: bookmarks.then(|| Box::pin(tokio::time::sleep_until(now + BOOKMARK))),
    };
    let state = cluster.state();
    match initial {
        Some("true") => {
            watch.begin(&state);
            if bookmarks {
                let mark = watch.bookmark_at(state.revision(), true);
                watch.waiting.push_back(mark);
            }
        }
        Some(_) if from == 0 => watch.seen = state.revision(),
        None if from == 0 => watch.begin(&state),
        _ => {}
    }
    drop(state);
    Ok(Answer::Stream(Body::from_stream(watch), "application/json"))
}

/// An open watch.
struct Watch {
    cluster: Cluster,
    kind: &'static KindInfo,
    selection: Selection,
    form: Form,
    /// The revision up to which the client knows everything.
    seen: u64,
    /// What is still to be sent.
    waiting: VecDeque<Bytes>,
    over: bool,
    /// Whether a table's header was sent.
    headed: bool,
    place: Place,
    end: Pin<Box<Sleep>>,
    bookmark: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Begins with what is there.
    fn begin(&mut self, state: &State) {
        let there: Vec<Arc<Value>> = state.objects(self.kind, self.selection.namespace.as_deref()).cloned().collect();
        for object in there {
            let object = from_storage(self.kind, &object);
            if self.selection.takes(&object) {
                self.push("ADDED", &object, state.now());
            }
        }
        self.seen = state.revision();
    }

    fn push(&mut self, what: &str, object: &Value, now: Timestamp) {
        let line = match self.form {
            Form::Whole => line(what, object),
            Form::Metadata => line(what, &partial(self.kind, object)),
            Form::Table(include) => {
                let header = !std::mem::replace(&mut self.headed, true);
                line(what, &table::table(self.kind, [object], &object["metadata"], include, header, now))
            }
        };
        self.waiting.push_back(line);
    }

    /// Takes in what changed since; `false` where that is forgotten.
    fn follow(&mut self, state: &State) -> bool {
        if self.seen < state.compacted() {
            return false;
        }
        if self.seen >= state.revision() {
            return true;
        }
        let changes: Vec<Change> =
            state.changes_since(self.seen).filter(|change| change.storage == self.kind.storage).cloned().collect();
        for change in changes {
            self.note(&change, state.now());
        }
        self.seen = state.revision();
        true
    }

    /// What a change is to somebody who sees only what the selection takes.
    fn note(&mut self, change: &Change, now: Timestamp) {
        let takes = |object: &Arc<Value>| {
            let object = from_storage(self.kind, object);
            self.selection.takes(&object).then_some(object)
        };
        let before = change.previous.as_ref().and_then(takes);
        let after = if change.deleted { None } else { takes(&change.object) };
        match (before, after) {
            (None, Some(after)) => self.push("ADDED", &after, now),
            (Some(_), Some(after)) => self.push("MODIFIED", &after, now),
            (Some(_), None) if change.deleted => {
                let last = from_storage(self.kind, &change.object);
                self.push("DELETED", &last, now);
            }
            (Some(before), None) => {
                // It is there still, but not for this watch: its last state that was seen, with the version of now.
                let mut last = Value::clone(&before);
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                self.push("DELETED", &last, now);
            }
            (None, None) => {}
        }
    }

    fn bookmark_at(&self, revision: u64, first: bool) -> Bytes {
        let mut object = json!({
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if first {
            object["metadata"]["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        match self.form {
            Form::Whole | Form::Table(_) => line("BOOKMARK", &object),
            Form::Metadata => line("BOOKMARK", &partial(self.kind, &object)),
        }
    }

    fn expire(&mut self, compacted: u64) {
        let message = format!("too old resource version: {} ({compacted})", self.seen);
        self.waiting.push_back(line("ERROR", &Status::expired(message).to_value()));
        self.over = true;
    }
}

fn line(what: &str, object: &Value) -> Bytes {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(b"{\"type\":\"");
    bytes.extend_from_slice(what.as_bytes());
    bytes.extend_from_slice(b"\",\"object\":");
    // Writing into memory cannot fail.
    drop(serde_json::to_writer(&mut bytes, object));
    bytes.extend_from_slice(b"}\n");
    Bytes::from(bytes)
}

impl Stream for Watch {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(next) = this.waiting.pop_front() {
                return Poll::Ready(Some(Ok(next)));
            }
            if this.over {
                return Poll::Ready(None);
            }
            let cluster = this.cluster.clone();
            let state = cluster.state();
            if !this.follow(&state) {
                this.expire(state.compacted());
            }
            if !this.waiting.is_empty() {
                continue;
            }
            if this.end.as_mut().poll(context).is_ready() {
                this.over = true;
                continue;
            }
            let due = this.bookmark.as_mut().is_some_and(|bookmark| bookmark.as_mut().poll(context).is_ready());
            if due {
                let mark = this.bookmark_at(state.revision(), false);
                this.waiting.push_back(mark);
                this.bookmark = Some(Box::pin(tokio::time::sleep(BOOKMARK)));
                continue;
            }
            // The state stays locked until the place in the queue is taken: no write can come between.
            cluster.wait(&mut this.place, context);
            return Poll::Pending;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cluster.leave(&self.place);
    }
}
