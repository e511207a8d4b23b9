//! One seed, on a thread of its own, under a clock that stands still unless all wait.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use paramedic::{
    clock::Clock,
    protections::Protection,
    sim::{Cluster, Settings},
};
use tokio::time::sleep;

use crate::{
    alerts::Alerts, judge::Violation, people, plan::Plan, replicas::Replicas, stage::Stage, stats::Stats, workloads,
};

/// How long after the last fault all has to be settled.
const SETTLES_WITHIN: Duration = Duration::from_mins(20);
/// How long a run may take on the machine's clock: one that spins would never end.
const WALL: Duration = Duration::from_mins(2);

/// What came of a run.
pub struct Run {
    pub seed: u64,
    pub violation: Option<Violation>,
    pub stats: Stats,
    pub trace: Vec<String>,
    /// How much time passed in it.
    pub simulated: Duration,
}

/// Runs a seed.
pub fn run(seed: u64, without: Option<Protection>, traced: bool) -> Run {
    let thread = std::thread::Builder::new().name(format!("seed {seed}")).spawn(move || {
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime can be built").block_on(play(seed, without, traced))
    });
    let joined = thread.expect("a thread can be started").join();
    joined.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Run {
            seed,
            violation: Some(Violation { invariant: "nothing panics", what }),
            stats: Stats::default(),
            trace: Vec::new(),
            simulated: Duration::ZERO,
        }
    })
}

async fn play(seed: u64, without: Option<Protection>, traced: bool) -> Run {
    let began = Instant::now();
    let plan = Arc::new(Plan::of(seed, without));
    let clock = Clock::driven("2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time"));
    let cluster =
        Cluster::new(Settings { seed, managed_fields: false, history: 5_000, ..Settings::new(clock.clone()) });
    let stage = Stage::new(Arc::clone(&plan), cluster, clock, traced);
    stage.trace(|| format!("{plan:?}"));
    let from = stage.now();
    let health = workloads::start(&stage);
    people::policies(&stage);
    stage.look();
    let replicas = Replicas::new(&stage);
    let alerts = Alerts::new(&stage);
    replicas.start(&alerts);
    tokio::spawn(alerts.clone().run(health, replicas.clone()));
    tokio::spawn(replicas.clone().strike());
    tokio::spawn(people::meddle(stage.clone()));
    tokio::spawn(people::answer(stage.clone()));

    let is_over = |stage: &Stage| {
        if began.elapsed() > WALL {
            stage.shared().judge.violated("a run ends", format!("it took longer than {} s", WALL.as_secs()));
        }
        stage.shared().judge.violation.is_some()
    };
    let end = tokio::time::Instant::now() + plan.faults_for;
    while tokio::time::Instant::now() < end && !is_over(&stage) {
        sleep(Duration::from_millis(500)).await;
        stage.look();
    }
    stage.shared().quiet = true;
    stage.trace(|| "all is quiet".to_owned());
    replicas.heal();
    people::calm_down(&stage);
    // Once what was under way has landed.
    sleep(Duration::from_secs(45)).await;
    alerts.tell_all_ends();
    let end = tokio::time::Instant::now() + SETTLES_WITHIN;
    while tokio::time::Instant::now() < end && !is_over(&stage) {
        sleep(Duration::from_secs(5)).await;
        stage.look();
        if alerts.is_calm() && !stage.shared().judge.is_any_open() {
            break;
        }
    }
    if !is_over(&stage) {
        stage.shared().judge.settled();
    }
    if !is_over(&stage) {
        // The last writes have to come back as changes.
        sleep(Duration::from_secs(30)).await;
        stage.look();
        replicas.judge_memory();
    }
    let simulated = Duration::try_from(stage.now().duration_since(from)).unwrap_or_default();
    let shared = stage.shared();
    let mut stats = shared.stats.clone();
    shared.judge.sum_up(&mut stats);
    let violation = shared.judge.violation.clone();
    drop(shared);
    Run { seed, violation, stats, trace: stage.take_trace(), simulated }
}
