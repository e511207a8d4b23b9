//! The configuration: typed, with a default for everything, from a file, the environment and flags.
//!
//! `load` reads and merges the layers, `check` says what cannot work together. Secrets are never in here, only the
//! files that hold them.

mod check;
mod env;
mod load;
mod size;
mod traces;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use check::Contradiction;
pub use env::{settings, variable};
pub use load::{ConfigError, Overrides, load};
pub use size::ByteSize;
pub use traces::TracesConfig;

use crate::api::{Bounds, PositiveDuration};

/// The name of the source of every alert while no source is configured.
pub const UNAUTHENTICATED: &str = "unauthenticated";

/// Everything that can be set. Relative paths are relative to the working directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where the webhook and the health checks are served. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// TLS on `listen`. Default: none, plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Where `/metrics` is served. Default `127.0.0.1:9090`.
    pub metrics_listen: SocketAddr,
    /// The HTTP API for people.
    pub api: ApiConfig,
    /// Consent to take alerts from anybody who can reach `listen`, although that is not loopback. Default `false`.
    pub allow_unauthenticated: bool,
    /// The largest body of a webhook. Default `16Mi`.
    pub body_limit: ByteSize,
    /// How long a webhook may take, from its headers to its answer. Default `5s`.
    pub request_deadline: PositiveDuration,
    /// What is logged, and how.
    pub log: Log,
    /// The audit log.
    pub audit: AuditConfig,
    /// Where traces go.
    pub traces: TracesConfig,
    /// Who may send alerts. Without any, whoever reaches `listen` may.
    pub sources: Vec<SourceConfig>,
    /// The Alertmanagers that are asked whether an alert still fires.
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// The Prometheus servers that are asked about alerts' rules, and steps' queries.
    pub prometheus: Vec<PrometheusConfig>,
    /// Files of policies, and directories of such files. Reloaded when they change.
    pub policies: Vec<PathBuf>,
    /// Namespaces in which nothing is done, whatever a policy says, one that names them included. Default `kube-system`,
    /// `kube-public`, `kube-node-lease` and `monitoring`; Paramedic's own is always one of them.
    pub protected_namespaces: BTreeSet<String>,
    /// How long a webhook proves that its alert fires, where no Alertmanager can be asked. Default `10m`.
    pub evidence_max_age: PositiveDuration,
    /// How the replica that acts is elected.
    pub leader: Leader,
    /// What bounds the whole, whatever the policies say.
    pub engine: Engine,
    /// What bounds the actions of all policies together.
    pub limits: Bounds,
    /// How long requests and actions under way get to finish after SIGTERM. Default `25s`, which leaves time within
    /// Kubernetes' 30 s.
    pub shutdown_deadline: PositiveDuration,
    /// Paramedic's own namespace: of its Lease, its ledger, and the records of cluster policies and files. Default: the
    /// environment's `POD_NAMESPACE`, then `paramedic`.
    pub namespace: String,
    /// What this replica calls itself in the Lease. Default: the environment's `POD_NAME`, then the host's name with the
    /// process's number.
    pub identity: String,
}

/// The HTTP API for people: what `paramedic status`, `approve`, `pause` and the like do, for what speaks HTTP. On a port of
/// its own, as other people reach it than those who send alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Where it is served. Default: nowhere.
    pub listen: Option<SocketAddr>,
    /// TLS on it: every request carries a person's token. Default: none, which is for loopback alone.
    pub tls: Option<TlsConfig>,
    /// Consent to serve it without TLS although `api.listen` is not loopback, as where something before it has TLS: whoever
    /// reads the network between them reads people's tokens. Default `false`.
    pub allow_plaintext: bool,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// `text` for people, `json` for machines. Default `text`.
    pub format: LogFormat,
    /// Which levels of which modules, in the syntax of `RUST_LOG`, which goes before it. Default `info`, without the
    /// Kubernetes client's own lines: what it says, Paramedic says with the reason for asking.
    pub filter: String,
}

