//! Where traces go: what can be set of it, what OpenTelemetry's own variables say, and what cannot work.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Access, ClientCertificate, Contradiction};

const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OTLP_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const OTLP_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// The one form in which traces are sent.
const HTTP_PROTOBUF: &str = "http/protobuf";

/// Where traces go: a collector that speaks OTLP over HTTP, OpenTelemetry's protocol. The variables of OpenTelemetry's
/// specification are the defaults; what is set here goes before them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TracesConfig {
    /// The collector's address, to which `/v1/traces` is added: `http://otel-collector.monitoring:4318`. Default: the
    /// environment's `OTEL_EXPORTER_OTLP_ENDPOINT`; without that there are no traces.
    pub endpoint: Option<String>,
    /// A file of headers that each request has, one a line, as `NAME: VALUE`. Read again at every request.
    pub headers_file: Option<PathBuf>,
    /// A file with the certificates, in PEM, that the collector's is checked against. Default: the environment's
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE`, then the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that Paramedic shows, where the collector asks for one.
    pub client_certificate: Option<ClientCertificate>,
    /// How many of the traces that begin with Paramedic are recorded, from 0 to 1. Where the sender of a webhook says in
    /// which trace it is, that one is recorded if the sender does. Default: the environment's `OTEL_TRACES_SAMPLER_ARG`,
    /// then 1.
    pub sample_ratio: f64,
    /// What Paramedic is called in traces. Default: the environment's `OTEL_SERVICE_NAME`, then `paramedic`.
    pub service_name: String,
}

impl TracesConfig {
    /// How to log in to the collector.
    pub fn access(&self) -> Access {
        Access {
            headers_file: self.headers_file.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            ..Access::default()
        }
    }

    /// The defaults, as OpenTelemetry's own variables say them: whoever runs the programs of many sets those for all. What
    /// is wrong with them is said by [`Self::wrong_variable`], where it matters.
    pub(super) fn of_environment(variable: &impl Fn(&str) -> Option<String>) -> Self {
        let defaults = Self::default();
        Self {
            endpoint: variable(OTLP_ENDPOINT),
            ca_file: variable(OTLP_CERTIFICATE).map(PathBuf::from),
            sample_ratio: variable(SAMPLER_ARG).and_then(|ratio| ratio.parse().ok()).unwrap_or(defaults.sample_ratio),
            service_name: variable(SERVICE_NAME).unwrap_or(defaults.service_name),
            ..defaults
        }
    }

    /// The variable, and what is wrong with it, that stands against these settings.
    pub(super) fn wrong_variable(&self, variable: &impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
        let endpoint = self.endpoint.as_ref()?;
        let protocol = variable(OTLP_PROTOCOL).filter(|protocol| protocol != HTTP_PROTOBUF);
        if let Some(protocol) = protocol.filter(|_| variable(OTLP_ENDPOINT).as_ref() == Some(endpoint)) {
            let message = format!(
                "`{protocol}`: traces are sent as {HTTP_PROTOBUF} only; set traces.endpoint to where the collector takes \
                 that (port 4318, mostly)"
            );
            return Some((OTLP_PROTOCOL, message));
        }
        // Other samplers have other arguments.
        let by_ratio = variable(SAMPLER).is_none_or(|sampler| sampler.contains("traceidratio"));
        let ratio = variable(SAMPLER_ARG).filter(|ratio| by_ratio && ratio.parse::<f64>().is_err())?;
        Some((SAMPLER_ARG, format!("`{ratio}` is no number from 0 to 1")))
    }

    /// What of it cannot work.
    pub(super) fn check(&self, found: &mut Vec<Contradiction>) {
        if let Some(endpoint) = &self.endpoint {
            let why = match endpoint.parse::<reqwest::Url>() {
                Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                    Some("is not an http or https address")
                }
                Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                    Some("holds a user or a password, which logs would show; put a header into traces.headersFile")
                }
                Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                    Some("has a query or a fragment, behind which no route can be asked; leave it off")
                }
                Ok(_) => None,
                Err(_) => Some("is not an http or https address"),
            };
            found.extend(why.map(Contradiction::Collector));
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            found.push(Contradiction::SampleRatio(self.sample_ratio.to_string()));
        }
        if self.service_name.is_empty() {
            found.push(Contradiction::Empty("traces.serviceName"));
        }
    }
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers_file: None,
            ca_file: None,
            client_certificate: None,
            sample_ratio: 1.0,
            service_name: "paramedic".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_an_address_without_secrets() {
        let wrong = |endpoint: &str, sample_ratio: f64| {
            let traces = TracesConfig { endpoint: Some(endpoint.to_owned()), sample_ratio, ..TracesConfig::default() };
            let mut found = Vec::new();
            traces.check(&mut found);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(wrong("https://collector.example:4318/otlp", 0.0), [""; 0]);
        for (bad, why) in [
            ("collector:4318", "is not an http or https address"),
            ("grpc://collector:4317", "is not an http or https address"),
            ("http://paramedic:s3cret@collector:4318", "headersFile"),
            ("http://collector:4318?key=s3cret", "a query"),
        ] {
            let problems = wrong(bad, 1.0);
            assert!(problems.len() == 1 && problems[0].contains(why), "{problems:?}");
            assert!(!problems[0].contains("s3cret"), "{problems:?}");
        }
        for ratio in [-0.1, 1.1, f64::NAN] {
            assert!(wrong("http://collector:4318", ratio)[0].contains("no number from 0 to 1"), "{ratio}");
        }
    }
}
