use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::{Node, Pod},
};
use serde_json::json;

use super::{
    Controllers, Played, Program,
    objects::is_deleting,
    replicas::is_ready,
    rig::{Rig, deployment, template},
};

fn slow(nodes: usize) -> Rig {
    let program = Program::serves().ready_after(Duration::from_secs(4)).ends_after(Duration::from_secs(2));
    Rig::with(Controllers::new().with_nodes(nodes), Played::new(program))
}

/// Wanted, ready and updated pods.
fn counts(rig: &Rig) -> (i32, i32, i32) {
    let status = rig.get::<DaemonSet>("agent").unwrap().status.unwrap();
    (status.desired_number_scheduled, status.number_ready, status.updated_number_scheduled.unwrap_or_default())
}

fn set_node_ready(rig: &mut Rig, name: &str, ready: bool) {
    let mut node: Node = rig.cluster.with(|state| state.get("", name)).unwrap();
    let now = super::objects::time(rig.now());
    let conditions = node.status.as_mut().unwrap().conditions.as_mut().unwrap();
    let condition = conditions.iter_mut().find(|condition| condition.type_ == "Ready").unwrap();
    condition.status = if ready { "True" } else { "Unknown" }.to_owned();
    condition.last_transition_time = Some(now);
    rig.cluster.with(|state| state.update_status(&node)).unwrap();
    rig.settle();
}

#[tokio::test(start_paused = true)]
async fn every_node_has_a_pod_and_an_update_takes_one_at_a_time() {
    let mut rig = slow(3);
    let spec = json!({"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")});
    rig.create::<DaemonSet>(json!({"metadata": {"name": "agent"}, "spec": spec}));
    assert_eq!(rig.all::<Pod>().len(), 3);
    rig.pass(5).await;
    assert_eq!(counts(&rig), (3, 3, 3));
    rig.change::<DaemonSet>("agent", |set| {
        let template = &mut set.spec.as_mut().unwrap().template;
        template.spec.as_mut().unwrap().containers[0].image = Some("app:2".to_owned());
    });
    for _ in 0..40 {
        let ready = rig.all::<Pod>().iter().filter(|pod| is_ready(pod) && !is_deleting(&pod.metadata)).count();
        assert!(ready >= 2, "{ready}");
        rig.pass(1).await;
    }
    assert_eq!(counts(&rig), (3, 3, 3));
    let mut nodes: Vec<_> = rig.all::<Pod>().into_iter().map(|pod| pod.spec.unwrap().node_name.unwrap()).collect();
    nodes.sort();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"]);
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_node_that_is_down_are_not_ready_and_after_five_minutes_evicted() {
    let mut rig = slow(2);
    rig.create::<Deployment>(deployment("web", 2, &json!({})));
    rig.pass(10).await;
    assert_eq!(rig.counts("web"), [2, 2, 2, 2]);
    set_node_ready(&mut rig, "node-1", false);
    assert_eq!(rig.counts("web"), [2, 2, 1, 1]);
    rig.pass(290).await;
    assert_eq!(rig.living().len(), 2);
    rig.pass(20).await;
    let pods = rig.all::<Pod>();
    assert_eq!((pods.len(), rig.living().len()), (3, 2), "one waits for its kubelet, its successor is elsewhere");
    assert_eq!(rig.counts("web"), [2, 2, 2, 2]);
    set_node_ready(&mut rig, "node-1", true);
    rig.pass(5).await;
    assert_eq!(rig.all::<Pod>().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_node_that_comes_back_in_time_are_ready_again() {
    let mut rig = slow(1);
    rig.create::<Deployment>(deployment("web", 2, &json!({})));
    rig.pass(10).await;
    set_node_ready(&mut rig, "node-1", false);
    assert_eq!(rig.ready(), 0);
    rig.pass(100).await;
    set_node_ready(&mut rig, "node-1", true);
    assert_eq!((rig.ready(), rig.counts("web")), (2, [2, 2, 2, 2]));
}

/// A rollout, an eviction and a crash; gives all that is there at the end.
async fn story(history: usize) -> Vec<String> {
    let program = Program::serves().ready_after(Duration::from_secs(3)).ends_after(Duration::from_secs(5));
    let crash = program.clone().exits_after(Duration::from_secs(20), 1, 1);
    let played = Played::new(program).by(move |pod| {
        let image = pod.spec.as_ref()?.containers[0].image.as_deref()?;
        (image == "app:2").then(|| crash.clone())
    });
    let mut rig = Rig::remembering(history, Controllers::new().with_nodes(3), played);
    rig.create::<Deployment>(deployment("web", 4, &json!({})));
    rig.pass(10).await;
    rig.change::<Deployment>("web", |deployment| {
        let template = &mut deployment.spec.as_mut().unwrap().template;
        template.spec.as_mut().unwrap().containers[0].image = Some("app:2".to_owned());
    });
    rig.pass(12).await;
    let name = rig.living()[0].metadata.name.clone().unwrap();
    rig.delete::<Pod>(&name, json!({}));
    rig.pass(100).await;
    assert_eq!(rig.counts("web"), [4, 4, 4, 4]);
    assert_eq!((rig.all::<Pod>().len(), rig.sizes()), (4, vec![0, 4]));
    let show = |pod: Pod| {
        let mut pod = serde_json::to_value(pod).unwrap();
        pod["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        pod.to_string()
    };
    rig.all::<Pod>().into_iter().map(show).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_story_ends_the_same() {
    let first = story(10_000).await;
    assert_eq!(first, story(10_000).await);
}

#[tokio::test(start_paused = true)]
async fn controllers_that_missed_what_happened_look_at_all_there_is() {
    story(1).await;
}
