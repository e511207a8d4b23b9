//! A record that awaits somebody's consent to its plan. Pure.

use jiff::SignedDuration;

use super::{Next, Plan, Record};
use crate::{
    api::{Mode, Phase, Reason},
    clock::to_the_second,
    remediation::{
        approval::{self, Answer},
        checks::{self, Candidate},
        ledger::after,
        machine::Effect,
        world::{Evidence, InForce, Observed, PolicyNow, Scene},
    },
};

/// How often a record that awaits an answer is looked at, if nothing wakes it.
const APPROVAL_INTERVAL: SignedDuration = SignedDuration::from_secs(15);

impl Record<'_> {
    pub(super) fn answer<'a>(&self, plan: &Plan, in_force: &InForce, scene: &'a Scene) -> Answer<'a> {
        let about = (plan.hash.as_str(), plan.target.uid.as_str());
        approval::answer(&scene.consents, self.world.key, self.spec, in_force.approval, about, self.now)
    }

    pub(super) fn denied(&self, by: &str) -> Next {
        self.end(Phase::Cancelled, Reason::ApprovalDenied, format!("denied by {by}"))
    }

    /// Asks people about a plan, after every check has passed.
    pub(super) fn ask(&self, plan: Plan, in_force: &InForce) -> Next {
        let until = after(self.now, in_force.approval.within.signed());
        let another = self.status.phase == Phase::AwaitingApproval;
        let changed = if another { "the plan is another one now, which nobody has approved yet: " } else { "" };
        let shown = to_the_second(until);
        let message = format!("{changed}{}, once somebody approves it, until {shown}", plan.words);
        let mut status = self.entering(Phase::AwaitingApproval, Reason::ApprovalRequired, message);
        status.until = Some(until);
        plan.enter(&mut status, in_force.mode);
        Next { status, effect: Effect::LookAgain(after(self.now, APPROVAL_INTERVAL).min(until)) }
    }

    /// `AwaitingApproval`: nothing is done before somebody has answered, and after that every check is made from nothing.
    /// The plan that is asked about is kept up to date, so that nobody is asked about what would not be done.
    pub(super) fn awaiting(&self) -> Next {
        let again = self.unchanged(Effect::LookAgain(after(self.now, APPROVAL_INTERVAL)));
        let in_force = match self.world.policy {
            PolicyNow::InForce(policy) => match self.still(policy) {
                Ok(in_force) => Some(in_force),
                Err(why) => return self.policy_changed(why),
            },
            PolicyNow::Gone => return self.policy_changed("the policy is gone"),
            PolicyNow::Unseen => None,
        };
        if let Evidence::Clear { .. } = self.world.evidence {
            return self.cleared();
        }
        if in_force.as_ref().is_some_and(|in_force| in_force.mode != Mode::RequireApproval) {
            return self.again(Reason::PolicyChanged, "the policy's mode changed; nobody has to approve".to_owned());
        }
        let lapsed = self.status.until.is_none_or(|until| self.now >= until) || self.overdue();
        let (Some(in_force), Observed::Scene(scene)) = (in_force, &self.world.observed) else {
            return if lapsed { self.expired() } else { again };
        };
        let asked = self.status.plan_hash.as_deref().zip(self.status.target.as_ref());
        let answer = asked.map_or(Answer::None, |(hash, target)| {
            let about = (hash, target.uid.as_str());
            approval::answer(&scene.consents, self.world.key, self.spec, in_force.approval, about, self.now)
        });
        match answer {
            Answer::Denied(consent) => return self.denied(&consent.said()),
            Answer::Approved(consent) => {
                let message = format!("approved by {}; every check is made again", consent.said());
                return self.again(Reason::Approved, message);
            }
            Answer::None | Answer::Unknown { .. } if lapsed => return self.expired(),
            Answer::None | Answer::Unknown { .. } => {}
        }
        let candidate = Candidate::of(self.spec, self.status, self.world, &in_force, scene, self.now);
        match checks::admit(&candidate) {
            // What passes by itself may have passed by the time somebody answers.
            Err(refusal) if refusal.phase == Phase::Waiting => again,
            Err(refusal) => self.refused(refusal, scene),
            Ok(admitted) => match self.plan(&candidate, &admitted) {
                Some(plan) if self.status.plan_hash.as_deref() != Some(plan.hash.as_str()) => self.ask(plan, &in_force),
                _ => again,
            },
        }
    }

    fn expired(&self) -> Next {
        let plan = self.status.plan.as_deref().unwrap_or("act");
        let message = format!("nobody approved it in time, so nothing was done; it would {plan}");
        self.end(Phase::Failed, Reason::ApprovalExpired, message)
    }
}
