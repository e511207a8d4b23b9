//! What can be done: one file an action.
//!
//! Each says what it will do (`plan`), does it (`execute`), and can tell afterwards whether it was done (`observe`).
//! Doing it twice is safe for every action here, as each is bound to the UID of what it was decided for. An action never
//! decides whether it should be done.

mod identity;
mod restart_pod;
mod rights;
mod rollout_restart;

use kube::Client;

pub use identity::{client_of, user};
pub use rights::{Right, rights};

use crate::{
    api::{Action, ActionOutcome, JournalEntry, ObjectKey, ObjectRef},
    protections::{Protection, Protections},
    target::Resolved,
};

/// What came of an attempt, or of a look at an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What.
    pub outcome: ActionOutcome,
    /// What the API said, where that matters.
    pub message: Option<String>,
}

impl Outcome {
    fn new(outcome: ActionOutcome, message: impl Into<String>) -> Self {
        Self { outcome, message: Some(message.into()) }
    }

    fn done() -> Self {
        Self { outcome: ActionOutcome::Done, message: None }
    }
}

/// One action to be done, as the journal announced it.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The record.
    pub record: &'a ObjectKey,
    /// The record's UID: a later record may have its name.
    pub uid: &'a str,
    /// The journal's entry.
    pub entry: &'a JournalEntry,
    /// What guards against doing harm.
    pub protections: Protections,
}

impl Order<'_> {
    /// The UID that the target must have.
    fn required_uid(&self) -> Option<String> {
        self.protections.hold(Protection::Uid).then(|| self.entry.target.uid.clone())
    }

    /// What marks the effect of this order, and of no other, where an effect can be marked.
    fn token(&self) -> String {
        format!("{}/{}/{}", self.record, self.uid, self.entry.step)
    }
}

/// The object that an action is done to.
pub fn acted_on<'a>(action: Action<'_>, resolved: &'a Resolved) -> &'a ObjectRef {
    match action {
        Action::RolloutRestart(_) => &resolved.subject.object,
        Action::RestartPod(_) => &resolved.target,
    }
}

/// What an action will do, in words.
pub fn plan(action: Action<'_>, resolved: &Resolved) -> String {
    match action {
        Action::RestartPod(restart) => restart_pod::plan(*restart, resolved),
        Action::RolloutRestart(_) => rollout_restart::plan(resolved),
    }
}

/// Does it. The client must not retry: a budget's refusal would be taken for a lack of time. Who calls bounds the time.
pub async fn execute(client: Client, action: Action<'_>, order: &Order<'_>) -> Outcome {
    match action {
        Action::RestartPod(restart) => restart_pod::execute(client, *restart, order).await,
        Action::RolloutRestart(_) => rollout_restart::execute(client, order).await,
    }
}

/// Looks whether it was done: `Done`, `NotDone`, or `Unknown` where the API does not say.
pub async fn observe(client: Client, action: Action<'_>, order: &Order<'_>) -> Outcome {
    match action {
        Action::RestartPod(_) => restart_pod::observe(client, order).await,
        Action::RolloutRestart(_) => rollout_restart::observe(client, order).await,
    }
}

/// What an error of a writing request means.
///
/// Only an answer can say that nothing was done; without one, and where the server itself failed, nobody knows.
fn failed(error: &kube::Error) -> Outcome {
    let message = error.to_string();
    let kube::Error::Api(status) = error else { return Outcome::new(ActionOutcome::Unknown, message) };
    let outcome = match status.code {
        429 if is_disruption(status) => ActionOutcome::Disrupted,
        404 | 409 => ActionOutcome::Conflict,
        403 if is_denied(status) => ActionOutcome::Refused,
        // Who asks, or may ask, or how busy the server is: nothing that the next step would change. It is decided anew.
        401 | 403 | 408 | 429 => ActionOutcome::NotDone,
        400..=499 => ActionOutcome::Refused,
        // The one thing that the eviction API says with a 500 although it is a plain refusal.
        500 if status.message.contains("more than one PodDisruptionBudget") => ActionOutcome::Refused,
        _ => ActionOutcome::Unknown,
    };
    Outcome::new(outcome, status.message.clone())
}

/// Whether a 403 will be the same at the next try, as it is not about rights: admission denies it, a quota is full, its
/// namespace is being deleted. An API server that has just started forbids everything until it has read its roles.
pub fn is_denied(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        || ["exceeded quota", "denied the request"].iter().any(|text| status.message.contains(text))
}

/// An eviction refused by a budget names it as the cause; API priority and fairness answers 429 too, without one.
fn is_disruption(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "DisruptionBudget")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(code: u16, message: &str) -> ActionOutcome {
        let status = json!({ "code": code, "message": message, "reason": "" });
        failed(&kube::Error::Api(serde_json::from_value(status).unwrap())).outcome
    }

    #[test]
    fn a_right_that_is_missing_does_not_lead_to_the_next_step() {
        for code in [401, 403, 408, 429] {
            assert_eq!(outcome(code, "pods \"web-1\" is forbidden"), ActionOutcome::NotDone, "{code}");
        }
    }

    #[test]
    fn what_admission_denies_is_refused_for_good() {
        let denied = outcome(403, "admission webhook \"guard\" denied the request: no");
        assert_eq!(denied, ActionOutcome::Refused);
        assert_eq!(outcome(422, "invalid"), ActionOutcome::Refused);
    }

    #[test]
    fn what_the_server_did_not_say_is_not_known() {
        assert_eq!(outcome(500, "etcd"), ActionOutcome::Unknown);
        assert_eq!(outcome(504, "timeout"), ActionOutcome::Unknown);
    }
}
