use super::{super::kinds, *};

const NOW: &str = "2026-01-01T01:00:00Z";

fn shown(group: &str, kind: &str, object: &Value) -> Vec<Value> {
    let kind = kinds::of_kind(group, kind).unwrap();
    let table = table(kind, [object], &json!({}), Include::Metadata, true, NOW.parse().unwrap());
    let cells = table["rows"][0]["cells"].as_array().unwrap().clone();
    assert_eq!(cells.len(), table["columnDefinitions"].as_array().unwrap().len());
    cells
}

#[test]
fn kubectl_asks_for_a_table_first() {
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
    assert!(asked(accept));
    assert!(!asked("application/json"));
    assert!(!asked("application/json, application/json;as=Table;v=v1;g=meta.k8s.io"));
}

#[test]
fn every_kind_has_as_many_cells_as_columns() {
    for kind in kinds::all() {
        let object = json!({"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        assert!(shown(&kind.group, &kind.kind, &object).contains(&json!("x")), "{}", kind.kind);
    }
}

#[test]
fn a_pod_is_what_its_containers_are() {
    let mut pod = json!({"metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:30:00Z"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "node"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [
            {"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}},
            {"name": "b", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:59:00Z"}}}]}});
    let cells = ["web", "1/2", "CrashLoopBackOff", "3 (60s ago)", "30m", "10.0.0.1", "node", "<none>", "<none>"];
    assert_eq!(shown("", "Pod", &pod), cells.map(Value::from));
    pod["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(shown("", "Pod", &pod)[2], "Terminating");
}

#[test]
fn a_pod_that_initializes_says_how_far() {
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{}], "initContainers": [{"name": "i"}, {"name": "j"}]},
        "status": {"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]}});
    assert_eq!(shown("", "Pod", &pod)[2], "Init:1/2");
}

#[test]
fn a_deployment_shows_its_replicas() {
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}}},
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}});
    let cells = [
        json!("web"),
        json!("2/3"),
        json!(3),
        json!(2),
        json!("<unknown>"),
        json!("a,b"),
        json!("x:1,y:2"),
        json!("app=web"),
    ];
    assert_eq!(shown("apps", "Deployment", &deployment), cells);
}

#[test]
fn both_versions_of_an_event_look_the_same() {
    let one = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "web"}, "message": "hi ", "type": "Normal",
        "reason": "R", "source": {"component": "c"}, "count": 4, "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:59:30Z"});
    let other = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "web"}, "note": "hi ", "type": "Normal",
        "reason": "R", "deprecatedSource": {"component": "c"}, "deprecatedCount": 4,
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": "2026-01-01T00:59:30Z"});
    assert_eq!(shown("", "Event", &one), shown("events.k8s.io", "Event", &other));
    assert_eq!(shown("", "Event", &one)[3], "pod/web");
    assert_eq!(shown("", "Event", &one)[0], "30s");
}

#[test]
fn our_kinds_have_the_columns_of_their_definitions() {
    let remediation = json!({"metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:59:00Z"},
        "spec": {"policy": {"name": "p"}, "alert": {"labels": {"alertname": "A"}}},
        "status": {"phase": "Succeeded", "conditions": [{"type": "X", "status": "False"}, {"type": "Confirmed", "status": "True"}]}});
    let cells = [
        json!("r"),
        json!("p"),
        json!("A"),
        Value::Null,
        json!("Succeeded"),
        Value::Null,
        json!("True"),
        json!("60s"),
        Value::Null,
    ];
    assert_eq!(shown("paramedic.dev", "Remediation", &remediation), cells);
}
