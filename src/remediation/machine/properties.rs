//! What holds whatever happens: over random worlds and times, with several records that share a ledger, writes that
//! fail or whose answers are lost, and leaders that crash. The records are driven as the driver drives them.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    api::{Bounds, Breaker, Decision, GiveUp, Limits, Mode, ObjectKey, Remediation},
    remediation::{Consent, Consents, Crowd, Ledger, Mark, SiblingNow, Side, fixtures::*},
    target::Unresolved,
    triage::PolicyKey,
};

const DESIRED: u32 = 4;

// ---- what can happen

/// What a look finds, for whatever the record is at.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may be so or not")]
#[derive(Clone, Debug)]
struct Sight {
    evidence: Evidence,
    paused: bool,
    /// The audit log cannot be written.
    unaudited: bool,
    target: Sighting,
    policy: PolicySight,
    healthy: bool,
    cancelled: bool,
    /// What somebody says to the plan that awaits an answer.
    said: Option<Decision>,
    write: Write,
    outcome: ActionOutcome,
}

#[derive(Clone, Copy, Debug)]
enum Sighting {
    Found,
    Missing,
    NoAnswer,
}

#[derive(Clone, Copy, Debug)]
enum PolicySight {
    InForce,
    Unseen,
    Gone,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug)]
enum Write {
    Done,
    Conflict,
    /// It was done, but the answer was lost.
    AnswerLost,
    /// It was not done, and nobody was told.
    RequestLost,
}

#[derive(Clone, Debug)]
enum Event {
    Attend(usize, Sight),
    Pass(i64),
    /// The leader is gone; another one knows only what was written.
    Crash,
    /// The new pods of all workloads are ready.
    Ready,
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        8 => Just(Evidence::Firing),
        2 => any::<bool>().prop_map(|confirmed| Evidence::Clear { confirmed }),
        1 => Just(Evidence::Suppressed("silenced".to_owned())),
        1 => Just(Evidence::Unknown("no answer".to_owned())),
        1 => Just(Evidence::Unasked),
    ]
}

fn outcome() -> impl Strategy<Value = ActionOutcome> {
    prop_oneof![
        8 => Just(ActionOutcome::Done),
        1 => select(vec![
            ActionOutcome::NotDone,
            ActionOutcome::Disrupted,
            ActionOutcome::Conflict,
            ActionOutcome::Refused,
            ActionOutcome::Unknown,
        ]),
    ]
}

fn sight() -> impl Strategy<Value = Sight> {
    let target = prop_oneof![8 => Just(Sighting::Found), 1 => Just(Sighting::Missing), 1 => Just(Sighting::NoAnswer)];
    let policy =
        prop_oneof![30 => Just(PolicySight::InForce), 2 => Just(PolicySight::Unseen), 1 => Just(PolicySight::Gone)];
    let write =
        prop_oneof![10 => Just(Write::Done), 1 => select(vec![Write::Conflict, Write::AnswerLost, Write::RequestLost])];
    let rarely = |one_in: u32| prop_oneof![one_in => Just(false), 1 => Just(true)];
    let said = prop_oneof![
        5 => Just(None),
        5 => Just(Some(Decision::Approve)),
        1 => Just(Some(Decision::Deny)),
    ];
    let against = (rarely(8), rarely(12));
    (evidence(), against, target, policy, any::<bool>(), rarely(40), said, write, outcome()).prop_map(
        |(evidence, (paused, unaudited), target, policy, healthy, cancelled, said, write, outcome)| Sight {
            evidence,
            paused,
            unaudited,
            target,
            policy,
            healthy,
            cancelled,
            said,
            write,
            outcome,
        },
    )
}

fn event(records: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..records, sight()).prop_map(|(record, sight)| Event::Attend(record, sight)),
        4 => prop_oneof![Just(1), Just(2), 1_i64..100, 1_i64..2000].prop_map(Event::Pass),
        1 => Just(Event::Crash),
        2 => Just(Event::Ready),
    ]
}

fn give_up() -> impl Strategy<Value = GiveUp> {
    let recurrences = prop_oneof![1_u32..6, 4_u32..100];
    (1_u32..5, recurrences, 60_i64..7200).prop_map(|(failures, recurrences, per)| GiveUp {
        failures,
        recurrences,
        per: seconds(per),
    })
}

fn breaker() -> impl Strategy<Value = Breaker> {
    (1_u32..=100, 1_u32..5, 60_i64..7200).prop_map(|(share, least, per)| Breaker {
        failed: percent(share),
        least,
        per: seconds(per),
    })
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let rate = || proptest::option::of((1_u32..6, 600_i64..7200).prop_map(|(actions, per)| rate(actions, per)));
    (rate(), rate()).prop_map(|(rate, rate_per_namespace)| Bounds { rate, rate_per_namespace, ..Bounds::default() })
}

