//! A collector of traces: what is told of is sent to it in batches, by OTLP over HTTP.
//!
//! It is nobody's to wait for. A batch that it does not answer is sent again, later and later; meanwhile the queue before
//! it fills, and what does not fit is counted and forgotten.

pub mod otlp;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use prost::Message;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::otlp::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, Resource, ResourceSpans, ScopeSpans,
};
use super::{ClientError, Endpoint};
use crate::{
    config::TracesConfig,
    telemetry::{
        Metrics,
        metrics::SpanOutcome,
        traces::{Attributes, Span, Told},
    },
};

/// Where a collector takes traces.
const ROUTE: &str = "/v1/traces";
/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So many spans are sent at once.
const BATCH: usize = 512;
/// So long a batch waits to be fuller.
const GATHERING: Duration = Duration::from_secs(1);
/// How soon, and how late at most, what got no answer is sent again.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often the log says that traces are lost.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// A collector, and who tells it.
pub struct Collector {
    endpoint: Endpoint,
    resource: Resource,
}

/// What becomes of a batch.
enum Sent {
    /// The collector has it, but for so many spans.
    But(u64, Option<String>),
    /// It will never want it.
    Refused(String),
    /// It may want it later.
    Later(String),
}

/// What the log was told.
#[derive(Default)]
struct Said {
    at: Option<Instant>,
    lost: u64,
    failing: bool,
}

impl Collector {
    /// The collector of the configuration; `None` where there is none. `instance` is this process among its like.
    pub fn configured(config: &TracesConfig, namespace: &str, instance: &str) -> Result<Option<Self>, ClientError> {
        let Some(url) = &config.endpoint else { return Ok(None) };
        let url = url.trim_end_matches('/');
        let endpoint = Endpoint::new(url.strip_suffix(ROUTE).unwrap_or(url), TIMEOUT, config.access())?;
        Ok(Some(Self::new(endpoint, &config.service_name, namespace, instance)))
    }

    /// A collector there.
    pub fn new(endpoint: Endpoint, service: &str, namespace: &str, instance: &str) -> Self {
        let attributes = Attributes::default()
            .with("service.name", service)
            .with("service.version", crate::VERSION)
            .with("service.instance.id", instance)
            .with("k8s.namespace.name", namespace);
        Self { endpoint, resource: Resource { attributes: otlp::key_values(&attributes) } }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// Sends what is told of, until `stop`; then what is left, once.
    pub async fn run(self, mut told: Told, metrics: Arc<Metrics>, stop: CancellationToken) {
        let (mut said, mut batch) = (Said::default(), Vec::new());
        while stop.run_until_cancelled(gather(&mut told, &mut batch)).await == Some(true) {
            let sending = self.send_until_taken(&batch, &told, &metrics, &mut said);
            if stop.run_until_cancelled(sending).await.is_none() {
                // It may have been taken already; a span that is told twice is the same both times.
                break;
            }
            batch.clear();
        }
        // Other tasks end when they are told to, and so does this one.
        stop.cancelled().await;
        loop {
            batch.extend(std::iter::from_fn(|| told.spans.try_recv().ok()).take(BATCH - batch.len()));
            if batch.is_empty() || !self.send_once(&batch, &told, &metrics, &mut said).await {
                return;
            }
            batch.clear();
        }
    }

    async fn send_until_taken(&self, batch: &[Span], told: &Told, metrics: &Metrics, said: &mut Said) {
        let mut pause = AGAIN_AFTER.0;
        loop {
            let sent = self.send(batch).await;
            said.say(&sent, self.url(), told.lost.load(Ordering::Relaxed));
            if count(&sent, batch.len(), metrics) {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN_AFTER.1);
        }
    }

    /// `false`: it did not answer, and would not answer more.
    async fn send_once(&self, batch: &[Span], told: &Told, metrics: &Metrics, said: &mut Said) -> bool {
        let sent = self.send(batch).await;
        said.say(&sent, self.url(), told.lost.load(Ordering::Relaxed));
        let answered = count(&sent, batch.len(), metrics);
        if !answered {
            metrics.spans(SpanOutcome::Dropped, number(batch.len()));
        }
        answered
    }

    async fn send(&self, batch: &[Span]) -> Sent {
        let scope = InstrumentationScope { name: "paramedic".to_owned(), version: crate::VERSION.to_owned() };
        let spans = batch.iter().cloned().map(otlp::Span::from).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let resource_spans = vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans }];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        match self.endpoint.send(ROUTE, "application/x-protobuf", body).await {
            Ok(answer) => {
                // An answer that nobody understands says no less that it went well.
                let answer = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap_or_default();
                let but = answer.partial_success.unwrap_or_default();
                let why = Some(but.error_message).filter(|why| !why.is_empty());
                Sent::But(u64::try_from(but.rejected_spans).unwrap_or_default(), why)
            }
            Err(ClientError::Refused { url, status, said }) if !matches!(status.as_u16(), 429 | 502..=504) => {
                Sent::Refused(ClientError::Refused { url, status, said }.to_string())
            }
            Err(error) => Sent::Later(error.to_string()),
        }
    }
}

/// Adds the next spans to a batch, some of them; what it has got stays where this is dropped. `false`: nobody can tell of
/// any more.
async fn gather(told: &mut Told, batch: &mut Vec<Span>) -> bool {
    if told.spans.recv_many(batch, BATCH).await == 0 {
        return false;
    }
    let gathering = async {
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            if told.spans.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // A batch that is not full is one all the same.
    timeout(GATHERING, gathering).await.ok();
    true
}

/// Counts what became of a batch. `false`: nothing yet.
fn count(sent: &Sent, spans: usize, metrics: &Metrics) -> bool {
    let spans = number(spans);
    let refused = match sent {
        Sent::But(refused, _) => spans.min(*refused),
        Sent::Refused(_) => spans,
        Sent::Later(_) => return false,
    };
    for (outcome, count) in [(SpanOutcome::Sent, spans - refused), (SpanOutcome::Refused, refused)] {
        if count > 0 {
            metrics.spans(outcome, count);
        }
    }
    true
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Said {
    /// One line a minute, however much is lost; and one when it works again. `lost` is how many spans there was no room for
    /// so far.
    fn say(&mut self, sent: &Sent, url: &str, lost: u64) {
        let dropped = lost.saturating_sub(self.lost);
        let why = match sent {
            Sent::But(0, _) if dropped > 0 && !self.failing => "there were more of them than could be sent",
            Sent::But(0, _) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(url, dropped, "the collector takes traces again");
                    self.lost = lost;
                }
                return;
            }
            Sent::But(_, why) => why.as_deref().unwrap_or("it took a part of them"),
            Sent::Refused(why) | Sent::Later(why) => why.as_str(),
        };
        self.failing = !matches!(sent, Sent::But(0, _));
        if self.at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            tracing::warn!(url, dropped, "the collector does not get all traces: {why}");
            self.at = Some(Instant::now());
            self.lost = lost;
        }
    }
}

#[cfg(test)]
mod tests;
