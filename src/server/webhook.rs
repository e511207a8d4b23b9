//! `POST /webhook`: authenticate, read, parse, hand over, answer.
//!
//! What a sender is told follows from what it does with the answer: Alertmanager tries again after a 5xx or no answer at
//! all, and takes every 4xx, 429 and 408 included, for final. So all that may go well later is 503 with `Retry-After`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::{
    health::{RUNNING, Readiness},
    intake::{Answer, Intake, NotReady, Report, status},
    sources::{Source, Sources},
    throttle::Throttle,
    tls::ShownCertificate,
};
use crate::{
    alert::{BodyError, Notification},
    audit::{Audit, Event},
    clock::Clock,
    config::Config,
    telemetry::{
        Metrics, TraceContext,
        traces::{Span, SpanKind, SpanStatus},
    },
};

/// What `Retry-After` says, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// A body this long is parsed on a thread of its own, where it holds up nobody.
const LONG_BODY: usize = 256 << 10;
/// What the smallest body counts in the memory that bodies may take, in bytes.
const UNIT: usize = 16 << 10;
/// So many bodies of the largest size may be held at the same time.
const LARGEST_AT_ONCE: usize = 4;
/// How long after the deadline an intake that does not keep it is cut off.
const GRACE: std::time::Duration = std::time::Duration::from_millis(500);

/// What the route works with.
pub struct Webhook<I> {
    intake: I,
    sources: Arc<Sources>,
    throttle: Arc<Throttle>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    audit: Audit,
    clock: Clock,
    /// Whether every sender must show a certificate.
    certificates: bool,
    body_limit: usize,
    deadline: std::time::Duration,
    /// In units of [`UNIT`]: the memory that bodies may take together.
    memory: Semaphore,
}

/// Why a webhook is not taken. One variant a cause; the status is told in one place.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no valid credential; send a bearer token, basic auth or a signature of one of the configured sources")]
    Unauthenticated { throttled: bool },
    #[error("show a certificate of the authority that is configured (tls.clientCaFile)")]
    NoCertificate,
    #[error("a browser sent this; without sources, any page that somebody opens could, so it is refused")]
    Browser,
    #[error("source `{source_name}` may not post as receiver `{receiver}`")]
    Receiver { source_name: String, receiver: String },
    #[error("{0}")]
    NotReady(NotReady),
    #[error("the body is longer than {limit} bytes; set max_alerts, or raise bodyLimit")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("too many large bodies at the same time")]
    Overloaded,
    #[error("not durable in time")]
    Late,
    #[error("{0}")]
    Body(#[from] BodyError),
    #[error("the body could not be read: {0}")]
    Unreadable(String),
    #[error("an internal error; the log says more")]
    Internal,
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated { .. } | Self::NoCertificate => StatusCode::UNAUTHORIZED,
            Self::Receiver { .. } | Self::Browser => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } | Self::Body(BodyError::TooManyAlerts) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            // Not 408: that would be final, and whether a slow sender is slow for ever is not known.
            Self::NotReady(_) | Self::TooSlow | Self::Overloaded | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(json!({ "error": self.to_string() }))).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unauthenticated { throttled } => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"paramedic\""));
                if throttled {
                    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
            }
            // The rest of the body is not wanted.
            Self::TooSlow | Self::TooLarge { .. } => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// The route. `intake` is what makes alerts durable.
pub fn router<I: Intake>(
    intake: I,
    config: &Config,
    sources: Arc<Sources>,
    throttle: Arc<Throttle>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    audit: Audit,
) -> Router {
    let body_limit = config.body_limit.bytes();
    let units = (body_limit.div_ceil(UNIT) * LARGEST_AT_ONCE).min(Semaphore::MAX_PERMITS);
    let webhook = Webhook {
        intake,
        sources,
        throttle,
        readiness,
        metrics,
        audit,
        clock: Clock::system(),
        certificates: config.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()),
        body_limit,
        deadline: config.request_deadline.get(),
        memory: Semaphore::new(units),
    };
    Router::new()
        .route("/webhook", post(handle::<I>))
        .layer(DefaultBodyLimit::max(body_limit))
        .with_state(Arc::new(webhook))
}

