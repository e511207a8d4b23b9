//! `approve` and `deny`: an answer to the plan that was seen.

use paramedic::api::{Decision, Phase, RemediationApproval};
use serde_json::json;

use crate::stage::{Stage, policy};

/// A record that awaits an answer, as `shop/NAME`.
fn awaiting() -> (Stage, String) {
    let mut stage = Stage::empty();
    stage.applies(policy("restart-cart", &json!({ "mode": "RequireApproval" })));
    stage.starts_a_replica();
    stage.tells_of(&stage.pods().remove(0));
    stage.is(Phase::AwaitingApproval);
    let name = stage.record().unwrap().metadata.name.unwrap();
    (stage, format!("shop/{name}"))
}

fn answers(stage: &Stage) -> Vec<RemediationApproval> {
    stage.cluster.with(|state| state.list(None))
}

#[test]
fn what_is_approved_is_done_and_nothing_is_answered_unasked() {
    let (stage, name) = awaiting();
    stage.says(2, &format!("approve {name}"), &["awaits an answer", "evict Pod shop/", "--yes", "--plan-hash"]);
    let another = "0".repeat(64);
    stage.says(
        1,
        &format!("approve {name} --yes --plan-hash {another}"),
        &["is another one now", "nothing was answered"],
    );
    assert_eq!(answers(&stage), []);
    let hash = stage.record().unwrap().status.unwrap().plan_hash.unwrap();
    let line = format!("approve {name} --yes --plan-hash {hash} --reason 'seen'");
    stage.says(0, &line, &["Approved by kubernetes-admin", &format!("paramedic why {name}")]);
    stage.is(Phase::Verifying);
    stage.says(1, &format!("approve {name} --yes"), &["awaits no answer: it is Verifying"]);
}

#[test]
fn what_is_denied_is_not_done() {
    let (stage, name) = awaiting();
    let pods = stage.pods();
    stage.says(0, &format!("deny {name} --yes --reason 'not during the release'"), &["Denied by kubernetes-admin"]);
    stage.is(Phase::Cancelled);
    assert_eq!(answers(&stage).pop().map(|answer| answer.spec.decision), Some(Decision::Deny));
    assert_eq!(stage.pods(), pods, "nothing was done");
    stage.says(1, "deny shop/nothing --yes", &["there is no remediation shop/nothing"]);
}