fn limits() -> impl Strategy<Value = Limits> {
    let first = (prop_oneof![1_i64..60, 1_i64..1800], 1_u32..6, 600_i64..7200, 1_u32..3, 1_u32..=100);
    (first, give_up(), breaker()).prop_map(|((cooldown, actions, per, concurrency, share), give_up, breaker)| Limits {
        cooldown: seconds(cooldown),
        rate: rate(actions, per),
        concurrency,
        min_available: percent(share),
        allow_single_replica: false,
        give_up,
        breaker,
    })
}

// ---- those it happens to

/// A workload as it really is. What the API lists may lag behind by as much as we allow for.
#[derive(Clone, Debug)]
struct App {
    living: Vec<String>,
    ended: Vec<(String, Timestamp)>,
    starting: Vec<String>,
    started: usize,
}

struct Kept {
    fixture: RecordFixture,
    /// What the leader believes is written.
    held: RemediationStatus,
    stale: bool,
    good_since: Option<Timestamp>,
    /// What its action came to, where it was begun by this leader.
    outcome: Option<ActionOutcome>,
    /// All that was said to its plans.
    consents: Vec<Consent>,
    app: usize,
    policy: usize,
}

struct Story {
    policies: Vec<PolicyFixture>,
    records: Vec<Kept>,
    apps: Vec<App>,
    ledger: Ledger,
    shadow: Ledger,
    now: i64,
    max_concurrent: usize,
    bounds: Bounds,
}

