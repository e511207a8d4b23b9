use super::*;
use crate::{
    api::{Decision, RestartMethod, RestartPod},
    remediation::fixtures::*,
};

const WITHIN: Approval = Approval { within: crate::api::PositiveDuration::from_secs(3600) };

fn hash_of(record: &RecordFixture, step: u32, restart: RestartPod, target: &ObjectRef) -> String {
    plan_hash(&record.key, &record.spec, step, Action::RestartPod(&restart), target)
}

fn consent(decision: Decision, hash: &str, seconds: i64) -> Consent {
    let record = a_record();
    Consent {
        name: "rem-1-abcde".to_owned(),
        remediation: record.key.name.clone(),
        policy: record.policy(),
        plan_hash: hash.to_owned(),
        target_uid: "uid-cart-1".to_owned(),
        decision,
        approver: "kim".to_owned(),
        comment: None,
        at: at(seconds),
    }
}

/// What is answered to the plan `hash` of the usual record, at that time.
fn answered(said: Vec<Consent>, seconds: i64) -> Option<Decision> {
    let record = a_record();
    let consents = Consents::Said(said);
    match answer(&consents, &record.key, &record.spec, WITHIN, ("hash", "uid-cart-1"), at(seconds)) {
        Answer::None => None,
        Answer::Approved(_) => Some(Decision::Approve),
        Answer::Denied(_) => Some(Decision::Deny),
        Answer::Unknown { why, .. } => panic!("{why}"),
    }
}

#[test]
fn a_plan_is_known_by_what_is_done_to_what_and_for_which_record() {
    let record = a_record();
    let evict = RestartPod::default();
    let known = hash_of(&record, 0, evict, &pod("cart-1"));
    assert_eq!(known.len(), 64);
    assert_eq!(known, hash_of(&a_record(), 0, evict, &pod("cart-1")), "the same plan");

    let delete = RestartPod { method: RestartMethod::Delete, ..evict };
    let hurried = RestartPod { grace_period: Some(seconds(1)), ..evict };
    let mut replaced = pod("cart-1");
    replaced.uid = "uid-of-the-next-one".to_owned();
    let mut later = a_record();
    later.spec.alert.received_at = at(1);
    let others = [
        hash_of(&record, 0, delete, &pod("cart-1")),
        hash_of(&record, 0, hurried, &pod("cart-1")),
        hash_of(&record, 1, evict, &pod("cart-1")),
        hash_of(&record, 0, evict, &pod("cart-2")),
        hash_of(&record, 0, evict, &replaced),
        hash_of(&a_record().named("rem-2"), 0, evict, &pod("cart-1")),
        hash_of(&later, 0, evict, &pod("cart-1")),
        plan_hash(&record.key, &record.spec, 0, Action::RolloutRestart(&crate::api::RolloutRestart {}), &pod("cart-1")),
    ];
    for (number, other) in others.iter().enumerate() {
        assert_ne!(*other, known, "{number}");
        assert_eq!(others.iter().filter(|hash| *hash == other).count(), 1, "{number}");
    }
}

#[test]
fn a_yes_counts_for_its_plan_alone() {
    let yes = || consent(Decision::Approve, "hash", 10);
    assert_eq!(answered(vec![], 20), None);
    assert_eq!(answered(vec![yes()], 20), Some(Decision::Approve));
    assert_eq!(answered(vec![consent(Decision::Approve, "another", 10)], 20), None);
    assert_eq!(answered(vec![Consent { target_uid: "uid-cart-2".to_owned(), ..yes() }], 20), None);
    assert_eq!(answered(vec![Consent { remediation: "rem-2".to_owned(), ..yes() }], 20), None);
    // The approver's right was asked for on the policy that the approval names.
    let policy = PolicyKey { name: "a-policy-of-their-own".to_owned(), ..a_record().policy() };
    assert_eq!(answered(vec![Consent { policy, ..yes() }], 20), None);
}

#[test]
fn a_no_counts_before_every_yes_and_does_not_grow_old() {
    let said = || vec![consent(Decision::Approve, "hash", 10), consent(Decision::Deny, "hash", 5)];
    assert_eq!(answered(said(), 20), Some(Decision::Deny));
    assert_eq!(answered(said(), DAY), Some(Decision::Deny));
    assert_eq!(answered(vec![consent(Decision::Deny, "another", 5)], 20), None);
}

#[test]
fn a_yes_grows_old() {
    let yes = || vec![consent(Decision::Approve, "hash", 10)];
    assert_eq!(answered(yes(), HOUR + 9), Some(Decision::Approve));
    assert_eq!(answered(yes(), HOUR + 10), None);
}

#[test]
fn what_cannot_be_told_is_no_consent() {
    let record = a_record();
    for consents in [Consents::Unasked, Consents::Unknown { forbidden: true, why: "forbidden".to_owned() }] {
        let answer = answer(&consents, &record.key, &record.spec, WITHIN, ("hash", "uid"), at(0));
        assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
    }
}

#[test]
fn the_command_writes_an_approval_that_counts() {
    let awaiting = a_record().awaiting(10);
    let command = command(&awaiting.object()).unwrap();
    let json = command.strip_prefix("echo '").and_then(|rest| rest.strip_suffix("' | kubectl create -f -")).unwrap();
    // As the shell puts it together.
    let json = json.replace("'$(kubectl auth whoami -o jsonpath={.status.userInfo.username})'", "kim");
    assert!(!json.contains('\''), "{json}");
    let mut approval: RemediationApproval = serde_json::from_str(&json).unwrap();
    assert_eq!(approval.metadata.namespace.as_deref(), Some("shop"));
    approval.metadata.name = approval.metadata.generate_name.clone();
    approval.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(20)));
    let said = Consents::Said(vec![Consent::of(approval).unwrap()]);
    let asked = (awaiting.status.plan_hash.as_deref().unwrap(), "uid-cart-1");
    let answer = answer(&said, &awaiting.key, &awaiting.spec, WITHIN, asked, at(30));
    assert!(matches!(answer, Answer::Approved(consent) if consent.approver == "kim"), "{answer:?}");
}
