//! The leader's work: one task that admits, and actions that run beside it.
//!
//! The loop looks (`Looker`), decides (`machine::next`), writes the record's status with the version it was decided on,
//! and only then acts. Decisions are made one at a time, as looks come back, and take what they need of the limits at once;
//! looks, writes and actions run concurrently, for one record one at a time.
//! What is found written but not known to be done is looked into, never assumed. It is one file because the order of
//! those steps is the point of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::future::OptionFuture;
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
    core::DeserializeGuard,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Asked, Change, Crowd, Kept, Ledger, Looker, MEMORY, Mark, RecordCache, Scene, Seen, Side,
    announce::Announcer,
    archive::{Archive, ArchiveError, Archived, LEDGER},
    checks,
    escalation::{self, Escalations},
    held::{Held, unseen_grace},
    look::{PausesSeen, acted_at, namespace_of},
    machine::{self, Effect, Next},
    traces,
    world::{Evidence, Observed, PolicyNow, World},
};
use crate::{
    action::{self, Order, Outcome},
    api::{ActionOutcome, Bounds, Mode, ObjectKey, Phase, Remediation, RemediationApproval, RemediationStatus},
    audit::{Audit, Event, What},
    clock::Clock,
    leader::{Handover, Term},
    policy::PolicyStore,
    protections::{Protection, Protections},
    telemetry::{Metrics, Traces, chain, metrics::ApiErrorReason},
    triage::PolicyKey,
};

/// How long the API has for one read or write of a record.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How old a look at the world may be when it is decided on.
const SCENE_AGE: Duration = Duration::from_secs(1);
/// With so many looks, writes and actions under way no look is begun: a storm is to be looked at as one, before its own
/// consequences keep the API server busy.
const LOOKS: usize = 64;
/// How old the count of what is in trouble may be when it is decided on.
const CROWD_AGE: Duration = Duration::from_millis(100);
/// With less of the term left than this nothing is begun any more.
const LEAST_TERM: Duration = Duration::from_secs(1);
/// How often something that failed for want of an answer is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often old records are removed.
const SWEEP: Duration = Duration::from_mins(1);
/// Records a page of a LIST.
const PAGE: u32 = 500;

/// Settings of the driver.
#[derive(Clone, Debug)]
pub struct DriverSettings {
    /// How long a leader leads without a renewal.
    pub lease_duration: Duration,
    /// How long one action may take.
    pub action_timeout: Duration,
    /// How many remediations may run at once.
    pub max_concurrent: usize,
    /// What bounds all policies together.
    pub bounds: Bounds,
    /// How long a record is kept after its end.
    pub retention: Duration,
}

/// What the leader works with.
pub struct Driver {
    /// A client that does not retry by itself.
    pub client: Client,
    /// Looks.
    pub looker: Looker,
    /// What the watch brings.
    pub records: Arc<RecordCache>,
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// Says what was decided and done.
    pub announcer: Announcer,
    /// Knows what people are to be told of.
    pub escalations: Escalations,
    /// Counts it.
    pub metrics: Arc<Metrics>,
    /// Has a line of each action before it begins.
    pub audit: Audit,
    /// Where spans are told of.
    pub traces: Traces,
    /// The time.
    pub clock: Clock,
    /// Settings.
    pub settings: DriverSettings,
    /// What guards against doing harm.
    pub protections: Protections,
}

/// Why a term could not be worked through.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The records could not be read, so nothing is known, and nothing is done.
    #[error("the records cannot be listed, so nothing is done: {0}")]
    List(String),
    /// What is kept of records that are gone could not be read, so the limits are not known, and nothing is done.
    #[error("ConfigMap paramedic-ledger, which says what removed records did, cannot be read, so nothing is done: {0}")]
    Kept(#[from] ArchiveError),
}

/// What came of something that ran beside the loop.
enum Finding {
    /// What stands against acting, and when that was seen.
    Scene(Box<Scene>, Evidence, PausesSeen, Instant),
    /// What the API answered to an action.
    Outcome(Outcome),
    /// Nothing was answered to an action, and why.
    Unanswered(String),
    /// What a look for an action's effect found.
    Looked(Outcome),
    Seen(Seen),
    Alert(Evidence),
    /// What the API answered to the write of a decision.
    Written(Box<(Decision, WriteAnswer)>),
    /// What is kept now of records that are gone; an error: nobody knows, and it has to be read again.
    Kept(Result<Archived, ArchiveError>),
    Failed,
}

/// What the API answered to the write of a status.
type WriteAnswer = Result<kube::Result<Remediation>, tokio::time::error::Elapsed>;

/// A decision that is being written down.
struct Decision {
    /// The status it was made on, and the one it leads to.
    before: RemediationStatus,
    after: RemediationStatus,
    /// What is to be done once it is written.
    effect: Effect,
    /// When it was made, and on what version of the record.
    at: Timestamp,
    over: Option<String>,
    /// What was done already.
    #[cfg(feature = "chaos")]
    done: Option<Outcome>,
}

