//! Traces, as OpenTelemetry has them: one from an alert's webhook to the end of its remediation, over all replicas that had
//! a part in it.
//!
//! `context` says where in a trace something is, `span` is what took place; here is the way that spans go, which holds
//! nobody up: a queue of fixed length, beyond which they are counted and forgotten. `clients::Collector` is at its other
//! end. Where no traces are wanted there is no queue, nothing is drawn by chance, and nothing is done.
//!
//! A span is told of when it has ended, by whoever sees its end. A remediation's are made of what its record says (see
//! `remediation::traces`), so that a replica can tell of what began on another one.

mod context;
mod span;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::http::HeaderMap;
use jiff::Timestamp;
use tokio::sync::mpsc;

pub use self::{
    context::TraceContext,
    span::{Attributes, IntoValue, Parent, Span, SpanEvent, SpanKind, SpanStatus, Value},
};
use super::Metrics;
use crate::{clock::Clock, telemetry::metrics::SpanOutcome};

/// So many spans wait to be sent.
const QUEUE: usize = 2048;

/// Where spans are told of. Cheap to clone; the default forgets them all.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<On>>);

struct On {
    queue: mpsc::Sender<Span>,
    /// Of the traces that begin here, those are recorded whose number is below this.
    below: u64,
    lost: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// The other end: what is to be sent.
pub struct Told {
    /// The spans, in the order in which they were told of.
    pub spans: mpsc::Receiver<Span>,
    /// How many there was no room for.
    pub lost: Arc<AtomicU64>,
}

/// A span that has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// Itself.
    pub context: TraceContext,
    parent: Option<Parent>,
    at: Timestamp,
}

/// Both ends. `ratio`, from 0 to 1, is how many of the traces that begin here are recorded; of those that a sender begins,
/// those are that the sender records.
pub fn traces(ratio: f64, metrics: Arc<Metrics>, clock: Clock) -> (Traces, Told) {
    let (queue, spans) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let on = On { queue, below: below(ratio), lost: Arc::clone(&lost), metrics, clock };
    (Traces(Some(Arc::new(on))), Told { spans, lost })
}

impl Traces {
    /// Whether anybody listens.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a request, in its sender's trace where the request names one. `None`: it is not recorded.
    pub fn begin(&self, headers: &HeaderMap) -> Option<Begun> {
        let on = self.0.as_ref()?;
        let at = on.clock.now();
        let Some(told) = context::told(headers) else { return self.begin_alone() };
        let parent = Some(Parent { context: told.context, is_remote: true });
        told.sampled.then(|| Begun { context: told.context.child(), parent, at })
    }

    /// Begins a trace. `None`: it is not recorded.
    pub fn begin_alone(&self) -> Option<Begun> {
        let on = self.0.as_ref()?;
        let context = TraceContext::random();
        on.records(context).then(|| Begun { context, parent: None, at: on.clock.now() })
    }

    /// Begins a span below another one of this process. `None`: that one is not recorded.
    pub fn below(&self, parent: Option<TraceContext>) -> Option<Begun> {
        let (on, context) = (self.0.as_ref()?, parent?);
        let parent = Some(Parent { context, is_remote: false });
        Some(Begun { context: context.child(), parent, at: on.clock.now() })
    }

    /// It has ended now; to be told of when all is known about it.
    pub fn end(&self, begun: Begun, name: &str) -> Span {
        let now = self.0.as_ref().map_or(begun.at, |on| on.clock.now());
        Span::new(begun.context, begun.parent, name, begun.at, now)
    }

    /// Tells of a span. Where too many wait to be sent it is forgotten, and counted.
    pub fn tell(&self, span: Span) {
        let Some(on) = &self.0 else { return };
        if on.queue.try_send(span).is_err() {
            on.lost.fetch_add(1, Ordering::Relaxed);
            on.metrics.spans(SpanOutcome::Dropped, 1);
        }
    }
}

impl On {
    /// By the trace's number, so that every process with the same ratio decides alike, as OpenTelemetry's
    /// `TraceIdRatioBased` does.
    fn records(&self, context: TraceContext) -> bool {
        let mut number = [0; 8];
        number.copy_from_slice(&context.trace[8..]);
        u64::from_be_bytes(number) >> 1 < self.below
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "from 0 to 2^63, of which a float has the first 53 bits: more than a ratio needs"
)]
fn below(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDERS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn on(ratio: f64) -> (Traces, Told, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let (traces, told) = traces(ratio, Arc::clone(&metrics), Clock::system());
        (traces, told, metrics)
    }

    fn saying(traceparent: &str) -> HeaderMap {
        HeaderMap::from_iter([("traceparent".parse().unwrap(), traceparent.parse().unwrap())])
    }

    #[test]
    fn the_ratio_is_of_the_traces_that_begin_here() {
        let recorded = |ratio: f64| {
            let (traces, ..) = on(ratio);
            (0..1000).filter(|_| traces.begin(&HeaderMap::new()).is_some()).count()
        };
        assert_eq!((recorded(0.0), recorded(1.0)), (0, 1000));
        assert!((300..700).contains(&recorded(0.5)));
    }

    #[test]
    fn a_sender_decides_about_its_own_traces() {
        for ratio in [0.0, 1.0] {
            let (traces, ..) = on(ratio);
            let begun = traces.begin(&saying(SENDERS)).unwrap();
            assert_eq!(begun.context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
            let span = traces.end(begun, "POST /webhook");
            assert!(span.parent.is_some_and(|parent| parent.is_remote && parent.context.to_string() == SENDERS));
            assert!(traces.begin(&saying(&SENDERS.replace("-01", "-00"))).is_none());
        }
        let (traces, ..) = on(1.0);
        let begun = traces.begin(&saying("00-rubbish")).unwrap();
        assert_eq!(traces.end(begun, "POST /webhook").parent, None, "it begins one of its own");
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_nobody_waits() {
        let (traces, mut told, metrics) = on(1.0);
        let begun = traces.begin_alone().unwrap();
        for _ in 0..QUEUE + 3 {
            traces.tell(traces.end(begun, "POST /webhook"));
        }
        assert_eq!(told.lost.load(Ordering::Relaxed), 3);
        let exposition = metrics.render().unwrap();
        assert!(exposition.contains(r#"paramedic_trace_spans_total{outcome="Dropped"} 3"#), "{exposition}");
        let waiting = std::iter::from_fn(|| told.spans.try_recv().ok()).count();
        assert_eq!(waiting, QUEUE);
    }

    #[test]
    fn without_a_listener_nothing_is_begun() {
        let traces = Traces::default();
        assert!(!traces.is_on());
        assert!(traces.begin(&saying(SENDERS)).is_none() && traces.begin_alone().is_none());
        assert!(traces.below(TraceContext::on_record(SENDERS)).is_none());
    }
}
