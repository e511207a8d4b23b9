//! Reads the layers and merges them: defaults < file < environment < flags.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    error::Kind,
    providers::{Format, Serialized},
};
use serde::Serialize;
use serde_saphyr::figment::Yaml;

use super::{
    Config, Contradiction, Log,
    check::contradictions,
    env::{EnvLayer, variable},
};
use crate::yaml::{self, FileProblem, unknown_field, unknown_variant};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "paramedic.yaml";

/// What flags set; `None` leaves the lower layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// `listen`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// `metricsListen`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
    /// `allowUnauthenticated`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_unauthenticated: Option<bool>,
    /// `policies`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<PathBuf>>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named cannot be read.
    #[error("configuration file {} cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says something that is no configuration.
    #[error("{0}")]
    File(#[from] FileProblem),
    /// A variable does.
    #[error("environment variable {variable}: {message}")]
    Environment {
        /// The variable.
        variable: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The layers do not add up, although each of them is right.
    #[error("configuration: {path}: {message}")]
    Merged {
        /// The setting.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// Settings that cannot work, all of them.
    #[error("configuration: {}", lines(.0))]
    Contradictions(Vec<Contradiction>),
}

fn lines(contradictions: &[Contradiction]) -> String {
    contradictions.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nconfiguration: ")
}

/// Reads the configuration.
///
/// `file` is the one that was named; without it, `paramedic.yaml` is read where it is there. `variables` is the
/// environment. Each layer is read by itself first, so that what is wrong can be said with its place.
pub fn load(
    file: Option<&Path>,
    variables: &BTreeMap<String, String>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    let mut layers = Figment::from(Serialized::defaults(defaults(variables)));
    if let Some(text) = read(file)? {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        if has_content(&text) {
            yaml::parse::<Config>(path, &text)?;
            layers = layers.merge(Yaml::string(&text));
        }
    }
    let environment = EnvLayer::of(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let alone = Figment::from(&environment);
    alone.extract::<Config>().map_err(in_environment)?;
    layers = layers.merge(&environment).merge(Serialized::defaults(overrides));

    let mut config: Config = layers
        .extract()
        .map_err(|error| ConfigError::Merged { path: error.path.join("."), message: message(&error.kind) })?;
    if let Some(filter) = variables.get("RUST_LOG").filter(|filter| !filter.is_empty()) {
        config.log = Log { filter: filter.clone(), ..config.log };
    }
    config.protected_namespaces.insert(config.namespace.clone());
    let found = contradictions(&config);
    if found.is_empty() { Ok(config) } else { Err(ConfigError::Contradictions(found)) }
}

fn read(file: Option<&Path>) -> Result<Option<String>, ConfigError> {
    match (fs::read_to_string(file.unwrap_or(Path::new(DEFAULT_FILE))), file) {
        (Ok(text), _) => Ok(Some(text)),
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        (Err(source), _) => {
            Err(ConfigError::Unreadable { file: file.unwrap_or(Path::new(DEFAULT_FILE)).to_owned(), source })
        }
    }
}

/// A file of comments alone is one that sets nothing.
fn has_content(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#') && line != "---")
}

/// The defaults, of which two depend on where this runs.
fn defaults(variables: &BTreeMap<String, String>) -> Config {
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    let defaults = Config::default();
    Config {
        namespace: variable("POD_NAMESPACE").unwrap_or(defaults.namespace),
        identity: variable("POD_NAME").unwrap_or_else(|| format!("{}-{}", hostname(), std::process::id())),
        ..defaults
    }
}

fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    name.map(|name| name.trim().to_owned()).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".into())
}

fn in_environment(error: figment::Error) -> ConfigError {
    let mut path = error.path.clone();
    if let Kind::UnknownField(field, _) = &error.kind
        && path.last() != Some(field)
    {
        path.push(field.clone());
    }
    ConfigError::Environment { variable: variable(&path), message: message(&error.kind) }
}

fn message(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(field, known) => unknown_field(field, known),
        Kind::UnknownVariant(variant, known) => unknown_variant(variant, known),
        other => other.to_string(),
    }
}