/// The audit log: one JSON line an event, each bound to the one before it by its hash. Without one of its lines written
/// before it, no action begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Where it goes: `stdout`, or `{file: PATH}`. Default: there is none. A file's chain goes on after a restart; it may
    /// be moved away while it is written to.
    pub to: Option<AuditTo>,
}

/// Where an audit log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditTo {
    /// To standard output, which has nothing else in it: logs go to standard error. Each start begins a chain.
    Stdout,
    /// To the end of this file. No other process may write to it.
    File(PathBuf),
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// TLS on a port. Every file is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsConfig {
    /// A file with the certificate, in PEM, and those that lead to its authority.
    pub cert_file: PathBuf,
    /// A file with its private key, in PEM.
    pub key_file: PathBuf,
    /// A file with the authorities, in PEM, of one of which whoever asks must show a certificate, beside their credential.
    /// Health checks need none. Default: nobody needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
}

/// A credential, and what its alerts may lead to. Exactly one of `tokenFile`, `basicAuth` and `hmac` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name, in records, metrics and logs.
    pub name: String,
    /// A file with its bearer token. It may hold several, one a line, so that an old one holds until every sender has
    /// the new one. Reloaded when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A user name and the file of its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A secret that each body is signed with, as Grafana does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<HmacConfig>,
    /// The namespaces that its alerts may lead to: whoever can write an alerting rule can write any `namespace` label.
    /// Default `["*"]`, all.
    #[serde(default = "all_namespaces")]
    pub namespaces: Vec<String>,
    /// The receivers that it may post as, by the names in Alertmanager's configuration. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<Vec<String>>,
}

/// A user name and the file of its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// A file with the password; a newline at its end is not part of it. Reloaded when it changes.
    pub password_file: PathBuf,
}

/// How bodies are signed: HMAC-SHA256 over the body, or over a time, `:` and the body, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HmacConfig {
    /// A file with the secret. It may hold several, one a line, so that an old one holds until every sender has the new
    /// one. Reloaded when it changes.
    pub secret_file: PathBuf,
    /// The header that has the signature. Default `X-Grafana-Alerting-Signature`.
    #[serde(default = "signature_header")]
    pub header: String,
    /// The header that has the time of signing, in seconds since 1970, where that is signed too: a request that is more
    /// than five minutes off is refused then. Default: none; whoever has seen a request could send it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
}

/// An Alertmanager that is asked whether an alert still fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Its address, with the prefix of its routes if it has one: `http://alertmanager.monitoring:9093`.
    pub url: String,
    /// The source that it stands for: alerts read from it may lead to what that source's may.
    pub source: String,
    /// The receiver in its configuration that posts to Paramedic, by name. What fires for that one is read now and then, so
    /// that an alert whose webhook was lost is found. Default: the source's `receivers`; without those nothing is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// How often that is read. Default `1m`.
    #[serde(default = "poll_interval")]
    pub poll_interval: PositiveDuration,
    /// A user name and the file of its password, where it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A file with a bearer token, where a proxy before it asks for one. Not together with `basicAuth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A file with the certificates, in PEM, that its own is checked against. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate that Paramedic shows, where it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// Consent to believe whoever answers at that address, whatever certificate is shown: what it says about alerts could
    /// then be anybody's. Default `false`.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// How often Prometheus sends it an alert that still fires: so long after its start it may not know them all.
    /// Default `90s`.
    #[serde(default = "resend_interval")]
    pub resend_interval: PositiveDuration,
    /// How long it may take to answer. Default `2s`.
    #[serde(default = "monitor_timeout")]
    pub timeout: PositiveDuration,
}

/// A Prometheus that is asked about alerts' rules, and steps' queries; or what speaks its HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Its address, with the prefix of its routes if it has one: `http://prometheus.monitoring:9090`.
    pub url: String,
    /// The source whose alerts its rules make.
    pub source: String,
    /// A user name and the file of its password, where it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A file with a bearer token, where a proxy before it asks for one. Not together with `basicAuth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A file with the certificates, in PEM, that its own is checked against. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate that Paramedic shows, where it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// Consent to believe whoever answers at that address, whatever certificate is shown: what it says about alerts could
    /// then be anybody's. Default `false`.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// How long it may take to answer. Default `2s`.
    #[serde(default = "monitor_timeout")]
    pub timeout: PositiveDuration,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificate {
    /// A file with the certificate, in PEM, and those that lead to its authority.
    pub cert_file: PathBuf,
    /// A file with its private key, in PEM.
    pub key_file: PathBuf,
}

