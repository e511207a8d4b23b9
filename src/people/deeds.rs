//! What somebody may want done, as the objects and patches that say so. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, api::TypeMeta};
use serde_json::{Value, json};

use crate::api::{
    ApprovalPolicy, CANCEL_ANNOTATION, Decision, ObjectKey, ObjectRef, Pause, PauseScope, PauseSpec, Phase,
    Remediation, RemediationApproval, RemediationApprovalSpec, RemediationStatus,
};

/// What the name of a pause begins with that the API server completes.
const GENERATED: &str = "by-hand-";

/// A plan that awaits an answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The record's key.
    pub key: &'a ObjectKey,
    /// The record.
    pub record: &'a Remediation,
    /// Its status.
    pub status: &'a RemediationStatus,
    /// The hash of the plan.
    pub hash: &'a str,
    /// The object that it is about.
    pub target: &'a ObjectRef,
}

impl<'a> Asked<'a> {
    /// Of a record; the phase that it is in instead, where that awaits no answer.
    pub fn of(key: &'a ObjectKey, record: &'a Remediation) -> Result<Self, Phase> {
        let awaits = record.status.as_ref().filter(|status| status.phase == Phase::AwaitingApproval);
        let plan = awaits.and_then(|status| Some((status, status.plan_hash.as_deref()?, status.target.as_ref()?)));
        let Some((status, hash, target)) = plan else { return Err(phase(record)) };
        Ok(Self { key, record, status, hash, target })
    }

    /// The answer of that person: to this very plan, for this very object. It goes when the record does.
    pub fn answered(&self, decision: Decision, approver: &str, comment: Option<String>) -> RemediationApproval {
        let spec = RemediationApprovalSpec {
            remediation: self.key.name.clone(),
            policy: ApprovalPolicy::from(&self.record.spec.policy),
            plan_hash: self.hash.to_owned(),
            target_uid: self.target.uid.clone(),
            decision,
            approver: approver.to_owned(),
            comment,
        };
        let metadata = ObjectMeta {
            generate_name: Some(format!("{}-", self.key.name)),
            namespace: Some(self.key.namespace.clone()),
            owner_references: owner(self.record).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        RemediationApproval { metadata, spec }
    }
}

fn owner(record: &Remediation) -> Option<OwnerReference> {
    let TypeMeta { api_version, kind } = TypeMeta::resource::<Remediation>();
    Some(OwnerReference {
        api_version,
        kind,
        name: record.meta().name.clone()?,
        uid: record.meta().uid.clone()?,
        ..OwnerReference::default()
    })
}

/// The phase that a record is in.
pub fn phase(record: &Remediation) -> Phase {
    record.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// The merge patch that asks the leader to end a record. It has the UID: a record that was deleted and made again is
/// another one.
pub fn cancellation(record: &Remediation, reason: &str) -> Value {
    json!({ "metadata": {
        "uid": record.metadata.uid,
        "annotations": { (CANCEL_ANNOTATION): reason },
    }})
}

/// A pause; without a name, with one that the API server makes up.
pub fn pause(
    namespace: &str,
    name: Option<String>,
    scope: PauseScope,
    reason: &str,
    expires_at: Option<Timestamp>,
) -> Pause {
    Pause {
        metadata: ObjectMeta {
            generate_name: name.is_none().then(|| GENERATED.to_owned()),
            name,
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        spec: PauseSpec { scope, reason: reason.to_owned(), expires_at },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::fixtures::{a_record, pod};

    #[test]
    fn an_answer_is_bound_to_the_plan_and_to_the_object() {
        let mut record = a_record().named("one").in_phase(Phase::AwaitingApproval, 0).object();
        let status = record.status.get_or_insert_default();
        status.plan_hash = Some("ab".repeat(32));
        status.target = Some(pod("cart-1"));
        let key = ObjectKey::of(&record);
        let made = Asked::of(&key, &record).unwrap().answered(Decision::Deny, "kim", None);
        assert_eq!((made.spec.plan_hash.as_str(), made.spec.target_uid.as_str()), (&*"ab".repeat(32), "uid-cart-1"));
        assert_eq!((made.spec.remediation.as_str(), made.spec.decision), ("one", Decision::Deny));
        assert_eq!(made.spec.approver, "kim");
    }

    #[test]
    fn what_awaits_no_answer_can_have_none() {
        let record = a_record().named("one").object();
        assert_eq!(Asked::of(&ObjectKey::of(&record), &record).err(), Some(Phase::Pending));
    }
}
