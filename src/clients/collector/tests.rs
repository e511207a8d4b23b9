//! What a collector gets, and what becomes of what it does not take. Against a server on loopback.

use std::sync::Mutex;

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    otlp::{ExportTracePartialSuccess, Status, StatusCode as Code},
    *,
};
use crate::{
    clock::Clock,
    config::Access,
    telemetry::{
        TraceContext, Traces,
        traces::{Parent, SpanEvent, SpanKind, SpanStatus, traces},
    },
};

/// Made by opentelemetry-proto 0.33.1 of the same span: its `ExportTraceServiceRequest`, encoded, in hexadecimal digits.
fn as_others_write_it() -> Vec<u8> {
    let digits: String = include_str!("as-others-write-it.hex").split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn a_span() -> Span {
    let at = |seconds: i64| Timestamp::from_second(1_767_225_600 + seconds).unwrap();
    let context = TraceContext::on_record("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let parent = TraceContext::on_record("00-4bf92f3577b34da6a3ce929d0e0e4736-1122334455667788-01").unwrap();
    let attributes = Attributes::default().with("paramedic.check", "cooldown").with("paramedic.passed", false);
    Span::new(context, Some(Parent { context: parent, is_remote: true }), "remediation", at(0), at(65))
        .of_kind(SpanKind::Server)
        .with("k8s.pod.name", "cart-1")
        .with("paramedic.step", 3_u32)
        .with_events([SpanEvent { name: "check", at: at(1), attributes }])
        .ending(SpanStatus::badly("it did not help"))
}

#[test]
fn what_is_sent_is_what_others_read() {
    let scope = InstrumentationScope { name: "paramedic".to_owned(), version: "0.1.0".to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: vec![a_span().into()] }];
    let attributes = otlp::key_values(&Attributes::default().with("service.name", "paramedic"));
    let resource_spans = vec![ResourceSpans { resource: Some(Resource { attributes }), scope_spans }];
    let request = ExportTraceServiceRequest { resource_spans };
    assert_eq!(ExportTraceServiceRequest::decode(as_others_write_it().as_slice()).unwrap(), request);
    // The order of the fields in a message is free, but both write them by their numbers.
    assert_eq!(request.encode_to_vec(), as_others_write_it());
}

#[test]
fn how_a_span_ended_is_said() {
    let ended = |status| otlp::Span::from(a_span().ending(status)).status;
    assert_eq!(ended(SpanStatus::Unset), None);
    assert_eq!(ended(SpanStatus::Well), Some(Status { message: String::new(), code: Code::Ok.into() }));
}

/// A collector that answers like this, one after the other, and then takes everything.
struct Played {
    traces: Traces,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    asked: Arc<Mutex<usize>>,
    running: JoinHandle<()>,
}

impl Played {
    async fn answering(answers: Vec<(StatusCode, Vec<u8>)>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (asked, answers): (Arc<Mutex<usize>>, _) = (Arc::default(), Arc::new(answers));
        let counted = Arc::clone(&asked);
        let answer = move |body: Bytes| async move {
            assert!(ExportTraceServiceRequest::decode(body).is_ok());
            let mut asked = counted.lock().unwrap();
            *asked += 1;
            answers.get(*asked - 1).cloned().unwrap_or_default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route(ROUTE, post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let endpoint = Endpoint::new(&url, Duration::from_secs(1), Access::default()).unwrap();
        let (metrics, stop) = (Arc::new(Metrics::new()), CancellationToken::new());
        let (traces, told) = traces(1.0, Arc::clone(&metrics), Clock::system());
        let collector = Collector::new(endpoint, "paramedic", "paramedic", "paramedic-0");
        let running = tokio::spawn(collector.run(told, Arc::clone(&metrics), stop.clone()));
        Self { traces, metrics, stop, asked, running }
    }

    fn tells(&self, spans: usize) {
        (0..spans).for_each(|_| self.traces.tell(a_span()));
    }

    fn counted(&self, outcome: &str) -> Option<String> {
        let exposition = self.metrics.render().unwrap();
        let series = format!("paramedic_trace_spans_total{{outcome=\"{outcome}\"}} ");
        exposition.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
    }

    async fn until(&self, outcome: &str, count: &str) {
        let counted = async {
            while self.counted(outcome).as_deref() != Some(count) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let counted = timeout(Duration::from_secs(10), counted).await;
        assert!(counted.is_ok(), "{outcome} is not {count}:\n{}", self.metrics.render().unwrap());
    }
}

#[tokio::test]
async fn what_was_told_is_sent_together_and_what_is_left_at_the_end() {
    let played = Played::answering(vec![]).await;
    played.tells(3);
    played.until("Sent", "3").await;
    assert_eq!(*played.asked.lock().unwrap(), 1);
    played.tells(BATCH + 1);
    played.stop.cancel();
    played.running.await.unwrap();
    let exposition = played.metrics.render().unwrap();
    assert!(exposition.contains(&format!(r#"outcome="Sent"}} {}"#, BATCH + 4)), "{exposition}");
}

#[tokio::test]
async fn what_got_no_answer_is_sent_again_and_what_was_refused_is_not() {
    let partly = ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".to_owned() };
    let partly = ExportTraceServiceResponse { partial_success: Some(partly) }.encode_to_vec();
    let played = Played::answering(vec![
        (StatusCode::SERVICE_UNAVAILABLE, Vec::new()),
        (StatusCode::OK, partly),
        (StatusCode::BAD_REQUEST, b"no".to_vec()),
    ])
    .await;
    played.tells(3);
    played.until("Sent", "1").await;
    played.until("Refused", "2").await;
    assert_eq!(*played.asked.lock().unwrap(), 2, "the 503 was no answer");
    played.tells(4);
    played.until("Refused", "6").await;
    played.tells(1);
    played.until("Sent", "2").await;
    assert_eq!(*played.asked.lock().unwrap(), 4);
}

#[tokio::test]
async fn at_the_end_a_collector_that_does_not_answer_is_asked_once() {
    let played = Played::answering(vec![(StatusCode::SERVICE_UNAVAILABLE, Vec::new()); 9]).await;
    played.tells(3);
    while *played.asked.lock().unwrap() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    played.stop.cancel();
    timeout(Duration::from_secs(5), played.running).await.expect("it ends").unwrap();
    assert_eq!(*played.asked.lock().unwrap(), 2);
}
