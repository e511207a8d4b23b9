use serde_json::json;

use super::*;

const NOW: &str = "2026-01-01T00:00:00.5Z";

fn write(manager: &str) -> Write<'_> {
    let now = NOW.parse().unwrap();
    Write { group: "apps", version: "v1", kind: "Deployment", manager, subresource: None, now }
}

fn deployment(image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2,
        "template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
}

fn fields<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    &entries.iter().find(|entry| entry["manager"] == manager).unwrap()["fieldsV1"]
}

#[test]
fn a_merge_patch_merges_objects_and_replaces_lists() {
    let merged = merge(&json!({"a": {"b": 1, "c": 2}, "l": [1]}), &json!({"a": {"b": null, "d": 3}, "l": [2]}));
    assert_eq!(merged, json!({"a": {"c": 2, "d": 3}, "l": [2]}));
}

#[test]
fn a_json_patch_is_applied_as_a_whole_or_refused() {
    let object = json!({"spec": {"replicas": 1}});
    let patch = br#"[{"op": "test", "path": "/spec/replicas", "value": 1}, {"op": "replace", "path": "/spec/replicas", "value": 3}]"#;
    assert_eq!(json(&object, patch).unwrap(), json!({"spec": {"replicas": 3}}));
    let failing = br#"[{"op": "test", "path": "/spec/replicas", "value": 2}]"#;
    assert!(matches!(json(&object, failing), Err(Refused::Unprocessable(_))));
    assert!(matches!(json(&object, b"{}"), Err(Refused::BadRequest(_))));
}

#[test]
fn an_apply_to_nothing_creates() {
    let created = apply(&write("me"), None, &deployment("a"), false).unwrap();
    let expected = json!([{"manager": "me", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}}}]);
    assert_eq!(created["metadata"]["managedFields"], expected);
    assert_eq!(created["spec"], deployment("a")["spec"]);
}

#[test]
fn what_another_applied_is_a_conflict_unless_forced() {
    let created = apply(&write("one"), None, &deployment("a"), false).unwrap();
    let other =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 5}});
    let refused = apply(&write("two"), Some(&created), &other, false).unwrap_err();
    let message = r#"Apply failed with 1 conflict: conflict with "one": .spec.replicas"#.to_owned();
    let causes = vec![(r#"conflict with "one""#.to_owned(), ".spec.replicas".to_owned())];
    assert_eq!(refused, Refused::ApplyConflict { message, causes });

    let forced = apply(&write("two"), Some(&created), &other, true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 5);
    assert!(fields(&forced, "one")["f:spec"].get("f:replicas").is_none());
    assert_eq!(fields(&forced, "two"), &json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn the_same_value_is_shared_without_a_conflict() {
    let created = apply(&write("one"), None, &deployment("a"), false).unwrap();
    let both = apply(&write("two"), Some(&created), &deployment("a"), false).unwrap();
    assert_eq!(fields(&both, "one"), fields(&both, "two"));
}

#[test]
fn what_is_no_longer_applied_goes_unless_another_owns_it() {
    let mut config = deployment("a");
    config["metadata"]["labels"] = json!({"a": "1", "b": "2"});
    config["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "web", "image": "a"}, {"name": "side", "image": "b"}]);
    let created = apply(&write("one"), None, &config, false).unwrap();
    let label =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"b": "2"}}});
    let mut shared = apply(&write("two"), Some(&created), &label, false).unwrap();
    // Set by the API server: nobody's.
    shared["spec"]["template"]["spec"]["containers"][1]["terminationMessagePath"] = json!("/dev/x");
    let less = apply(&write("one"), Some(&shared), &deployment("a"), false).unwrap();
    assert_eq!(less["metadata"]["labels"], json!({"b": "2"}), "two owns b");
    assert_eq!(less["metadata"]["name"], "web");
    assert_eq!(less["spec"]["template"]["spec"]["containers"], json!([{"name": "web", "image": "a"}]));
}

#[test]
fn an_apply_that_changes_nothing_keeps_the_time() {
    let created = apply(&write("one"), None, &deployment("a"), false).unwrap();
    let later = Write { now: "2026-02-01T00:00:00Z".parse().unwrap(), ..write("one") };
    assert_eq!(apply(&later, Some(&created), &deployment("a"), false).unwrap(), created);
    let changed = apply(&later, Some(&created), &deployment("b"), false).unwrap();
    assert_eq!(changed["metadata"]["managedFields"][0]["time"], "2026-02-01T00:00:00Z");
}

#[test]
fn of_a_status_only_the_status_is_owned() {
    let created = apply(&write("one"), None, &deployment("a"), false).unwrap();
    let mut config = deployment("b");
    config["status"] = json!({"readyReplicas": 1});
    let status = Write { subresource: Some("status"), ..write("one") };
    let applied = apply(&status, Some(&created), &config, true).unwrap();
    let entries = applied["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        entries.iter().find(|entry| entry["subresource"] == "status").unwrap()["fieldsV1"],
        json!({"f:status": {"f:readyReplicas": {}}})
    );
}

#[test]
fn a_plain_write_takes_the_fields_that_it_changes() {
    let mut object = deployment("a");
    managed(&write("kubectl"), None, &mut object);
    assert!(fields(&object, "kubectl")["f:spec"]["f:replicas"].is_object());

    let mut scaled = object.clone();
    scaled["spec"]["replicas"] = json!(3);
    let later = Write { now: "2026-02-01T00:00:00Z".parse().unwrap(), ..write("scaler") };
    managed(&later, Some(&object), &mut scaled);
    assert_eq!(fields(&scaled, "scaler"), &json!({"f:spec": {"f:replicas": {}}}));
    assert!(fields(&scaled, "kubectl")["f:spec"].get("f:replicas").is_none());
    assert_eq!(scaled["metadata"]["managedFields"][0]["time"], "2026-01-01T00:00:00Z");

    let same = scaled.clone();
    let mut again = scaled.clone();
    managed(&Write { now: "2026-03-01T00:00:00Z".parse().unwrap(), ..write("scaler") }, Some(&same), &mut again);
    assert_eq!(again, same, "nothing changed");
}

#[test]
fn a_field_that_is_removed_is_nobodys() {
    let created = apply(&write("one"), None, &deployment("a"), false).unwrap();
    let mut without = created.clone();
    without["spec"].as_object_mut().unwrap().remove("replicas");
    managed(&write("two"), Some(&created), &mut without);
    assert!(fields(&without, "one")["f:spec"].get("f:replicas").is_none());
    assert_eq!(without["metadata"]["managedFields"].as_array().unwrap().len(), 1);
}

#[test]
fn where_no_count_is_kept_only_an_apply_begins_one() {
    let old = deployment("a");
    let mut new = deployment("b");
    managed(&write("two"), Some(&old), &mut new);
    assert!(new["metadata"].get("managedFields").is_none());

    let conflict = apply(&write("me"), Some(&old), &deployment("b"), false).unwrap_err();
    let message = conflict.to_string();
    assert!(message.contains(r#"conflict with "before-first-apply" using apps/v1: .spec.template"#), "{message}");
}

#[test]
fn the_count_can_be_reset() {
    let created = apply(&write("one"), None, &deployment("a"), false).unwrap();
    let mut reset = created.clone();
    reset["metadata"]["managedFields"] = json!([{}]);
    managed(&write("two"), Some(&created), &mut reset);
    assert!(reset["metadata"].get("managedFields").is_none());
}
