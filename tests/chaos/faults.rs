//! What stands between a replica and the API server: a network that errs, delays, loses and repeats, and a process that
//! may die before or after any call.
//!
//! A request is carried out by a task of its own: whoever sent it may have given up long ago, as with a real server. It
//! lands [`LANDS_WITHIN`] after it was sent at the latest, which is what the product reckons with.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Request, Response, StatusCode, header},
};
use fastrand::Rng;
use futures::{Stream, StreamExt};
use paramedic::sim::ApiService;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{judge::Sent, people, stage::Stage};

/// How long after it was sent a request may still be carried out: an admission webhook may hold it for so long.
pub const LANDS_WITHIN: Duration = Duration::from_secs(30);

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one process of a replica has to the API server. A process that was started again has another one.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    stage: Stage,
    replica: usize,
    state: Mutex<State>,
    dead: CancellationToken,
}

struct State {
    rng: Rng,
    cut_until: Option<Instant>,
    /// The process dies at that call, counted from now: before it is sent, or once it was carried out.
    dies_at: Option<(u32, When)>,
    /// It dies as it has sent its next action, which lands much later.
    dies_acting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Carried,
    Refused(u16),
    Reset,
    Conflict,
    /// Carried out much later.
    Late(Duration),
    /// Carried out, but the answer is lost: the connection breaks, or nothing comes.
    Lost {
        reset: bool,
    },
    /// Carried out; the answer comes late.
    Slow(Duration),
}

impl Link {
    pub fn new(stage: &Stage, replica: usize, rng: Rng) -> Self {
        let state = State { rng, cut_until: None, dies_at: None, dies_acting: false };
        Self(Arc::new(Inner {
            stage: stage.clone(),
            replica,
            state: Mutex::new(state),
            dead: CancellationToken::new(),
        }))
    }

    /// Is cancelled when the process is dead.
    pub fn dead(&self) -> &CancellationToken {
        &self.0.dead
    }

    /// Cuts the process off from the API server.
    pub fn cut(&self, how_long: Duration) {
        self.0.stage.count("faults", "partition");
        self.state().cut_until = Some(Instant::now() + how_long);
    }

    /// The process dies at the call with that number from now.
    pub fn die_at(&self, calls: u32, when: When) {
        self.state().dies_at = Some((calls, when));
    }

    /// The network is good from now on.
    pub fn heal(&self) {
        let mut state = self.state();
        state.cut_until = None;
        state.dies_at = None;
        state.dies_acting = false;
    }

    /// The process dies as soon as it has sent an action.
    pub fn die_acting(&self) {
        self.state().dies_acting = true;
    }

