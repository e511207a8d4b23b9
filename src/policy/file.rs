//! Policies from YAML and JSON files, and what is wrong with them: file, line, column and field.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Policy, Problem};
use crate::{
    api::{
        ClusterRemediationPolicy, ClusterRemediationPolicySpec, GROUP, PolicyStatus, RemediationPolicy,
        RemediationPolicySpec, VERSION,
    },
    yaml::{FileProblem, nearest, parse},
};

/// Reads every policy under the paths: files as they are, directories with all that is in them but for names that
/// begin with a dot (a ConfigMap's mount keeps its copies there). One problem refuses the whole, so that a set is never
/// in force in part.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Policy>, Vec<FileProblem>> {
    let (policies, problems) = check(paths);
    if problems.is_empty() { Ok(policies) } else { Err(problems) }
}

/// Like [`load`], but gives the good ones beside the problems.
pub fn check(paths: &[PathBuf]) -> (Vec<Policy>, Vec<FileProblem>) {
    let mut policies: Vec<(Policy, PathBuf)> = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match files(path) {
            Err((path, error)) => problems.push(FileProblem::whole(&path, format!("cannot be read: {error}"))),
            Ok(files) => {
                for file in files {
                    let (good, bad) = read(&file);
                    problems.extend(bad);
                    for policy in good {
                        match policies.iter().find(|(other, _)| other.reference.uid == policy.reference.uid) {
                            Some((_, first)) => problems.push(FileProblem::whole(
                                &file,
                                format!("{} is already in {}", policy.reference, first.display()),
                            )),
                            None => policies.push((policy, file.clone())),
                        }
                    }
                }
            }
        }
    }
    (policies.into_iter().map(|(policy, _)| policy).collect(), problems)
}

/// What the files held when they were read, so that it can be told whether reading them again would bring anything new:
/// that is much cheaper than to parse them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents([u8; 32]);

impl Contents {
    /// Of all that [`load`] would read.
    pub fn of(paths: &[PathBuf]) -> Self {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        for path in paths {
            let listed = files(path).map_err(|(path, error)| add(format!("{}: {error}", path.display()).as_bytes()));
            for file in listed.unwrap_or_default() {
                add(file.as_os_str().as_encoded_bytes());
                match fs::read(&file) {
                    Ok(bytes) => add(&bytes),
                    Err(error) => add(error.to_string().as_bytes()),
                }
            }
        }
        Self(hash.finalize().into())
    }
}

/// The files under a path, sorted; or what cannot be looked at, and why.
fn files(path: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    under(path, &mut Vec::new())
}

/// The same, within folders that are being looked at already.
fn under(path: &Path, above: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let at = |error| (path.to_owned(), error);
    let metadata = fs::metadata(path).map_err(at)?;
    if !metadata.is_dir() {
        // Whoever opens a named pipe waits for its writer. What a shell hands over (`<(…)`, /dev/stdin) has one.
        return if metadata.is_file() || path.starts_with("/dev") {
            Ok(vec![path.to_owned()])
        } else {
            Err(at(io::Error::other("it is no regular file")))
        };
    }
    let real = fs::canonicalize(path).map_err(at)?;
    if above.contains(&real) {
        return Err(at(io::Error::other("the link leads back to a folder that it is in")));
    }
    above.push(real);
    let mut found = Vec::new();
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(at)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let known = path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
        let is_folder = fs::metadata(&path).map_err(|error| (path.clone(), error))?.is_dir();
        if known || is_folder {
            found.extend(under(&path, above)?);
        }
    }
    above.pop();
    Ok(found)
}

fn read(file: &Path) -> (Vec<Policy>, Vec<FileProblem>) {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return (Vec::new(), vec![FileProblem::whole(file, format!("cannot be read: {error}"))]),
    };
    let mut policies = Vec::new();
    let mut problems = Vec::new();
    for document in documents(&text) {
        match policy(file, &document) {
            Ok(policy) => policies.push(policy),
            Err(problem) => problems.push(problem),
        }
    }
    (policies, problems)
}

/// The documents of a YAML stream, each with the lines before it left empty, so that positions stay those of the file.
///
/// A line that begins with `---` and a blank ends a document wherever it stands (YAML 1.2.2, 9.1.2), so lines are
/// enough to tell.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for (lines_before, line) in text.lines().enumerate() {
        let after = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '#']));
        if let Some(rest) = after {
            // A document may begin on the line of its separator; the blanks keep its columns.
            documents.push("\n".repeat(lines_before) + "   " + rest);
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
        }
        if let Some(document) = documents.last_mut() {
            document.push('\n');
        }
    }
    let has_content = |document: &String| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#') && line != "...")
    };
    documents.retain(has_content);
    documents
}

