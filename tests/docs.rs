//! The documentation is held to what the code says: the reference of fields is generated from the CRDs, examples pass the
//! checks that files pass, and the tables name every reason and every setting there is.
//!
//! `make docs` writes the generated part anew.
#![allow(clippy::unwrap_used, reason = "a file that cannot be read fails its test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use paramedic::{
    api::{Pause, crds},
    config::{Overrides, load, settings},
    policy, yaml,
};
use serde_json::Value;

const REFERENCE: &str = "docs/policies.md";
const BEGIN: &str = "<!-- generated from the CRDs by `make docs`: begin -->\n";
const END: &str = "<!-- generated: end -->";

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at_root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The schema of a kind's `spec` or `status`.
fn schema(kind: &str, part: &str) -> Value {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let schema = crd.spec.versions.into_iter().find_map(|version| version.schema?.open_api_v3_schema).unwrap();
    serde_json::to_value(schema).unwrap()["properties"][part].clone()
}

/// One row a field: its path, what it may be, its default, what it means.
fn rows(path: &str, schema: &Value) -> Vec<String> {
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut table = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let is_list = field["type"] == "array";
        let path = format!("{path}.{name}{}", if is_list { "[]" } else { "" });
        let default = match &field["default"] {
            Value::Null if required.contains(name.as_str()) => "**required**".to_owned(),
            // An object's fields say it one by one.
            Value::Null | Value::Object(_) => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let inner = if is_list { &field["items"] } else { field };
        let bounds = bounds(field, inner);
        let meaning = cell(field["description"].as_str().unwrap_or_default());
        table.push(format!("| `{path}` | {bounds} | {default} | {meaning} |"));
        // Conditions are Kubernetes' own type.
        if name != "conditions" {
            table.extend(rows(&path, inner));
        }
    }
    table
}

/// What a value may be, in words.
fn bounds(field: &Value, inner: &Value) -> String {
    let mut words = Vec::new();
    if let Some(values) = inner["enum"].as_array() {
        words.push(
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        );
    } else if inner["x-kubernetes-int-or-string"] == true {
        words.push("number above 0, or 1% to 100%".to_owned());
    } else if inner["pattern"].as_str().is_some_and(|pattern| pattern.contains("|ms|s|m|h)")) {
        words.push("duration".to_owned());
    } else if inner["format"] == "date-time" {
        words.push("time".to_owned());
    } else {
        words.push(inner["type"].as_str().unwrap_or_default().to_owned());
    }
    let range = |of: &Value, least: &str, most: &str| {
        let number = |key: &str| of[key].as_f64().map(|number| format!("{number:.0}"));
        match (number(least), number(most)) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}")),
            (None, Some(most)) => Some(format!("at most {most}")),
            (Some(least), None) => Some(format!("at least {least}")),
            (None, None) => None,
        }
    };
    words.extend(range(inner, "minimum", "maximum").filter(|range| range != "at least 0"));
    // How long a duration's text may be is of no interest.
    let is_duration = words.first().is_some_and(|word| word == "duration");
    words.extend(range(inner, "minLength", "maxLength").filter(|_| !is_duration).map(|range| range + " characters"));
    words.extend(range(field, "minItems", "maxItems").map(|range| range + " of them"));
    words.join(", ")
}

/// A text as a table's cell wants it.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn table(rows: &[String]) -> String {
    format!("| field | is | default | meaning |\n| --- | --- | --- | --- |\n{}\n", rows.join("\n"))
}

fn reference() -> String {
    let namespaced = rows("spec", &schema("RemediationPolicy", "spec"));
    let cluster = rows("spec", &schema("ClusterRemediationPolicy", "spec"));
    let only_cluster: Vec<String> = cluster.iter().filter(|row| !namespaced.contains(row)).cloned().collect();
    assert_eq!(cluster.len(), namespaced.len() + only_cluster.len(), "a cluster policy has every field of the other");
    format!(
        "\n### RemediationPolicy and ClusterRemediationPolicy\n\n{}\n### ClusterRemediationPolicy only\n\n{}\n\
         ### Pause\n\n{}\n### RemediationApproval\n\n{}\n### Remediation: spec\n\nWritten when the alert arrives, and never changed.\n\n{}\n\
         ### Remediation: status\n\n{}\n",
        table(&namespaced),
        table(&only_cluster),
        table(&rows("spec", &schema("Pause", "spec"))),
        table(&rows("spec", &schema("RemediationApproval", "spec"))),
        table(&rows("spec", &schema("Remediation", "spec"))),
        table(&rows("status", &schema("Remediation", "status"))),
    )
}

