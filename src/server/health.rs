//! `/healthz`: the process answers. `/readyz`: it can do its work, or says what keeps it from that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;
use tokio::time::Instant;

/// The caches hold what the API had.
pub const CACHES: &str = "caches";
/// No watch has been broken for long.
///
/// Only `/readyz` asks for this one: a replica whose watch is broken is taken out of the Service, while the leader goes on
/// and intake takes what still reaches it. Old caches are harmless to both: a name that is taken is looked up, and every
/// decision reads what it is about. Where the watches of all replicas are broken, no alert arrives until one works again;
/// Alertmanager keeps trying, and says that it fails, which is louder than policies that are silently old.
pub const WATCHES: &str = "watches";
/// The API server answers.
pub const API: &str = "api";
/// What is done can be told: the audit log is written. Only where there is one.
pub const AUDIT: &str = "audit";
/// The process is not on its way out.
pub const RUNNING: &str = "running";

/// The state of the named checks. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Check>>>);

#[derive(Clone, Debug)]
enum Check {
    Passes,
    Fails(String),
    /// It passes until then, if nobody renews it.
    PassesUntil(Instant),
}

impl Check {
    fn verdict(&self, now: Instant) -> Result<(), String> {
        match self {
            Self::Passes => Ok(()),
            Self::Fails(why) => Err(why.clone()),
            Self::PassesUntil(end) if now < *end => Ok(()),
            Self::PassesUntil(end) => Err(format!("not renewed since {} s", (now - *end).as_secs())),
        }
    }
}

impl Default for Readiness {
    fn default() -> Self {
        let this = Self(Arc::default());
        this.fail(CACHES, "not synced yet");
        this.fail(API, "not asked yet");
        this.pass(WATCHES);
        this.pass(RUNNING);
        this
    }
}

impl Readiness {
    /// A check passes from now on.
    pub fn pass(&self, name: &'static str) {
        self.checks().insert(name, Check::Passes);
    }

    /// A check passes for so long, unless it is renewed.
    pub fn pass_for(&self, name: &'static str, how_long: Duration) {
        self.checks().insert(name, Check::PassesUntil(Instant::now() + how_long));
    }

    /// A check fails from now on.
    pub fn fail(&self, name: &'static str, why: impl Into<String>) {
        self.checks().insert(name, Check::Fails(why.into()));
    }

    /// From now on nothing new is taken.
    pub fn shut_down(&self) {
        self.fail(RUNNING, "shutting down");
    }

    /// Whether one check passes, or why not. A check that nobody set does not.
    pub fn check(&self, name: &'static str) -> Result<(), String> {
        self.checks().get(name).map_or_else(|| Err("unknown".to_owned()), |check| check.verdict(Instant::now()))
    }

    /// Every check, and whether it passes.
    pub fn all(&self) -> Vec<(&'static str, bool)> {
        let now = Instant::now();
        self.checks().iter().map(|(name, check)| (*name, check.verdict(now).is_ok())).collect()
    }

    /// Every check.
    fn report(&self) -> ReadyReport {
        let now = Instant::now();
        let checks: BTreeMap<_, _> = self.checks().iter().map(|(name, check)| (*name, check.verdict(now))).collect();
        ReadyReport {
            ready: checks.values().all(Result::is_ok),
            checks: checks.into_iter().map(|(name, verdict)| (name, verdict.err().unwrap_or("ok".into()))).collect(),
        }
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<&'static str, Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, PartialEq, Serialize)]
struct ReadyReport {
    ready: bool,
    checks: BTreeMap<&'static str, String>,
}

/// The routes of both checks. They need no credential and tell nothing of the cluster.
pub fn router(readiness: Readiness) -> Router {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz)).with_state(readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let report = readiness.report();
    (if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_every_check_passes_and_says_which_does_not() {
        let readiness = Readiness::default();
        assert!(!readiness.report().ready);
        readiness.pass(CACHES);
        readiness.pass_for(API, Duration::from_secs(15));
        assert!(readiness.report().ready);

        tokio::time::advance(Duration::from_secs(20)).await;
        let report = readiness.report();
        assert_eq!(report.checks[API], "not renewed since 5 s");
        assert_eq!(report.checks[CACHES], "ok");

        readiness.pass_for(API, Duration::from_secs(15));
        readiness.shut_down();
        assert_eq!(readiness.report().checks[RUNNING], "shutting down");
        assert!(!readiness.report().ready);
    }
}
