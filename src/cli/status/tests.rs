//! The report, as a value and as text, from what an API could have answered.

use serde_json::{Value, json};

use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};

use super::text;
use crate::{
    api::{ActionOutcome, Pause, PauseScope, Phase, Reason, RemediationPolicy},
    people::{
        cluster::Listed,
        status::{Facts, Held, Report},
    },
    remediation::fixtures::{HOUR, MINUTE, a_record, at},
};

fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

fn all_of<K>(objects: Vec<K>) -> Listed<K> {
    Listed { objects, unreadable: Vec::new() }
}

fn lease(holder: &str, renewed: i64) -> Lease {
    read(json!({ "metadata": { "name": "paramedic", "namespace": "paramedic" }, "spec": {
        "holderIdentity": holder, "leaseDurationSeconds": 15,
        "acquireTime": micro(at(-3 * HOUR)), "renewTime": micro(at(renewed)),
    }}))
}

fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string()
}

fn policy(name: &str, generation: i64, condition: &Value) -> RemediationPolicy {
    read(json!({
        "apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy",
        "metadata": { "name": name, "namespace": "shop", "generation": generation },
        "spec": { "match": ["alertname=\"MemoryLeak\""], "target": { "kind": "Pod" }, "steps": [{ "restartPod": {} }] },
        "status": { "conditions": condition },
    }))
}

fn accepted(status: &str, generation: i64, message: &str) -> Value {
    json!([{ "type": "Accepted", "status": status, "reason": "InForce", "message": message,
        "observedGeneration": generation, "lastTransitionTime": at(-HOUR) }])
}

fn pause(namespace: &str, name: &str, spec: &Value) -> Pause {
    let metadata = json!({ "name": name, "namespace": namespace, "creationTimestamp": at(-2 * MINUTE) });
    read(json!({ "apiVersion": "paramedic.dev/v1alpha1", "kind": "Pause", "metadata": metadata, "spec": spec }))
}

fn replica(name: &str, ready: &str) -> Pod {
    read(json!({ "metadata": { "name": name }, "status": {
        "conditions": [{ "type": "Ready", "status": ready }],
        "containerStatuses": [{ "name": "paramedic", "image": "", "imageID": "", "ready": true, "restartCount": 1 }],
    }}))
}

/// A replica leads, and there is nothing else.
fn quiet() -> Facts {
    Facts {
        own_namespace: "paramedic".to_owned(),
        namespace: None,
        lease: Some(Held::of(&lease("paramedic-0_1a2b", -1), at(0))),
        pods: Ok(Vec::new()),
        records: all_of(Vec::new()),
        pauses: all_of(Vec::new()),
        policies: all_of(Vec::new()),
        cluster_policies: all_of(Vec::new()),
    }
}

fn busy() -> Facts {
    let refused = "spec.match must have at least one matcher that an absent label does not satisfy";
    Facts {
        pods: Ok(vec![replica("paramedic-0", "True"), replica("paramedic-1", "False")]),
        records: all_of(vec![
            a_record().named("restart-1").about("cart-1").journal(ActionOutcome::Done, -60).verifying(-30).object(),
            a_record().named("restart-2").about("cart-2").waiting(Reason::Cooldown, -200).object(),
            a_record().named("restart-3").about("cart-3").in_phase(Phase::Succeeded, -HOUR).object(),
            a_record().named("restart-4").about("cart-1").in_phase(Phase::Failed, -2 * HOUR).object(),
            a_record().named("restart-5").about("cart-1").in_phase(Phase::Failed, -48 * HOUR).object(),
        ]),
        pauses: all_of(vec![
            pause("shop", "release", &json!({ "reason": "release 14", "expiresAt": at(50 * MINUTE) })),
            pause("shop", "old", &json!({ "reason": "over", "expiresAt": at(-MINUTE) })),
            pause("paramedic", "freeze", &json!({ "reason": "the network is ill", "scope": "Cluster" })),
        ]),
        policies: all_of(vec![
            policy("good", 2, &accepted("True", 2, "the policy is in force")),
            policy("typo", 1, &accepted("False", 1, refused)),
            policy("edited", 3, &accepted("True", 2, "the policy is in force")),
            policy("new", 1, &json!([])),
        ]),
        ..quiet()
    }
}

