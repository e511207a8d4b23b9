//! The metrics. Every label's values come from a closed list, the configuration, or a list with a cap; never from an
//! alert. Longer than most files, because what a family is called, what it means and how it is recorded stay side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

pub use super::labels::{ApiErrorReason, PollOutcome, SpanOutcome};
use super::{
    labels::{
        ActionLabels, AlertLabels, ApiErrorLabels, CheckLabel, CodeLabel, KindLabel, Milliseconds, Minutes, PhaseLabel,
        PolicyLabel, PolicyLabels, PollLabels, ReasonLabel, SourceLabel, SpanLabel, TransitionLabels, VerbLabel, Word,
        milliseconds,
    },
    memory::ResidentMemory,
};
use crate::{
    api::{ActionOutcome, Phase, Reason},
    policy::Origin,
    server::intake::Outcome,
};

/// As many policies get a label of their own; the others share [`OTHER_POLICIES`].
pub const MAX_POLICY_LABELS: usize = 200;

/// The label of the policies beyond [`MAX_POLICY_LABELS`].
pub const OTHER_POLICIES: &str = "other";

/// Everything that `/metrics` shows. Shared behind an `Arc`; each method records one event.
pub struct Metrics {
    registry: Registry,
    alerts_received: Family<AlertLabels, Counter>,
    alerts_truncated: Family<SourceLabel, Counter>,
    alerts_polled: Family<AlertLabels, Counter>,
    polls: Family<PollLabels, Counter>,
    webhook_requests: Family<CodeLabel, Counter>,
    webhook_seconds: Histogram,
    auth_failures: Counter,
    people_requests: Family<CodeLabel, Counter>,
    throttle_keys: Gauge,
    policies: Family<PolicyLabels, Gauge>,
    policy_reload_success: Gauge,
    policy_reload_failures: Counter,
    credentials_reload_failures: Family<SourceLabel, Counter>,
    tls_reload_failures: Counter,
    remediations: Family<PhaseLabel, Gauge>,
    transitions: Family<TransitionLabels, Counter>,
    actions: Family<ActionLabels, Counter>,
    time_to_recovery: Family<PolicyLabel, Histogram, Minutes>,
    known_policies: Mutex<BTreeSet<String>>,
    alert_to_action: Histogram,
    ready: Family<CheckLabel, Gauge>,
    leader: Gauge,
    watch_broken: Family<KindLabel, Gauge>,
    waiting: Family<ReasonLabel, Gauge>,
    oldest_open: Gauge,
    known_reasons: Mutex<BTreeSet<Reason>>,
    api_requests: Family<VerbLabel, Histogram, Milliseconds>,
    api_errors: Family<ApiErrorLabels, Counter>,
    escalations: Gauge,
    escalation_failures: Counter,
    audit_lines: Counter,
    audit_lost: Counter,
    audit_failing: Gauge,
    trace_spans: Family<SpanLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every family.
    pub fn new() -> Self {
        let mut this = Self {
            registry: Registry::default(),
            alerts_received: Family::default(),
            alerts_truncated: Family::default(),
            alerts_polled: Family::default(),
            polls: Family::default(),
            webhook_requests: Family::default(),
            webhook_seconds: milliseconds(),
            auth_failures: Counter::default(),
            people_requests: Family::default(),
            throttle_keys: Gauge::default(),
            policies: Family::default(),
            policy_reload_success: Gauge::default(),
            policy_reload_failures: Counter::default(),
            credentials_reload_failures: Family::default(),
            tls_reload_failures: Counter::default(),
            remediations: Family::default(),
            transitions: Family::default(),
            actions: Family::default(),
            time_to_recovery: Family::new_with_constructor(Minutes),
            known_policies: Mutex::default(),
            alert_to_action: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0]),
            ready: Family::default(),
            leader: Gauge::default(),
            watch_broken: Family::default(),
            waiting: Family::default(),
            oldest_open: Gauge::default(),
            known_reasons: Mutex::default(),
            api_requests: Family::new_with_constructor(Milliseconds),
            api_errors: Family::default(),
            escalations: Gauge::default(),
            escalation_failures: Counter::default(),
            audit_lines: Counter::default(),
            audit_lost: Counter::default(),
            audit_failing: Gauge::default(),
            trace_spans: Family::default(),
        };
        this.register_intake();
        this.register_remediations();
        this.register_process();
        this
    }

    fn register_intake(&mut self) {
        let own = self.registry.sub_registry_with_prefix("paramedic");
        own.register(
            "alerts_received",
            "Alerts in webhooks, by the source that sent them and what became of them",
            self.alerts_received.clone(),
        );
        own.register(
            "alerts_truncated",
            "Alerts that Alertmanager left out of a webhook because of max_alerts",
            self.alerts_truncated.clone(),
        );
        own.register(
            "alerts_polled",
            "Alerts read from Alertmanager that no record spoke for, by the source that it stands for and what became of them",
            self.alerts_polled.clone(),
        );
        own.register(
            "polls",
            "Readings of what fires at an Alertmanager, by the source that it stands for and what came of it",
            self.polls.clone(),
        );
        own.register("webhook_requests", "Webhook requests, by the code of the answer", self.webhook_requests.clone());
        own.register_with_unit(
            "webhook",
            "Time from a webhook's headers to its answer",
            Unit::Seconds,
            self.webhook_seconds.clone(),
        );
        own.register(
            "people_requests",
            "Requests of the HTTP API for people, by the code of the answer",
            self.people_requests.clone(),
        );
        own.register("auth_failures", "Requests without a valid credential", self.auth_failures.clone());
        own.register(
            "throttle_keys",
            "Clients whose failed authentications are being counted",
            self.throttle_keys.clone(),
        );
        own.register(
            "policies",
            "Policies, by where they come from and whether they are in force",
            self.policies.clone(),
        );
        own.register(
            "policy_reload_success",
            "Whether the policy files could be read the last time; if not, the set before is in force",
            self.policy_reload_success.clone(),
        );
        own.register("policy_reload_failures", "Failed reloads of policy files", self.policy_reload_failures.clone());
        own.register(
            "credentials_reload_failures",
            "Failed reloads of a source's credential; the last good one holds",
            self.credentials_reload_failures.clone(),
        );
        own.register(
            "tls_reload_failures",
            "Failed reloads of the webhook's certificate; the last good one is shown",
            self.tls_reload_failures.clone(),
        );
    }

    fn register_remediations(&mut self) {
        let own = self.registry.sub_registry_with_prefix("paramedic");
        own.register("remediations", "Remediations on record, by phase", self.remediations.clone());
        own.register(
            "remediations_waiting",
            "Open remediations that wait, by what for; on the leader",
            self.waiting.clone(),
        );
        own.register_with_unit(
            "remediation_oldest_open",
            "How long ago the alert of the oldest open remediation arrived; on the leader, 0 where none is open",
            Unit::Seconds,
            self.oldest_open.clone(),
        );
        own.register(
            "remediation_transitions",
            "Changes of a remediation's phase, by the new phase and why",
            self.transitions.clone(),
        );
        own.register("actions", "Actions, by what came of them", self.actions.clone());
        own.register_with_unit(
            "time_to_recovery",
            "Time from the receipt of an alert to the end of its remediation that succeeded, by policy",
            Unit::Seconds,
            self.time_to_recovery.clone(),
        );
        own.register_with_unit(
            "alert_to_action",
            "Time from the receipt of an alert to the first action on it",
            Unit::Seconds,
            self.alert_to_action.clone(),
        );
    }

    fn register_process(&mut self) {
        let own = self.registry.sub_registry_with_prefix("paramedic");
        own.register("ready", "1 where a check of /readyz passes, by check", self.ready.clone());
        own.register("leader", "1 on the replica that acts", self.leader.clone());
        own.register(
            "watch_broken",
            "1 while a watch has been failing for more than a minute",
            self.watch_broken.clone(),
        );
        own.register_with_unit(
            "api_request",
            "Time from a request to the Kubernetes API to the head of its answer, by verb",
            Unit::Seconds,
            self.api_requests.clone(),
        );
        own.register("api_errors", "Failed calls of the Kubernetes API", self.api_errors.clone());
        own.register(
            "escalations",
            "Alerts about failed remediations that are being sent to Alertmanager; on the leader",
            self.escalations.clone(),
        );
        own.register(
            "escalation_failures",
            "Rounds in which an Alertmanager could not be told of a failed remediation",
            self.escalation_failures.clone(),
        );
        own.register("audit_lines", "Lines written to the audit log", self.audit_lines.clone());
        own.register(
            "audit_lost_events",
            "Events that are not in the audit log, because it could not be written for too long",
            self.audit_lost.clone(),
        );
        own.register(
            "audit_failing",
            "1 while the audit log cannot be written, and nothing is done or taken in",
            self.audit_failing.clone(),
        );
        own.register(
            "trace_spans",
            "Spans of traces, by what became of them: sent, dropped for want of room, or refused by the collector",
            self.trace_spans.clone(),
        );
        let build = vec![("version", crate::VERSION), ("commit", crate::COMMIT)];
        own.register("build", "What is running", Info::new(build));
        self.registry.register_collector(Box::new(ResidentMemory));
    }

    /// The exposition, in OpenMetrics' text format.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut exposition = String::new();
        text::encode(&mut exposition, &self.registry)?;
        Ok(exposition)
    }

    /// Alerts of one webhook that came to the same.
    pub fn alerts_received(&self, source: &str, outcome: Outcome, count: u64) {
        let labels = AlertLabels { source: source.to_owned(), outcome: Word(outcome.as_str()) };
        self.alerts_received.get_or_create(&labels).inc_by(count);
    }

    /// Alerts that the sender left out.
    pub fn alerts_truncated(&self, source: &str, count: u64) {
        self.alerts_truncated.get_or_create(&SourceLabel { source: source.to_owned() }).inc_by(count);
    }

    /// Alerts of one poll that came to the same.
    pub fn alerts_polled(&self, source: &str, outcome: Outcome, count: u64) {
        let labels = AlertLabels { source: source.to_owned(), outcome: Word(outcome.as_str()) };
        self.alerts_polled.get_or_create(&labels).inc_by(count);
    }

    /// An Alertmanager that stands for this source was polled.
    pub fn polled(&self, source: &str, outcome: PollOutcome) {
        let labels = PollLabels { source: source.to_owned(), outcome: Word(outcome.as_str()) };
        self.polls.get_or_create(&labels).inc();
    }

    /// A webhook's answer, and how long it took.
    pub fn webhook(&self, code: u16, took: Duration) {
        self.webhook_requests.get_or_create(&CodeLabel { code }).inc();
        self.webhook_seconds.observe(took.as_secs_f64());
    }

    /// A request without a valid credential.
    pub fn auth_failure(&self) {
        self.auth_failures.inc();
    }

    /// An answer of the HTTP API for people.
    pub fn people_request(&self, code: u16) {
        self.people_requests.get_or_create(&CodeLabel { code }).inc();
    }

    /// How many clients the throttle counts.
    pub fn throttle_keys(&self, count: usize) {
        self.throttle_keys.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many policies of an origin are in force, and how many are not.
    pub fn policies(&self, origin: Origin, accepted: usize, rejected: usize) {
        let origin = Word(match origin {
            Origin::Resource => "resource",
            Origin::File => "file",
        });
        for (word, count) in [("true", accepted), ("false", rejected)] {
            let labels = PolicyLabels { origin, accepted: Word(word) };
            self.policies.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Whether a reload of the policy files succeeded.
    pub fn policy_reload(&self, success: bool) {
        self.policy_reload_success.set(i64::from(success));
        if !success {
            self.policy_reload_failures.inc();
        }
    }

    /// A source's credential could not be read again.
    pub fn credentials_reload_failure(&self, source: &str) {
        self.credentials_reload_failures.get_or_create(&SourceLabel { source: source.to_owned() }).inc();
    }

    /// The certificate of the webhook could not be read again.
    pub fn tls_reload_failure(&self) {
        self.tls_reload_failures.inc();
    }

    /// How many remediations are in a phase.
    pub fn remediations(&self, phase: Phase, count: usize) {
        let labels = PhaseLabel { phase: Word(phase.as_str()) };
        self.remediations.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many remediations wait for what. What nothing waits for any more is shown as 0.
    pub fn waiting(&self, counts: &BTreeMap<Reason, usize>) {
        let mut known = self.known_reasons.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(counts.keys());
        for reason in known.iter() {
            let count = counts.get(reason).copied().unwrap_or_default();
            let labels = ReasonLabel { reason: Word(reason.as_str()) };
            self.waiting.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// How long ago the alert of the oldest open remediation arrived.
    pub fn oldest_open(&self, age: Duration) {
        self.oldest_open.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }

    /// A remediation entered a phase.
    pub fn transition(&self, phase: Phase, reason: Option<Reason>) {
        let reason = Word(reason.map_or("", Reason::as_str));
        self.transitions.get_or_create(&TransitionLabels { phase: Word(phase.as_str()), reason }).inc();
    }

    /// An action ended. `action` is its name in a policy.
    pub fn action(&self, action: &'static str, outcome: ActionOutcome) {
        let labels = ActionLabels { action: Word(action), outcome: Word(outcome.as_str()) };
        self.actions.get_or_create(&labels).inc();
    }

    /// A remediation of this policy succeeded, so long after its alert was received.
    pub fn recovered(&self, policy: &str, after: Duration) {
        let mut known = self.known_policies.lock().unwrap_or_else(PoisonError::into_inner);
        let own = known.contains(policy) || (known.len() < MAX_POLICY_LABELS && known.insert(policy.to_owned()));
        drop(known);
        let policy = if own { policy } else { OTHER_POLICIES }.to_owned();
        self.time_to_recovery.get_or_create(&PolicyLabel { policy }).observe(after.as_secs_f64());
    }

    /// The first action on an alert began, so long after it was received.
    pub fn alert_to_action(&self, after: Duration) {
        self.alert_to_action.observe(after.as_secs_f64());
    }

    /// Whether a check of `/readyz` passes.
    pub fn ready(&self, check: &'static str, passes: bool) {
        self.ready.get_or_create(&CheckLabel { check: Word(check) }).set(i64::from(passes));
    }

    /// Whether this replica acts.
    pub fn leader(&self, is_leader: bool) {
        self.leader.set(i64::from(is_leader));
    }

    /// Whether a watch has been failing for long. `kind` is what it watches.
    pub fn watch_broken(&self, kind: &'static str, broken: bool) {
        self.watch_broken.get_or_create(&KindLabel { kind: Word(kind) }).set(i64::from(broken));
    }

    /// The Kubernetes API answered, or did not, after so long. `verb` is as in RBAC.
    pub fn api_request(&self, verb: &'static str, took: Duration) {
        self.api_requests.get_or_create(&VerbLabel { verb: Word(verb) }).observe(took.as_secs_f64());
    }

    /// How many alerts about failed remediations are being sent.
    pub fn escalations(&self, count: usize) {
        self.escalations.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An Alertmanager could not be told.
    pub fn escalation_failure(&self) {
        self.escalation_failures.inc();
    }

    /// A line of the audit log was written.
    pub fn audit_line(&self) {
        self.audit_lines.inc();
    }

    /// An event will not be in the audit log.
    pub fn audit_lost(&self) {
        self.audit_lost.inc();
    }

    /// Whether the audit log can be written.
    pub fn audit_failing(&self, failing: bool) {
        self.audit_failing.set(i64::from(failing));
    }

    /// Spans that came to the same.
    pub fn spans(&self, outcome: SpanOutcome, count: u64) {
        self.trace_spans.get_or_create(&SpanLabel { outcome: Word(outcome.as_str()) }).inc_by(count);
    }

    /// A call of the Kubernetes API failed. `verb` is as in RBAC.
    pub fn api_error(&self, verb: &'static str, reason: ApiErrorReason) {
        self.api_errors.get_or_create(&ApiErrorLabels { verb: Word(verb), reason: Word(reason.as_str()) }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched() -> Metrics {
        let metrics = Metrics::new();
        metrics.alerts_received("prod", Outcome::Created, 2);
        metrics.alerts_truncated("prod", 3);
        metrics.alerts_polled("prod", Outcome::Created, 1);
        metrics.polled("prod", PollOutcome::TooOld);
        metrics.webhook(200, Duration::from_millis(3));
        metrics.auth_failure();
        metrics.people_request(200);
        metrics.throttle_keys(1);
        metrics.policies(Origin::File, 1, 0);
        metrics.policy_reload(false);
        metrics.credentials_reload_failure("prod");
        metrics.tls_reload_failure();
        metrics.remediations(Phase::Pending, 1);
        metrics.transition(Phase::Waiting, Some(Reason::Cooldown));
        metrics.action("restartPod", ActionOutcome::Done);
        metrics.recovered("shop/restart", Duration::from_secs(42));
        metrics.alert_to_action(Duration::from_millis(300));
        metrics.ready("api", true);
        metrics.leader(true);
        metrics.watch_broken("Remediation", false);
        metrics.waiting(&[(Reason::Cooldown, 1)].into());
        metrics.oldest_open(Duration::from_secs(5));
        metrics.api_request("get", Duration::from_millis(3));
        metrics.api_error("create", ApiErrorReason::Server);
        metrics.escalations(1);
        metrics.escalation_failure();
        metrics.audit_line();
        metrics.audit_lost();
        metrics.audit_failing(false);
        metrics.spans(SpanOutcome::Sent, 1);
        metrics
    }

    #[test]
    fn every_family_is_explained_and_these_are_all() {
        let exposition = touched().render().unwrap();
        let families: Vec<&str> = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        for family in &families {
            let name = family.split(' ').next().unwrap();
            assert!(exposition.contains(&format!("# HELP {name} ")), "{name} has no HELP");
        }
        insta::assert_snapshot!(families.join("\n"), @"
        process_resident_memory_bytes gauge
        paramedic_alerts_received counter
        paramedic_alerts_truncated counter
        paramedic_alerts_polled counter
        paramedic_polls counter
        paramedic_webhook_requests counter
        paramedic_webhook_seconds histogram
        paramedic_people_requests counter
        paramedic_auth_failures counter
        paramedic_throttle_keys gauge
        paramedic_policies gauge
        paramedic_policy_reload_success gauge
        paramedic_policy_reload_failures counter
        paramedic_credentials_reload_failures counter
        paramedic_tls_reload_failures counter
        paramedic_remediations gauge
        paramedic_remediations_waiting gauge
        paramedic_remediation_oldest_open_seconds gauge
        paramedic_remediation_transitions counter
        paramedic_actions counter
        paramedic_time_to_recovery_seconds histogram
        paramedic_alert_to_action_seconds histogram
        paramedic_ready gauge
        paramedic_leader gauge
        paramedic_watch_broken gauge
        paramedic_api_request_seconds histogram
        paramedic_api_errors counter
        paramedic_escalations gauge
        paramedic_escalation_failures counter
        paramedic_audit_lines counter
        paramedic_audit_lost_events counter
        paramedic_audit_failing gauge
        paramedic_trace_spans counter
        paramedic_build info
        ");
        assert!(exposition.ends_with("# EOF\n"));
    }

    #[test]
    fn names_are_as_documented() {
        let exposition = touched().render().unwrap();
        for line in [
            r#"paramedic_alerts_received_total{source="prod",outcome="Created"} 2"#,
            r#"paramedic_alerts_polled_total{source="prod",outcome="Created"} 1"#,
            r#"paramedic_polls_total{source="prod",outcome="TooOld"} 1"#,
            r#"paramedic_webhook_requests_total{code="200"} 1"#,
            "paramedic_webhook_seconds_count 1",
            r#"paramedic_policies{origin="file",accepted="true"} 1"#,
            r#"paramedic_remediation_transitions_total{phase="Waiting",reason="Cooldown"} 1"#,
            r#"paramedic_actions_total{action="restartPod",outcome="Done"} 1"#,
            "paramedic_leader 1",
        ] {
            assert!(exposition.lines().any(|found| found == line), "{line} is not in\n{exposition}");
        }
    }

    #[test]
    fn what_nothing_waits_for_any_more_is_shown_as_none() {
        let metrics = touched();
        metrics.waiting(&[(Reason::Paused, 2)].into());
        let exposition = metrics.render().unwrap();
        assert!(exposition.contains(r#"paramedic_remediations_waiting{reason="Cooldown"} 0"#), "{exposition}");
        assert!(exposition.contains(r#"paramedic_remediations_waiting{reason="Paused"} 2"#), "{exposition}");
    }

    #[test]
    fn policies_beyond_the_cap_share_a_label() {
        let metrics = Metrics::new();
        for number in 0..=MAX_POLICY_LABELS {
            metrics.recovered(&format!("policy-{number}"), Duration::from_secs(1));
        }
        let exposition = metrics.render().unwrap();
        let counts = exposition.lines().filter(|line| line.starts_with("paramedic_time_to_recovery_seconds_count"));
        assert_eq!(counts.count(), MAX_POLICY_LABELS + 1);
        assert!(exposition.contains(r#"_count{policy="other"} 1"#));
    }
}