impl Story {
    fn new(limits: &[Limits], modes: &[Mode], records: &[(usize, usize, usize)], max_concurrent: usize) -> Self {
        let policies: Vec<_> = limits
            .iter()
            .zip(modes)
            .enumerate()
            .map(|(number, (limits, mode))| {
                let steps = vec![restart_pod(), delete_pod(), rollout_restart()];
                a_policy(&format!("policy-{number}")).mode(*mode).steps(steps).limits(|all| *all = limits.clone())
            })
            .collect();
        let pods = |app: usize| (1..=DESIRED).map(|pod| format!("app{app}-{pod}")).collect();
        let app = |app| App { living: pods(app), ended: Vec::new(), starting: Vec::new(), started: 0 };
        let kept = |(number, (policy, app, pod)): (usize, &(usize, usize, usize))| {
            let policy = policy % policies.len();
            let record = a_record_of(&policies[policy].clone().build());
            let fixture = record.named(&format!("rem-{number}")).about(&format!("app{app}-{}", pod + 1));
            Kept {
                held: fixture.status.clone(),
                fixture,
                stale: false,
                good_since: None,
                outcome: None,
                consents: Vec::new(),
                app: *app,
                policy,
            }
        };
        let mut records: Vec<Kept> = records.iter().enumerate().map(kept).collect();
        // Of two that have one alert the one of the first policy comes first, as triage has it.
        for index in 0..records.len() {
            let spec = &records[index].fixture.spec;
            let first = |other: &&Kept| {
                let (its, dry_run) = (&other.fixture.spec, Mode::DryRun);
                let counts = its.mode != dry_run || spec.mode == dry_run;
                counts && other.policy < records[index].policy && its.alert.fingerprint == spec.alert.fingerprint
            };
            let names: Vec<String> = records.iter().filter(first).map(|other| other.fixture.key.name.clone()).collect();
            let fixture = &mut records[index].fixture;
            fixture.spec.outranked_by = Vec::new();
            for name in names {
                *fixture = fixture.clone().outranked_by(&name);
            }
        }
        let apps = (0..2).map(app).collect();
        let (ledger, shadow) = (Ledger::default(), Ledger::default());
        let bounds = Bounds::default();
        Self { policies, records, apps, ledger, shadow, now: 0, max_concurrent, bounds }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Pass(seconds) => self.now += seconds,
            Event::Crash => self.crash(),
            Event::Ready => {
                for app in &mut self.apps {
                    app.living.append(&mut app.starting);
                }
            }
            Event::Attend(record, sight) => self.attend(*record, sight),
        }
        self.ledger.forget(at(self.now));
        self.limits_hold();
    }

    /// How those stand that come before a record.
    fn siblings(&self, index: usize) -> Vec<SiblingNow> {
        let siblings = self.records[index].fixture.spec.outranked_by.iter();
        let there = |sibling: &crate::api::Sibling| {
            let other = self.records.iter().find(|other| other.fixture.key == sibling.key());
            other.map_or(SiblingNow::Absent, |other| SiblingNow::There {
                priority: sibling.priority,
                dry_run: other.fixture.spec.mode == Mode::DryRun,
                phase: other.fixture.status.phase,
            })
        };
        siblings.map(there).collect()
    }

    fn objects(&self) -> Vec<Remediation> {
        self.records.iter().map(|record| record.fixture.object()).collect()
    }

    /// Only what is written is left. Where the leader was sure of it, its ledger was that of the records.
    fn crash(&mut self) {
        let (ledger, shadow) = Ledger::of(&self.objects(), at(self.now));
        if self.records.iter().all(|record| !record.stale) {
            self.same_verdicts(&ledger, &shadow);
        }
        (self.ledger, self.shadow) = (ledger, shadow);
        for record in &mut self.records {
            record.held = record.fixture.status.clone();
            record.stale = false;
            record.good_since = None;
            record.outcome = None;
        }
    }

    fn same_verdicts(&self, ledger: &Ledger, shadow: &Ledger) {
        let now = at(self.now);
        let mut askers: Vec<ObjectKey> = self.records.iter().map(|record| record.fixture.key.clone()).collect();
        askers.push(key("stranger"));
        for (grown, rebuilt) in [(&self.ledger, ledger), (&self.shadow, shadow)] {
            assert_eq!(grown.running(), rebuilt.running());
            assert_eq!(grown.ended_lately(now), rebuilt.ended_lately(now));
            for policy in &self.policies {
                let (limits, policy) = (&policy.all_limits(), PolicyKey::from(&policy.clone().build().reference));
                assert_eq!(grown.rate(&policy, limits.rate, now), rebuilt.rate(&policy, limits.rate, now));
                assert_eq!(grown.rate_in_all(limits.rate, now), rebuilt.rate_in_all(limits.rate, now));
                assert_eq!(grown.rate_in("shop", limits.rate, now), rebuilt.rate_in("shop", limits.rate, now));
                let breaker = |ledger: &Ledger| ledger.breaker(&policy, limits.breaker, None, now);
                assert_eq!(breaker(grown), breaker(rebuilt));
                for subject in ["uid-app0", "uid-app1"] {
                    let step = |ledger: &Ledger| ledger.first_step(&policy, subject, 3, now);
                    assert_eq!(step(grown), step(rebuilt));
                    for asker in &askers {
                        assert_eq!(grown.lock(subject, asker), rebuilt.lock(subject, asker));
                        let gives_up =
                            |ledger: &Ledger| ledger.gives_up(&policy, subject, limits.give_up, None, asker, now);
                        assert_eq!(gives_up(grown), gives_up(rebuilt));
                        let cooldown = |ledger: &Ledger| ledger.cooldown(subject, limits, asker, now);
                        assert_eq!(cooldown(grown), cooldown(rebuilt));
                        let concurrency = |ledger: &Ledger| ledger.concurrency(&policy, limits, 2, asker);
                        assert_eq!(concurrency(grown), concurrency(rebuilt));
                    }
                }
            }
        }
    }

    /// Reads a record again of which it is not known what is written.
    fn refresh(&mut self, index: usize) {
        let record = &mut self.records[index];
        if !record.stale {
            return;
        }
        let written = record.fixture.status.clone();
        self.ledger.reconcile(&record.fixture.object(), Side::Real);
        self.shadow.reconcile(&record.fixture.object(), Side::Simulated);
        record.held = written;
        record.stale = false;
    }

    fn attend(&mut self, index: usize, sight: &Sight) {
        self.refresh(index);
        let now = at(self.now);
        let found = self.scene(index, sight.target);
        let target_ready = found.as_ref().is_ok_and(|found| found.target_ready);
        let (siblings, objects) = (self.siblings(index), self.objects());
        let record = &mut self.records[index];
        let before = record.held.clone();
        record.hear(sight.said, now);
        let observed = match before.phase {
            Phase::Acting => {
                let entry = before.journal.last().unwrap();
                let pod_is_gone = !self.apps[record.app].living.contains(&entry.target.name);
                let seen = if pod_is_gone { ActionOutcome::Done } else { ActionOutcome::NotDone };
                Observed::Outcome { outcome: record.outcome.unwrap_or(seen), message: None }
            }
            Phase::Verifying => {
                let health = if sight.healthy { Health::Healthy } else { Health::Unhealthy("not yet".to_owned()) };
                let seen = a_look(health, sight.evidence.clone());
                record.good_since = if seen.is_good() { record.good_since.or(Some(now)) } else { None };
                Observed::Recovery(Recovery { seen, good_since: record.good_since })
            }
            Phase::Observing => Observed::Nothing,
            _ => {
                let pause = Ok(sight.paused.then(|| "freeze".to_owned()));
                let consents = Consents::Said(record.consents.clone());
                Observed::Scene(Box::new(crate::remediation::Scene {
                    siblings: siblings.clone(),
                    pause,
                    target: found,
                    access: all_allowed(),
                    consents,
                    workloads: None,
                }))
            }
        };
        let crowd = Crowd::of(&objects);
        let policy = match sight.policy {
            PolicySight::InForce => PolicyNow::InForce(Arc::new(self.policies[record.policy].clone().build())),
            PolicySight::Unseen => PolicyNow::Unseen,
            PolicySight::Gone => PolicyNow::Gone,
        };
        let world = World {
            key: &record.fixture.key,
            cancel: sight.cancelled.then_some("enough"),
            policy: &policy,
            evidence: &sight.evidence,
            observed,
            ledger: &self.ledger,
            shadow: &self.shadow,
            max_concurrent: self.max_concurrent,
            bounds: &self.bounds,
            crowd: &crowd,
            audit: sight.unaudited.then_some("the disk is full"),
            protections: crate::protections::Protections::default(),
        };
        let next = next(&record.fixture.spec, &before, &world, now);
        holds_of_every_transition(&record.fixture.spec, &before, &next);
        if next.effect == Effect::Act {
            assert_eq!(sight.evidence, Evidence::Firing, "it acted although the alert did not fire");
            assert!(!sight.paused && !sight.cancelled, "it acted in a pause, or after it was cancelled");
            assert!(!sight.unaudited, "it acted although nothing could tell of it");
            assert!(matches!(sight.policy, PolicySight::InForce), "it acted without its policy");
            self.records[index].consented(&next.status, now);
            let in_the_way = |now: &SiblingNow| match now {
                SiblingNow::There { dry_run, phase, .. } => {
                    !dry_run && (!phase.is_terminal() || *phase == Phase::Succeeded)
                }
                SiblingNow::Absent | SiblingNow::Unknown(_) => true,
            };
            assert!(!siblings.iter().any(in_the_way), "it acted before those that come first: {siblings:?}");
        }
        if next.status != before && !self.write(index, &before, &next.status, sight.write) {
            return;
        }
        if next.effect == Effect::Act {
            self.act(index, sight.outcome, target_ready);
        }
    }

    /// As the driver does: the limits are taken before the write, and given back where it certainly was not done.
    fn write(&mut self, index: usize, before: &RemediationStatus, after: &RemediationStatus, write: Write) -> bool {
        let record = &mut self.records[index];
        let key = record.fixture.key.clone();
        let acting = after.phase == Phase::Acting;
        self.ledger.judge(&record.fixture.object(), after);
        if after.journal.len() > before.journal.len() {
            let (entry, subject) = (after.journal.last().unwrap(), after.subject.as_ref().unwrap());
            let mark = Mark {
                at: entry.started_at,
                policy: record.fixture.policy(),
                namespace: entry.target.namespace.clone(),
                subject: subject.uid.clone(),
                target: entry.target.uid.clone(),
                step: entry.step,
                record: key.clone(),
            };
            match (entry.outcome, write) {
                (ActionOutcome::DryRun, Write::Done | Write::AnswerLost) => self.shadow.note(mark),
                (ActionOutcome::DryRun, _) => {}
                _ => self.ledger.take(mark),
            }
        }
        match write {
            Write::Done => {
                record.fixture.status = after.clone();
                record.held = after.clone();
                record.outcome = None;
                if before.phase != after.phase {
                    record.good_since = None;
                }
                let undone = after.journal.last().is_some_and(|entry| !entry.outcome.counts());
                if before.phase == Phase::Acting && undone {
                    self.ledger.give_back(&key);
                }
                self.ledger.follow(&key, after.phase);
                true
            }
            Write::Conflict => {
                if acting {
                    self.ledger.give_back(&key);
                    self.ledger.follow(&key, before.phase);
                }
                record.stale = true;
                false
            }
            Write::AnswerLost | Write::RequestLost => {
                if acting {
                    record.held = after.clone();
                }
                if let Write::AnswerLost = write {
                    record.fixture.status = after.clone();
                }
                record.stale = true;
                false
            }
        }
    }

    fn act(&mut self, index: usize, outcome: ActionOutcome, target_ready: bool) {
        let record = &mut self.records[index];
        assert!(record.fixture.spec.mode >= Mode::RequireApproval, "a dry run acted");
        record.outcome = Some(outcome);
        let entry = record.fixture.status.journal.last().unwrap();
        let app = &mut self.apps[record.app];
        if !matches!(outcome, ActionOutcome::Done | ActionOutcome::Unknown) || entry.action != "restartPod" {
            return;
        }
        let target = entry.target.name.clone();
        if target_ready {
            let share = record.fixture.spec.limits.min_available;
            let left = app.living.iter().filter(|pod| **pod != target).count();
            assert!(left >= share.of(DESIRED) as usize, "{left} of {DESIRED} pods are left, and {share} must be");
        }
        app.living.retain(|pod| *pod != target);
        app.starting.retain(|pod| *pod != target);
        app.ended.push((target.clone(), at(self.now)));
        app.started += 1;
        let generation = app.started;
        app.starting.push(format!("app{}-1{generation:03}", record.app));
    }

    /// The target: the pod that the alert names, or one that lives where that one is gone. The list still has as ready
    /// what ended within two minutes.
    fn scene(&self, index: usize, sighting: Sighting) -> Result<crate::target::Resolved, Unresolved> {
        let record = &self.records[index];
        let app = &self.apps[record.app];
        let missing = || Unresolved::Missing { kind: "Pod", namespace: "shop".to_owned(), name: "the pod".to_owned() };
        match sighting {
            Sighting::Missing => return Err(missing()),
            Sighting::NoAnswer => return Err(Unresolved::Api("no answer".to_owned())),
            Sighting::Found => {}
        }
        let named = record.fixture.spec.alert.labels.get("pod").unwrap().to_owned();
        let living = || app.living.iter().chain(&app.starting);
        let name = living().find(|pod| **pod == named).or(living().next()).ok_or_else(missing)?;
        let mut found = resolved(name);
        let listed = app.ended.iter().filter(|(_, ended)| at(self.now).duration_since(*ended).as_secs() <= 120);
        found.target_ready = app.living.contains(name);
        found.subject.state.desired = DESIRED;
        found.subject.state.updated = Some(DESIRED);
        found.pods.ready =
            app.living.iter().chain(listed.map(|(pod, _)| pod)).map(|pod| format!("uid-{pod}")).collect();
        Ok(found)
    }

    /// What was written, whoever wrote it, stays within the limits.
    fn limits_hold(&self) {
        let running: Vec<&Kept> =
            self.records.iter().filter(|record| record.fixture.status.phase.is_running()).collect();
        assert!(running.len() <= self.max_concurrent, "more than {} run", self.max_concurrent);
        for app in 0..self.apps.len() {
            assert!(running.iter().filter(|record| record.app == app).count() <= 1, "two run on one subject");
        }
        let mut entries: Vec<(Timestamp, &Kept)> = Vec::new();
        for record in &self.records {
            let counting = record.fixture.status.journal.iter().filter(|entry| entry.outcome.counts());
            entries.extend(counting.map(|entry| (entry.started_at, record)));
        }
        for (number, policy) in self.policies.iter().enumerate() {
            let limits = &policy.all_limits();
            let of_policy = |record: &&&Kept| record.policy == number;
            assert!(running.iter().filter(of_policy).count() <= limits.concurrency as usize, "concurrency of a policy");
            for (end, _) in entries.iter().filter(|(_, record)| record.policy == number) {
                let within = |(time, record): &&(Timestamp, &Kept)| {
                    record.policy == number && time <= end && after(*time, limits.rate.per.signed()) > *end
                };
                let taken = entries.iter().filter(within).count();
                assert!(taken <= limits.rate.actions as usize, "{taken} actions in {}", limits.rate.per);
            }
        }
        for (later, record) in &entries {
            let cooldown = self.policies[record.policy].all_limits().cooldown.signed();
            let too_early = |(earlier, other): &&(Timestamp, &Kept)| {
                let another = other.app == record.app && other.fixture.key != record.fixture.key;
                another && earlier <= later && after(*earlier, cooldown) > *later
            };
            assert!(!entries.iter().any(|entry| too_early(&entry)), "a cooldown was not kept");
        }
        for rate in [self.bounds.rate, self.bounds.rate_per_namespace].into_iter().flatten() {
            for (end, _) in &entries {
                let within = |time: &Timestamp| time <= end && after(*time, rate.per.signed()) > *end;
                let taken = entries.iter().filter(|(time, _)| within(time)).count();
                assert!(taken <= rate.actions as usize, "{taken} actions in {} of all policies", rate.per);
            }
        }
        for (time, record) in &entries {
            self.memory_held(&entries, *time, record);
        }
    }
}

