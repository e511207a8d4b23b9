//! What the parts of one run share: the cluster, the time, the judge, the trace, the counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use paramedic::{clock::Clock, sim::Cluster};

use crate::{judge::Judge, plan::Plan, stats::Stats};

/// Everything that a part of a run may touch. Cheap to clone.
#[derive(Clone)]
pub struct Stage {
    pub plan: Arc<Plan>,
    pub cluster: Cluster,
    /// The true time.
    pub clock: Clock,
    shared: Arc<Mutex<Shared>>,
}

/// What is written by everybody. Nobody waits while he holds it.
pub struct Shared {
    pub judge: Judge,
    pub stats: Stats,
    /// Whether faults are over.
    pub quiet: bool,
    began: Timestamp,
    trace: Option<Vec<String>>,
}

impl Stage {
    pub fn new(plan: Arc<Plan>, cluster: Cluster, clock: Clock, traced: bool) -> Self {
        let shared = Shared {
            judge: Judge::new(Arc::clone(&plan)),
            stats: Stats::default(),
            quiet: false,
            began: clock.now(),
            trace: traced.then(Vec::new),
        };
        Self { plan, cluster, clock, shared: Arc::new(Mutex::new(shared)) }
    }

    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets the judge see what was written since he last looked.
    pub fn look(&self) {
        let now = self.now();
        let mut shared = self.shared();
        let shared = &mut *shared;
        self.cluster.with(|state| shared.judge.look(state, now));
        for line in shared.judge.take_lines() {
            shared.write(now, &line);
        }
    }

    /// Writes a line of the trace.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        let now = self.now();
        let mut shared = self.shared();
        if shared.trace.is_some() {
            shared.write(now, &line());
        }
    }

    pub fn count(&self, group: &'static str, what: &str) {
        self.shared().stats.count(group, what);
    }

    pub fn is_quiet(&self) -> bool {
        self.shared().quiet
    }

    pub fn take_trace(&self) -> Vec<String> {
        self.shared().trace.take().unwrap_or_default()
    }
}

impl Shared {
    fn write(&mut self, now: Timestamp, line: &str) {
        if let Some(trace) = &mut self.trace {
            let at = now.duration_since(self.began).as_millis();
            trace.push(format!("{:>5}.{:03} {line}", at / 1000, at % 1000));
        }
    }
}
