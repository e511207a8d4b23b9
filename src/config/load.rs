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
    Config, Contradiction, Log, TracesConfig,
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
    alone.extract::<Config>().map_err(|error| in_environment(&error))?;
    layers = layers.merge(&environment).merge(Serialized::defaults(overrides));

    let mut config: Config = layers
        .extract()
        .map_err(|error| ConfigError::Merged { path: error.path.join("."), message: message(&error.kind) })?;
    if let Some(filter) = variables.get("RUST_LOG").filter(|filter| !filter.is_empty()) {
        config.log = Log { filter: filter.clone(), ..config.log };
    }
    if let Some((name, message)) = config.traces.wrong_variable(&|name| given(variables, name)) {
        return Err(ConfigError::Environment { variable: name.to_owned(), message });
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

/// The defaults, of which some depend on where this runs.
fn defaults(variables: &BTreeMap<String, String>) -> Config {
    let variable = |name: &str| given(variables, name);
    let defaults = Config::default();
    Config {
        namespace: variable("POD_NAMESPACE").unwrap_or(defaults.namespace),
        identity: variable("POD_NAME").unwrap_or_else(|| format!("{}-{}", hostname(), std::process::id())),
        traces: TracesConfig::of_environment(&variable),
        ..defaults
    }
}

/// A variable that is there and not empty.
fn given(variables: &BTreeMap<String, String>, name: &str) -> Option<String> {
    variables.get(name).filter(|value| !value.is_empty()).cloned()
}

fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    name.map(|name| name.trim().to_owned()).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".into())
}