/// What every document has; the rest of it is read once the kind is known.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
}

/// A policy's document. kube's own root type lets unknown fields beside `spec` pass.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: ObjectMeta,
    spec: S,
    /// `kubectl get -o yaml` writes it; it is ignored.
    #[serde(rename = "status")]
    _status: Option<PolicyStatus>,
}

fn policy(file: &Path, document: &str) -> Result<Policy, FileProblem> {
    let head: Head = parse(file, document)?;
    let expected = format!("{GROUP}/{VERSION}");
    if head.api_version != expected {
        return Err(at_field(file, document, "apiVersion", format!("`{}` is not {expected}", head.api_version)));
    }
    let compiled = match head.kind.as_str() {
        "RemediationPolicy" => {
            let Document { metadata, spec, .. } = parse::<Document<RemediationPolicySpec>>(file, document)?;
            Policy::from_file(RemediationPolicy { metadata, spec, status: None })
        }
        "ClusterRemediationPolicy" => {
            let Document { metadata, spec, .. } = parse::<Document<ClusterRemediationPolicySpec>>(file, document)?;
            Policy::from_cluster_file(ClusterRemediationPolicy { metadata, spec, status: None })
        }
        other => {
            let hint = nearest(other, &["RemediationPolicy", "ClusterRemediationPolicy"]);
            return Err(at_field(file, document, "kind", format!("`{other}` is no kind of policy{hint}")));
        }
    };
    compiled.map_err(|problem| {
        let field = match &problem {
            Problem::InvalidName { field, .. } => field,
            Problem::NoName | Problem::NoNamespace | Problem::ClusterPolicyInNamespace => "metadata",
            Problem::Namespaces => "namespaces",
            Problem::ServiceAccountName(_) => "serviceAccountName",
            Problem::NoMatcher | Problem::MatchesEverything | Problem::TooManyUnindexed { .. } => "match",
            Problem::Steps(_) | Problem::VerifiedTooLong(_) | Problem::RestartPodOfWorkload { .. } => "steps",
            Problem::Schedule(_) => "schedule",
            Problem::Unreadable(_) => "spec",
        };
        at_field(file, document, field, problem.to_string())
    })
}

/// A problem of a field as a whole: its position is the first line that begins with its key.
fn at_field(file: &Path, document: &str, key: &str, message: String) -> FileProblem {
    let found = document.lines().enumerate().find_map(|(index, line)| {
        let text = line.trim_start();
        let rest = text.strip_prefix(key).or_else(|| text.strip_prefix(&format!("\"{key}\"")));
        rest.filter(|rest| rest.trim_start().starts_with(':')).map(|_| (index + 1, line.len() - text.len() + 1))
    });
    let position = |number: usize| u64::try_from(number).ok();
    FileProblem {
        file: file.to_owned(),
        line: found.and_then(|(line, _)| position(line)),
        column: found.and_then(|(_, column)| position(column)),
        field: None,
        message,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod names {
    use super::*;

    fn named(name: &str, namespace: &str) -> Result<Policy, String> {
        let text = format!(
            "apiVersion: paramedic.dev/v1alpha1\nkind: RemediationPolicy\nmetadata:\n  name: {name}\n  namespace: \
             {namespace}\nspec:\n  match: ['alertname=\"MemoryLeak\"']\n  target: {{kind: Pod}}\n  steps: \
             [{{restartPod: {{}}}}]\n"
        );
        policy(Path::new("policies.yaml"), &text).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_name_that_no_object_could_have_is_refused_where_it_stands() {
        let long = |length: usize| "a".repeat(length);
        for (name, namespace) in [("restart-cart", "shop"), ("v1.restart", "shop"), ("1", "2"), (&long(253), &long(63))]
        {
            assert!(named(name, namespace).is_ok(), "{name} {namespace}: {:?}", named(name, namespace));
        }
        for name in
            ["Restart", "restart_cart", "restart cart", "-restart", "restart-", "a..b", ".a", "a.-b", "ü", &long(254)]
        {
            let problem = named(name, "shop").unwrap_err();
            assert!(problem.contains("metadata.name") && problem.starts_with("policies.yaml:4"), "{problem}");
        }
        for namespace in ["Shop", "shop.prod", "shop-", &long(64)] {
            let problem = named("restart", namespace).unwrap_err();
            assert!(problem.contains("metadata.namespace") && problem.starts_with("policies.yaml:5"), "{problem}");
        }
    }
}