impl Story {
    /// Whether a record might act at that time, by what earlier ones came to.
    fn memory_held(&self, entries: &[(Timestamp, &Kept)], time: Timestamp, record: &Kept) {
        let limits = &self.policies[record.policy].all_limits();
        let give_up = limits.give_up;
        let same = |other: &Kept| other.policy == record.policy && other.app == record.app;
        let begun = |other: &Kept| {
            let of_other = entries.iter().filter(|(_, kept)| kept.fixture.key == other.fixture.key);
            of_other.map(|(at, _)| *at).min()
        };
        let others = self.records.iter().filter(|other| same(other) && other.fixture.key != record.fixture.key);
        let recent = |at: &Timestamp| *at < time && after(*at, give_up.per.signed()) > time;
        let recurrences = others.filter_map(begun).filter(recent).count();
        assert!(recurrences < give_up.recurrences as usize, "it acted after {recurrences} recurrences");

        // How those ended that had acted before: (when, of the same subject, whether it helped).
        let mut ended: Vec<(Timestamp, bool, bool)> = Vec::new();
        for other in self.records.iter().filter(|other| other.policy == record.policy) {
            let status = &other.fixture.status;
            let tried = |entry: &JournalEntry| entry.outcome.counts() || entry.outcome == ActionOutcome::Refused;
            let judged = matches!(status.phase, Phase::Succeeded | Phase::Failed);
            if let Some(at) = status.ended_at.filter(|_| judged && status.journal.iter().any(tried)) {
                ended.push((at, other.app == record.app, status.phase == Phase::Succeeded));
            }
        }
        ended.sort_unstable();
        // Of what happened in the same second nobody can say which was first.
        if ended.iter().any(|(at, ..)| *at == time) {
            return;
        }
        ended.retain(|(at, ..)| *at < time);
        let on_subject = ended.iter().rev().filter(|(_, same, _)| *same);
        let failures: Vec<_> = on_subject.take_while(|(.., helped)| !helped).collect();
        if failures.len() >= give_up.failures as usize {
            let (last, ..) = failures[0];
            assert!(after(*last, give_up.per.signed()) <= time, "it acted after {} failures in a row", failures.len());
        }
        if let Some((last, ..)) = ended.last() {
            let breaker = limits.breaker;
            let in_window: Vec<_> = ended.iter().filter(|(at, ..)| after(*at, breaker.per.signed()) > *last).collect();
            let failed = u32::try_from(in_window.iter().filter(|(.., helped)| !helped).count()).unwrap();
            let tripped = in_window.len() >= breaker.least as usize
                && failed > 0
                && failed >= breaker.failed.of(u32::try_from(in_window.len()).unwrap());
            assert!(!tripped || after(*last, breaker.per.signed()) <= time, "it acted although its breaker was open");
        }
    }
}