#[test]
fn the_reference_of_fields_is_that_of_the_types() {
    let text = read(REFERENCE);
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let expected = reference();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(at_root(REFERENCE), format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert!(written == expected, "{REFERENCE} is stale; run `make docs`");
    }
}

#[test]
fn the_description_of_the_api_is_that_of_its_routes() {
    let path = "docs/openapi.json";
    let expected = serde_json::to_string_pretty(&paramedic::people::http::openapi::document()).unwrap() + "\n";
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(at_root(path), expected).unwrap();
    } else {
        assert!(read(path) == expected, "{path} is stale; run `make docs`");
    }
}

/// The blocks of a language in every page, each with the page's name.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut pages = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for entry in fs::read_dir(at_root("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|ending| ending == "md") {
            pages.push(format!("docs/{name}"));
        }
    }
    let fence = format!("\n```{language}\n");
    let in_page = |page: String| {
        let text = read(&page);
        let blocks = text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap_or(rest).to_owned());
        blocks.map(|block| (page.clone(), block)).collect::<Vec<_>>()
    };
    pages.into_iter().flat_map(in_page).collect()
}

/// Writes a block where what reads files can read it.
fn in_file<T>(name: &str, block: &str, read: impl FnOnce(&Path) -> T) -> T {
    let path = env::temp_dir().join(format!("paramedic-docs-{}-{name}", std::process::id()));
    fs::write(&path, block).unwrap();
    let result = read(&path);
    fs::remove_file(&path).unwrap();
    result
}

#[test]
fn examples_of_policies_pass_check() {
    let policies = blocks("yaml").into_iter().filter(|(_, block)| block.contains("RemediationPolicy\n"));
    let mut count = 0;
    for (index, (page, block)) in policies.enumerate() {
        let problems = in_file(&format!("{index}.yaml"), &block, |file| policy::check(&[file.to_owned()]).1);
        assert_eq!(problems, [], "{page}:\n{block}");
        count += 1;
    }
    assert!(count > 0, "there is no example");
}

#[test]
fn examples_of_pauses_are_pauses() {
    let pauses: Vec<_> = blocks("yaml").into_iter().filter(|(_, block)| block.contains("kind: Pause\n")).collect();
    assert!(!pauses.is_empty(), "there is no example");
    for (page, block) in pauses {
        yaml::parse::<Pause>(Path::new(&page), &block).unwrap_or_else(|problem| panic!("{problem}\n{block}"));
    }
}

#[test]
fn examples_of_the_configuration_are_accepted() {
    let is_ours = |block: &str| block.starts_with("# paramedic.yaml");
    let configs: Vec<_> = blocks("yaml").into_iter().filter(|(_, block)| is_ours(block)).collect();
    assert!(!configs.is_empty(), "there is no example");
    for (index, (page, block)) in configs.into_iter().enumerate() {
        let loaded = in_file(&format!("config-{index}.yaml"), &block, |file| {
            load(Some(file), &BTreeMap::new(), &Overrides::default())
        });
        assert!(loaded.is_ok(), "{page}: {}\n{block}", loaded.unwrap_err());
    }
}

/// Whether a table of the page has a row for this.
fn has_row(page: &str, name: &str) -> bool {
    page.lines().any(|line| line.starts_with(&format!("| `{name}`")))
}

#[test]
fn every_reason_is_explained() {
    let status = schema("Remediation", "status");
    let page = read("README.md");
    let reasons: Vec<&str> =
        status["properties"]["reason"]["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let missing: Vec<_> = reasons.iter().filter(|reason| !has_row(&page, reason)).collect();
    assert!(missing.is_empty(), "README.md does not explain {missing:?}");
}

#[test]
fn every_setting_is_listed() {
    let page = read("README.md");
    let settings: Vec<String> = settings().into_iter().map(|(path, _)| path.join(".")).collect();
    let missing: Vec<_> = settings.iter().filter(|setting| !has_row(&page, setting)).collect();
    assert!(missing.is_empty(), "README.md does not list {missing:?}");
}