fn in_environment(error: &figment::Error) -> ConfigError {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;

    /// A file of its own for each story; removed at the end.
    struct TempFile(PathBuf);

    impl TempFile {
        fn new(story: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("paramedic-config-{story}-{}.yaml", std::process::id()));
            fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            fs::remove_file(&self.0).unwrap();
        }
    }

    fn loaded(file: &TempFile, variables: &[(&str, &str)], overrides: &Overrides) -> Result<Config, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Some(&file.0), &variables, overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn each_layer_goes_before_the_one_below() {
        let file = TempFile::new(
            "layers",
            "listen: 127.0.0.1:1\nmetricsListen: 127.0.0.1:2\nleader: {leaseDuration: 30s}\nlog: {format: json}\n",
        );
        let variables = [
            ("PARAMEDIC_LISTEN", "127.0.0.1:3"),
            ("PARAMEDIC_METRICS_LISTEN", "127.0.0.1:4"),
            ("PARAMEDIC_LEADER__RENEW_EVERY", "3s"),
            ("PARAMEDIC_POLICIES", r#"["/a", "/b"]"#),
            ("PARAMEDIC_BODY_LIMIT", "1Mi"),
            ("PARAMEDIC_SERVICE_HOST", "10.0.0.1"),
            ("POD_NAMESPACE", "repairs"),
            ("RUST_LOG", "debug"),
        ];
        let flags = Overrides { listen: Some(SocketAddr::from(([127, 0, 0, 1], 5))), ..Overrides::default() };
        let config = loaded(&file, &variables, &flags).unwrap();
        assert_eq!(config.listen.port(), 5, "a flag goes first");
        assert_eq!(config.metrics_listen.port(), 4, "then the environment");
        assert_eq!(config.leader.lease_duration.get().as_secs(), 30, "then the file");
        assert_eq!(config.leader.renew_every.get().as_secs(), 3, "field by field");
        assert_eq!(config.leader.action_timeout.get().as_secs(), 10, "then the default");
        assert_eq!(config.policies, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.body_limit.bytes(), 1 << 20);
        assert_eq!(config.namespace, "repairs");
        assert!(config.protected_namespaces.contains("repairs"), "its own namespace is always protected");
        assert_eq!(config.log, Log { format: LogFormat::Json, filter: "debug".to_owned() });
        assert!(!config.identity.is_empty());
    }

    #[test]
    fn opentelemetrys_variables_are_the_defaults_of_traces() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_SERVICE_NAME", "repairs"),
        ];
        let (empty, own) = (TempFile::new("otel", "# nothing\n"), TempFile::new("own", "traces: {sampleRatio: 0.5}\n"));
        let traces = loaded(&empty, &variables, &Overrides::default()).unwrap().traces;
        assert_eq!(traces.endpoint.as_deref(), Some("http://collector:4318"));
        assert_eq!(traces.ca_file, Some(PathBuf::from("/ca.pem")));
        assert_eq!((traces.sample_ratio, traces.service_name.as_str()), (0.25, "repairs"));
        let traces = loaded(&own, &variables, &Overrides::default()).unwrap().traces;
        assert_eq!((traces.sample_ratio, traces.service_name.as_str()), (0.5, "repairs"), "the file goes first");
    }

    #[test]
    fn opentelemetrys_variables_are_wrong_only_where_they_matter() {
        let (empty, own) = (
            TempFile::new("no-otel", "# nothing\n"),
            TempFile::new("own-otel", "traces: {endpoint: 'http://a:4318'}\n"),
        );
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        let (grpc, half) = (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER_ARG", "half"));
        let off = loaded(&empty, &[grpc, half], &Overrides::default()).unwrap().traces;
        assert_eq!(off, TracesConfig::default());
        let error = loaded(&empty, &[endpoint, grpc], &Overrides::default()).unwrap_err();
        assert!(error.starts_with("environment variable OTEL_EXPORTER_OTLP_PROTOCOL: `grpc`"), "{error}");
        assert!(loaded(&own, &[endpoint, grpc], &Overrides::default()).is_ok(), "it is not for that collector");
        let error = loaded(&own, &[half], &Overrides::default()).unwrap_err();
        assert!(error.starts_with("environment variable OTEL_TRACES_SAMPLER_ARG: `half` is no number"), "{error}");
        assert!(loaded(&own, &[half, ("OTEL_TRACES_SAMPLER", "jaeger_remote")], &Overrides::default()).is_ok());
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_place_and_its_neighbour() {
        let file = TempFile::new("misspelt", "listen: 127.0.0.1:1\nleader:\n  leaseDurations: 30s\n");
        let error = loaded(&file, &[], &Overrides::default()).unwrap_err();
        assert!(error.contains(".yaml:3:3: leader"), "{error}");
        assert!(error.contains("did you mean `leaseDuration`?"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_is_named_with_its_place() {
        let file = TempFile::new("value", "sources:\n- name: a\n  tokenFile: /t\nrequestDeadline: soon\n");
        let error = loaded(&file, &[], &Overrides::default()).unwrap_err();
        assert!(error.contains(":4:18: requestDeadline: `soon` is not a duration"), "{error}");
    }

    #[test]
    fn a_variable_is_named_as_it_is_written() {
        let file = TempFile::new("variable", "# nothing\n");
        let error = loaded(&file, &[("PARAMEDIC_LEADER__RENEW", "3s")], &Overrides::default()).unwrap_err();
        assert!(
            error.starts_with("environment variable PARAMEDIC_LEADER__RENEW: there is no field `renew`"),
            "{error}"
        );
        let error = loaded(&file, &[("PARAMEDIC_REQUEST_DEADLINE", "soon")], &Overrides::default()).unwrap_err();
        assert!(error.starts_with("environment variable PARAMEDIC_REQUEST_DEADLINE: `soon`"), "{error}");
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let error = load(Some(Path::new("/nowhere.yaml")), &BTreeMap::new(), &Overrides::default()).unwrap_err();
        assert!(error.to_string().contains("/nowhere.yaml cannot be read"), "{error}");
    }

    #[test]
    fn settings_that_cannot_work_together_are_all_told() {
        let file = TempFile::new("together", "listen: 0.0.0.0:80\nengine: {retention: 59m}\n");
        let error = loaded(&file, &[], &Overrides::default()).unwrap_err();
        assert!(error.contains("allowUnauthenticated") && error.contains("retention"), "{error}");
    }
}