impl Kept {
    /// Somebody answers to the plan that is asked about.
    fn hear(&mut self, said: Option<Decision>, now: Timestamp) {
        let (Phase::AwaitingApproval, Some(decision)) = (self.held.phase, said) else { return };
        let (hash, target) = (self.held.plan_hash.clone().unwrap(), self.held.target.clone().unwrap());
        self.consents.push(Consent {
            name: format!("{}-{}", self.fixture.key.name, self.consents.len()),
            remediation: self.fixture.key.name.clone(),
            policy: self.fixture.policy(),
            plan_hash: hash,
            target_uid: target.uid,
            decision,
            approver: "kim".to_owned(),
            comment: None,
            at: now,
        });
    }

    /// What is about to be done was approved: this plan, for this object, not long ago, by somebody, and denied by nobody.
    /// And that consent has led to no other action.
    fn consented(&self, status: &RemediationStatus, now: Timestamp) {
        let entry = status.journal.last().unwrap();
        if self.fixture.spec.mode != Mode::RequireApproval {
            assert_eq!(entry.approved_by, None);
            return;
        }
        let approved_by = entry.approved_by.as_ref().expect("it acted without an approval");
        let consent = self.consents.iter().find(|consent| consent.name == approved_by.approval).unwrap();
        assert_eq!((consent.decision, &consent.target_uid), (Decision::Approve, &entry.target.uid));
        assert_eq!(Some(&consent.plan_hash), status.plan_hash.as_ref());
        assert!(now.duration_since(consent.at) < self.fixture.spec.approval.within.signed(), "an old approval");
        let denied = |other: &&Consent| other.decision == Decision::Deny && other.plan_hash == consent.plan_hash;
        assert_eq!(self.consents.iter().find(denied), None, "it was denied");
        let earlier = status.journal.iter().rev().skip(1);
        let again = earlier.filter(|earlier| earlier.approved_by == entry.approved_by && earlier.outcome.counts());
        assert_eq!(again.count(), 0, "one approval, two actions");
    }
}