    fn dies_acting_now(&self, request: &Request<kube::client::Body>) -> bool {
        let path = request.uri().path();
        let acts = match request.method().as_str() {
            "POST" => path.ends_with("/eviction"),
            "DELETE" => path.contains("/pods/"),
            "PATCH" => path.starts_with("/apis/apps/"),
            _ => false,
        };
        let mut state = self.state();
        let dies = acts && state.dies_acting;
        state.dies_acting &= !dies;
        drop(state);
        if dies {
            self.0.stage.count("faults", "crash with an action under way");
        }
        dies
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_until(&self) -> Option<Instant> {
        self.state().cut_until.filter(|end| Instant::now() < *end)
    }

    fn fate(&self, method: &str, watch: bool) -> Fate {
        let stage = &self.0.stage;
        if stage.is_quiet() {
            return Fate::Carried;
        }
        let rates = &stage.plan.rates;
        let mut state = self.state();
        let mut drawn = state.rng.u32(0..1000);
        let mut is = |rate: u32| {
            let hit = drawn < rate;
            drawn = drawn.saturating_sub(rate);
            hit
        };
        let writes = matches!(method, "PUT" | "PATCH" | "POST" | "DELETE");
        let fate = if is(rates.refused) {
            Fate::Refused([500, 503, 429][state.rng.usize(..3)])
        } else if is(rates.reset) {
            Fate::Reset
        } else if is(rates.conflict) && matches!(method, "PUT" | "PATCH") {
            Fate::Conflict
        } else if is(rates.late) && writes {
            Fate::Late(lateness(&mut state.rng))
        } else if is(rates.lost) && !watch {
            Fate::Lost { reset: state.rng.bool() }
        } else if is(rates.slow) && !watch {
            Fate::Slow(Duration::from_millis(state.rng.u64(200..8_000)))
        } else {
            Fate::Carried
        };
        drop(state);
        match fate {
            Fate::Carried => {}
            Fate::Refused(code) => stage.count("faults", &format!("refused {code}")),
            Fate::Reset => stage.count("faults", "connection reset"),
            Fate::Conflict => stage.count("faults", "conflict"),
            Fate::Late(_) => stage.count("faults", "carried out late"),
            Fate::Lost { .. } => stage.count("faults", "answer lost"),
            Fate::Slow(_) => stage.count("faults", "slow answer"),
        }
        fate
    }

    fn late(&self) -> Duration {
        lateness(&mut self.state().rng)
    }

    fn milliseconds(&self, most: u64) -> Duration {
        Duration::from_millis(self.state().rng.u64(0..=most))
    }

    fn dies_now(&self) -> Option<When> {
        let mut state = self.state();
        let (calls, when) = state.dies_at?;
        if calls > 0 {
            state.dies_at = Some((calls - 1, when));
            return None;
        }
        state.dies_at = None;
        drop(state);
        self.0.stage.count("faults", if when == When::Before { "crash before a call" } else { "crash after a call" });
        Some(when)
    }

    /// Waits for the end of a partition, if there is one: nothing comes through.
    async fn through(&self) -> Result<(), Failure> {
        let Some(end) = self.cut_until() else { return Ok(()) };
        sleep_until(end).await;
        Err("connection reset by peer".into())
    }
}

fn lateness(rng: &mut Rng) -> Duration {
    LANDS_WITHIN.mul_f64(rng.f64())
}

/// A replica's way to the API server.
#[derive(Clone)]
pub struct Faulty {
    service: ApiService,
    link: Link,
}

impl Faulty {
    pub fn new(service: ApiService, link: Link) -> Self {
        Self { service, link }
    }
}

impl Service<Request<kube::client::Body>> for Faulty {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (service, link) = (self.service.clone(), self.link.clone());
        if link.dead().is_cancelled() {
            return Box::pin(std::future::pending());
        }
        link.0.stage.count("calls", request.method().as_str());
        let dies = link.dies_now();
        if dies == Some(When::Before) {
            link.dead().cancel();
            return Box::pin(std::future::pending());
        }
        let watch = request.uri().query().is_some_and(|query| query.contains("watch="));
        if watch {
            return Box::pin(open(service, link, request));
        }
        let (answer, answered) = oneshot::channel();
        if link.dies_acting_now(&request) {
            let fate = Fate::Late(link.late());
            link.dead().cancel();
            tokio::spawn(deliver(service, link, request, fate, true, answer));
            return Box::pin(std::future::pending());
        }
        let fate = link.fate(request.method().as_str(), false);
        tokio::spawn(deliver(service, link.clone(), request, fate, dies.is_some(), answer));
        Box::pin(async move {
            match answered.await {
                Ok(result) if !link.dead().is_cancelled() => result,
                // The process is dead, or its answer was lost without a sign.
                _ => std::future::pending().await,
            }
        })
    }
}

type Answer = oneshot::Sender<Result<Response<Body>, Failure>>;

/// Carries a request out, or not, and answers, or not.
async fn deliver(
    service: ApiService,
    link: Link,
    request: Request<kube::client::Body>,
    fate: Fate,
    dies: bool,
    answer: Answer,
) {
    let stage = link.0.stage.clone();
    let (replica, method) = (link.0.replica, request.method().as_str().to_owned());
    let target = request.uri().to_string();
    let mut sent = Sent { replica, at: stage.now(), method, target, body: Bytes::new() };
    let say = |stage: &Stage, sent: &Sent, what: &str| {
        stage.trace(|| format!("r{replica} {} {}: {what}", sent.method, sent.target));
    };
    sleep(link.milliseconds(8)).await;
    if let Err(error) = link.through().await {
        say(&stage, &sent, "cut off");
        let _ = answer.send(Err(error));
        return;
    }
    match fate {
        Fate::Refused(code) => {
            say(&stage, &sent, &format!("refused with {code}"));
            let _ = answer.send(Ok(refusal(code)));
            return;
        }
        Fate::Conflict => {
            say(&stage, &sent, "a conflict");
            let _ = answer.send(Ok(refusal(409)));
            return;
        }
        Fate::Reset => {
            say(&stage, &sent, "connection reset");
            let _ = answer.send(Err("connection reset by peer".into()));
            return;
        }
        Fate::Late(delay) => {
            say(&stage, &sent, &format!("will land in {} ms", delay.as_millis()));
            sleep(delay / 2).await;
            // What it is about may be another one by then.
            if !stage.is_quiet() && link.state().rng.u32(0..3) == 0 {
                people::delete_under(&stage, &sent.words());
            }
            sleep(delay / 2).await;
        }
        _ => {}
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), usize::MAX).await else { return };
    sent.body = body.clone();
    let response = carry_out(service, &stage, &sent, Request::from_parts(parts, kube::client::Body::from(body))).await;
    let code = response.status().as_u16();
    if dies {
        say(&stage, &sent, &format!("{code}, and the process dies"));
        link.dead().cancel();
        return;
    }
    match fate {
        Fate::Lost { reset } => {
            say(&stage, &sent, &format!("{code}, and the answer is lost"));
            if reset {
                let _ = answer.send(Err("connection reset by peer".into()));
            }
            return;
        }
        Fate::Slow(delay) => {
            say(&stage, &sent, &format!("{code}, told in {} ms", delay.as_millis()));
            sleep(delay).await;
        }
        _ => say(&stage, &sent, &code.to_string()),
    }
    sleep(link.milliseconds(4)).await;
    let result = link.through().await.map(|()| response);
    let _ = answer.send(result);
}