impl Driver {
    /// Waits, where the last leader did not give its lease back, until nothing of it can be under way any more. `false`:
    /// the term ended, or `stop` came, before that.
    pub async fn wait_out(&self, term: &Term, stop: &CancellationToken) -> bool {
        if term.handover == Handover::Released || !self.protections.hold(Protection::LeadersWait) {
            return true;
        }
        let wait = self.settings.lease_duration + self.settings.action_timeout;
        info!(seconds = wait.as_secs(), "waiting until nothing of the last leader can be under way any more");
        tokio::select! {
            biased;
            () = term.ended().cancelled() => false,
            () = stop.cancelled() => false,
            () = sleep(wait) => true,
        }
    }

    /// Works through one term, after [`Self::wait_out`]: until it ends, or until `stop` and everything under way is
    /// written down. `true`: nothing is under way any more, so the lease may be given back.
    pub async fn lead(&self, term: Arc<Term>, stop: CancellationToken) -> Result<bool, DriverError> {
        let now = self.clock.now();
        let listed = tokio::select! {
            biased;
            () = term.ended().cancelled() => return Ok(false),
            listed = self.list(now) => listed?,
        };
        let archive = Archive::new(self.client.clone(), &self.looker.own_namespace);
        let mut archived = None;
        let (ledger, shadow) = if self.protections.hold(Protection::LedgerFromList) {
            let (mut ledger, shadow) = Ledger::of(&listed, now);
            let read = Box::pin(archive.read()).await?;
            ledger.recall(read.kept.clone());
            ledger.forget(now);
            archived = Some(read);
            (ledger, shadow)
        } else {
            Default::default()
        };
        self.escalations.begin(&listed, now);
        let open =
            listed.into_iter().filter(|record| record.status.as_ref().is_none_or(|status| !status.phase.is_terminal()));
        let held: BTreeMap<_, _> =
            open.map(|record| (ObjectKey::of(&record), Held::new(record, Instant::now()))).collect();
        info!(open = held.len(), running = ledger.running(), "the records are read; the work begins");
        let mut desk = Desk {
            driver: self,
            term,
            held,
            ledger,
            shadow,
            tasks: JoinSet::new(),
            started: HashMap::new(),
            unseen: HashMap::new(),
            crowd: Crowd::default(),
            counted_at: None,
            sweeping: None,
            archive,
            archived,
            deleted: false,
        };
        Box::pin(desk.work(stop)).await;
        let under_way = |held: &Held| held.writing || held.phase() == Phase::Acting || held.in_doubt.is_some();
        let clean = !desk.held.values().any(under_way);
        // Whoever leads next counts them, and tells of what failed.
        self.escalations.leave();
        desk.held.clear();
        desk.count();
        Ok(clean)
    }

    /// Every record that is open or that a limit can still ask for, from the API itself and not from a cache. The others
    /// are dropped page by page.
    async fn list(&self, now: Timestamp) -> Result<Vec<Remediation>, DriverError> {
        let api: Api<DeserializeGuard<Remediation>> = Api::all(self.client.clone());
        let mut records = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match timeout(WRITE_TIMEOUT * 6, api.list(&params)).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return Err(DriverError::List(error.to_string())),
                Err(_) => return Err(DriverError::List("no answer in time".to_owned())),
            };
            for DeserializeGuard(record) in page.items {
                match record {
                    Ok(record) => {
                        let counts = is_open(&record) || is_remembered(&record, now);
                        records.extend(Some(record).filter(|record| counts || escalation::concerns(record, now)));
                    }
                    Err(invalid) => error!(
                        name = invalid.metadata.name,
                        error = invalid.error,
                        "a Remediation cannot be read; its limits are not known, and it is left alone"
                    ),
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(records),
            }
        }
    }

    fn api(&self, key: &ObjectKey) -> Api<Remediation> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }
}

/// What the leader has in its hands during a term.
struct Desk<'a> {
    driver: &'a Driver,
    term: Arc<Term>,
    held: BTreeMap<ObjectKey, Held>,
    ledger: Ledger,
    shadow: Ledger,
    tasks: JoinSet<Finding>,
    /// Which record each task is for.
    started: HashMap<tokio::task::Id, ObjectKey>,
    /// Since when a policy has been out of sight.
    unseen: HashMap<String, Timestamp>,
    /// How much is in trouble, and when that was counted.
    crowd: Crowd,
    counted_at: Option<Instant>,
    /// The task that removes old records.
    sweeping: Option<tokio::task::Id>,
    /// Where is kept what records did that are gone, and what is kept there as far as that is known.
    archive: Archive,
    archived: Option<Archived>,
    /// A record was deleted that limits remember: that is to be kept.
    deleted: bool,
}

