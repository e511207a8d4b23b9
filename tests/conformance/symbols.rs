//! Symbols for what differs from run to run: the namespace, UIDs, generated names, times, resourceVersions.
//!
//! Of resourceVersions the order is kept: the lowest one in a transcript is rv1, the next rv2. Of UIDs it is kept which
//! are the same. A time counts as the server's own if it is about now; others are shown as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};
use serde_json::Value;

static MARK: LazyLock<Regex> = LazyLock::new(|| Regex::new("⟦(rv|uid):([^⟧]*)⟧").unwrap());
static QUERY: LazyLock<Regex> = LazyLock::new(|| Regex::new("(resourceVersion|continue)=([^&]+)").unwrap());
static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap());

/// What is known of the names that a server made up.
pub struct Symbols {
    namespace: String,
    uids: BTreeSet<String>,
    generated: Vec<(String, String)>,
    versions: BTreeSet<u64>,
    moments: BTreeSet<String>,
}

impl Symbols {
    /// Knows the namespace alone.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            uids: BTreeSet::new(),
            generated: Vec::new(),
            versions: BTreeSet::new(),
            moments: BTreeSet::new(),
        }
    }

    /// Takes note of what the server made up in this answer.
    pub fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(uid) = fields.get("uid").and_then(Value::as_str).filter(|uid| uid.len() == 36) {
                    self.uids.insert(uid.to_owned());
                }
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                if let (Some(prefix), Some(name)) = (text("generateName"), text("name")) {
                    self.learn_name(prefix, name);
                }
                fields.values().for_each(|value| self.learn(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    /// Takes note of the version of an object; lists and bookmarks have versions that are nobody's.
    pub fn learn_version(&mut self, version: Option<&str>) {
        self.versions.extend(version.and_then(|version| version.parse::<u64>().ok()));
    }

    /// Takes note of a version that is a list's, even if it is an object's as well where nobody else writes.
    pub fn learn_moment(&mut self, version: &str) {
        self.moments.insert(version.to_owned());
    }

    fn learn_name(&mut self, prefix: &str, name: &str) {
        let suffix = name.strip_prefix(prefix).unwrap_or_default();
        let alphabet = "bcdfghjklmnpqrstvwxz2456789";
        if suffix.len() == 5
            && suffix.chars().all(|c| alphabet.contains(c))
            && self.generated.iter().all(|(known, _)| known != name)
        {
            self.generated.push((name.to_owned(), format!("{prefix}*{}", self.generated.len() + 1)));
        }
    }

    /// An object's version, as a mark that [`resolve`] makes a symbol of.
    pub fn version(version: &str) -> String {
        format!("⟦rv:{version}⟧")
    }

    /// A list's version, compared with those of the objects that were seen.
    pub fn moment(&self, version: &str) -> &'static str {
        match version.parse::<u64>() {
            Ok(version) if version >= self.versions.last().copied().unwrap_or(0) => "now",
            Ok(_) => "past",
            Err(_) => "not a number",
        }
    }

    /// A line with symbols and marks.
    pub fn line(&self, line: &str) -> String {
        let mut line = line.replace(&self.namespace, "NS");
        for uid in &self.uids {
            line = line.replace(uid, &format!("⟦uid:{uid}⟧"));
        }
        for (name, symbol) in &self.generated {
            line = line.replace(name, symbol);
        }
        let now = Timestamp::now();
        let own = |time: &str| {
            let time: Option<Timestamp> = time.parse().ok();
            time.is_some_and(|time| time.duration_since(now).abs() < SignedDuration::from_hours(1))
        };
        let times = |found: &Captures<'_>| match (own(&found[0]), found.get(1)) {
            (false, _) => found[0].to_owned(),
            (true, None) => "time".to_owned(),
            (true, Some(_)) => "microtime".to_owned(),
        };
        TIME.replace_all(&line, times).into_owned()
    }

    /// The line of a request.
    pub fn request(&self, line: &str) -> String {
        let query = |found: &Captures<'_>| {
            let value = match found[2].parse::<u64>() {
                Ok(_) if self.moments.contains(&found[2]) => "…".to_owned(),
                Ok(version) if self.versions.contains(&version) => Self::version(&found[2]),
                // What a case asks for by itself.
                Ok(0 | 1) => found[2].to_owned(),
                Ok(_) => "…".to_owned(),
                Err(_) if found[2].len() > 40 => "…".to_owned(),
                Err(_) => found[2].to_owned(),
            };
            format!("{}={value}", &found[1])
        };
        self.line(&QUERY.replace_all(line, query))
    }
}

/// Replaces the marks of a whole transcript by symbols.
pub fn resolve(text: &str) -> String {
    let mut versions = BTreeSet::new();
    let mut uids: BTreeMap<String, usize> = BTreeMap::new();
    for found in MARK.captures_iter(text) {
        if &found[1] == "rv" {
            versions.extend(found[2].parse::<u64>().ok());
        } else {
            let next = uids.len() + 1;
            uids.entry(found[2].to_owned()).or_insert(next);
        }
    }
    let symbol = |found: &Captures<'_>| match (&found[1], found[2].parse::<u64>()) {
        ("rv", Ok(version)) => format!("rv{}", versions.iter().position(|known| *known == version).unwrap_or(0) + 1),
        ("rv", Err(_)) => format!("rv not a number: {}", &found[2]),
        _ => format!("uid{}", uids[&found[2]]),
    };
    MARK.replace_all(text, symbol).into_owned()
}