/// The request lands: at one moment, seen by the judge.
async fn carry_out(
    mut service: ApiService,
    stage: &Stage,
    sent: &Sent,
    request: Request<kube::client::Body>,
) -> Response<Body> {
    stage.look();
    let met = stage.cluster.with(|state| crate::judge::Met::by(sent, state));
    let answer = service.call(request).await;
    let response = match answer {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    };
    let status = response.status();
    {
        let now = stage.now();
        let mut shared = stage.shared();
        let shared = &mut *shared;
        stage
            .cluster
            .with(|state| shared.judge.carried_out(sent, &met, status.as_u16(), state, now, &mut shared.stats));
    }
    stage.look();
    response
}

fn refusal(code: u16) -> Response<Body> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the schedule says {code}"), "reason": reason, "code": code,
    });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Opens a watch, and disturbs what it brings.
async fn open(
    mut service: ApiService,
    link: Link,
    request: Request<kube::client::Body>,
) -> Result<Response<Body>, Failure> {
    let stage = link.0.stage.clone();
    let fate = link.fate("GET", true);
    sleep(link.milliseconds(8)).await;
    link.through().await?;
    match fate {
        Fate::Refused(code) => return Ok(refusal(code)),
        Fate::Reset => return Err("connection reset by peer".into()),
        _ => {}
    }
    let from_the_start = request.uri().query().is_some_and(|query| query.contains("resourceVersion=0"));
    let gone = !stage.is_quiet() && link.state().rng.u32(0..1000) < stage.plan.rates.watch_gone && !from_the_start;
    if gone {
        stage.count("faults", "410");
        stage.trace(|| format!("r{} WATCH {}: 410", link.0.replica, request.uri()));
        return Ok(refusal(410));
    }
    let response = match service.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(pump(link, body.into_data_stream(), sender));
    Ok(Response::from_parts(parts, Body::from_stream(Receiver(receiver))))
}

struct Receiver(mpsc::Receiver<Result<Bytes, Infallible>>);

impl Stream for Receiver {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Brings what a watch has to say: later, twice, or no more.
async fn pump(
    link: Link,
    mut events: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
) {
    let stage = link.0.stage.clone();
    loop {
        let event = tokio::select! {
            biased;
            () = link.dead().cancelled() => return,
            () = sender.closed() => return,
            event = events.next() => event,
        };
        let Some(Ok(event)) = event else { return };
        let rates = &stage.plan.rates;
        let draw = |rate: u32| !stage.is_quiet() && link.state().rng.u32(0..1000) < rate;
        let (ends, lags, repeats) = (draw(rates.watch_ends), draw(rates.watch_lags), draw(rates.watch_repeats));
        if ends {
            stage.count("faults", "watch ended");
            return;
        }
        if lags {
            stage.count("faults", "watch lagged");
            sleep(link.milliseconds(10_000)).await;
        }
        if link.through().await.is_err() {
            return;
        }
        if repeats {
            stage.count("faults", "watch event twice");
            if sender.send(Ok(event.clone())).await.is_err() {
                return;
            }
        }
        if sender.send(Ok(event)).await.is_err() {
            return;
        }
    }
}
