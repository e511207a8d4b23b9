//! The API server's audit log: what Paramedic asked of it, and how it was answered. Only the rig has one.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::world::SERVICE_ACCOUNT_USER;

/// One request of Paramedic's that was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The verb.
    pub verb: String,
    /// The resource, with its subresource where there is one: `pods/eviction`.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u64,
    /// What the answer said.
    pub message: String,
    /// When the API server received it.
    pub at: Timestamp,
}

/// Follows the log from now on.
#[derive(Clone)]
pub struct Audit {
    seen: Arc<Mutex<Vec<Asked>>>,
}

impl Audit {
    /// Starts to follow it, on a thread that lives as long as the process.
    pub fn follow(path: &Path) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut file = File::open(path).expect("the audit log can be read");
        file.seek(SeekFrom::End(0)).expect("the audit log has an end");
        let into = Arc::clone(&seen);
        thread::spawn(move || follow(BufReader::new(file), &into));
        Self { seen }
    }

    /// What was asked so far and satisfies the condition.
    pub fn asked(&self, condition: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        self.seen
            .lock()
            .expect("nobody panics with the lock")
            .iter()
            .filter(|asked| condition(asked))
            .cloned()
            .collect()
    }

    /// The evictions and deletions of pods that were done in a namespace.
    pub fn pods_ended(&self, namespace: &str) -> Vec<Asked> {
        self.asked(|asked| ends_a_pod(asked) && asked.namespace == namespace && (200..300).contains(&asked.code))
    }

    /// Those in a namespace that may have been done: whoever asked was gone before the answer, which was 504.
    pub fn pods_perhaps_ended(&self, namespace: &str) -> Vec<Asked> {
        self.asked(|asked| ends_a_pod(asked) && asked.namespace == namespace && asked.code == 504)
    }
}

fn ends_a_pod(asked: &Asked) -> bool {
    (asked.verb == "create" && asked.resource == "pods/eviction")
        || (asked.verb == "delete" && asked.resource == "pods")
}

fn follow(mut log: BufReader<File>, into: &Mutex<Vec<Asked>>) {
    let mut line = String::new();
    loop {
        match log.read_line(&mut line) {
            // A line that is not complete yet is continued by the next read.
            Ok(_) if line.ends_with('\n') => {
                if line.contains(SERVICE_ACCOUNT_USER)
                    && let Some(asked) = serde_json::from_str(&line).ok().as_ref().and_then(asked)
                {
                    into.lock().expect("nobody panics with the lock").push(asked);
                }
                line.clear();
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn asked(event: &Value) -> Option<Asked> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("/stage") != "ResponseComplete" || text("/user/username") != SERVICE_ACCOUNT_USER {
        return None;
    }
    let subresource = text("/objectRef/subresource");
    let resource = text("/objectRef/resource");
    Some(Asked {
        verb: text("/verb"),
        resource: if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") },
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        code: event.pointer("/responseStatus/code").and_then(Value::as_u64)?,
        message: text("/responseStatus/message"),
        at: text("/requestReceivedTimestamp").parse().ok()?,
    })
}
