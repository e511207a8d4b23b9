//! How much is in trouble at once: the subjects of open records that may act. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{AlertPhase, Mode, ObjectRef, Phase, Remediation, TargetKind},
    target::named,
};

/// So many subjects are in trouble, in each namespace and in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    by_namespace: BTreeMap<String, usize>,
    all: usize,
}

impl Crowd {
    /// Of these records those count that are open, may act, and whose alert is not over. One that was not looked at yet
    /// counts for the workload that the name of its alert's object speaks of: the first of a storm must not be acted on
    /// because the others are still to be looked at. One whose target is not to be found is in nobody's crowd.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Remediation>) -> Self {
        let mut known: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
        let mut guessed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for record in records.into_iter().filter(|record| counts(record)) {
            match record.status.as_ref().and_then(|status| status.subject.as_ref()) {
                Some(ObjectRef { namespace, kind, name, .. }) => {
                    known.entry(namespace).or_default().insert((kind, name));
                }
                None => {
                    if let Some((namespace, name)) = guess(record) {
                        guessed.entry(namespace).or_default().insert(name);
                    }
                }
            }
        }
        let mut by_namespace: BTreeMap<String, usize> =
            known.iter().map(|(namespace, subjects)| ((*namespace).to_owned(), subjects.len())).collect();
        for (namespace, names) in guessed {
            let known = known.get(namespace.as_str());
            let is_known = |name: &str| known.is_some_and(|known| known.iter().any(|(_, known)| *known == name));
            // The name of a Deployment's pod has one part more than that of its ReplicaSet.
            let deployment = |name: &str| name.rsplit_once('-').is_some_and(|(name, _)| is_known(name));
            let more = names.iter().filter(|name| !is_known(name) && !deployment(name)).count();
            *by_namespace.entry(namespace).or_default() += more;
        }
        let all = by_namespace.values().sum();
        Self { by_namespace, all }
    }

    /// How many are in trouble in a namespace.
    pub fn in_namespace(&self, namespace: &str) -> usize {
        self.by_namespace.get(namespace).copied().unwrap_or_default()
    }

    /// How many are in trouble in all.
    pub fn in_all(&self) -> usize {
        self.all
    }
}

/// What only says what it would do, is over, or has looked for its target in vain, is not in trouble.
fn counts(record: &Remediation) -> bool {
    let Some(status) = &record.status else { return record.spec.mode != Mode::DryRun };
    let over = status.alert.as_ref().is_some_and(|alert| alert.state == AlertPhase::Resolved);
    let looked_at = status.subject.is_some() || status.since.is_none();
    record.spec.mode != Mode::DryRun
        && !status.phase.is_terminal()
        && status.phase != Phase::Observing
        && !over
        && looked_at
}

/// The namespace and the workload's name, as the name of a pod has it.
fn guess(record: &Remediation) -> Option<(String, String)> {
    let named = named(&record.spec.alert.labels, record.spec.target.kind).ok()?;
    let name = match record.spec.target.kind {
        TargetKind::Pod => named.name.rsplit_once('-').map_or(named.name.as_str(), |(workload, _)| workload),
        _ => &named.name,
    };
    Some((named.namespace.clone(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Reason, remediation::fixtures::*};

    fn crowd(records: &[RecordFixture]) -> usize {
        let objects: Vec<_> = records.iter().map(RecordFixture::object).collect();
        let crowd = Crowd::of(&objects);
        assert_eq!(crowd.in_all(), crowd.in_namespace("shop"));
        crowd.in_all()
    }

    fn looked_at(pod_name: &str) -> RecordFixture {
        let mut record = a_record().about(pod_name).waiting(Reason::Cooldown, 0);
        record.status.subject = Some(deployment(pod_name.rsplit_once('-').unwrap().0));
        record
    }

    #[test]
    fn pods_of_one_workload_are_one_and_those_of_several_are_several() {
        let cart = [looked_at("cart-1"), looked_at("cart-2")];
        assert_eq!(crowd(&cart), 1);
        assert_eq!(crowd(&[looked_at("cart-1"), looked_at("till-1"), looked_at("web-1")]), 3);
    }

    #[test]
    fn what_was_not_looked_at_yet_counts_by_its_pods_name_and_only_once() {
        let new = |pod: &str| a_record().about(pod);
        assert_eq!(crowd(&[new("till-7d9c-a1b2c"), new("till-7d9c-x8y9z"), new("db-0"), new("db-1")]), 2);
        assert_eq!(crowd(&[looked_at("cart-1"), new("cart-7d9c-a1b2c"), new("cart-2")]), 1);
    }

    #[test]
    fn what_ended_or_only_watches_or_has_no_target_is_not_in_trouble() {
        let over = looked_at("a-1").resolved_at(1);
        let ended = looked_at("b-1").in_phase(Phase::Succeeded, 1);
        let dry_run = looked_at("c-1").mode(Mode::DryRun);
        let lost = a_record().about("d-1").waiting(Reason::TargetUnresolved, 1);
        assert_eq!(crowd(&[over, ended, dry_run, lost]), 0);
    }
}
