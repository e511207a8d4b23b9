//! What the audit log is told beside decisions and deliveries: which policies came into force and which went, and, the
//! other way round, whether it can be written.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    audit::{Audit, Event, Refused},
    policy::{Origin, Policy, PolicySet, PolicyStore},
    server::health::{AUDIT, Readiness},
};

/// How often the policies in force are compared with those before.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// How long until a log that is full is told again.
const FULL: Duration = Duration::from_millis(100);

/// Says whether the audit log can be written, until `stop`.
pub(super) async fn watch(audit: Audit, readiness: Readiness, stop: CancellationToken) {
    let mut problem = None;
    readiness.pass(AUDIT);
    while let Some(now) = stop.run_until_cancelled(audit.changed(problem.as_deref())).await {
        match &now {
            // Strangers who ask need not learn where it is; the log has the cause.
            Some(_) => readiness.fail(AUDIT, "cannot be written"),
            None => readiness.pass(AUDIT),
        }
        problem = now;
    }
}

/// Tells which policies are in force, and each change of that, until `stop`.
pub(super) async fn policies(audit: Audit, store: Arc<PolicyStore>, stop: CancellationToken) {
    let telling = async {
        let mut known = BTreeMap::new();
        let mut seen: Option<Arc<PolicySet>> = None;
        loop {
            let current = store.current();
            if !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &current)) {
                for event in changes(&mut known, &current) {
                    while audit.tell(event.clone()) == Err(Refused::Full) {
                        tokio::time::sleep(FULL).await;
                    }
                }
                seen = Some(current);
            }
            tokio::time::sleep(COMPARE_EVERY).await;
        }
    };
    stop.run_until_cancelled(telling).await;
}

/// A policy as it was told of, by what tells it apart.
type Told = BTreeMap<String, String>;

/// What changed since the last time, which is known from then on.
fn changes(known: &mut Told, set: &PolicySet) -> Vec<Event> {
    let now: BTreeMap<String, (String, &Arc<Policy>)> =
        set.iter().map(|policy| (name(policy), (version(policy), policy))).collect();
    let gone =
        known.keys().filter(|name| !now.contains_key(*name)).map(|name| Event::PolicyGone { policy: name.clone() });
    let mut events: Vec<Event> = gone.collect();
    for (name, (version, policy)) in &now {
        if known.get(name) != Some(version) {
            events.push(Event::PolicyInForce {
                policy: name.clone(),
                origin: match policy.origin {
                    Origin::Resource => "resource",
                    Origin::File => "file",
                },
                mode: policy.spec.mode,
                policy_hash: policy.reference.hash.clone(),
                generation: policy.reference.generation,
            });
        }
    }
    *known = now.into_iter().map(|(name, (version, _))| (name, version)).collect();
    events
}

fn name(policy: &Policy) -> String {
    format!("{} {}", policy.reference.kind.as_str(), policy.reference)
}

fn version(policy: &Policy) -> String {
    format!("{} {}", policy.reference.uid, policy.reference.hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Mode, remediation::fixtures::a_policy};

    fn set(policies: &[(&str, Mode)]) -> PolicySet {
        PolicySet::build(policies.iter().map(|(name, mode)| a_policy(name).mode(*mode).build())).0
    }

    #[test]
    fn each_change_of_the_set_is_told_once() {
        let mut known = Told::new();
        let two = set(&[("one", Mode::Enforce), ("two", Mode::DryRun)]);
        let names = |events: Vec<Event>| {
            let name = |event| match event {
                Event::PolicyInForce { policy, mode, .. } => format!("{policy} {mode:?}"),
                Event::PolicyGone { policy } => format!("{policy} gone"),
                other => panic!("{other:?}"),
            };
            events.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(changes(&mut known, &two)),
            ["RemediationPolicy shop/one Enforce", "RemediationPolicy shop/two DryRun"]
        );
        assert_eq!(names(changes(&mut known, &two)), [""; 0]);
        let other = set(&[("one", Mode::Disabled)]);
        assert_eq!(
            names(changes(&mut known, &other)),
            ["RemediationPolicy shop/two gone", "RemediationPolicy shop/one Disabled"]
        );
    }
}
