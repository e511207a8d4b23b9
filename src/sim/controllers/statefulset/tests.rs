use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet},
    core::v1::{PersistentVolumeClaim, Pod},
};
use serde_json::{Value, json};

use super::super::{
    Played, Program,
    objects::is_deleting,
    replicas::is_ready,
    rig::{Rig, template},
};

fn set(replicas: i32, rest: &Value) -> Value {
    let mut spec = json!({
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template("db"),
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": "db"}, "spec": spec})
}

/// Each pod with its image: `db-0 app:1 ready`.
fn pods(rig: &Rig) -> Vec<String> {
    let show = |pod: Pod| {
        let state = match (is_deleting(&pod.metadata), is_ready(&pod)) {
            (true, true) => "ending ready",
            (true, false) => "ending",
            (false, true) => "ready",
            (false, false) => "starting",
        };
        let image = pod.spec.unwrap().containers.remove(0).image.unwrap();
        format!("{} {image} {state}", pod.metadata.name.unwrap())
    };
    rig.all::<Pod>().into_iter().map(show).collect()
}

/// Replicas, ready, current and updated pods.
fn counts(rig: &Rig) -> [i32; 4] {
    let status = rig.get::<StatefulSet>("db").unwrap().status.unwrap();
    let number = |number: Option<i32>| number.unwrap_or_default();
    [status.replicas, number(status.ready_replicas), number(status.current_replicas), number(status.updated_replicas)]
}

fn image(rig: &mut Rig, image: &str) {
    rig.change::<StatefulSet>("db", |set| {
        let template = &mut set.spec.as_mut().unwrap().template;
        template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
    });
}

fn scale(rig: &mut Rig, replicas: i32) {
    rig.change::<StatefulSet>("db", |set| set.spec.as_mut().unwrap().replicas = Some(replicas));
}

fn slow() -> Played {
    Played::new(Program::serves().ready_after(Duration::from_secs(4)).ends_after(Duration::from_secs(3)))
}

#[tokio::test(start_paused = true)]
async fn pods_begin_one_after_the_other_and_end_in_reverse() {
    let mut rig = Rig::new(slow());
    rig.create::<StatefulSet>(set(3, &json!({})));
    assert_eq!(pods(&rig), ["db-0 app:1 starting"]);
    rig.pass(4).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:1 starting"]);
    rig.pass(8).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:1 ready", "db-2 app:1 ready"]);
    assert_eq!(counts(&rig), [3, 3, 3, 3]);
    scale(&mut rig, 1);
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:1 ready", "db-2 app:1 ending ready"]);
    assert_eq!(counts(&rig), [3, 3, 2, 2]);
    rig.pass(3).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:1 ending ready"]);
    rig.pass(3).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready"]);
}

#[tokio::test(start_paused = true)]
async fn in_parallel_they_do_not_wait_for_each_other() {
    let mut rig = Rig::new(slow());
    rig.create::<StatefulSet>(set(3, &json!({"podManagementPolicy": "Parallel"})));
    assert_eq!(pods(&rig).len(), 3);
    rig.pass(4).await;
    scale(&mut rig, 0);
    assert!(rig.living().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_counts_as_ready_until_it_has_ended_and_its_successor_waits_for_that() {
    let mut rig = Rig::new(slow());
    rig.create::<StatefulSet>(set(2, &json!({})));
    rig.pass(10).await;
    let before = rig.get::<Pod>("db-0").unwrap().metadata.uid;
    rig.delete::<Pod>("db-0", json!({}));
    rig.pass(2).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ending ready", "db-1 app:1 ready"]);
    assert_eq!(counts(&rig), [2, 2, 1, 1]);
    rig.pass(1).await;
    assert_eq!(pods(&rig), ["db-0 app:1 starting", "db-1 app:1 ready"]);
    assert_eq!(counts(&rig), [2, 1, 2, 2]);
    assert_ne!(rig.get::<Pod>("db-0").unwrap().metadata.uid, before);
    rig.pass(4).await;
    assert_eq!(counts(&rig), [2, 2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_update_replaces_the_last_pod_first_and_stops_at_the_partition() {
    let mut rig = Rig::new(slow());
    rig.create::<StatefulSet>(set(3, &json!({"updateStrategy": {"rollingUpdate": {"partition": 1}}})));
    rig.pass(15).await;
    let first = rig.get::<StatefulSet>("db").unwrap().status.unwrap().current_revision.unwrap();
    image(&mut rig, "app:2");
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:1 ready", "db-2 app:1 ending ready"]);
    rig.pass(3).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:1 ready", "db-2 app:2 starting"]);
    rig.pass(20).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:2 ready", "db-2 app:2 ready"]);
    assert_eq!(counts(&rig), [3, 3, 1, 2]);
    let status = rig.get::<StatefulSet>("db").unwrap().status.unwrap();
    assert_eq!(status.current_revision.as_ref(), Some(&first));
    assert_ne!(status.update_revision.as_ref(), Some(&first));
    // Below the partition a new pod is of the old revision still.
    rig.delete::<Pod>("db-0", json!({}));
    rig.pass(10).await;
    assert_eq!(pods(&rig)[0], "db-0 app:1 ready");
    rig.change::<StatefulSet>("db", |set| {
        let strategy = set.spec.as_mut().unwrap().update_strategy.as_mut().unwrap();
        strategy.rolling_update.as_mut().unwrap().partition = Some(0);
    });
    rig.pass(10).await;
    assert_eq!(counts(&rig), [3, 3, 3, 3]);
    let status = rig.get::<StatefulSet>("db").unwrap().status.unwrap();
    assert_eq!(status.current_revision, status.update_revision);
    let labels = rig.get::<Pod>("db-0").unwrap().metadata.labels.unwrap();
    assert_eq!(Some(&labels["controller-revision-hash"]), status.update_revision.as_ref());
    assert_eq!(
        (labels["apps.kubernetes.io/pod-index"].as_str(), labels["statefulset.kubernetes.io/pod-name"].as_str()),
        ("0", "db-0")
    );
    let revisions: Vec<i64> = rig.all::<ControllerRevision>().iter().map(|revision| revision.revision).collect();
    assert_eq!(revisions.iter().sum::<i64>(), 3);
    image(&mut rig, "app:1");
    let mut revisions: Vec<i64> = rig.all::<ControllerRevision>().iter().map(|revision| revision.revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [2, 3], "to go back takes the old one again");
}

#[tokio::test(start_paused = true)]
async fn on_delete_waits_for_somebody_to_delete() {
    let mut rig = Rig::new(slow());
    rig.create::<StatefulSet>(set(2, &json!({"updateStrategy": {"type": "OnDelete"}})));
    rig.pass(10).await;
    image(&mut rig, "app:2");
    rig.pass(30).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:1 ready"]);
    rig.delete::<Pod>("db-0", json!({}));
    rig.pass(10).await;
    assert_eq!(pods(&rig), ["db-0 app:2 ready", "db-1 app:1 ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_does_not_go_past_a_pod_that_is_not_ready() {
    let mut rig = Rig::new(slow().by(|pod: &Pod| {
        let image = pod.spec.as_ref()?.containers[0].image.as_deref()?;
        (image == "app:broken").then(|| Program::serves().never_ready())
    }));
    rig.create::<StatefulSet>(set(2, &json!({})));
    rig.pass(10).await;
    image(&mut rig, "app:broken");
    rig.pass(60).await;
    assert_eq!(pods(&rig), ["db-0 app:1 ready", "db-1 app:broken starting"]);
}

#[tokio::test(start_paused = true)]
async fn each_pod_has_its_own_claims_which_outlive_it() {
    let mut rig = Rig::new(Played::default());
    let claim = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    rig.create::<StatefulSet>(set(2, &json!({"volumeClaimTemplates": claim})));
    rig.pass(2).await;
    let claims = rig.all::<PersistentVolumeClaim>();
    let shown: Vec<_> = claims
        .iter()
        .map(|claim| {
            (claim.metadata.name.as_deref().unwrap(), claim.status.as_ref().unwrap().phase.as_deref().unwrap())
        })
        .collect();
    assert_eq!(shown, [("data-db-0", "Bound"), ("data-db-1", "Bound")]);
    let pod: Pod = rig.get("db-1").unwrap();
    let volume = pod.spec.unwrap().volumes.unwrap().remove(0);
    assert_eq!(volume.persistent_volume_claim.unwrap().claim_name, "data-db-1");
    let uid = claims[1].metadata.uid.clone();
    scale(&mut rig, 1);
    rig.pass(2).await;
    scale(&mut rig, 2);
    rig.pass(2).await;
    assert_eq!(rig.get::<PersistentVolumeClaim>("data-db-1").unwrap().metadata.uid, uid);
}