/// What holds of every single transition.
fn holds_of_every_transition(spec: &RemediationSpec, before: &RemediationStatus, next: &Next) {
    let status = &next.status;
    if before.phase.is_terminal() {
        assert_eq!((status, &next.effect), (before, &Effect::End), "terminal is terminal");
        return;
    }
    assert_eq!(status.phase.is_terminal(), next.effect == Effect::End, "the end is the end");
    let old = before.journal.len();
    assert!(status.journal.len() >= old, "a journal never shrinks");
    assert!(status.journal.len() <= old.max(JOURNAL_LENGTH), "a journal is bounded");
    let settled = if before.phase == Phase::Acting { old.saturating_sub(1) } else { old };
    assert_eq!(status.journal[..settled], before.journal[..settled], "what is written stays as it was");
    if next.effect == Effect::Act {
        assert_eq!(status.journal.len(), old + 1, "no action without an entry before it");
        let entry = &status.journal[old];
        assert_eq!((entry.outcome, entry.step, status.phase), (ActionOutcome::Running, status.step, Phase::Acting));
        assert_eq!(Some(&entry.target), status.target.as_ref());
        assert!(status.subject.is_some() && status.plan.is_some());
        assert_ne!(spec.mode, Mode::DryRun, "a dry run never acts");
    } else {
        let began = status.journal[settled..].iter().filter(|entry| entry.outcome == ActionOutcome::Running);
        assert!(before.phase == Phase::Acting || began.count() == 0, "nothing is announced that is not done");
    }
    let awaits = status.phase == Phase::AwaitingApproval;
    assert!(!awaits || status.plan_hash.is_some() || before.phase == status.phase, "a question has a plan");
    assert!(spec.mode != Mode::DryRun || !status.phase.is_running() || before.phase.is_running());
    assert_eq!(next.effect == Effect::Observe, status.phase == Phase::Acting && next.effect != Effect::Act);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Limits hold, no two remediations run on a subject, journals only grow, a rebuilt ledger says the same.
    #[test]
    fn several_records_that_share_a_ledger_stay_within_every_limit(
        limits in vec(limits(), 2),
        modes in vec(prop_oneof![3 => Just(Mode::Enforce), 3 => Just(Mode::RequireApproval), 1 => Just(Mode::DryRun)], 2),
        records in vec((0..2_usize, 0..2_usize, 0..3_usize), 1..7),
        max_concurrent in 1..3_usize,
        bounds in bounds(),
        events in vec(event(6), 1..150),
    ) {
        let mut story = Story::new(&limits, &modes, &records, max_concurrent);
        story.bounds = bounds;
        for event in &events {
            let event = match event {
                Event::Attend(record, sight) => Event::Attend(record % records.len(), sight.clone()),
                other => other.clone(),
            };
            story.happen(&event);
            for record in &story.records {
                let running = |entry: &&JournalEntry| entry.outcome == ActionOutcome::Running;
                let count = record.fixture.status.journal.iter().filter(running).count();
                assert!(count <= 1, "at most one entry runs");
                assert_eq!(count == 1, record.fixture.status.phase == Phase::Acting);
            }
        }
    }

    /// Whatever it meets, a record ends, within a day of waits, an hour of work, and its actions' own time.
    #[test]
    fn every_record_ends(
        mode in select(vec![Mode::DryRun, Mode::RequireApproval, Mode::Enforce]),
        sights in vec((sight(), 0_i64..300), 1..30),
    ) {
        let steps = vec![restart_pod(), delete_pod(), rollout_restart()];
        let limits = Limits { cooldown: seconds(MINUTE), rate: rate(10, HOUR), ..Limits::default() };
        let policy = a_policy("restart-cart").mode(mode).steps(steps).limits(|all| *all = limits.clone());
        let mut story = Story::new(&[limits], &[mode], &[(0, 0, 0)], 1);
        story.policies = vec![policy];
        let mut turn = sights.iter().cycle();
        while !story.records[0].fixture.status.phase.is_terminal() {
            let (sight, pause) = turn.next().unwrap();
            // What would end it early is left out.
            let evidence = match &sight.evidence {
                Evidence::Clear { .. } => Evidence::Firing,
                other => other.clone(),
            };
            let policy = match sight.policy {
                PolicySight::Gone => PolicySight::Unseen,
                other => other,
            };
            let sight = Sight { evidence, policy, cancelled: false, write: Write::Done, ..sight.clone() };
            story.happen(&Event::Attend(0, sight));
            story.happen(&Event::Ready);
            story.now += pause + 2;
            let bound = DAY + HOUR + 64 * 10 * MINUTE;
            prop_assert!(story.now < bound, "{:?}", story.records[0].fixture.status);
        }
    }
}

