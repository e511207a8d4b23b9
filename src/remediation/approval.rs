//! People's consent to a plan: what they are asked about, and what they said. Pure.
//!
//! A plan is known by its hash, which is over all that would be done and to which object. So what was approved is what
//! is done: another action, another parameter or another object is another plan.

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::ledger::after;
use crate::{
    api::{
        Action, Approval, ApprovalPolicy, ApprovedBy, Decision, GROUP, ObjectKey, ObjectRef, Remediation,
        RemediationApproval, RemediationSpec, VERSION,
    },
    triage::PolicyKey,
};

/// What one person said about one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The name of the `RemediationApproval`.
    pub name: String,
    /// The record's name; its namespace is that of the approval.
    pub remediation: String,
    /// The policy on which the approver was asked to have the right.
    pub policy: PolicyKey,
    /// The plan.
    pub plan_hash: String,
    /// The UID of the object that it is about.
    pub target_uid: String,
    /// What was said.
    pub decision: Decision,
    /// By whom.
    pub approver: String,
    /// Why, where that was said.
    pub comment: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What is known of people's answers to a record's plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consents {
    /// Nobody was asked, as nothing asks for it.
    Unasked,
    /// All that was said.
    Said(Vec<Consent>),
    /// It cannot be told.
    Unknown {
        /// Paramedic may not ask, which will not pass by itself.
        forbidden: bool,
        /// What was said instead.
        why: String,
    },
}

/// The answer to one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Nobody said anything, or not lately.
    None,
    /// Somebody said yes, and nobody no.
    Approved(&'a Consent),
    /// Somebody said no.
    Denied(&'a Consent),
    /// It cannot be told.
    Unknown {
        /// Paramedic may not ask.
        forbidden: bool,
        /// What was said instead.
        why: &'a str,
    },
}

impl Consent {
    /// Of an object of the API; `None` of one that the API server has not created.
    pub fn of(approval: RemediationApproval) -> Option<Self> {
        let spec = approval.spec;
        let ApprovalPolicy { kind, namespace, name } = spec.policy;
        Some(Self {
            name: approval.metadata.name?,
            remediation: spec.remediation,
            policy: PolicyKey { kind, namespace, name },
            plan_hash: spec.plan_hash,
            target_uid: spec.target_uid,
            decision: spec.decision,
            approver: spec.approver,
            comment: spec.comment,
            at: approval.metadata.creation_timestamp?.0,
        })
    }

    /// Whose consent that is, for the journal.
    pub fn approved_by(&self) -> ApprovedBy {
        ApprovedBy { approver: self.approver.clone(), approval: self.name.clone() }
    }

    /// Who said so, and what, for people.
    pub fn said(&self) -> String {
        let comment = self.comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
        format!("{}{comment} (RemediationApproval {})", self.approver, self.name)
    }
}

/// The hash of a plan of that record: of the action and its parameters, the object that it is done to, and the record, as
/// a later one may have its name. 64 hexadecimal digits of SHA-256.
///
/// How it is verified is no part of it, nor are the words in which it is told.
pub fn plan_hash(key: &ObjectKey, spec: &RemediationSpec, step: u32, action: Action<'_>, target: &ObjectRef) -> String {
    let parameters = match action {
        Action::RestartPod(restart) => serde_json::to_string(restart),
        Action::RolloutRestart(restart) => serde_json::to_string(restart),
    };
    let parts = [
        &key.to_string(),
        &spec.policy.uid,
        &spec.alert.fingerprint.to_string(),
        &spec.alert.received_at.to_string(),
        &step.to_string(),
        action.name(),
        &parameters.unwrap_or_default(),
        spec.service_account_name.as_deref().unwrap_or_default(),
        &target.api_version,
        &target.kind,
        &target.namespace,
        &target.name,
        &target.uid,
    ];
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        use std::fmt::Write;
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
        hex
    })
}

/// What was said to one plan. A no counts for ever, and before every yes; a yes as long as it may be acted on.
pub fn answer<'a>(
    consents: &'a Consents,
    key: &ObjectKey,
    spec: &RemediationSpec,
    approval: Approval,
    (plan_hash, target_uid): (&str, &str),
    now: Timestamp,
) -> Answer<'a> {
    let said = match consents {
        Consents::Unasked => return Answer::Unknown { forbidden: false, why: "nobody was asked for it" },
        Consents::Unknown { forbidden, why } => return Answer::Unknown { forbidden: *forbidden, why },
        Consents::Said(said) => said,
    };
    let policy = PolicyKey::from(&spec.policy);
    let about_it = |consent: &&Consent| {
        consent.remediation == key.name
            && consent.policy == policy
            && consent.plan_hash == plan_hash
            && consent.target_uid == target_uid
    };
    let mut denials = said.iter().filter(about_it).filter(|consent| consent.decision == Decision::Deny);
    if let Some(denial) = denials.next() {
        return Answer::Denied(denial);
    }
    let lasts =
        |consent: &&Consent| consent.decision == Decision::Approve && now < after(consent.at, approval.within.signed());
    said.iter().filter(about_it).find(lasts).map_or(Answer::None, Answer::Approved)
}

/// Where the shell is to put who approves. No name of an object has quotes, capitals or a `$` in it.
const APPROVER: &str = "APPROVER";

/// A command that approves the plan that a record awaits an answer to, as the user of the kubectl that it is pasted
/// behind. `None` where it awaits none.
pub fn command(record: &Remediation) -> Option<String> {
    let status = record.status.as_ref()?;
    let (hash, target, name) = (status.plan_hash.as_ref()?, status.target.as_ref()?, record.metadata.name.as_ref()?);
    let approval = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "RemediationApproval",
        "metadata": { "namespace": record.metadata.namespace, "generateName": format!("{name}-") },
        "spec": {
            "remediation": name,
            "policy": ApprovalPolicy::from(&record.spec.policy),
            "planHash": hash,
            "targetUID": target.uid,
            "decision": Decision::Approve,
            "approver": APPROVER,
        },
    });
    let who = "'$(kubectl auth whoami -o jsonpath={.status.userInfo.username})'";
    Some(format!("echo '{}' | kubectl create -f -", approval.to_string().replace(APPROVER, who)))
}

#[cfg(test)]
mod tests;
