//! What would have led somewhere else, by the reason of a decision that no check made. Pure.

use crate::api::Reason;

/// The input that would have changed it; `None` where the checks say so themselves.
pub const fn turned_by(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::PolicyUnavailable => Some("the policy in sight of the leader again, as a custom resource or a file"),
        Reason::AlertCleared => Some("an alert that still fires when everything else lets the action pass"),
        Reason::Disruption => Some("a PodDisruptionBudget that allows a disruption"),
        Reason::TargetChanged => Some("nothing: it is decided anew, about the target as it is now"),
        Reason::CancelRequested => Some("nobody asking for its end (paramedic cancel, or the annotation)"),
        Reason::PolicyChanged => {
            Some("a policy that still has these steps, this target and these matchers, and is not disabled")
        }
        Reason::TimedOut => Some("what it waited for within a day, and its work within an hour"),
        Reason::NotHelped => Some(
            "a healthy subject and a quiet alert for verify.stableFor, within verify.within; or a further step in the policy",
        ),
        Reason::ActionFailed => Some("an API server that takes the request: see the journal for what it said"),
        Reason::OutcomeUnknown => Some("an API server that says what became of the request"),
        Reason::Unverified => Some("an API server and an Alertmanager that answer before verify.within is over"),
        Reason::Verified => Some("an unhealthy pod, or an alert of the policy that names one, within verify.stableFor"),
        // Those that a check gives (see `remediation::turns`), and what is under way.
        _ => None,
    }
}
