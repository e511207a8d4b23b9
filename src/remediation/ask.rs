//! Asks who is there to be asked about a record's alert: every Alertmanager and every Prometheus of its source, at once.
//! Reads only; who does not answer in time has said so.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::{
    evidence::{self, LivingSubject, PeerAnswer, RulesAnswer},
    world::{Evidence, QueryNow},
};
use crate::{
    alert::Matcher,
    api::{Query, RemediationSpec},
    clients::{Alertmanager, Monitors, Prometheus},
};

/// What was answered about one record's alert.
pub(super) struct Answers {
    peers: Vec<PeerAnswer>,
    rules: Vec<RulesAnswer>,
}

impl Answers {
    /// Of everybody who stands for the record's source.
    pub(super) async fn of(monitors: &Monitors, spec: &RemediationSpec) -> Self {
        let mut matchers = spec.matchers.clone();
        let alertname = spec.alert.labels.alertname();
        matchers.extend(alertname.map(|name| Matcher::equal("alertname", name)));
        // Without a name it can be no rule's.
        let prometheus = alertname.map(|name| monitors.prometheus.iter().map(move |one| rules(one, name)));
        let (peers, rules) = tokio::join!(
            join_all(monitors.alertmanagers.iter().map(|peer| alerts(peer, &matchers))),
            join_all(prometheus.into_iter().flatten()),
        );
        Self { peers, rules }
    }

    /// Whether nobody was there to be asked.
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.rules.is_empty()
    }

    /// Whether the record's alert fires.
    pub(super) fn alert(&self, spec: &RemediationSpec, now: Timestamp) -> Evidence {
        let labels = &spec.alert.labels;
        let alertmanagers = evidence::asked(&self.peers, evidence::same_alert(spec.alert.fingerprint), now);
        let rules = evidence::evaluated(&self.rules, labels, evidence::same_labels(labels), now);
        evidence::before_acting(alertmanagers, rules)
    }

    /// Whether an alert of the record's policy about what lives of its subject fires, after an action at `acted_at`.
    pub(super) fn subject(
        &self,
        spec: &RemediationSpec,
        living: &LivingSubject,
        acted_at: Timestamp,
        now: Timestamp,
    ) -> Evidence {
        let alertmanagers = evidence::asked(&self.peers, evidence::about_subject(spec, living, acted_at), now);
        let counts = evidence::rule_about_subject(spec, living, acted_at);
        evidence::after_acting(alertmanagers, evidence::evaluated(&self.rules, &spec.alert.labels, counts, now))
    }

    /// How long the alert's rule must find nothing before it will not find it again at once, where that is known.
    pub(super) fn quiet_for(&self, spec: &RemediationSpec) -> Option<SignedDuration> {
        evidence::quiet_for(&self.rules, &spec.alert.labels)
    }
}

/// Whether a step's query holds for the record's alert.
pub(super) async fn query(monitors: &Monitors, spec: &RemediationSpec, query: &Query) -> QueryNow {
    if monitors.prometheus.is_empty() {
        let source = &spec.source;
        return QueryNow::Unknown(format!(
            "no Prometheus is configured for source {source}, so the query cannot be asked"
        ));
    }
    let promql = match query.about(&spec.alert.labels) {
        Ok(promql) => promql,
        Err(why) => return QueryNow::Unknown(why.to_string()),
    };
    let answers = monitors.prometheus.iter().map(|one| one.query(&promql));
    let answers = join_all(answers).await.into_iter().map(|answer| answer.map_err(|error| error.to_string()));
    evidence::query_now(answers.collect(), query.says_no())
}

async fn alerts(peer: &Alertmanager, matchers: &[Matcher]) -> PeerAnswer {
    let alerts = peer.alerts(matchers).await.map_err(|error| error.to_string());
    let started_at = match &alerts {
        // Only for what it does not know does it matter how long it has been up.
        Ok(_) => peer.started_at().await.ok(),
        Err(_) => None,
    };
    PeerAnswer { url: peer.url().to_owned(), alerts, started_at, resend_interval: peer.resend_interval() }
}

async fn rules(prometheus: &Prometheus, alertname: &str) -> RulesAnswer {
    let rules = prometheus.rules(alertname).await.map_err(|error| error.to_string());
    let started_at = match &rules {
        Ok(rules) if !rules.is_empty() => prometheus.started_at().await.ok(),
        _ => None,
    };
    RulesAnswer { url: prometheus.url().to_owned(), rules, started_at }
}

#[cfg(test)]
mod tests;
