//! # demo-app
//!
//! An application that falls ill on request, so that there is something to repair. It answers HTTP on `--listen`, and
//! until it is told otherwise it is healthy. Each illness can be chosen by a flag (or the environment variable that
//! `--help` names beside it), and then sets in `--after-seconds` after the start, or over HTTP:
//!
//! | request | effect |
//! | --- | --- |
//! | `GET /` | what it is doing, as JSON |
//! | `GET /metrics` | its own resident memory, what it leaked, requests, and its state, for Prometheus |
//! | `GET /healthz`, `GET /readyz` | liveness and readiness |
//! | `POST /leak/start?rateMib=50&limitMib=400` | leaks that many MiB a second, and holds what it has at the limit |
//! | `POST /leak/stop?free=true` | stops leaking, and gives the memory back if asked to |
//! | `POST /hang?seconds=30` | answers nothing, probes included: for that long, or until it is restarted |
//! | `POST /exit?code=3` | answers, then ends with that code |
//! | `POST /fail/readiness`, `POST /fail/liveness` | lets that probe fail |
//! | `POST /burn?threads=2&seconds=60` | keeps that many threads busy, for at most an hour |
//! | `POST /corrupt` | leaves a broken file in `--scratch`, and crashes: now, and at each start until the file is gone |
//! | `POST /recover` | is healthy again, and holds nothing; only a hang or an exit is beyond it |
//!
//! The leak writes to every page that it takes, so that resident memory really grows: `demo-app --leak` passes 300 MiB
//! after some six seconds. A restart cures everything but the flags. SIGTERM and SIGINT end it at once with code 0.

mod burn;
mod leak;
mod memory;
mod metrics;
mod options;
mod patient;
mod routes;

use std::convert::Infallible;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

pub use crate::options::Options;
use crate::patient::Patient;

/// How often the leak takes its next piece: at 50 MiB/s one MiB, which holds the event loop up for under a millisecond.
const LEAK_TICK: Duration = Duration::from_millis(20);

/// How long the answer to `POST /exit` has to reach its caller.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The code of a crash over a broken scratch directory.
const BROKEN_SCRATCH: u8 = 3;

/// All that a `main` needs: takes the port, says which on standard output, and serves as [`run`] does. A scratch
/// directory that `POST /corrupt` has left broken ends it at once, with a code that is no success.
pub async fn start(options: &Options, ended: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    if let Some(file) = options.broken_scratch() {
        eprintln!("demo-app: {} is broken, and nothing here can repair it", file.display());
        return Ok(ExitCode::from(BROKEN_SCRATCH));
    }
    let listener = TcpListener::bind(options.listen).await?;
    // With port 0 this line is how others learn the port.
    println!("demo-app listens on http://{}", listener.local_addr()?);
    run(options, listener, ended).await
}

/// Serves on `listener` until a signal, `ended`, or somebody's `POST /exit`, ends it; the code is what the process should
/// end with.
pub async fn run(
    options: &Options,
    listener: TcpListener,
    ended: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    // Registered before the first request: as PID 1 of a container the process has no default handler to fall back on.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut patient = Patient::new(options.leak_rate_mib, options.leak_limit_mib);
    patient.scratch.clone_from(&options.scratch);
    let patient = Arc::new(patient);
    let app = routes::router(Arc::clone(&patient));
    tokio::select! {
        served = axum::serve(listener, app) => served.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        never = leak_steadily(&patient) => match never {},
        never = fall_ill_later(options, &patient) => match never {},
        code = patient.exit_requested() => {
            sleep(LAST_WORDS).await;
            Ok(ExitCode::from(code))
        }
        () = ended => Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
    }
}

/// Grows the leak by the time that really passed, so that a throttled container still leaks at its rate.
async fn leak_steadily(patient: &Patient) -> Infallible {
    let mut tick = interval(LEAK_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = Instant::now();
    loop {
        let now = tick.tick().await;
        patient.leak().grow(now - last);
        last = now;
    }
}

/// Brings on what the flags ask for.
async fn fall_ill_later(options: &Options, patient: &Patient) -> Infallible {
    sleep(Duration::from_secs(options.after_seconds)).await;
    if let Err(problem) = options.apply(patient) {
        eprintln!("demo-app: {problem}");
    }
    std::future::pending().await
}
