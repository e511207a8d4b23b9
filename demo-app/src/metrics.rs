//! What Prometheus is told: memory, leak, state and requests.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::patient::Report;

/// The format that [`Metrics::render`] writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    path: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

type Bytes = Gauge<u64, AtomicU64>;

/// The registry and what is registered in it.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    resident: Bytes,
    held: Bytes,
    limit: Bytes,
    states: Family<State, Gauge>,
    requests: Family<Request, Counter>,
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let (resident, held, limit) = (Bytes::default(), Bytes::default(), Bytes::default());
        let (states, requests) = (Family::default(), Family::default());
        // The name under which every client library exports it.
        registry.register("process_resident_memory_bytes", "Resident memory of the process", resident.clone());
        registry.register("demo_app_leaked_bytes", "Bytes that the leak holds", held.clone());
        registry.register("demo_app_leak_limit_bytes", "Bytes at which the leak stops growing", limit.clone());
        registry.register("demo_app_state", "1 while the application is in that state", states.clone());
        registry.register("demo_app_requests", "Requests that were answered", Family::clone(&requests));
        Self { registry, resident, held, limit, states, requests }
    }

    /// Counts an answer. `path` is static so that nobody can make a series of each path they think of.
    pub(crate) fn count(&self, path: &'static str, code: u16) {
        self.requests.get_or_create(&Request { path, code }).inc();
    }

    /// Everything as text, with the state of `report`.
    pub(crate) fn render(&self, report: &Report) -> Result<String, fmt::Error> {
        self.resident.set(report.resident_bytes.unwrap_or_default());
        self.held.set(report.leak.held_bytes);
        self.limit.set(report.leak.limit_bytes);
        let states = [
            ("leaking", report.leak.active),
            ("ready", report.ready),
            ("live", report.live),
            ("hung", report.hung),
            ("burning", report.burning_threads > 0),
        ];
        for (state, is_in_it) in states {
            self.states.get_or_create(&State { state }).set(i64::from(is_in_it));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patient::Patient;

    #[test]
    fn tells_state_and_requests() {
        let patient = Patient::new(50, 400);
        patient.set_ready(false);
        let metrics = Metrics::new();
        metrics.count("/readyz", 503);
        metrics.count("/readyz", 503);
        let text = metrics.render(&patient.report()).unwrap();
        for line in [
            r#"demo_app_state{state="ready"} 0"#,
            r#"demo_app_state{state="live"} 1"#,
            r#"demo_app_requests_total{path="/readyz",code="503"} 2"#,
            "demo_app_leak_limit_bytes 419430400",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
