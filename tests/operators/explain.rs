//! `explain` and `why`: what would be done, and what was, with the reasons.

use std::fs;

use paramedic::api::{Phase, Reason, Remediation};
use serde_json::{Value, json};

use crate::stage::{Stage, policy};

fn checks(report: &Value) -> Vec<(String, bool)> {
    let checks = report[0]["matching"][0]["answer"]["checks"].as_array().into_iter().flatten();
    checks.map(|check| (check["name"].as_str().unwrap().to_owned(), check["passes"].as_bool().unwrap())).collect()
}

fn refused(report: &Value) -> Vec<String> {
    checks(report).into_iter().filter(|(_, passes)| !passes).map(|(name, _)| name).collect()
}

fn alert_file(stage: &Stage, pod: &str) -> String {
    let file = stage.dir.path().join("alert.json");
    fs::write(&file, Stage::notification(pod).to_string()).unwrap();
    file.display().to_string()
}

#[test]
fn an_alert_against_policies_in_files_needs_no_cluster() {
    let stage = Stage::empty();
    let policies = stage.dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let near = policy("only-pages", &json!({ "match": ["alertname=\"MemoryLeak\"", "severity=\"page\""] }));
    fs::write(policies.join("a.json"), policy("restart-cart", &json!({})).to_string()).unwrap();
    fs::write(policies.join("b.json"), near.to_string()).unwrap();
    let far = policy("far", &json!({ "match": ["alertname=\"DiskFull\""] }));
    fs::write(policies.join("c.json"), far.to_string()).unwrap();
    stage.takes_the_api_away();
    let line = format!("explain {} --policies {}", alert_file(&stage, "cart-1"), policies.display());
    let said = stage.says(
        0,
        &line,
        &[
            "Policy shop/restart-cart matches (Enforce, from a file)",
            "its labels name Pod shop/cart-1",
            "a record would be made, paramedic/restart-cart-",
            "Policy shop/only-pages does not match",
            "NO   severity=\"page\": the alert has severity=\"critical\"",
            "1 other policy does not match; --all-policies shows why.",
        ],
    );
    assert!(!said.contains("DiskFull"), "{said}");
    stage.says(
        0,
        &format!("{line} --all-policies"),
        &["NO   alertname=\"DiskFull\": the alert has alertname=\"MemoryLeak\""],
    );

    // From standard input, with less than a webhook has.
    let bare = json!({ "labels": { "alertname": "MemoryLeek", "namespace": "shop", "pod": "cart-1" } }).to_string();
    let line = format!("explain - --policies {}", policies.display());
    let meant = ["No policy matches", "did you mean alertname=\"MemoryLeak\"?"];
    stage.says_of(0, &line, &bare, &meant);
    stage.says_of(2, &line, "alertname: MemoryLeak", &["-: this is no JSON"]);
    stage.says(
        2,
        &format!("explain /nowhere.json --policies {}", policies.display()),
        &["/nowhere.json cannot be read"],
    );
    fs::write(policies.join("d.json"), "{\"apiVersion\": \"paramedic.dev/v1alpha1\"}").unwrap();
    stage.says_of(1, &line, &bare, &["d.json", "kind"]);
}

#[test]
fn an_alert_against_a_cluster_is_decided_about_as_the_leader_would_and_nothing_is_written() {
    let stage = Stage::empty();
    stage.applies(policy("restart-cart", &json!({})));
    let pod = stage.pods().remove(0);
    let file = alert_file(&stage, &pod);
    let line = format!("explain {file}");
    let acts = [
        "Policy shop/restart-cart matches (Enforce)",
        "=> It would act now: Acting (InProgress)",
        &format!("evict Pod shop/{pod}"),
    ];
    stage.says(0, &line, &acts);
    let report = stage.json(&line);
    assert_eq!(refused(&report), [""; 0], "{report}");
    assert_eq!(report[0]["matching"][0]["answer"]["then"]["acts"], true);

    // Its twins differ in what stands in the way.
    stage.says(0, "pause -n shop --reason 'release 14' --name release", &[]);
    stage.says(
        0,
        &line,
        &[
            "NO: Paused",
            "Pause shop/release: release 14",
            "turned by: the end of the Pause",
            "=> It would not act now: Waiting (Paused)",
        ],
    );
    assert_eq!(refused(&stage.json(&line)), ["pause"]);
    stage.says(0, "resume shop/release", &[]);
    let gone = alert_file(&stage, "cart-0-gone");
    stage.says(0, &format!("explain {gone}"), &["NO: TargetUnresolved", "there is no Pod shop/cart-0-gone"]);
    assert_eq!(stage.cluster.with(|state| state.list::<Remediation>(None)), [], "it only looks");
    assert!(stage.pods().contains(&pod));
}

#[test]
fn a_policy_that_is_not_applied_yet_can_be_held_against_the_cluster() {
    let stage = Stage::empty();
    let file = stage.dir.path().join("policy.json");
    let limits = json!({ "limits": { "minAvailable": "100%" } });
    fs::write(&file, policy("careful", &limits).to_string()).unwrap();
    let alert = alert_file(&stage, &stage.pods().remove(0));
    let line = format!("explain {alert} --policies {} --live", file.display());
    assert_eq!(refused(&stage.json(&line)), ["availability"]);
    stage.says(0, &line, &["minAvailable 100% asks for 3", "lower limits.minAvailable"]);
}

#[test]
fn why_tells_what_was_looked_at_and_what_would_have_turned_it() {
    let stage = Stage::at_work();
    let pods = stage.pods();
    stage.tells_of(&pods[0]);
    stage.is(Phase::Verifying);
    let first = stage.record().unwrap().metadata.name.unwrap();
    let acted = [
        &format!("Remediation shop/{first} is Verifying (InProgress)")[..],
        "alertname=\"MemoryLeak\" matches \"MemoryLeak\"",
        "3 of 3 pods are ready, and the action ends one of them; minAvailable 50% asks for 2",
        "0 of 5 actions in 1h",
        "restartPod",
        "Done",
        "next: healthy and quiet for 1m unbroken is a success",
    ];
    stage.says(0, &format!("why {first} -n shop"), &acted);
    let wide = stage.says(
        0,
        &format!("why shop/{first} -o wide"),
        &["would have been turned by: a Pause in the target's namespace"],
    );
    assert!(!wide.contains("NO <="), "{wide}");

    stage.tells_of(&pods[1]);
    let second = |stage: &Stage| {
        let records: Vec<Remediation> = stage.cluster.with(|state| state.list(None));
        records.into_iter().find(|record| record.metadata.name.as_ref() != Some(&first))
    };
    stage
        .until("a lock", |stage| second(stage).and_then(|record| record.status?.reason) == Some(Reason::SubjectLocked));
    let name = second(&stage).unwrap().metadata.name.unwrap();
    let held = [
        "subject lock",
        "NO <=",
        &format!("shop/{first} runs on Deployment shop/cart"),
        "the end of the other remediation",
    ];
    stage.says(0, &format!("why shop/{name}"), &held);
    let report = stage.json(&format!("why shop/{name}"));
    let decided: Vec<&Value> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["decided"] == true).collect();
    assert_eq!(decided.len(), 1, "{report}");
    assert_eq!(decided[0]["name"], "subject lock");

    stage.says(1, "why shop/nothing", &["there is no remediation shop/nothing", "retention"]);
}