impl Desk<'_> {
    async fn work(&mut self, stop: CancellationToken) {
        let ended = self.term.ended().clone();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            for change in self.driver.records.take_changes() {
                self.take_in(change);
            }
            if self.deleted && self.sweeping.is_none() {
                self.sweep();
            }
            self.count();
            let stopping = stop.is_cancelled();
            if stopping && self.nothing_to_write_down() {
                return;
            }
            if let Some(key) = self.next_due(Instant::now(), stopping) {
                tokio::select! {
                    biased;
                    () = ended.cancelled() => return,
                    () = self.attend(&key) => {}
                }
                while let Some(done) = self.tasks.try_join_next_with_id() {
                    self.finish(done);
                }
                continue;
            }
            // While stopping only outcomes are waited for; what else is due stays so.
            let pause = if stopping { Duration::from_millis(50) } else { self.until_next_due(Instant::now()) };
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                Some(done) = self.tasks.join_next_with_id() => self.finish(done),
                () = self.driver.records.changed() => {}
                Some(()) = OptionFuture::from((!stopping).then(|| stop.cancelled())) => {}
                _ = sweep.tick() => self.sweep(),
                () = sleep(pause) => {}
            }
        }
    }

    fn take_in(&mut self, change: Change) {
        let now = Instant::now();
        match change {
            Change::Seen(record) => {
                let key = ObjectKey::of(record.as_ref());
                match self.held.get_mut(&key) {
                    Some(held) if held.is_another(&record) => self.replace(&key, Remediation::clone(&record), now),
                    Some(held) => {
                        // A write of an earlier leader may have come in after the list.
                        if held.merge(&record, now) {
                            self.ledger.adopt(&record);
                        }
                    }
                    None => {
                        // What a record of this name did before was another one's: that one ended, and was deleted.
                        self.disown(&key, now);
                        self.held.insert(key, Held::new(Remediation::clone(&record), now));
                    }
                }
            }
            Change::Deleted(key) => match self.held.get_mut(&key) {
                Some(held) => {
                    held.stale = true;
                    held.due = now;
                }
                None if !self.driver.records.index().contains(&key) => self.disown(&key, now),
                // It has ended.
                None => {}
            },
            Change::Woken(key) => {
                if let Some(held) = self.held.get_mut(&key).filter(|held| held.phase() == Phase::AwaitingApproval) {
                    held.due = held.due.min(now);
                }
            }
        }
    }

    /// A record was deleted, and another of its name was created: nothing of the old one is the new one's.
    fn replace(&mut self, key: &ObjectKey, record: Remediation, now: Instant) {
        self.drop_deleted(key, now);
        self.held.insert(key.clone(), Held::new(record, now));
    }

    fn drop_deleted(&mut self, key: &ObjectKey, now: Instant) {
        warn!(remediation = %key, "the record was deleted; nothing more is done for it");
        self.held.remove(key);
        self.started.retain(|_, started| started != key);
        self.disown(key, now);
    }

    /// What the record of this name did still counts, but not as the doing of the next one of that name.
    fn disown(&mut self, key: &ObjectKey, now: Instant) {
        self.deleted |= self.ledger.remembers(key);
        self.shadow.disown(key);
        if self.ledger.disown(key) {
            self.wake_waiting(now);
        }
    }

    /// Of the records that are due the most urgent. While stopping only those count whose action has an outcome that is
    /// not written yet.
    fn next_due(&self, now: Instant, stopping: bool) -> Option<ObjectKey> {
        let may = |held: &Held| {
            let to_write = held.phase() == Phase::Acting && held.outcome.is_some();
            if stopping { to_write } else { to_write || self.tasks.len() < LOOKS }
        };
        let due = self.held.iter().filter(|(_, held)| !held.busy && held.due <= now && may(held));
        due.min_by(|(_, a), (_, b)| a.urgency().cmp(&b.urgency())).map(|(key, _)| key.clone())
    }

    fn until_next_due(&self, now: Instant) -> Duration {
        let next = self.held.values().filter(|held| !held.busy).map(|held| held.due).min();
        let pause = next.map_or(Duration::from_mins(1), |due| due.saturating_duration_since(now));
        pause.clamp(Duration::from_millis(1), Duration::from_mins(1))
    }

    fn nothing_to_write_down(&self) -> bool {
        let acting = |held: &Held| held.phase() == Phase::Acting && (held.busy || held.outcome.is_some());
        !self.held.values().any(|held| held.writing || acting(held))
    }

    /// Looks at one record, decides, and does what follows.
    async fn attend(&mut self, key: &ObjectKey) {
        if !self.refresh(key).await {
            return;
        }
        self.count_the_crowd();
        let Some(held) = self.held.get(key) else { return };
        match held.phase() {
            Phase::Acting => match held.outcome.clone() {
                Some(outcome) => self.settle_outcome(key, outcome),
                None => self.observe(key),
            },
            Phase::Verifying => {
                let (looker, record) = (self.driver.looker.clone(), held.record.clone());
                self.spawn(key, async move { Finding::Seen(looker.recovery(&record).await) });
            }
            Phase::Observing => {
                let (looker, record) = (self.driver.looker.clone(), held.record.clone());
                self.spawn(key, async move {
                    let status = record.status.clone().unwrap_or_default();
                    Finding::Alert(looker.alert(&record.spec, &status).await)
                });
            }
            _ => {
                // An action must end before the term can.
                if self.term.remaining() <= self.driver.settings.action_timeout {
                    self.put_off(key, RETRY / 4);
                    return;
                }
                // Looks run beside each other, so that one that is slow keeps nobody else waiting; decisions do not.
                let (looker, record) = (self.driver.looker.clone(), held.record.clone());
                let namespace = namespace_of(&record.spec, &held.status()).unwrap_or_default();
                let workloads = checks::may_be_a_storm(&self.driver.settings.bounds, &self.crowd, &namespace);
                let asked = Asked { consents: self.by_approval(&record), workloads };
                self.spawn(key, async move {
                    let (scene, evidence, pauses) = looker.scene(&record, asked).await;
                    Finding::Scene(Box::new(scene), evidence, pauses, Instant::now())
                });
            }
        }
    }

    /// Whether somebody has to approve what is done for a record: as its policy was, or as it is.
    fn by_approval(&self, record: &Remediation) -> bool {
        let spec = &record.spec;
        let now = self.driver.policies.current().by_uid(&spec.policy.uid).map(|policy| policy.spec.mode);
        spec.mode == Mode::RequireApproval || now == Some(Mode::RequireApproval)
    }

    /// Reads a record again whose written state is not certain. `false`: it is not there to be attended to.
    async fn refresh(&mut self, key: &ObjectKey) -> bool {
        let now = Instant::now();
        if self.held.get(key).is_none_or(|held| !held.stale) {
            return self.held.contains_key(key);
        }
        match timeout(WRITE_TIMEOUT, self.driver.api(key).get_opt(&key.name)).await {
            Ok(Ok(Some(record))) => {
                if self.held.get(key).is_some_and(|held| held.is_another(&record)) {
                    self.replace(key, record, now);
                    return true;
                }
                if self.held.get(key).is_some_and(|held| !held.is_settled_by(&record, now)) {
                    self.put_off(key, RETRY);
                    return false;
                }
                let held_before = self.ledger.running();
                self.ledger.reconcile(&record, Side::Real);
                self.shadow.reconcile(&record, Side::Simulated);
                if self.ledger.running() < held_before {
                    self.wake_waiting(now);
                }
                if !is_open(&record) {
                    self.held.remove(key);
                    return false;
                }
                if let Some(held) = self.held.get_mut(key) {
                    held.record = record;
                    held.stale = false;
                    held.in_doubt = None;
                }
                true
            }
            Ok(Ok(None)) => {
                self.drop_deleted(key, now);
                false
            }
            Ok(Err(_)) | Err(_) => {
                self.put_off(key, RETRY);
                false
            }
        }
    }

    /// Decides, and has it written; what follows does so once that is done.
    fn settle(&mut self, key: &ObjectKey, observed: Observed, evidence: &Evidence) {
        let now = self.driver.clock.now();
        let policy = match self.held.get(key) {
            Some(held) => self.policy_now(&held.record.spec.policy.uid.clone(), now),
            None => return,
        };
        let Some(held) = self.held.get(key) else { return };
        let before = held.status();
        let audit = self.driver.audit.ready().err().map(|why| why.to_string());
        let world = World {
            key,
            cancel: held.cancel(),
            policy: &policy,
            evidence,
            observed,
            ledger: &self.ledger,
            shadow: &self.shadow,
            max_concurrent: self.driver.settings.max_concurrent,
            bounds: &self.driver.settings.bounds,
            crowd: &self.crowd,
            audit: audit.as_deref(),
            protections: self.driver.protections,
        };
        let Next { status, effect } = machine::next(&held.record.spec, &before, &world, now);
        if status == before {
            self.follow(key, effect, now);
            return;
        }
        let record = held.record.clone();
        self.enter(&record, &before, &status);
        let decision = Decision {
            before,
            after: status,
            effect,
            at: now,
            over: record.metadata.resource_version.clone(),
            #[cfg(feature = "chaos")]
            done: None,
        };
        self.write(key, record, decision);
    }

    fn settle_outcome(&mut self, key: &ObjectKey, outcome: Outcome) {
        let Outcome { outcome, message } = outcome;
        self.settle(key, Observed::Outcome { outcome, message }, &Evidence::Unasked);
    }

    /// Takes what a new status takes from the limits, before it is written. Where that fails, what the record says is read
    /// again.
    fn enter(&mut self, record: &Remediation, before: &RemediationStatus, after: &RemediationStatus) {
        self.ledger.judge(record, after);
        let (Some(entry), Some(subject)) = (after.journal.last(), &after.subject) else { return };
        if after.journal.len() == before.journal.len() {
            return;
        }
        let mark = Mark {
            at: entry.started_at,
            policy: PolicyKey::from(&record.spec.policy),
            namespace: entry.target.namespace.clone(),
            subject: subject.uid.clone(),
            target: entry.target.uid.clone(),
            step: entry.step,
            record: ObjectKey::of(record),
        };
        if entry.outcome == ActionOutcome::DryRun { self.shadow.note(mark) } else { self.ledger.take(mark) }
    }

    /// Writes a status over the very version it was decided on.
    fn write(&mut self, key: &ObjectKey, mut record: Remediation, decision: Decision) {
        #[cfg(feature = "chaos")]
        let (client, announced, protections) = (self.driver.client.clone(), record.clone(), self.driver.protections);
        record.status = Some(decision.after.clone());
        record.metadata.managed_fields = None;
        let (api, name) = (self.driver.api(key), key.name.clone());
        if let Some(held) = self.held.get_mut(key) {
            held.writing = true;
        }
        #[cfg(feature = "chaos")]
        let looked_for = key.clone();
        self.spawn(key, async move {
            #[cfg(feature = "chaos")]
            let decision = without_protections(client, &looked_for, announced, decision, protections).await;
            #[cfg(feature = "chaos")]
            if !protections.hold(Protection::CompareAndSwap)
                && let Ok(Ok(current)) = timeout(WRITE_TIMEOUT, api.get(&name)).await
            {
                record.metadata.resource_version = current.metadata.resource_version;
            }
            let params = PostParams::default();
            let answer = timeout(WRITE_TIMEOUT, api.replace_status(&name, &params, &record)).await;
            Finding::Written(Box::new((decision, answer)))
        });
    }

    /// What follows from the API's answer to the write of a decision.
    fn take_answer(&mut self, key: &ObjectKey, decision: Decision, answer: WriteAnswer) {
        match answer {
            Ok(Ok(written)) => {
                self.written(key, &written, &decision.before, &decision.after);
                // Something was heard of it meanwhile that has to be looked into first.
                if self.held.get(key).is_some_and(|held| held.stale) {
                    return;
                }
                #[cfg(feature = "chaos")]
                if let Some(held) = self.held.get_mut(key).filter(|_| decision.done.is_some()) {
                    held.outcome = decision.done;
                    return;
                }
                self.follow(key, decision.effect, decision.at);
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                // What was taken is kept until it is known what the record says.
                self.unsure(key, Duration::ZERO);
            }
            failed => {
                let (reason, why) = match &failed {
                    Ok(Err(error)) => (ApiErrorReason::of(error), chain(error)),
                    _ => (ApiErrorReason::NoAnswer, "no answer in time".to_owned()),
                };
                self.driver.metrics.api_error("update", reason);
                warn!(remediation = %key, why, "its status was not written; it is read again first");
                self.unsure(key, RETRY);
                let begins = decision.after.journal.len() > decision.before.journal.len();
                if let Some(held) = self.held.get_mut(key).filter(|_| begins && may_be_carried_out(&failed)) {
                    held.doubt(decision.over, Instant::now());
                }
            }
        }
    }

    fn written(
        &mut self,
        key: &ObjectKey,
        written: &Remediation,
        before: &RemediationStatus,
        after: &RemediationStatus,
    ) {
        let driver = self.driver;
        driver.records.put(written.clone());
        let entry = after.journal.last().filter(|_| before.phase == Phase::Acting);
        if entry.is_some_and(|entry| !entry.outcome.counts()) {
            self.ledger.give_back(key);
        }
        if self.ledger.follow(key, after.phase) {
            self.wake_waiting(Instant::now());
        }
        // Another plan is asked about in the same phase.
        let told = (before.phase, before.reason, &before.plan_hash) != (after.phase, after.reason, &after.plan_hash);
        if told {
            info!(remediation = %key, policy = %written.spec.policy, phase = after.phase.as_str(),
                reason = after.reason.map(crate::api::Reason::as_str), message = after.message, trace = written.spec.trace_id(),
                "decided");
            driver.metrics.transition(after.phase, after.reason);
            driver.announcer.announce(written, before, after);
        }
        self.tell(written, before, after);
        if driver.traces.is_on() {
            for span in traces::spans(written, before, after) {
                driver.traces.tell(span);
            }
        }
        if let Some(entry) = entry {
            driver.metrics.action(action_name(written, entry.step), entry.outcome);
        }
        let received_at = written.spec.alert.received_at;
        if after.phase == Phase::Acting && after.journal.len() == 1 {
            driver.metrics.alert_to_action(since(received_at, driver.clock.now()));
        }
        if after.phase == Phase::Succeeded {
            driver.metrics.recovered(&written.spec.policy.to_string(), since(received_at, driver.clock.now()));
        }
        if after.phase.is_terminal() {
            driver.escalations.ended(written, driver.clock.now());
            self.held.remove(key);
        } else if let Some(held) = self.held.get_mut(key) {
            // A watch may have brought a newer version already.
            let due = held.due;
            if held.merge(written, Instant::now()) {
                held.due = due;
            }
            held.in_doubt = None;
            held.outcome = None;
            held.unanswered = None;
            held.unknown_since = None;
            if before.phase != after.phase {
                held.good_since = None;
            }
        }
    }

    /// Tells the audit log what was written.
    fn tell(&self, record: &Remediation, before: &RemediationStatus, after: &RemediationStatus) {
        let audit = &self.driver.audit;
        if !audit.is_on() {
            return;
        }
        if let Some(entry) = after.journal.last().filter(|_| before.phase == Phase::Acting) {
            audit.note(Event::ActionEnded {
                what: What::of(record),
                action: entry.action.clone(),
                entry: after.journal.len() - 1,
                outcome: entry.outcome.as_str(),
                message: entry.message.clone(),
            });
        }
        if (before.phase, before.reason) != (after.phase, after.reason) {
            audit.note(Event::Decided {
                what: What::of(record),
                phase: after.phase.as_str(),
                reason: after.reason.map(crate::api::Reason::as_str),
                message: after.message.clone(),
            });
        }
    }

    fn follow(&mut self, key: &ObjectKey, effect: Effect, now: Timestamp) {
        match effect {
            Effect::End => {
                self.held.remove(key);
            }
            Effect::LookAgain(at) => {
                if let Some(held) = self.held.get_mut(key) {
                    held.look_again(at, now);
                }
            }
            Effect::Act => self.act(key),
            Effect::Observe => self.observe(key),
        }
    }

    /// Starts the action that the journal's last entry announces. It has as long as the term certainly lasts, at most.
    fn act(&mut self, key: &ObjectKey) {
        let (most, term) = (self.driver.settings.action_timeout, Arc::clone(&self.term));
        let (client, looked_for) = (self.driver.client.clone(), key.clone());
        let Some(record) = self.held.get(key).map(|held| held.record.clone()) else { return };
        let (protections, audit) = (self.driver.protections, self.driver.audit.clone());
        let (looker, clock, told) = (self.driver.looker.clone(), self.driver.clock.clone(), self.driver.traces.clone());
        let pauses = self.held.get(key).map(|held| held.pauses.clone()).unwrap_or_default();
        self.spawn(key, async move {
            let Some((action, order)) = order(&looked_for, &record, protections) else { return Finding::Failed };
            let not_begun = |why: String| {
                let message = Some(format!("it was not begun: {why}"));
                Finding::Outcome(Outcome { outcome: ActionOutcome::NotDone, message })
            };
            if let Err(why) = audit.confirm(begins(&record, &order)).await {
                return not_begun(why.to_string());
            }
            // The decision was made on a look that may be seconds old by now.
            if protections.hold(Protection::Pause) {
                match looker.paused(&record, &pauses).await {
                    Ok(None) => {}
                    Ok(Some(pause)) => return not_begun(pause),
                    Err(unknown) => return not_begun(format!("whether it is paused is not known: {}", unknown.why)),
                }
            }
            let bound = most.min(term.remaining());
            if bound < LEAST_TERM {
                return not_begun("the term as leader is nearly over".to_owned());
            }
            let account = record.spec.account(&order.entry.target.namespace);
            let Some(client) = action::client_of(&client, account.as_ref()) else {
                let message = Some("the policy's serviceAccountName is no name of a service account".to_owned());
                return Finding::Outcome(Outcome { outcome: ActionOutcome::Refused, message });
            };
            let began = clock.now();
            let done = timeout(bound, action::execute(client, action, &order)).await;
            let outcome = done.as_ref().map_or("no answer", |done| done.outcome.as_str());
            if let Some(span) = traces::request(&record, outcome, began, clock.now()) {
                told.tell(span);
            }
            match done {
                Ok(Outcome { outcome: ActionOutcome::Unknown, message }) => {
                    Finding::Unanswered(message.unwrap_or_default())
                }
                Ok(outcome) => Finding::Outcome(outcome),
                Err(_) => Finding::Unanswered(format!("no answer within {} s", bound.as_secs())),
            }
        });
    }

    /// Finds out whether what the journal's last entry announces was done.
    fn observe(&mut self, key: &ObjectKey) {
        let (client, looked_for) = (self.driver.client.clone(), key.clone());
        let Some(record) = self.held.get(key).map(|held| held.record.clone()) else { return };
        let protections = self.driver.protections;
        self.spawn(key, async move {
            let Some((action, order)) = order(&looked_for, &record, protections) else { return Finding::Failed };
            let look = timeout(WRITE_TIMEOUT, action::observe(client, action, &order));
            Finding::Looked(look.await.unwrap_or_else(|_| Outcome {
                outcome: ActionOutcome::Unknown,
                message: Some("no answer in time".to_owned()),
            }))
        });
    }

    fn spawn(&mut self, key: &ObjectKey, task: impl Future<Output = Finding> + Send + 'static) {
        if let Some(held) = self.held.get_mut(key) {
            held.busy = true;
            let id = self.tasks.spawn(task).id();
            self.started.insert(id, key.clone());
        }
    }

    /// Takes in what came of a task.
    fn finish(&mut self, done: Result<(tokio::task::Id, Finding), tokio::task::JoinError>) {
        let (id, finding) = match done {
            Ok((id, finding)) => (id, finding),
            Err(error) => {
                error!(%error, "a task for a record broke off; the record is looked at again");
                (error.id(), Finding::Failed)
            }
        };
        if self.sweeping == Some(id) {
            self.sweeping = None;
            if let Finding::Kept(kept) = finding {
                self.recall(kept);
            }
            return;
        }
        let Some(key) = self.started.remove(&id) else { return };
        let (now, seen_now) = (self.driver.clock.now(), Instant::now());
        let Some(held) = self.held.get_mut(&key) else { return };
        held.busy = false;
        held.writing = false;
        held.due = seen_now;
        match finding {
            Finding::Written(written) => {
                let (decision, answer) = *written;
                self.take_answer(&key, decision, answer);
            }
            Finding::Kept(_) | Finding::Failed => held.put_off(RETRY),
            // Attended to next; until it is written, it is kept.
            Finding::Outcome(outcome) => held.outcome = Some(outcome),
            Finding::Unanswered(why) => {
                warn!(remediation = %key, why, "whether it was done is not known; it is looked for");
                held.unanswered = Some((seen_now, why));
            }
            Finding::Looked(outcome) => match held.believe(outcome, seen_now) {
                Some(outcome) => held.outcome = Some(outcome),
                None => held.put_off(RETRY * 2),
            },
            Finding::Scene(scene, evidence, pauses, seen_at) => {
                held.pauses = pauses;
                let fresh = seen_now.saturating_duration_since(seen_at) <= SCENE_AGE;
                if !held.stale
                    && fresh
                    && matches!(held.phase(), Phase::Pending | Phase::Waiting | Phase::AwaitingApproval)
                {
                    self.settle(&key, Observed::Scene(scene), &evidence);
                }
            }
            Finding::Seen(seen) => {
                let seen = self.weigh(&key, seen);
                let Some(held) = self.held.get_mut(&key) else { return };
                if held.phase() == Phase::Verifying && !held.stale {
                    let evidence = seen.evidence.clone();
                    let recovery = held.recovery(seen, now);
                    self.settle(&key, Observed::Recovery(recovery), &evidence);
                }
            }
            Finding::Alert(evidence) => {
                if held.phase() == Phase::Observing && !held.stale {
                    self.settle(&key, Observed::Nothing, &evidence);
                }
            }
        }
    }

    /// Takes in what is kept of records that are gone: by this leader, by another one, or by a write whose answer was lost.
    fn recall(&mut self, kept: Result<Archived, ArchiveError>) {
        match kept {
            Ok(archived) => {
                self.ledger.recall(archived.kept.clone());
                // What was only read does not have yet what is to be kept.
                self.deleted |= self.archived.is_none();
                self.archived = Some(archived);
            }
            Err(error) => {
                self.driver.metrics.api_error("update", error.reason());
                warn!(
                    why = chain(&error),
                    "what removed records did was not written into ConfigMap {LEDGER}; it is tried again, and no record is removed before"
                );
                self.archived = None;
            }
        }
    }

    /// Where only notices speak, another record's newer alert about the same subject says that it is not well.
    fn weigh(&self, key: &ObjectKey, seen: Seen) -> Seen {
        let told = matches!(seen.evidence, Evidence::Unasked | Evidence::Clear { confirmed: false });
        let Some(held) = self.held.get(key).filter(|_| told) else { return seen };
        let status = held.status();
        let Some(subject) = &status.subject else { return seen };
        let (policy, acted_at) = (&held.record.spec.policy.uid, acted_at(&held.record));
        let mut others = self.held.iter().filter(|(other, _)| *other != key);
        if others.any(|(_, other)| other.speaks_against(policy, &subject.uid, acted_at)) {
            return Seen { evidence: Evidence::Firing, ..seen };
        }
        seen
    }

    fn policy_now(&mut self, uid: &str, now: Timestamp) -> PolicyNow {
        if let Some(policy) = self.driver.policies.current().by_uid(uid) {
            self.unseen.remove(uid);
            return PolicyNow::InForce(Arc::clone(policy));
        }
        let since = *self.unseen.entry(uid.to_owned()).or_insert(now);
        if now.duration_since(since) < unseen_grace(uid) { PolicyNow::Unseen } else { PolicyNow::Gone }
    }

    fn wake_waiting(&mut self, now: Instant) {
        for held in self.held.values_mut().filter(|held| held.waits_for_room()) {
            held.due = held.due.min(now);
        }
    }

    /// How much is in trouble; with many open records it is not counted anew for each of them.
    fn count_the_crowd(&mut self) {
        let now = Instant::now();
        if self.counted_at.is_none_or(|at| now.duration_since(at) >= CROWD_AGE) {
            self.crowd = Crowd::of(self.held.values().map(|held| &held.record));
            self.counted_at = Some(now);
        }
    }

    fn put_off(&mut self, key: &ObjectKey, pause: Duration) {
        if let Some(held) = self.held.get_mut(key) {
            held.put_off(pause);
        }
    }

    fn unsure(&mut self, key: &ObjectKey, pause: Duration) {
        self.put_off(key, pause);
        if let Some(held) = self.held.get_mut(key) {
            held.stale = true;
        }
    }

    fn count(&self) {
        let mut counts: BTreeMap<Phase, usize> = BTreeMap::new();
        for held in self.held.values() {
            *counts.entry(held.phase()).or_default() += 1;
        }
        for phase in Phase::ALL.into_iter().filter(|phase| !phase.is_terminal()) {
            self.driver.metrics.remediations(phase, counts.get(&phase).copied().unwrap_or_default());
        }
        let mut waiting: BTreeMap<crate::api::Reason, usize> = BTreeMap::new();
        for held in self.held.values() {
            let status = held.record.status.as_ref().filter(|status| status.phase == Phase::Waiting);
            if let Some(reason) = status.and_then(|status| status.reason) {
                *waiting.entry(reason).or_default() += 1;
            }
        }
        self.driver.metrics.waiting(&waiting);
        let oldest = self.held.values().map(|held| held.record.spec.alert.received_at).min();
        self.driver.metrics.oldest_open(oldest.map_or(Duration::ZERO, |oldest| since(oldest, self.driver.clock.now())));
    }

    /// Forgets what no limit asks for any more, and removes records whose retention is over. A task beside the loop does
    /// that, and ends with the term.
    fn sweep(&mut self) {
        let now = self.driver.clock.now();
        self.ledger.forget(now);
        self.shadow.forget(now);
        self.unseen.retain(|uid, _| self.held.values().any(|held| held.record.spec.policy.uid == *uid));
        if self.sweeping.is_some() {
            return;
        }
        self.deleted = false;
        let retention = SignedDuration::try_from(self.driver.settings.retention).unwrap_or(SignedDuration::MAX);
        let index = self.driver.records.index();
        let old = index.ended_before(now.saturating_sub(retention).unwrap_or(now));
        let gone = |key: &ObjectKey| old.contains(key) || !(self.held.contains_key(key) || index.contains(key));
        let kept = self.ledger.kept(gone, now);
        let is_kept = self.archived.as_ref().is_some_and(|archived| archived.kept == kept);
        if old.is_empty() && is_kept {
            return;
        }
        let old: Vec<_> =
            old.into_iter().map(|key| (self.driver.api(&key), index.resource_version(&key), key)).collect();
        let (client, audit) = (self.driver.client.clone(), self.driver.audit.clone());
        let (archive, archived) = (self.archive.clone(), self.archived.clone());
        self.sweeping = Some(self.tasks.spawn(keep_and_remove(client, archive, archived, kept, old, audit)).id());
    }
}