// ---- totality

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => (-3 * DAY..3 * DAY).prop_map(at),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
        1 => Just(Timestamp::UNIX_EPOCH),
    ]
}

fn status() -> impl Strategy<Value = RemediationStatus> {
    let outcome = select(vec![
        ActionOutcome::Running,
        ActionOutcome::Done,
        ActionOutcome::NotDone,
        ActionOutcome::Disrupted,
        ActionOutcome::Unknown,
        ActionOutcome::DryRun,
    ]);
    let step = prop_oneof![3 => 0_u32..3, 1 => any::<u32>()];
    let entry = (step.clone(), time(), proptest::option::of(time()), outcome).prop_map(
        |(step, started_at, ended_at, outcome)| JournalEntry {
            step,
            action: "restartPod".to_owned(),
            target: pod("cart-1"),
            started_at,
            ended_at,
            outcome,
            message: None,
            approved_by: None,
        },
    );
    let entry = entry.boxed();
    let reason = select(vec![
        Reason::TargetUnresolved,
        Reason::Disruption,
        Reason::Cooldown,
        Reason::InProgress,
        Reason::PolicyUnavailable,
    ]);
    let phase = select(Phase::ALL.to_vec());
    let optional = || proptest::option::of(time());
    let active = prop_oneof![3 => 0_i64..2 * HOUR, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let known = any::<(bool, bool)>();
    let journal = prop_oneof![4 => vec(entry.clone(), 0..4), 1 => vec(entry, 60..70)];
    (phase, proptest::option::of(reason), optional(), optional(), active, step, journal, known).prop_map(
        |(phase, reason, until, since, active_seconds, step, journal, (target, subject))| RemediationStatus {
            phase,
            reason,
            message: None,
            until,
            since,
            active_seconds,
            target: target.then(|| pod("cart-1")),
            subject: subject.then(|| deployment("cart")),
            step,
            plan_hash: target.then(|| "hash".to_owned()),
            journal,
            ..RemediationStatus::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// A status that no version of ours would have written, a time that no clock shows: it decides, and does not panic.
    #[test]
    fn it_is_total(
        status in status(),
        sight in sight(),
        now in time(),
        received_at in time(),
        look in 0..4_u8,
        good_since in proptest::option::of(time()),
        no_steps in prop_oneof![5 => Just(false), 1 => Just(true)],
        mode in select(vec![Mode::Disabled, Mode::DryRun, Mode::RequireApproval, Mode::Enforce]),
        mark in time(),
    ) {
        let mut record = a_record().mode(mode);
        record.spec.alert.received_at = received_at;
        if no_steps {
            record.spec.steps.clear();
        }
        let observed = match look {
            0 => Observed::Nothing,
            1 => Observed::Outcome { outcome: sight.outcome, message: None },
            2 => {
                let health = if sight.healthy { Health::Healthy } else { Health::Unknown("no answer".to_owned()) };
                Observed::Recovery(Recovery { seen: a_look(health, sight.evidence.clone()), good_since })
            }
            _ => {
                let (pause, target, consents) = (Ok(None), Ok(resolved("cart-1")), Consents::Said(Vec::new()));
                let (siblings, access, workloads) = (Vec::new(), all_allowed(), None);
                Observed::Scene(Box::new(crate::remediation::Scene { siblings, pause, target, access, consents, workloads }))
            }
        };
        let mut ledger = Ledger::default();
        ledger.note(Mark { at: mark, ..a_mark(0) });
        let mut world = a_world().ledger(ledger.clone()).shadow(ledger).evidence(sight.evidence);
        world.observed = Some(observed);
        match sight.policy {
            PolicySight::InForce => {}
            PolicySight::Unseen => world = world.policy_unseen(),
            PolicySight::Gone => world = world.policy_gone(),
        }
        if sight.cancelled {
            world = world.cancelled("enough");
        }
        let following = world.with(&record.key, |world| next(&record.spec, &status, world, now));
        holds_of_every_transition(&record.spec, &status, &following);
        if mode != Mode::Enforce {
            prop_assert_ne!(following.effect, Effect::Act);
        }
        // And the ledger reads what it cannot have written.
        record.status = following.status;
        let (mut real, mut dry) = Ledger::of([&record.object()], now);
        real.forget(now);
        dry.forget(now);
        let limits = Limits::default();
        let _ = (real.rate(&record.policy(), limits.rate, now), real.ended_lately(now).len());
        let _ = real.cooldown("uid-cart", &limits, &key("asker"), now);
        let _ = real.first_step(&record.policy(), "uid-cart", 2, now);
    }
}