#[test]
fn a_quiet_night_has_no_problems() {
    let report = Report::of(&quiet(), 5, at(0));
    assert_eq!(report.problems, [""; 0]);
    insta::assert_snapshot!(text::of(&report, false), @r"
    Paramedic in namespace paramedic, at 2026-03-01T12:00:00Z

    Leader    paramedic-0_1a2b, for 3h
    Policies  none in force (custom resources; those from files are not in the API)
    24 hours  nothing ended
    Pauses    none

    No remediation is open.
    ");
}

#[test]
fn a_bad_night_says_first_what_is_wrong() {
    insta::assert_snapshot!(text::of(&Report::of(&busy(), 2, at(0)), true), @r"
    Paramedic in namespace paramedic, at 2026-03-01T12:00:00Z
      ! pod paramedic-1 is not ready: kubectl -n paramedic logs paramedic-1
      ! policy shop/edited is not in force: it was changed, and no leader has judged the change yet
      ! policy shop/new is not in force: no leader has judged it yet
      ! policy shop/typo is not in force: spec.match must have at least one matcher that an absent label does not satisfy

    Leader    paramedic-0_1a2b, for 3h
    Replicas  1 of 2 ready, restarted 2 times
    Policies  1 DryRun; 3 not accepted (custom resources; those from files are not in the API)
    24 hours  1 Succeeded, 1 Failed

    PAUSED: 2 pauses are in force, nothing new is done there
      NAME              HOLDS           FOR  ENDS                REASON
      shop/release      namespace shop  2m   in 50m              release 14
      paramedic/freeze  everything      2m   when it is resumed  the network is ill

    Open: 2
      NAME            ALERT       TARGET      PHASE      REASON    FOR    POLICY             SOURCE      ACTIONS
      shop/restart-2  MemoryLeak  -           Waiting    Cooldown  3m20s  shop/restart-cart  prometheus  0
          the reason of the wait
      shop/restart-1  MemoryLeak  Pod/cart-1  Verifying  -         30s    shop/restart-cart  prometheus  2

    Ended last
      NAME            ALERT       TARGET  PHASE      REASON  AGO   POLICY             SOURCE      ACTIONS
      shop/restart-3  MemoryLeak  -       Succeeded  -       60m   shop/restart-cart  prometheus  0
      shop/restart-4  MemoryLeak  -       Failed     -       120m  shop/restart-cart  prometheus  0
    ");
}

#[test]
fn whether_somebody_leads_is_a_matter_of_renewals() {
    let leads = |renewed| Held::of(&lease("paramedic-0", renewed), at(0)).is_renewed;
    assert_eq!([-1, -15, -16, 1, 30].map(leads), [true, true, false, true, false]);
    let said = |lease: Option<Held>| Report::of(&Facts { lease, ..quiet() }, 5, at(0)).problems;
    assert!(said(None)[0].contains("there is no lease in namespace paramedic"));
    assert!(said(Some(Held::of(&lease("", -1), at(0))))[0].contains("was given back"));
    assert!(said(Some(Held::of(&lease("paramedic-0", -60), at(0))))[0].contains("paramedic-0 does not renew"));
}

#[test]
fn a_pause_holds_what_the_engine_thinks_it_holds() {
    let ours = json!({ "reason": "ours" });
    let wrong = json!({ "reason": "no effect beyond it", "scope": "Cluster" });
    let facts = Facts {
        namespace: Some("shop".to_owned()),
        pauses: all_of(vec![pause("paramedic", "ours", &ours), pause("shop", "wrong", &wrong)]),
        ..quiet()
    };
    let pauses = Report::of(&facts, 5, at(0)).pauses;
    let held: Vec<_> = pauses.iter().map(|pause| (pause.name.as_str(), pause.scope)).collect();
    assert_eq!(held, [("wrong", PauseScope::Namespace)], "one that is not of our namespace holds its own");
}

#[test]
fn json_has_the_names_of_the_api() {
    let report = serde_json::to_value(Report::of(&busy(), 1, at(0))).unwrap();
    assert_eq!(report["open"][0]["reason"], "Cooldown");
    assert_eq!(report["policies"]["inForce"], json!({ "DryRun": 1 }));
    assert_eq!(report["endedLastDay"], json!({ "Succeeded": 1, "Failed": 1 }));
    assert_eq!(report["leader"]["leads"], true);
}
