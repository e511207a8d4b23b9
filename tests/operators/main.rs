//! What operators type, on a simulated cluster over HTTP with the real server at work: each command a story.
#![allow(clippy::unwrap_used, reason = "what does not go as it should fails the story")]

mod answer;
mod explain;
mod people;
mod stage;

use paramedic::api::{Pause, PauseScope, Phase, Reason};
use serde_json::json;

use self::stage::{Stage, policy};

fn reason(stage: &Stage) -> Option<Reason> {
    stage.record()?.status?.reason
}

#[test]
fn status_says_who_leads_what_is_open_and_what_is_not_in_force() {
    let mut stage = Stage::at_work();
    stage.says(
        0,
        "status",
        &["Leader    paramedic-0_", "Policies  1 Enforce", "Pauses    none", "No remediation is open"],
    );
    let pod = stage.pods().remove(0);
    stage.tells_of(&pod);
    stage.is(Phase::Verifying);
    let wide = ["restart-cart-", "MemoryLeak", &format!("Pod/{pod}"), "Verifying", "InProgress", "unauthenticated"];
    stage.says(0, "status -o wide", &wide);
    let report = stage.json("status -n shop");
    assert_eq!(report["open"][0]["phase"], "Verifying", "{report}");
    assert_eq!(report["problems"], json!([]), "{report}");
    assert_eq!(stage.json("status -n default")["open"], json!([]), "of another namespace");
    stage.says(0, "status -o yaml", &["phase: Verifying", "leads: true"]);

    // Without a replica the lease grows old, and a new policy is not judged.
    stage.kills_the_replica();
    stage.applies(policy("unjudged", &json!({})));
    stage.until("nobody leads", |stage| stage.run("status").out.contains("! nobody leads"));
    let wrong = ["! nobody leads: paramedic-0_", "does not renew the lease", "! policy shop/unjudged is not in force"];
    stage.says(1, "status", &wrong);
}

#[test]
fn a_pause_by_hand_holds_a_namespace_and_its_end_lets_it_go() {
    let stage = Stage::at_work();
    stage.says(
        0,
        "pause -n shop --reason 'release 14' --for 1h --name release",
        &["nothing new is done in namespace shop, for 60m", "paramedic resume shop/release"],
    );
    stage.tells_of(&stage.pods().remove(0));
    stage.until("Paused", |stage| reason(stage) == Some(Reason::Paused));
    stage.says(0, "status", &["PAUSED: 1 pause is in force", "shop/release", "namespace shop", "release 14", "Paused"]);
    let freeze = stage.json("pause --all --reason freeze");
    assert_eq!((&freeze["spec"]["scope"], &freeze["metadata"]["namespace"]), (&json!("Cluster"), &json!("paramedic")));
    stage.says(
        0,
        "resume shop/release",
        &["1 pause is gone: shop/release", "But everything is paused by paramedic/by-hand-"],
    );
    assert_eq!(reason(&stage), Some(Reason::Paused), "one is left");
    stage.says(0, "resume --all -A", &["1 pause is gone: paramedic/by-hand-", "is looked at again"]);
    stage.is(Phase::Verifying);
    let left: Vec<Pause> = stage.cluster.with(|state| state.list(None));
    assert_eq!(left, []);
}

#[test]
fn a_pause_that_would_hold_nothing_is_not_made() {
    let stage = Stage::empty();
    let nowhere = ["there is no lease paramedic in namespace paramedic", "--paramedic-namespace", "No pause was made"];
    stage.says(1, "pause --all --reason freeze", &nowhere);
    stage.says(2, "pause -n shop --reason x --until 2020-01-01T00:00:00Z", &["is over already"]);
    stage.says(2, "pause -n shop --reason ''", &["--reason is empty"]);
    stage.says(2, "pause -n shop", &["--reason <TEXT>"]);
    stage.says(2, "pause -n shop --reason x --for never", &["is not a duration such as 30s or 1h30m"]);
    stage.says(3, "pause -n nowhere --reason x", &["refused to create a pause in namespace nowhere", "not found"]);
    assert_eq!(stage.cluster.with(|state| state.list::<Pause>(None)), []);
    // Its twin needs no lease: it holds the namespace that it is in.
    stage.says(0, "pause -n shop --reason x", &["until somebody resumes"]);
    let made: Vec<Pause> = stage.cluster.with(|state| state.list(Some("shop")));
    assert_eq!(made.first().map(|pause| pause.spec.scope), Some(PauseScope::Namespace));
}

#[test]
fn resuming_names_what_is_resumed() {
    let stage = Stage::empty();
    stage.says(2, "resume", &["<PAUSE|--all>"]);
    stage.says(1, "resume shop/nothing", &["there is no pause shop/nothing", "paramedic status"]);
    stage.says(1, "resume --all -n shop", &["there is no pause"]);
    stage.says(2, "resume shop/nothing -n other", &["of namespace shop, but -n says other"]);
}

#[test]
fn cancelling_ends_what_waits_and_its_twin_goes_on() {
    let stage = Stage::at_work();
    stage.says(0, "pause -n shop --reason 'let it wait' --name wait", &[]);
    stage.tells_of(&stage.pods().remove(0));
    stage.is(Phase::Waiting);
    let name = stage.record().unwrap().metadata.name.unwrap();
    stage.says(1, "cancel shop/nothing --reason x", &["there is no remediation shop/nothing"]);
    stage.says(2, &format!("cancel {name} -n shop"), &["--reason <TEXT>"]);
    assert_eq!(stage.record().unwrap().status.unwrap().phase, Phase::Waiting, "nothing was changed so far");
    let said = [&format!("Remediation shop/{name} is Cancelled: done by hand")[..]];
    stage.says(0, &format!("cancel {name} -n shop --reason 'done by hand'"), &said);
    assert_eq!(reason(&stage), Some(Reason::CancelRequested));
    stage.says(1, &format!("cancel shop/{name} --reason again"), &["has ended already: it is Cancelled"]);
}

#[test]
fn what_cannot_be_reached_says_so_with_an_exit_code_of_its_own() {
    let stage = Stage::empty();
    stage.says(3, "status --context nowhere", &["nowhere"]);
    stage.says(3, "status --kubeconfig /nowhere/at/all", &["/nowhere/at/all"]);
    stage.takes_the_api_away();
    stage.says(3, "status", &["the cluster did not get lease paramedic", "--context"]);
    stage.says(3, "pause -n shop --reason x", &["the cluster did not create a pause in namespace shop"]);
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_paramedic")).args(["completions", shell]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(["status", "resume", "paramedic-namespace"].iter().all(|word| script.contains(word)), "{shell}");
    }
}