async fn handle<I: Intake>(State(webhook): State<Arc<Webhook<I>>>, request: Request) -> Response {
    let began = Instant::now();
    let traces = webhook.intake.traces();
    let trace = traces.begin(request.headers());
    let within = trace.map(|begun| begun.context);
    let mut sender = Sender { client: client(&request), source: None, receiver: None, within };
    let taken = webhook.take(request, began + webhook.deadline, &mut sender).await;
    webhook.tell(&sender, &taken);
    let alerts = taken.as_ref().ok().map(|report| report.outcomes.len());
    let mut response = match taken {
        Ok(report) => (status(&report), Json(Answer::from(report))).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    // Strangers have no traces here.
    if let Some((begun, source)) = trace.zip(sender.source.as_ref()) {
        traces.tell(span(traces.end(begun, "POST /webhook"), source, &sender, response.status(), alerts));
    }
    webhook.metrics.webhook(response.status().as_u16(), began.elapsed());
    response
}

/// Who sent a request, as far as that is known: for the log, and for its trace.
struct Sender {
    client: IpAddr,
    source: Option<Arc<Source>>,
    receiver: Option<String>,
    /// The request's span, where that is recorded.
    within: Option<TraceContext>,
}

/// What a request's span says, by OpenTelemetry's names where it has some.
fn span(span: Span, source: &Source, sender: &Sender, status: StatusCode, alerts: Option<usize>) -> Span {
    let span = span
        .of_kind(SpanKind::Server)
        .with("http.request.method", "POST")
        .with("http.route", "/webhook")
        .with("http.response.status_code", u32::from(status.as_u16()))
        .with("paramedic.source", &source.name)
        .with("paramedic.receiver", sender.receiver.as_deref())
        .with("paramedic.alerts", alerts);
    let why = status.canonical_reason().unwrap_or_default();
    if status.is_server_error() { span.ending(SpanStatus::badly(why)) } else { span }
}

impl<I: Intake> Webhook<I> {
    /// The stages, in order.
    async fn take(&self, request: Request, deadline: Instant, sender: &mut Sender) -> Result<Report, Refusal> {
        // A request's body is not Sync, so no borrow of the request may live through an await.
        let (client, headers) = (sender.client, request.headers().clone());
        if self.certificates && request.extensions().get() != Some(&ShownCertificate(true)) {
            self.metrics.auth_failure();
            return Err(Refusal::NoCertificate);
        }
        let known = self.authenticate(&headers)?;
        if known.is_none() && !self.sources.may_be_signed(&headers) {
            return Err(self.stranger(&headers, client).await);
        }
        sender.source.clone_from(&known);
        self.ready()?;
        let _memory = self.reserve(body_length(&headers), deadline).await?;
        let body = self.read(request, deadline).await?;
        let Some(source) = (match known {
            Some(source) => Some(source),
            None => self.who_signed(&headers, &body).await?,
        }) else {
            return Err(self.stranger(&headers, client).await);
        };
        let notification = parse(body).await?;
        sender.source = Some(Arc::clone(&source));
        sender.receiver = Some(shortened(&notification.receiver));
        permit(&source, &notification)?;
        self.hand_over(&source, notification, sender.within, deadline).await
    }

    /// Writes a line about what was not taken, whole or in part: nobody reads what Alertmanager was answered.
    fn tell(&self, sender: &Sender, taken: &Result<Report, Refusal>) {
        let (status, why) = match taken {
            // That has its line, and its limit, where it is found out.
            Err(Refusal::Unauthenticated { .. }) => return,
            Err(refusal) => (refusal.status(), refusal.to_string()),
            Ok(report) => match report.left_out() {
                Some(why) => (status(report), why),
                None => return,
            },
        };
        let Some(untold) = self.throttle.may_tell(sender.client, status.as_u16()) else { return };
        tracing::warn!(
            client = %sender.client,
            source = sender.source.as_ref().map(|source| source.name.as_str()),
            receiver = sender.receiver.as_deref(),
            status = status.as_u16(),
            untold = (untold > 0).then_some(untold),
            "a webhook was not taken: {}",
            shortened(&why)
        );
    }

    /// Who sends, as far as the headers tell.
    fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Arc<Source>>, Refusal> {
        // Loopback keeps other machines out, but not the pages in a browser on this one. A browser adds Origin to every
        // POST, and no page can stop it; no sender of alerts does.
        if self.sources.are_open() && headers.contains_key(header::ORIGIN) {
            return Err(Refusal::Browser);
        }
        Ok(self.sources.authenticate(authorization(headers)))
    }

    /// Who signed the body.
    async fn who_signed(&self, headers: &HeaderMap, body: &Bytes) -> Result<Option<Arc<Source>>, Refusal> {
        let now = self.clock.now();
        if body.len() < LONG_BODY {
            return Ok(self.sources.who_signed(headers, body, now));
        }
        let (sources, headers, body) = (Arc::clone(&self.sources), headers.clone(), body.clone());
        let signed = tokio::task::spawn_blocking(move || sources.who_signed(&headers, &body, now));
        signed.await.map_err(|_| Refusal::Internal)
    }

    /// Counts a request of nobody who is known; an answer to a client that goes on and on is held back.
    async fn stranger(&self, headers: &HeaderMap, client: IpAddr) -> Refusal {
        self.metrics.auth_failure();
        let throttled = self.throttle.failed(client);
        if throttled {
            self.throttle.hold().await;
        } else {
            let presented = if self.sources.may_be_signed(headers) {
                "a signature that does not fit"
            } else if authorization(headers).is_some() {
                "a wrong credential"
            } else {
                "no credential"
            };
            tracing::warn!(%client, "a webhook with {presented} was refused");
        }
        Refusal::Unauthenticated { throttled }
    }

    fn ready(&self) -> Result<(), Refusal> {
        let running = self.readiness.check(RUNNING).map_err(|_| NotReady::ShuttingDown);
        let audited = || self.audit.ready().map_err(|_| NotReady::AuditUnavailable);
        running.and_then(|()| audited()).and_then(|()| self.intake.ready()).map_err(Refusal::NotReady)
    }

    /// Takes the body's share of the memory that bodies may take together; waits for it where others have it.
    async fn reserve(&self, said: Option<usize>, deadline: Instant) -> Result<SemaphorePermit<'_>, Refusal> {
        let length = said.unwrap_or(self.body_limit);
        if length > self.body_limit {
            return Err(Refusal::TooLarge { limit: self.body_limit });
        }
        let units = u32::try_from(length.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        match timeout_at(deadline, self.memory.acquire_many(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Refusal::Overloaded),
        }
    }

    async fn read(&self, request: Request, deadline: Instant) -> Result<Bytes, Refusal> {
        match timeout_at(deadline, Bytes::from_request(request, &())).await {
            Err(_) => Err(Refusal::TooSlow),
            Ok(Ok(body)) => Ok(body),
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Refusal::TooLarge { limit: self.body_limit })
            }
            Ok(Err(rejection)) => Err(Refusal::Unreadable(rejection.body_text())),
        }
    }

    async fn hand_over(
        &self,
        source: &Source,
        notification: Notification,
        within: Option<TraceContext>,
        deadline: Instant,
    ) -> Result<Report, Refusal> {
        if notification.truncated > 0 {
            tracing::warn!(
                source = source.name,
                receiver = notification.receiver,
                "Alertmanager left out {} alerts because of max_alerts; remove it from the receiver",
                notification.truncated
            );
            self.metrics.alerts_truncated(&source.name, notification.truncated);
        }
        let receiver = notification.receiver.clone();
        let accepted = self.intake.accept(source, notification, within, deadline);
        let report = timeout_at(deadline + GRACE, accepted).await.map_err(|_| Refusal::Late)?;
        // What is durable already is known when the sender comes again.
        let outcomes = report.counts().into_iter().map(|(outcome, count)| (outcome.as_str(), count)).collect();
        let told = self.audit.tell(Event::Delivered { source: source.name.clone(), receiver, outcomes });
        told.map_err(|_| Refusal::NotReady(NotReady::AuditUnavailable))?;
        for (outcome, count) in report.counts() {
            self.metrics.alerts_received(&source.name, outcome, count);
        }
        Ok(report)
    }
}

/// The peer of the connection. Headers such as `X-Forwarded-For` are not asked: anybody can write them.
fn client(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

/// The length that the sender says; a chunked body has none.
fn body_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a sender wrote, on one line that it cannot make long.
fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    let mut line: String = text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}

async fn parse(body: Bytes) -> Result<Notification, Refusal> {
    if body.len() < LONG_BODY {
        return Ok(Notification::parse(&body)?);
    }
    let parsed = tokio::task::spawn_blocking(move || Notification::parse(&body)).await;
    Ok(parsed.map_err(|_| Refusal::Internal)??)
}

fn permit(source: &Source, notification: &Notification) -> Result<(), Refusal> {
    if source.allows_receiver(&notification.receiver) {
        return Ok(());
    }
    Err(Refusal::Receiver { source_name: source.name.clone(), receiver: shortened(&notification.receiver) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_too_many_alerts_is_too_large_and_not_malformed() {
        assert_eq!(Refusal::Body(BodyError::TooManyAlerts).status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(Refusal::Body(BodyError::NotANotification(String::new())).status(), StatusCode::BAD_REQUEST);
    }
}