/// How to log in to something that is asked, and whom to believe to be it. Every file is read again when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A user name and the file of its password.
    pub basic_auth: Option<BasicAuth>,
    /// A file with a bearer token.
    pub token_file: Option<PathBuf>,
    /// A file with headers, one a line.
    pub headers_file: Option<PathBuf>,
    /// What its certificate is checked against; `None` is the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}

impl Access {
    /// Whether anything of it is in files, which may change.
    pub const fn has_files(&self) -> bool {
        self.basic_auth.is_some()
            || self.token_file.is_some()
            || self.headers_file.is_some()
            || self.ca_file.is_some()
            || self.client_certificate.is_some()
    }
}

impl AlertmanagerConfig {
    /// How to log in to it.
    pub fn access(&self) -> Access {
        Access {
            basic_auth: self.basic_auth.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
            ..Access::default()
        }
    }
}

impl PrometheusConfig {
    /// How to log in to it.
    pub fn access(&self) -> Access {
        Access {
            basic_auth: self.basic_auth.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
            ..Access::default()
        }
    }
}

/// How the replica that acts is elected. `actionTimeout` and `renewEvery` together are less than `leaseDuration`, so
/// that an action begun at the last moment is over before another replica may begin one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Leader {
    /// How long a Lease holds that is not renewed. Default `15s`.
    pub lease_duration: PositiveDuration,
    /// How often it is renewed. Default `2s`.
    pub renew_every: PositiveDuration,
    /// How long one call that changes something may take. Default `10s`.
    pub action_timeout: PositiveDuration,
}

/// What bounds the whole, whatever the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Engine {
    /// How many remediations may act or be verified at the same time, of all policies. Default 5.
    pub max_concurrent: usize,
    /// How many open remediations a policy may have. Default 100.
    pub open_per_policy: usize,
    /// How long a finished remediation stays on record. Default `168h`, at least `1h`. What limits count of it
    /// afterwards is kept in the ConfigMap `paramedic-ledger`.
    pub retention: PositiveDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            api: ApiConfig::default(),
            allow_unauthenticated: false,
            body_limit: ByteSize::mebi(16),
            request_deadline: PositiveDuration::from_secs(5),
            log: Log::default(),
            audit: AuditConfig::default(),
            traces: TracesConfig::default(),
            sources: Vec::new(),
            alertmanagers: Vec::new(),
            prometheus: Vec::new(),
            policies: Vec::new(),
            protected_namespaces: ["kube-system", "kube-public", "kube-node-lease", "monitoring"]
                .map(str::to_owned)
                .into(),
            evidence_max_age: PositiveDuration::from_secs(600),
            leader: Leader::default(),
            engine: Engine::default(),
            limits: Bounds::default(),
            shutdown_deadline: PositiveDuration::from_secs(25),
            namespace: "paramedic".to_owned(),
            identity: "paramedic".to_owned(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,kube_client=off,kube_runtime=off".to_owned() }
    }
}

impl Default for Leader {
    fn default() -> Self {
        Self {
            lease_duration: PositiveDuration::from_secs(15),
            renew_every: PositiveDuration::from_secs(2),
            action_timeout: PositiveDuration::from_secs(10),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self { max_concurrent: 5, open_per_policy: 100, retention: PositiveDuration::from_secs(7 * 24 * 3600) }
    }
}

fn all_namespaces() -> Vec<String> {
    vec![crate::policy::ALL_NAMESPACES.to_owned()]
}

fn signature_header() -> String {
    "X-Grafana-Alerting-Signature".to_owned()
}

const fn resend_interval() -> PositiveDuration {
    PositiveDuration::from_secs(90)
}

const fn poll_interval() -> PositiveDuration {
    PositiveDuration::from_secs(60)
}

const fn monitor_timeout() -> PositiveDuration {
    PositiveDuration::from_secs(2)
}