/// Keeps what is to be kept, and only then removes records, each only as it was seen, and what people said to their plans.
async fn keep_and_remove(
    client: Client,
    archive: Archive,
    archived: Option<Archived>,
    kept: Kept,
    old: Vec<(Api<Remediation>, Option<String>, ObjectKey)>,
    audit: Audit,
) -> Finding {
    let Some(archived) = archived else { return Finding::Kept(archive.read().await) };
    let archived = if archived.kept == kept {
        archived
    } else {
        match archive.write(kept, archived).await {
            Ok(archived) => archived,
            failed => return Finding::Kept(failed),
        }
    };
    let mut removed = BTreeSet::new();
    for (api, resource_version, key) in old {
        let preconditions = Some(Preconditions { resource_version, uid: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match timeout(WRITE_TIMEOUT, api.delete(&key.name, &params)).await {
            Ok(Ok(_)) => {
                info!(remediation = %key, "removed; its retention is over");
                audit.note(Event::Removed { remediation: key.to_string() });
                removed.insert(key);
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {}
            Ok(Err(error)) => warn!(remediation = %key, why = chain(&error), "not removed"),
            Err(_) => warn!(remediation = %key, "not removed: no answer in time"),
        }
    }
    remove_approvals(&client, &removed).await;
    Finding::Kept(Ok(archived))
}

/// Removes what people said to the plans of records that are no more. What fails stays; it counts for nothing.
async fn remove_approvals(client: &Client, removed: &BTreeSet<ObjectKey>) {
    let namespaces: BTreeSet<&str> = removed.iter().map(|key| key.namespace.as_str()).collect();
    for namespace in namespaces {
        let api: Api<DeserializeGuard<RemediationApproval>> = Api::namespaced(client.clone(), namespace);
        let Ok(Ok(listed)) = timeout(WRITE_TIMEOUT, api.list(&ListParams::default())).await else { continue };
        for approval in listed.items.into_iter().filter_map(|DeserializeGuard(approval)| approval.ok()) {
            let (name, remediation) = (approval.metadata.name.unwrap_or_default(), approval.spec.remediation);
            if removed.contains(&ObjectKey { namespace: namespace.to_owned(), name: remediation }) {
                let preconditions = Some(Preconditions { resource_version: None, uid: approval.metadata.uid });
                let params = DeleteParams { preconditions, ..DeleteParams::default() };
                let gone = timeout(WRITE_TIMEOUT, api.delete(&name, &params)).await;
                debug!(namespace, name, removed = matches!(gone, Ok(Ok(_))), "an approval of a record that is no more");
            }
        }
    }
}

fn is_open(record: &Remediation) -> bool {
    record.status.as_ref().is_none_or(|status| !status.phase.is_terminal())
}

/// Whether a limit can still ask for what this record did.
fn is_remembered(record: &Remediation, now: Timestamp) -> bool {
    let Some(status) = &record.status else { return false };
    let mut times = status.journal.iter().map(|entry| entry.started_at).chain(status.ended_at);
    !status.journal.is_empty() && times.any(|time| now.duration_since(time) <= MEMORY)
}

/// Whether a write with this answer may have been carried out, or be so later. A request that is refused as wrong is not.
fn may_be_carried_out<T>(answer: &Result<kube::Result<T>, tokio::time::error::Elapsed>) -> bool {
    !matches!(answer, Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code))
}

/// The action that a record's journal announces.
fn order<'a>(
    key: &'a ObjectKey,
    record: &'a Remediation,
    protections: Protections,
) -> Option<(crate::api::Action<'a>, Order<'a>)> {
    let entry = record.status.as_ref()?.journal.last()?;
    let step = record.spec.steps.get(usize::try_from(entry.step).ok()?)?;
    let uid = record.metadata.uid.as_deref().unwrap_or_default();
    Some((step.action()?, Order { record: key, uid, entry, protections }))
}

/// What must never be: for the tests that show why.
#[cfg(feature = "chaos")]
async fn without_protections(
    client: Client,
    key: &ObjectKey,
    mut record: Remediation,
    mut decision: Decision,
    protections: Protections,
) -> Decision {
    if decision.effect == Effect::Act && !protections.hold(Protection::JournalFirst) {
        record.status = Some(decision.after.clone());
        if let Some((action, order)) = order(key, &record, protections) {
            decision.done = Some(action::execute(client, action, &order).await);
        }
    }
    decision
}

/// The line of the audit log without which an action does not begin.
fn begins(record: &Remediation, order: &Order<'_>) -> Event {
    Event::ActionBegins {
        what: What::of(record),
        action: order.entry.action.clone(),
        step: order.entry.step,
        entry: record.status.as_ref().map_or(0, |status| status.journal.len().saturating_sub(1)),
        target: order.entry.target.clone(),
    }
}

fn action_name(record: &Remediation, step: u32) -> &'static str {
    let step = usize::try_from(step).ok().and_then(|step| record.spec.steps.get(step));
    step.and_then(crate::api::Step::action).map_or("", crate::api::Action::name)
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}
