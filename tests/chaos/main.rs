//! Faults on a schedule: replicas of Paramedic on a simulated cluster, under everything that a network, a process and
//! people can do to them, thousands of times, and every time the same for the same seed.
//!
//! `make chaos` runs what CI does: 2,000 seeds, some of them twice, and some with each protection taken away.
//! `make chaos SEEDS=…` runs as many as asked, `make chaos SEED=…` one, with its whole trace; `WITHOUT=…` takes a
//! protection away. See `judge` for what must hold.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot be set up fails the run")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "numbers of a schedule are small"
)]
#![allow(clippy::similar_names, reason = "stage, state and stats are what they are")]
#![allow(missing_docs, reason = "nobody else calls this")]

mod alerts;
mod faults;
mod judge;
mod people;
mod plan;
mod replicas;
mod run;
mod stage;
mod stats;
mod workloads;

use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use paramedic::protections::Protection;

use crate::{
    run::{Run, run},
    stats::Stats,
};

/// Lines of a failed run's trace that are shown.
const LAST_LINES: usize = 60;
/// Seeds of a run of all.
const SEEDS: u64 = 2_000;
/// Seeds of which each is run twice.
const SAME: u64 = 20;
/// Every kind of fault: each has to come.
const FAULTS: [&str; 20] = [
    "410",
    "Alertmanager does not answer",
    "Alertmanager refuses",
    "answer lost",
    "carried out late",
    "clock moved",
    "conflict",
    "connection reset",
    "crash after a call",
    "crash before a call",
    "crash with an action under way",
    "killed",
    "partition",
    "refused 429",
    "refused 500",
    "refused 503",
    "slow answer",
    "watch ended",
    "watch event twice",
    "watch lagged",
];

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

fn without() -> Option<Protection> {
    let value = std::env::var("WITHOUT").ok().filter(|value| !value.is_empty())?;
    let found = Protection::ALL.into_iter().find(|protection| format!("{protection:?}") == value);
    Some(found.unwrap_or_else(|| panic!("WITHOUT={value} is none of {:?}", Protection::ALL)))
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = number("SEED") {
        return code(one(seed));
    }
    let (from, count) = (number("FROM").unwrap_or(1), number("SEEDS").unwrap_or(SEEDS));
    let passed = many(from, count);
    if without().is_some() || number("SEEDS").is_some() {
        return code(passed);
    }
    // All of it, as CI runs it: that it finds something where there is something to find belongs to it.
    let again = same_twice();
    let missed = Protection::ALL.into_iter().filter(|protection| !is_missed(*protection)).count();
    code(passed && again && missed == 0)
}

fn code(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A seed is the same every time, byte for byte.
fn same_twice() -> bool {
    let differs = |seed: &u64| run(*seed, None, true).trace != run(*seed, None, true).trace;
    let different: Vec<u64> = (1..=SAME).filter(differs).collect();
    println!(
        "{SAME} seeds run twice: {}",
        if different.is_empty() { "the same traces".to_owned() } else { format!("{different:?} differ") }
    );
    different.is_empty()
}

/// Without a protection something goes wrong: otherwise nobody could tell what it is for.
fn is_missed(protection: Protection) -> bool {
    let began = Instant::now();
    let sum = seeds(1, SEEDS, Some(protection), |sum| !sum.violations.is_empty());
    let seeds = sum.stats.of("", "seeds");
    let took = began.elapsed().as_secs_f64();
    let first = sum.violations.iter().min_by_key(|run| run.seed);
    let Some((seed, violation)) = first.and_then(|run| Some((run.seed, run.violation.as_ref()?))) else {
        println!("without {protection:?}: NOTHING found in {seeds} seeds, {took:.0} s");
        return false;
    };
    let what: String = violation.to_string().chars().take(160).collect();
    println!("without {protection:?}: seed {seed} of {seeds}, {took:.0} s: {what}");
    true
}

/// One seed, with all that happened.
fn one(seed: u64) -> bool {
    let run = run(seed, without(), true);
    for line in &run.trace {
        println!("{line}");
    }
    println!("seed {seed}, {} s simulated", run.simulated.as_secs());
    print!("{}", run.stats);
    match &run.violation {
        None => println!("nothing was violated"),
        Some(violation) => println!("VIOLATED {violation}"),
    }
    run.violation.is_none()
}

/// What came of many.
struct Sum {
    stats: Stats,
    violations: Vec<Run>,
    simulated: std::time::Duration,
}

/// Runs seeds on all cores; `enough` says when no more are needed.
fn seeds(from: u64, count: u64, without: Option<Protection>, enough: impl Fn(&Sum) -> bool + Sync) -> Sum {
    let next = AtomicU64::new(from);
    let sum = Mutex::new(Sum { stats: Stats::default(), violations: Vec::new(), simulated: std::time::Duration::ZERO });
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || enough(&sum.lock().unwrap()) {
                        return;
                    }
                    let run = run(seed, without, false);
                    let mut sum = sum.lock().unwrap();
                    sum.stats.add(&run.stats);
                    sum.stats.count("", "seeds");
                    sum.simulated += run.simulated;
                    if run.violation.is_some() {
                        sum.violations.push(run);
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap()
}

fn many(from: u64, count: u64) -> bool {
    let without = without();
    let began = Instant::now();
    let sum = seeds(from, count, without, |_| false);
    let took = began.elapsed().as_secs_f64();
    let seeds = sum.stats.of("", "seeds");
    println!(
        "{seeds} seeds in {took:.0} s, {:.1} a second; {} h simulated; {} calls; {} violations",
        seeds as f64 / took,
        sum.simulated.as_secs() / 3600,
        sum.stats.sum("calls"),
        sum.violations.len()
    );
    print!("{}", sum.stats);
    let mut violations = sum.violations;
    violations.sort_by_key(|run| run.seed);
    for run in violations.iter().take(20) {
        let violation = run.violation.as_ref().expect("it was kept for it");
        println!("seed {} VIOLATED {violation}; make chaos SEED={}", run.seed, run.seed);
    }
    if let Some(first) = violations.first() {
        let again = crate::run::run(first.seed, without, true);
        let skipped = again.trace.len().saturating_sub(LAST_LINES);
        println!("\nthe last lines of seed {}:", first.seed);
        for line in &again.trace[skipped..] {
            println!("{line}");
        }
    }
    // With a few seeds anything may be missing.
    let missing = if count >= SEEDS && without.is_none() { unhit(&sum.stats) } else { Vec::new() };
    if !missing.is_empty() {
        println!("never seen, so nothing is known about: {}", missing.join(", "));
    }
    violations.is_empty() && missing.is_empty()
}

/// What a run of all has to have met, and has not.
fn unhit(stats: &Stats) -> Vec<String> {
    let faults = FAULTS.iter().filter(|fault| stats.of("faults", fault) == 0).map(|fault| (*fault).to_owned());
    let protections = Protection::ALL.into_iter().map(|protection| format!("{protection:?}"));
    faults.chain(protections.filter(|protection| stats.of("protections", protection) == 0)).collect()
}
