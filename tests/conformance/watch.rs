//! A watch, and what comes of it.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures::StreamExt;
use serde_json::Value;
use tokio::time::error::Elapsed;

use crate::{
    symbols::Symbols,
    talk::{ANSWER, Talk},
    view,
};

/// How long nothing must come, so that nothing comes.
const QUIET: Duration = Duration::from_millis(400);

/// A watch that is open, or was refused.
pub struct Watch {
    talk: Talk,
    stream: Option<BodyDataStream>,
    rest: Vec<u8>,
}

impl Watch {
    pub(crate) fn new(talk: Talk, stream: Option<BodyDataStream>) -> Self {
        Self { talk, stream, rest: Vec::new() }
    }

    /// Writes down the next events, as many as are expected; one that does not come ends the case.
    pub async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            match tokio::time::timeout(ANSWER, self.next()).await {
                Ok(Some(event)) => {
                    self.note(&event);
                    events.push(event);
                }
                Ok(None) => panic!("the watch ended after {} of {count} events", events.len()),
                Err(Elapsed { .. }) => panic!("{} of {count} events came", events.len()),
            }
        }
        events
    }

    /// Writes down what comes until nothing does for a while.
    pub async fn quiet(&mut self) {
        loop {
            match tokio::time::timeout(QUIET, self.next()).await {
                Ok(Some(event)) => self.note(&event),
                Ok(None) => return self.talk.write("  ended"),
                Err(_) => return self.talk.write("  nothing more"),
            }
        }
    }

    /// Writes down what comes until the server ends it.
    pub async fn end(&mut self) {
        loop {
            match tokio::time::timeout(ANSWER, self.next()).await {
                Ok(Some(event)) => self.note(&event),
                Ok(None) => return self.talk.write("  ended"),
                Err(Elapsed { .. }) => panic!("the watch does not end"),
            }
        }
    }

    /// The next event that says something: bookmarks come when the server likes, but for the one after the first events.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let event = self.read().await?;
            let marked = event.pointer("/object/metadata/annotations/k8s.io~1initial-events-end").is_some();
            if event["type"] != "BOOKMARK" || marked {
                return Some(event);
            }
        }
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("an event is JSON"));
            }
            let chunk = self.stream.as_mut()?.next().await?;
            self.rest.extend(chunk.unwrap_or_else(|error| panic!("the watch broke off: {error}")));
        }
    }

    fn note(&self, event: &Value) {
        let (kind, object) = (event["type"].as_str().unwrap_or("-"), &event["object"]);
        if kind == "ERROR" {
            let lines = self.talk.with_view(|symbols, view| view::lines(object, view, symbols));
            self.talk.write("  ERROR");
            for line in lines {
                self.talk.write(&format!("    {line}"));
            }
            return;
        }
        let version = view::version(object).unwrap_or("-");
        let bookmark = kind == "BOOKMARK";
        let (shown, lines) = self.talk.with_view(|symbols, view| {
            if bookmark {
                return (symbols.moment(version).to_owned(), Vec::new());
            }
            view::learn(object, symbols);
            let shown = if view::controlled(object) { "rv".to_owned() } else { Symbols::version(version) };
            let wanted = |line: &String| {
                view.also
                    .iter()
                    .any(|path| line.strip_prefix(path.as_str()).is_some_and(|l| l.starts_with(['.', ' ', '['])))
            };
            (shown, view::lines(object, view, symbols).into_iter().filter(wanted).collect::<Vec<_>>())
        });
        let name = object["metadata"]["name"].as_str().unwrap_or("-");
        self.talk.write(&format!("  {kind} {} {name} {shown}", view::kind(object)));
        for line in lines {
            self.talk.write(&format!("    {line}"));
        }
    }
}
