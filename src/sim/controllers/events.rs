//! Events as the controllers of a real cluster write them: the same again is counted, not written anew.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;

use super::{
    Context,
    objects::{key_of, time, uid},
};

/// How many different Events are remembered, so that the same again is known.
const REMEMBERED: usize = 4096;

/// Writes Events.
#[derive(Debug)]
pub(super) struct Recorder {
    silent: bool,
    written: u64,
    known: BTreeMap<[String; 4], (String, String)>,
}

impl Recorder {
    pub(super) const fn new() -> Self {
        Self { silent: false, written: 0, known: BTreeMap::new() }
    }

    pub(super) const fn silence(&mut self) {
        self.silent = true;
    }
}

/// What an Event says.
#[derive(Clone, Debug)]
pub(super) struct Note<'a> {
    /// Whether it is a warning.
    pub(super) warns: bool,
    pub(super) reason: &'a str,
    pub(super) message: String,
    /// The part of the object that it is about: `spec.containers{app}`.
    pub(super) part: Option<String>,
    /// Who says so.
    pub(super) from: &'a str,
    /// On which node.
    pub(super) host: Option<&'a str>,
}

impl<'a> Note<'a> {
    pub(super) fn normal(from: &'a str, reason: &'a str, message: String) -> Self {
        Self { warns: false, reason, message, part: None, from, host: None }
    }

    pub(super) fn warning(from: &'a str, reason: &'a str, message: String) -> Self {
        Self { warns: true, ..Self::normal(from, reason, message) }
    }
}

impl Context<'_> {
    /// Writes an Event about an object. One that cannot be written is lost, as in a real cluster.
    pub(super) fn note<K: Resource<DynamicType = ()>>(&mut self, about: &K, note: Note<'_>) {
        if self.recorder.silent {
            return;
        }
        let meta = about.meta();
        let (namespace, name) = key_of(meta);
        let namespace = if namespace.is_empty() { "default".to_owned() } else { namespace };
        let part = note.part.clone().unwrap_or_default();
        let identity = [uid(meta).to_owned(), part, note.reason.to_owned(), note.message.clone()];
        let now = time(self.now);
        if let Some((namespace, name)) = self.recorder.known.get(&identity)
            && let Some(mut event) = self.state.get::<Event>(namespace, name)
        {
            event.count = Some(event.count.unwrap_or(1) + 1);
            event.last_timestamp = Some(now);
            drop(self.state.update(&event));
            return;
        }
        self.recorder.written += 1;
        let nanos = self.now.as_nanosecond() + i128::from(self.recorder.written % 1_000_000);
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{nanos:x}")),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(K::api_version(&()).into_owned()),
                kind: Some(K::kind(&()).into_owned()),
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                field_path: note.part,
            },
            reason: Some(note.reason.to_owned()),
            message: Some(note.message),
            type_: Some(if note.warns { "Warning" } else { "Normal" }.to_owned()),
            source: Some(EventSource { component: Some(note.from.to_owned()), host: note.host.map(str::to_owned) }),
            reporting_component: Some(note.from.to_owned()),
            reporting_instance: Some(note.host.unwrap_or_default().to_owned()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            ..Event::default()
        };
        if let Ok(written) = self.state.create(&event) {
            if self.recorder.known.len() >= REMEMBERED {
                self.recorder.known.clear();
            }
            self.recorder.known.insert(identity, key_of(&written.metadata));
        }
    }
}
