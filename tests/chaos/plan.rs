//! What a seed stands for: the world, the faults, and how often each of them comes.

use std::time::Duration;

use fastrand::Rng;
use paramedic::{
    api::{PositiveDuration, Rate},
    protections::{Protection, Protections},
};

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub protections: Protections,
    pub replicas: usize,
    pub workloads: Vec<WorkloadPlan>,
    pub policies: Vec<PolicyPlan>,
    /// How long faults come.
    pub faults_for: Duration,
    pub rates: Rates,
    /// The clocks are off by so much at most, either way.
    pub skew: Duration,
    /// Whether the Alertmanagers can be asked; otherwise only their notices speak.
    pub asked: bool,
    pub repeat_interval: Duration,
    pub max_concurrent: usize,
    /// Of all policies together.
    pub rate: Rate,
    /// How long a record stays; where that is short, the ledger has to remember what it did.
    pub retention: Duration,
    /// Between two blows at the replicas.
    pub blows_every: Duration,
    /// Between two things that people do.
    pub people_every: Duration,
}

#[derive(Clone, Debug)]
pub struct WorkloadPlan {
    pub namespace: &'static str,
    pub name: String,
    pub stateful: bool,
    pub replicas: u32,
    /// A PodDisruptionBudget's minAvailable.
    pub budget: Option<u32>,
    /// How long a pod is well, on the average.
    pub sickens_after: Duration,
    /// Of a hundred pods that fall ill, so many are not ready either.
    pub unready: u32,
    /// Of a hundred restarts, so many leave a pod that falls ill at once.
    pub relapses: u32,
}

#[derive(Clone, Debug)]
pub struct PolicyPlan {
    pub name: String,
    /// `None`: a `ClusterRemediationPolicy`.
    pub namespace: Option<&'static str>,
    pub alertname: &'static str,
    pub spec: serde_json::Value,
}

/// Of a thousand calls, so many meet this.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    pub refused: u32,
    pub reset: u32,
    pub conflict: u32,
    pub late: u32,
    pub lost: u32,
    pub slow: u32,
    pub watch_ends: u32,
    pub watch_lags: u32,
    pub watch_repeats: u32,
    pub watch_gone: u32,
}

pub const NAMESPACES: [&str; 2] = ["shop", "bank"];
/// Paramedic's own.
pub const OWN: &str = "paramedic";

fn secs(rng: &mut Rng, of: &[u64]) -> String {
    format!("{}s", of[rng.usize(..of.len())])
}

impl Plan {
    pub fn of(seed: u64, without: Option<Protection>) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let rng = &mut rng;
        let severity = rng.u32(0..4);
        let mut some = |most: u32| if severity == 0 { 0 } else { rng.u32(0..=most * severity / 3) };
        let rates = Rates {
            refused: some(60),
            reset: some(40),
            conflict: some(40),
            late: some(60),
            lost: some(60),
            slow: some(40),
            watch_ends: some(60),
            watch_lags: some(200),
            watch_repeats: some(200),
            watch_gone: some(200),
        };
        let workloads: Vec<WorkloadPlan> = (0..rng.usize(1..=3)).map(|number| workload(rng, number)).collect();
        let policies = policies(rng);
        Self {
            seed,
            protections: without.map_or_else(Protections::default, Protections::without),
            replicas: rng.usize(2..=3),
            workloads,
            policies,
            faults_for: Duration::from_secs(rng.u64(60..=180)),
            rates,
            skew: Duration::from_millis(if rng.bool() { 0 } else { rng.u64(0..=5_000) }),
            asked: rng.u32(0..4) > 0,
            repeat_interval: Duration::from_secs(rng.u64(30..=120)),
            max_concurrent: rng.usize(1..=5),
            rate: Rate { actions: rng.u32(4..=20), per: PositiveDuration::from_secs(180) },
            retention: Duration::from_secs([604_800, 604_800, 45, 90][rng.usize(..4)]),
            blows_every: Duration::from_secs(rng.u64(15..=90)),
            people_every: Duration::from_secs(rng.u64(10..=120)),
        }
    }

    /// A generator of its own for each part, so that what one draws does not move the others.
    pub fn rng(&self, part: u64) -> Rng {
        Rng::with_seed(self.seed ^ part.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(17))
    }
}

fn workload(rng: &mut Rng, number: usize) -> WorkloadPlan {
    let replicas = [1, 2, 3, 4][rng.usize(..4)];
    WorkloadPlan {
        namespace: NAMESPACES[rng.usize(..NAMESPACES.len())],
        name: format!("app{number}"),
        stateful: rng.bool(),
        replicas,
        budget: (replicas > 1 && rng.u32(0..3) == 0).then(|| rng.u32(1..replicas)),
        sickens_after: Duration::from_secs(rng.u64(20..=180)),
        unready: rng.u32(0..=60),
        relapses: rng.u32(0..=40),
    }
}

fn policies(rng: &mut Rng) -> Vec<PolicyPlan> {
    let mut policies = Vec::new();
    for alertname in ["Leak", "Sick"] {
        for namespace in NAMESPACES.map(Some).into_iter().chain([None]) {
            if rng.u32(0..5) < 2 {
                continue;
            }
            let name = format!("{}-{}", alertname.to_lowercase(), namespace.unwrap_or("all"));
            let spec = spec(rng, alertname, namespace.is_none());
            policies.push(PolicyPlan { name, namespace, alertname, spec });
        }
    }
    policies
}

/// A policy's spec, as somebody would write it; also what somebody changes one to.
pub fn spec(rng: &mut Rng, alertname: &str, cluster: bool) -> serde_json::Value {
    let verify =
        |rng: &mut Rng| serde_json::json!({ "within": secs(rng, &[20, 40]), "stableFor": secs(rng, &[2, 5, 10]) });
    let restart = |rng: &mut Rng| {
        let method = if rng.u32(0..3) == 0 { "Delete" } else { "Evict" };
        serde_json::json!({ "restartPod": { "method": method }, "verify": verify(rng) })
    };
    let mut steps = vec![restart(rng)];
    match rng.u32(0..4) {
        0 => steps.push(serde_json::json!({ "rolloutRestart": {}, "verify": verify(rng) })),
        1 => steps.push(restart(rng)),
        _ => {}
    }
    let min_available =
        [serde_json::json!("50%"), serde_json::json!(1), serde_json::json!("67%"), serde_json::json!("1%")]
            [rng.usize(..4)]
        .clone();
    let mut spec = serde_json::json!({
        "mode": (["DryRun", "RequireApproval"].get(rng.usize(..8)).copied().unwrap_or("Enforce")),
        "match": [format!("alertname=\"{alertname}\"")],
        "target": { "kind": "Pod" },
        "steps": steps,
        "limits": {
            "cooldown": secs(rng, &[1, 10, 30, 90]),
            "rate": { "actions": rng.u32(1..=5), "per": secs(rng, &[60, 180]) },
            "concurrency": rng.u32(1..=3),
            "minAvailable": min_available,
            "allowSingleReplica": rng.bool(),
            "giveUp": {
                "failures": rng.u32(2..=6), "recurrences": rng.u32(3..=12), "per": secs(rng, &[60, 300]),
            },
            "breaker": { "failed": "50%", "least": rng.u32(3..=10), "per": secs(rng, &[60, 120]) },
        },
        "priority": rng.i32(-1..=1),
    });
    if cluster {
        spec["namespaces"] = serde_json::json!(["*"]);
    }
    spec
}
