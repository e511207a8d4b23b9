use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use serde_json::{Value, json};

use super::super::{
    Controllers, Played, Program,
    replicas::{condition, is_ready, phase},
    rig::{Rig, deployment},
};

fn pod(name: &str, rest: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "image": "app:1"}]});
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
}

/// Phase, readiness, state and restarts of the only container.
fn seen(rig: &Rig, name: &str) -> String {
    let pod: Pod = rig.get(name).unwrap();
    let status = pod.status.as_ref().unwrap();
    let container = &status.container_statuses.as_ref().unwrap()[0];
    let state = container.state.as_ref().unwrap();
    let state = match (&state.running, &state.waiting, &state.terminated) {
        (Some(_), ..) => "running".to_owned(),
        (_, Some(waiting), _) => waiting.reason.clone().unwrap(),
        (.., Some(ended)) => format!("{} {}", ended.reason.as_deref().unwrap(), ended.exit_code),
        _ => "nothing".to_owned(),
    };
    let ready = if is_ready(&pod) { "ready" } else { "unready" };
    format!("{} {ready} {state} {}", phase(&pod), container.restart_count)
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_scheduled_started_and_ready() {
    let mut rig = Rig::new(Played::new(Program::serves().ready_after(Duration::from_secs(3))));
    rig.create::<Pod>(pod("web", &json!({})));
    assert_eq!(seen(&rig, "web"), "Running unready running 0");
    rig.pass(3).await;
    assert_eq!(seen(&rig, "web"), "Running ready running 0");
    let found: Pod = rig.get("web").unwrap();
    assert_eq!(found.spec.as_ref().unwrap().node_name.as_deref(), Some("node-1"));
    for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready", "PodReadyToStartContainers"] {
        assert_eq!(condition(&found, kind).unwrap().status, "True", "{kind}");
    }
    let status = found.status.unwrap();
    assert!(status.pod_ip.is_some() && status.host_ip.is_some() && status.start_time.is_some());
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(
        rig.said("Pod"),
        [
            "Scheduled: Successfully assigned shop/web to node-1",
            "Pulled: Container image \"app:1\" already present on machine",
            "Created: Created container: app",
            "Started: Started container app",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_again_and_again_is_held_back_longer_each_time() {
    let crash = Program::serves().exits_after(Duration::from_secs(1), 1, u32::MAX);
    let mut rig = Rig::new(Played::new(crash));
    rig.create::<Pod>(pod("web", &json!({})));
    rig.pass_millis(1500).await;
    assert_eq!(seen(&rig, "web"), "Running ready running 1", "the first restart is at once");
    rig.pass(1).await;
    assert_eq!(seen(&rig, "web"), "Running unready CrashLoopBackOff 1");
    // Ended at 2 s, held for 10 s; ended at 13 s, held for 20 s; ended at 34 s, held for 40 s; ….
    for (at, restarts) in [(11_900, 1), (12_100, 2), (32_900, 2), (33_100, 3), (73_900, 3), (74_100, 4)] {
        let now = rig.now().as_millisecond() - 1_767_225_600_000;
        rig.pass_millis(at - now).await;
        let found: Pod = rig.get("web").unwrap();
        assert_eq!(found.status.unwrap().container_statuses.unwrap()[0].restart_count, restarts, "at {at}");
    }
    rig.pass(1200).await;
    let found: Pod = rig.get("web").unwrap();
    let container = found.status.unwrap().container_statuses.unwrap().remove(0);
    let message = container.state.unwrap().waiting.unwrap().message.unwrap();
    assert!(message.starts_with("back-off 5m0s restarting failed container=app pod=web_shop("), "{message}");
    let last = container.last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (1, Some("Error")));
    let held = rig.said("Pod").into_iter().filter(|said| said.starts_with("BackOff: ")).count();
    assert_eq!(held, 1, "the same again is counted");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_three_times_recovers() {
    let crash = Program::serves().exits_after(Duration::from_secs(1), 1, 3);
    let mut rig = Rig::new(Played::new(crash));
    rig.create::<Pod>(pod("web", &json!({})));
    rig.pass(60).await;
    assert_eq!(seen(&rig, "web"), "Running ready running 3");
}

#[tokio::test(start_paused = true)]
async fn out_of_memory_is_said() {
    let mut rig = Rig::new(Played::new(Program::serves().out_of_memory_after(Duration::from_secs(5), 1)));
    rig.create::<Pod>(pod("web", &json!({})));
    rig.pass(6).await;
    let container = rig.get::<Pod>("web").unwrap().status.unwrap().container_statuses.unwrap().remove(0);
    assert_eq!(container.last_state.unwrap().terminated.unwrap().reason.as_deref(), Some("OOMKilled"));
    assert_eq!(container.restart_count, 1);
}

#[tokio::test(start_paused = true)]
async fn the_restart_policy_says_whether_a_pod_ends() {
    for (policy, code, expected) in [
        ("Never", 0, "Succeeded unready Completed 0 0"),
        ("Never", 3, "Failed unready Error 3 0"),
        ("OnFailure", 0, "Succeeded unready Completed 0 0"),
        ("OnFailure", 3, "Running unready CrashLoopBackOff 1"),
        ("Always", 0, "Running unready CrashLoopBackOff 1"),
    ] {
        let program = Program::serves().exits_after(Duration::from_secs(2), code, u32::MAX);
        let mut rig = Rig::new(Played::new(program));
        rig.create::<Pod>(pod("work", &json!({"restartPolicy": policy})));
        rig.pass(5).await;
        assert_eq!(seen(&rig, "work"), expected, "{policy} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn containers_begin_only_after_those_that_prepare_for_them() {
    let mut number = 0;
    let mut rig = Rig::new(Played::default().by(move |_| {
        number += 1;
        (number == 1).then(|| Program::works_for(Duration::from_secs(4)))
    }));
    let prepare = json!([{"name": "prepare", "image": "app:1"}]);
    rig.create::<Pod>(pod("web", &json!({"initContainers": prepare})));
    assert_eq!(seen(&rig, "web"), "Pending unready PodInitializing 0");
    rig.pass(5).await;
    assert_eq!(seen(&rig, "web"), "Running ready running 0");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_stays_ready_until_its_containers_have_ended() {
    let mut rig = Rig::new(Played::new(Program::serves().ends_after(Duration::from_secs(10))));
    rig.create::<Pod>(pod("web", &json!({})));
    rig.delete::<Pod>("web", json!({}));
    rig.pass(9).await;
    assert_eq!(seen(&rig, "web"), "Running ready running 0");
    assert!(rig.get::<Pod>("web").unwrap().metadata.deletion_timestamp.is_some());
    rig.pass(2).await;
    assert!(rig.get::<Pod>("web").is_none());
    assert_eq!(rig.said("Pod").last().unwrap(), "Killing: Stopping container app");
}

#[tokio::test(start_paused = true)]
async fn what_ignores_its_end_is_killed_when_the_grace_is_over_and_a_shorter_grace_is_obeyed() {
    let mut rig = Rig::new(Played::new(Program::serves().ignores_term()));
    for name in ["a", "b", "c"] {
        rig.create::<Pod>(pod(name, &json!({"terminationGracePeriodSeconds": 20})));
    }
    for name in ["a", "b"] {
        rig.delete::<Pod>(name, json!({}));
    }
    rig.delete::<Pod>("c", json!({"gracePeriodSeconds": 0}));
    assert!(rig.get::<Pod>("c").is_none(), "without grace it is gone from the API at once");
    rig.pass(2).await;
    rig.delete::<Pod>("b", json!({"gracePeriodSeconds": 3}));
    rig.pass(4).await;
    assert!(rig.get::<Pod>("b").is_none());
    rig.pass(13).await;
    assert!(rig.get::<Pod>("a").is_some());
    rig.pass(2).await;
    assert!(rig.get::<Pod>("a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_a_node_that_takes_it() {
    let mut rig = Rig::with(Controllers::new().with_nodes(2), Played::default());
    rig.create::<Pod>(pod("first", &json!({})));
    rig.create::<Pod>(pod("second", &json!({})));
    let nodes: Vec<_> = rig.all::<Pod>().into_iter().map(|pod| pod.spec.unwrap().node_name.unwrap()).collect();
    assert_eq!(nodes, ["node-1", "node-2"]);
    let cordon = |rig: &mut Rig, on: bool| {
        for name in ["node-1", "node-2"] {
            let mut node: Node = rig.cluster.with(|state| state.get("", name)).unwrap();
            node.spec.get_or_insert_default().unschedulable = Some(on);
            rig.cluster.with(|state| state.update(&node)).unwrap();
        }
        rig.settle();
    };
    cordon(&mut rig, true);
    rig.create::<Pod>(pod("third", &json!({})));
    let third: Pod = rig.get("third").unwrap();
    let scheduled = condition(&third, "PodScheduled").unwrap();
    assert_eq!((scheduled.status.as_str(), scheduled.reason.as_deref()), ("False", Some("Unschedulable")));
    assert!(
        rig.said("Pod")
            .iter()
            .any(|said| said.starts_with("FailedScheduling: 0/2 nodes are available: 2 node(s) were unschedulable"))
    );
    cordon(&mut rig, false);
    assert!(is_ready(&rig.get("third").unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_pod_is_there_before_the_old_one_is_gone_and_the_budget_follows() {
    let mut rig = Rig::new(Played::new(
        Program::serves().ready_after(Duration::from_secs(5)).ends_after(Duration::from_secs(10)),
    ));
    rig.create::<Deployment>(deployment("web", 3, &json!({})));
    rig.create::<PodDisruptionBudget>(json!({
        "metadata": {"name": "web"},
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}},
    }));
    let budget = |rig: &Rig| {
        let status = rig.get::<PodDisruptionBudget>("web").unwrap().status.unwrap();
        [status.expected_pods, status.desired_healthy, status.current_healthy, status.disruptions_allowed]
    };
    assert_eq!(budget(&rig), [3, 2, 0, 0]);
    rig.pass(6).await;
    assert_eq!(budget(&rig), [3, 2, 3, 1]);
    let name = rig.all::<Pod>()[0].metadata.name.clone().unwrap();
    rig.delete::<Pod>(&name, json!({}));
    assert_eq!((rig.all::<Pod>().len(), rig.living().len(), rig.ready()), (4, 3, 3));
    assert_eq!(rig.counts("web"), [3, 3, 2, 2], "one on its way out does not count, though it is ready");
    assert_eq!(budget(&rig), [3, 2, 2, 0]);
    rig.pass(6).await;
    assert_eq!((rig.all::<Pod>().len(), rig.counts("web")), (4, [3, 3, 3, 3]));
    assert_eq!(budget(&rig), [3, 2, 3, 1]);
    rig.pass(6).await;
    assert_eq!(rig.all::<Pod>().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_step_without_news_writes_nothing() {
    let mut rig = Rig::new(Played::default());
    rig.create::<Deployment>(deployment("web", 5, &json!({})));
    let before = rig.cluster.with(|state| state.revision());
    rig.pass(3600).await;
    assert_eq!(rig.cluster.with(|state| state.revision()), before);
}
