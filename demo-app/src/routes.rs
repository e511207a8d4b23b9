//! HTTP: one small handler a route. All of them are listed in [`router`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::BROKEN_SCRATCH;
use crate::burn;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::options::BROKEN_FILE;
use crate::patient::{Patient, Report};

/// Every path, for the `path` label of the request counter; anything else counts as `other`.
const PATHS: [&str; 13] = [
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/leak/start",
    "/leak/stop",
    "/hang",
    "/exit",
    "/fail/readiness",
    "/fail/liveness",
    "/burn",
    "/corrupt",
    "/recover",
];

#[derive(Debug)]
struct App {
    patient: Arc<Patient>,
    metrics: Metrics,
}

type Shared = State<Arc<App>>;

/// All routes over one patient.
pub(crate) fn router(patient: Arc<Patient>) -> Router {
    let app = Arc::new(App { patient, metrics: Metrics::new() });
    Router::new()
        .route("/", get(report))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/leak/start", post(start_leak))
        .route("/leak/stop", post(stop_leak))
        .route("/hang", post(hang))
        .route("/exit", post(exit))
        .route("/fail/readiness", post(fail_readiness))
        .route("/fail/liveness", post(fail_liveness))
        .route("/burn", post(start_burning))
        .route("/corrupt", post(corrupt))
        .route("/recover", post(recover))
        .layer(from_fn_with_state(Arc::clone(&app), answer))
        .with_state(app)
}

/// Around every request, also those that no route takes: a hung process answers none of them.
async fn answer(State(app): Shared, request: Request, next: Next) -> Response {
    app.patient.until_it_answers().await;
    let asked = request.uri().path();
    let path = PATHS.into_iter().find(|path| *path == asked).unwrap_or("other");
    let response = next.run(request).await;
    app.metrics.count(path, response.status().as_u16());
    response
}

async fn report(State(app): Shared) -> Json<Report> {
    Json(app.patient.report())
}

async fn metrics(State(app): Shared) -> Response {
    match app.metrics.render(&app.patient.report()) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(problem) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string()),
    }
}

async fn healthz(State(app): Shared) -> (StatusCode, &'static str) {
    if app.patient.is_live() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "failing, as somebody asked for\n")
    }
}

async fn readyz(State(app): Shared) -> (StatusCode, &'static str) {
    if app.patient.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready, as somebody asked for\n")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartLeak {
    rate_mib: Option<u32>,
    limit_mib: Option<u32>,
}

async fn start_leak(State(app): Shared, Query(query): Query<StartLeak>) -> Json<Report> {
    app.patient.leak().start(query.rate_mib, query.limit_mib);
    let leak = app.patient.report().leak;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let (rate, limit) = (mib(leak.bytes_per_second), mib(leak.limit_bytes));
    eprintln!("demo-app: leaking {rate} MiB/s up to {limit} MiB, as somebody asked for");
    report(State(app)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopLeak {
    #[serde(default)]
    free: bool,
}

async fn stop_leak(State(app): Shared, Query(query): Query<StopLeak>) -> Json<Report> {
    app.patient.leak().stop(query.free);
    report(State(app)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hang {
    seconds: Option<u64>,
}

/// The only handler that answers although the process hangs: its own request came in before.
async fn hang(State(app): Shared, Query(query): Query<Hang>) -> Json<Report> {
    app.patient.hang(query.seconds.map(Duration::from_secs));
    report(State(app)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exit {
    #[serde(default = "Exit::default_code")]
    code: u8,
}

impl Exit {
    /// An exit that is asked for should look like a crash.
    fn default_code() -> u8 {
        1
    }
}

async fn exit(State(app): Shared, Query(query): Query<Exit>) -> Json<Report> {
    app.patient.request_exit(query.code);
    report(State(app)).await
}

async fn fail_readiness(State(app): Shared) -> Json<Report> {
    app.patient.set_ready(false);
    report(State(app)).await
}

async fn fail_liveness(State(app): Shared) -> Json<Report> {
    app.patient.set_live(false);
    report(State(app)).await
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Burn {
    threads: usize,
    seconds: u64,
}

impl Default for Burn {
    fn default() -> Self {
        Self { threads: 1, seconds: burn::DEFAULT_SECONDS }
    }
}

async fn start_burning(State(app): Shared, Query(query): Query<Burn>) -> Response {
    match app.patient.burner.start(query.threads, Duration::from_secs(query.seconds)) {
        Ok(()) => report(State(app)).await.into_response(),
        Err(problem @ burn::BurnError::OutOfBounds) => refusal(StatusCode::BAD_REQUEST, &problem.to_string()),
        Err(problem) => refusal(StatusCode::SERVICE_UNAVAILABLE, &problem.to_string()),
    }
}

async fn corrupt(State(app): Shared) -> Response {
    let Some(scratch) = &app.patient.scratch else {
        return refusal(StatusCode::CONFLICT, "there is no --scratch to break");
    };
    let file = scratch.join(BROKEN_FILE);
    match tokio::fs::write(&file, "not what it should be\n").await {
        Ok(()) => {
            eprintln!("demo-app: {} was broken, as somebody asked for", file.display());
            app.patient.request_exit(BROKEN_SCRATCH);
            report(State(app)).await.into_response()
        }
        Err(problem) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("{}: {problem}", file.display())),
    }
}

async fn recover(State(app): Shared) -> Json<Report> {
    app.patient.recover();
    report(State(app)).await
}

fn refusal(code: StatusCode, reason: &str) -> Response {
    (code, Json(json!({ "error": reason }))).into_response()
}
