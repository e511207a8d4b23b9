//! The HTTP servers: intake and health on one port, metrics on another. The routes of a third, for people, are in `people`.
//!
//! `tls` encrypts, `sources`, `secret` and `throttle` say who sends, `webhook` takes what is sent, `intake` is the seam to what makes it durable,
//! `health` tells how it goes.

pub mod health;
pub mod intake;
mod secret;
pub mod sources;
pub mod throttle;
pub mod tls;
mod webhook;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
pub use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tower_http::{
    catch_panic::CatchPanicLayer,
    trace::{DefaultOnFailure, DefaultOnRequest, DefaultOnResponse, TraceLayer},
};
use tracing::Level;

use self::{health::Readiness, intake::Intake, sources::Sources, throttle::Throttle, tls::Tls};
use crate::{audit::Audit, config::Config, telemetry::Metrics};

/// How long a connection may take to send a request's headers, and may idle between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {why}; `{setting}` in the configuration or {flag} changes it")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The setting that holds it.
        setting: &'static str,
        /// The flag that does.
        flag: &'static str,
        /// Why.
        why: io::Error,
    },
    /// It ended.
    #[error("the server on {address} ended: {why}")]
    Ended {
        /// Its address.
        address: SocketAddr,
        /// Why.
        why: io::Error,
    },
}

/// A port that is taken but not served yet: connections wait.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Takes the port of intake and health.
    pub async fn intake(config: &Config) -> Result<Self, ServerError> {
        Self::bind(config.listen, "listen", "--listen").await
    }

    /// Takes the port of the API for people, where there is to be one.
    pub async fn people(config: &Config) -> Result<Option<Self>, ServerError> {
        match config.api.listen {
            Some(address) => Self::bind(address, "api.listen", "PARAMEDIC_API__LISTEN").await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes the port of metrics.
    pub async fn metrics(config: &Config) -> Result<Self, ServerError> {
        Self::bind(config.metrics_listen, "metricsListen", "--metrics-listen").await
    }

    async fn bind(address: SocketAddr, setting: &'static str, flag: &'static str) -> Result<Self, ServerError> {
        let failed = |why| ServerError::Bind { address, setting, flag, why };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens: the real port where 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `handle` says to stop: gracefully, the requests under way get the time it grants. With `tls`, and
    /// nothing in the clear.
    pub async fn serve(
        self,
        router: Router,
        handle: Handle<SocketAddr>,
        tls: Option<Arc<Tls>>,
    ) -> Result<(), ServerError> {
        let address = self.address;
        // HTTP/1 only: telling the versions apart would wait for a connection's first bytes without a time-out.
        let mut server = axum_server::Server::<SocketAddr>::from_listener(self.listener).http1_only().handle(handle);
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let ended = match tls {
            None => server.serve(service).await,
            Some(tls) => server.acceptor(tls.acceptor()).serve(service).await,
        };
        ended.map_err(|why| ServerError::Ended { address, why })
    }
}

/// The routes of the main port.
pub fn intake_router<I: Intake>(
    intake: I,
    config: &Config,
    sources: Arc<Sources>,
    throttle: Arc<Throttle>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    audit: Audit,
) -> Router {
    let webhook = webhook::router(intake, config, sources, throttle, readiness.clone(), metrics, audit);
    // Failures are told by whoever finds them, with their cause; here they would only be noise.
    let trace = TraceLayer::new_for_http()
        .make_span_with(|request: &Request| {
            let (method, path) = (request.method(), request.uri().path());
            tracing::debug_span!("request", id = format!("{:016x}", fastrand::u64(..)), %method, path)
        })
        .on_request(DefaultOnRequest::new().level(Level::DEBUG))
        .on_response(DefaultOnResponse::new().level(Level::DEBUG))
        .on_failure(DefaultOnFailure::new().level(Level::DEBUG));
    webhook.merge(health::router(readiness)).layer(CatchPanicLayer::new()).layer(trace)
}

/// The routes of the metrics' port.
pub fn metrics_router(metrics: Arc<Metrics>, readiness: Readiness) -> Router {
    Router::new().route("/metrics", get(exposition)).with_state((metrics, readiness))
}

async fn exposition(State((metrics, readiness)): State<(Arc<Metrics>, Readiness)>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (check, passes) in readiness.all() {
        metrics.ready(check, passes);
    }
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
