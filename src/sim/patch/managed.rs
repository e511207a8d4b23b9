//! `metadata.managedFields`: who owns which fields, and what follows from it for an apply.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Refused,
    compare::{self, Changes},
    merge,
    schema::Type,
    set::{self, Set},
};

/// Who owned everything of an object that was applied to for the first time and on which nobody had kept count.
const BEFORE: &str = "before-first-apply";

/// One entry.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    apply: bool,
    api_version: String,
    subresource: Option<String>,
    time: Option<String>,
    fields: Set,
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer<'a> {
    /// The name.
    pub manager: &'a str,
    /// Of the version in which it writes.
    pub api_version: &'a str,
    /// The part of the object it writes.
    pub subresource: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

impl Entry {
    fn parse(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let apply = match value.get("operation")?.as_str()? {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        Some(Self {
            manager: text("manager").unwrap_or_default(),
            apply,
            api_version: text("apiVersion").unwrap_or_default(),
            subresource: text("subresource"),
            time: text("time"),
            fields: value.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default(),
        })
    }

    fn show(self) -> Value {
        let mut shown = json!({
            "manager": self.manager,
            "operation": if self.apply { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        });
        if let Some(time) = self.time {
            shown["time"] = Value::String(time);
        }
        if let Some(subresource) = self.subresource {
            shown["subresource"] = Value::String(subresource);
        }
        shown
    }

    fn new(writer: &Writer<'_>, apply: bool, fields: Set) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            apply,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.map(str::to_owned),
            time: Some(second(writer.now)),
            fields,
        }
    }

    /// Whether this is the entry that such a write belongs to. An applier has one for all versions.
    fn is_of(&self, writer: &Writer<'_>, apply: bool) -> bool {
        self.manager == writer.manager
            && self.apply == apply
            && self.subresource.as_deref() == writer.subresource
            && (apply || self.api_version == writer.api_version)
    }

    /// As conflicts name it.
    fn owner(&self) -> String {
        let mut owner = format!("{:?}", self.manager);
        if let Some(subresource) = &self.subresource {
            owner = format!("{owner} with subresource {subresource:?}");
        }
        if !self.apply {
            owner = format!("{owner} using {}", self.api_version);
        }
        owner
    }
}

/// Times in an entry have no fractions of seconds.
fn second(time: Timestamp) -> String {
    format!("{:.0}", Timestamp::from_second(time.as_second()).unwrap_or(time))
}

fn list(object: &Value) -> Option<&Vec<Value>> {
    object.get("metadata")?.get("managedFields")?.as_array()
}

fn entries(object: &Value) -> Vec<Entry> {
    list(object).into_iter().flatten().filter_map(Entry::parse).collect()
}

fn put(object: &mut Value, mut entries: Vec<Entry>) {
    entries.sort_by(|one, other| {
        let key = |entry: &Entry| {
            (
                !entry.apply,
                entry.time.clone(),
                entry.manager.clone(),
                entry.api_version.clone(),
                entry.subresource.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    put_as_they_are(object, entries.into_iter().map(Entry::show).collect());
}

fn put_as_they_are(object: &mut Value, entries: Vec<Value>) {
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Takes what changed away from those who owned it, and what is gone from everybody.
fn disown(entries: &mut [Entry], changes: &Changes, except: Option<usize>) {
    for (index, entry) in entries.iter_mut().enumerate() {
        if Some(index) != except {
            let gone = [&changes.modified, &changes.added, &changes.removed];
            entry.fields = gone
                .into_iter()
                .filter(|set| !set.is_empty())
                .fold(std::mem::take(&mut entry.fields), |fields, set| set::difference(&fields, set));
        }
    }
}

/// Keeps the count after a plain write: `new` is what is about to be stored, `live` what was, null for a new object.
pub(super) fn update(of: &Type, live: &Value, new: &mut Value, writer: &Writer<'_>) {
    let changes = compare::changes(of, live, new);
    let given = list(new).filter(|_| writer.subresource.is_none());
    if changes.is_empty() && (given.is_none() || given == list(live)) {
        let kept = list(live).cloned().unwrap_or_default();
        put_as_they_are(new, kept);
        return;
    }
    // A list of one empty entry is how somebody asks for all of them to go.
    let reset =
        given.is_some_and(|list| matches!(list.as_slice(), [only] if only.as_object().is_some_and(Map::is_empty)));
    let mut entries = match given.map(|_| self::entries(new)) {
        _ if reset => Vec::new(),
        Some(entries) if !entries.is_empty() => entries,
        _ => self::entries(live),
    };
    if entries.is_empty() && !live.is_null() {
        put(new, entries);
        return;
    }
    disown(&mut entries, &changes, None);
    let taken = set::union(&changes.modified, &changes.added);
    if !taken.is_empty() {
        match entries.iter_mut().find(|entry| entry.is_of(writer, false)) {
            Some(entry) => {
                entry.fields = set::union(&entry.fields, &taken);
                entry.time = Some(second(writer.now));
            }
            None => entries.push(Entry::new(writer, false, taken)),
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    put(new, entries);
}

/// The object as it is after `config` was applied to it; null is an object that is new. `owns` says which fields at the top
/// the write can have.
pub(super) fn apply(
    of: &Type,
    live: &Value,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
    owns: impl Fn(&str) -> bool,
) -> Result<Value, Refused> {
    if list(config).is_some() {
        return Err(Refused::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    let mut entries = entries(live);
    if entries.is_empty() && !live.is_null() {
        let before = Writer { manager: BEFORE, subresource: None, ..*writer };
        entries.push(Entry::new(&before, false, compare::named(of, live)));
    }
    let mut wanted = compare::named(of, config);
    wanted.retain(|key, _| key.strip_prefix("f:").is_none_or(&owns));
    let mine = entries.iter().position(|entry| entry.is_of(writer, true));
    let last = mine.map(|mine| std::mem::take(&mut entries[mine].fields)).unwrap_or_default();
    let mut new = merge::merge(of, live, config);
    let mut owned = entries.iter().fold(Set::new(), |all, entry| set::union(&all, &entry.fields));
    set::add(&mut owned, &wanted);
    merge::remove(of, &mut new, &last, &owned);

    let changes = compare::changes(of, live, &new);
    if !force {
        refuse_conflicts(&entries, &changes, mine)?;
    }
    disown(&mut entries, &changes, mine);
    let written = !same(live, &new);
    if let Some(mine) = mine {
        let entry = &mut entries[mine];
        if written || entry.api_version != writer.api_version {
            entry.time = Some(second(writer.now));
        }
        entry.fields = wanted;
        writer.api_version.clone_into(&mut entry.api_version);
    } else {
        let mut entry = Entry::new(writer, true, wanted);
        // Who only says what is so already has no time.
        entry.time = entry.time.filter(|_| written);
        entries.push(entry);
    }
    entries.retain(|entry| !entry.fields.is_empty());
    put(&mut new, entries);
    Ok(new)
}

/// Whether two versions are the same but for who owns what.
fn same(live: &Value, new: &Value) -> bool {
    let without = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        object
    };
    without(live) == without(new)
}

fn refuse_conflicts(entries: &[Entry], changes: &Changes, mine: Option<usize>) -> Result<(), Refused> {
    let touched = set::union(&changes.modified, &changes.added);
    let mut conflicts: Vec<(String, String)> = Vec::new();
    for (_, entry) in entries.iter().enumerate().filter(|(index, _)| Some(*index) != mine) {
        let paths = set::paths(&set::intersection(&entry.fields, &touched));
        conflicts.extend(paths.into_iter().map(|path| (entry.owner(), path)));
    }
    conflicts.sort();
    let message = match conflicts.as_slice() {
        [] => return Ok(()),
        [(owner, path)] => format!("Apply failed with 1 conflict: conflict with {owner}: {path}"),
        several => {
            let mut lines: Vec<String> = Vec::new();
            for (index, (owner, path)) in several.iter().enumerate() {
                if index == 0 || several[index - 1].0 != *owner {
                    lines.push(format!("conflicts with {owner}:"));
                }
                lines.push(format!("- {path}"));
            }
            format!("Apply failed with {} conflicts: {}", several.len(), lines.join("\n"))
        }
    };
    let causes = conflicts.into_iter().map(|(owner, path)| (format!("conflict with {owner}"), path)).collect();
    Err(Refused::ApplyConflict { message, causes })
}
