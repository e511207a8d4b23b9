use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
};
use serde_json::{Value, json};

use super::{
    super::{
        Played, Program,
        rig::{Rig, deployment},
    },
    sets::REVISION,
    status::condition_of,
};

fn image(rig: &mut Rig, image: &str) {
    rig.change::<Deployment>("web", |deployment| {
        let template = &mut deployment.spec.as_mut().unwrap().template;
        template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
    });
}

fn scale(rig: &mut Rig, replicas: i32) {
    rig.change::<Deployment>("web", |deployment| deployment.spec.as_mut().unwrap().replicas = Some(replicas));
}

fn reason(rig: &Rig, kind: &str) -> String {
    let deployment: Deployment = rig.get("web").unwrap();
    let condition = condition_of(&deployment, kind).unwrap();
    format!("{} {}", condition.status, condition.reason.as_deref().unwrap())
}

fn slow() -> Played {
    Played::new(Program::serves().ready_after(Duration::from_secs(5)))
}

#[tokio::test(start_paused = true)]
async fn a_new_deployment_makes_its_pods_and_says_when_they_are_there() {
    let mut rig = Rig::new(slow());
    rig.create::<Deployment>(deployment("web", 3, &json!({})));
    assert_eq!(rig.counts("web"), [3, 3, 0, 0]);
    assert_eq!(reason(&rig, "Available"), "False MinimumReplicasUnavailable");
    assert_eq!(reason(&rig, "Progressing"), "True ReplicaSetUpdated");
    rig.pass(5).await;
    assert_eq!(rig.counts("web"), [3, 3, 3, 3]);
    assert_eq!(reason(&rig, "Available"), "True MinimumReplicasAvailable");
    assert_eq!(reason(&rig, "Progressing"), "True NewReplicaSetAvailable");
    let found: Deployment = rig.get("web").unwrap();
    let status = found.status.unwrap();
    assert_eq!(status.observed_generation, found.metadata.generation);
    assert_eq!(status.unavailable_replicas, None);
    assert_eq!(found.metadata.annotations.unwrap()[REVISION], "1");
    let set = rig.all::<ReplicaSet>().remove(0);
    let hash = set.metadata.labels.unwrap()["pod-template-hash"].clone();
    assert_eq!(set.metadata.name.unwrap(), format!("web-{hash}"));
    for pod in rig.all::<Pod>() {
        let owner = pod.metadata.owner_references.unwrap().remove(0);
        assert_eq!(
            (owner.kind.as_str(), owner.controller, owner.block_owner_deletion),
            ("ReplicaSet", Some(true), Some(true))
        );
        assert!(pod.metadata.name.unwrap().starts_with(&format!("web-{hash}-")));
        assert_eq!(pod.metadata.labels.unwrap()["pod-template-hash"], hash);
    }
    assert_eq!(rig.said("Deployment"), [format!("ScalingReplicaSet: Scaled up replica set web-{hash} from 0 to 3")]);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_never_has_more_pods_than_the_surge_allows_nor_fewer_ready_ones_than_it_must() {
    for (surge, unavailable, most, least) in [
        (json!("25%"), json!("25%"), 5, 3),
        (json!(1), json!(0), 5, 4),
        (json!(0), json!(1), 4, 3),
        (json!("100%"), json!(0), 8, 4),
        (json!(0), json!(0), 4, 3),
    ] {
        let mut rig = Rig::new(slow());
        let strategy = json!({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        if surge == json!(0) && unavailable == json!(0) {
            continue;
        }
        rig.create::<Deployment>(deployment("web", 4, &json!({"strategy": strategy})));
        rig.pass(10).await;
        image(&mut rig, "app:2");
        let mut seen_most = 0;
        for _ in 0..60 {
            let [replicas, ..] = rig.counts("web");
            seen_most = seen_most.max(replicas);
            let living = rig.living().len();
            assert!(living <= most, "{living} of at most {most}");
            let ready = rig.living().iter().filter(|pod| super::super::replicas::is_ready(pod)).count();
            assert!(ready >= least, "{ready} of at least {least}");
            rig.pass(1).await;
        }
        assert_eq!(rig.counts("web"), [4, 4, 4, 4]);
        assert_eq!(rig.sizes(), [0, 4]);
        assert_eq!(seen_most, i32::try_from(most).unwrap());
        let pods = rig.all::<Pod>();
        assert!(pods.iter().all(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("app:2")));
        assert_eq!(rig.get::<Deployment>("web").unwrap().metadata.annotations.unwrap()[REVISION], "2");
    }
}

#[tokio::test(start_paused = true)]
async fn to_go_back_takes_the_old_replicaset_again_with_a_new_revision() {
    let mut rig = Rig::new(Played::default());
    rig.create::<Deployment>(deployment("web", 2, &json!({})));
    image(&mut rig, "app:2");
    rig.pass(5).await;
    image(&mut rig, "app:1");
    rig.pass(5).await;
    let sets = rig.all::<ReplicaSet>();
    assert_eq!(sets.len(), 2);
    let current = sets.iter().find(|set| set.spec.as_ref().unwrap().replicas == Some(2)).unwrap();
    let annotations = current.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations[REVISION], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
}

#[tokio::test(start_paused = true)]
async fn recreate_starts_new_pods_only_when_the_last_old_one_is_gone() {
    let stubborn = Program::serves().ends_after(Duration::from_secs(7));
    let mut rig = Rig::new(Played::new(stubborn));
    rig.create::<Deployment>(deployment("web", 3, &json!({"strategy": {"type": "Recreate"}})));
    assert_eq!(rig.counts("web"), [3, 3, 3, 3]);
    image(&mut rig, "app:2");
    assert_eq!((rig.all::<Pod>().len(), rig.living().len()), (3, 0), "all on their way out");
    rig.pass(6).await;
    assert_eq!((rig.all::<Pod>().len(), rig.living().len()), (3, 0), "and still there");
    rig.pass(2).await;
    assert_eq!((rig.all::<Pod>().len(), rig.living().len()), (3, 3));
    assert_eq!(rig.counts("web"), [3, 3, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_whose_pods_do_not_get_ready_stops_and_says_so_after_its_deadline() {
    let mut rig = Rig::new(Played::default().by(|pod: &Pod| {
        let image = pod.spec.as_ref()?.containers[0].image.as_deref()?;
        (image == "app:broken").then(|| Program::serves().never_ready())
    }));
    rig.create::<Deployment>(deployment("web", 4, &json!({"progressDeadlineSeconds": 60})));
    image(&mut rig, "app:broken");
    rig.pass(59).await;
    assert_eq!(rig.counts("web"), [5, 2, 3, 3]);
    assert_eq!(reason(&rig, "Progressing"), "True ReplicaSetUpdated");
    rig.pass(5).await;
    assert_eq!(reason(&rig, "Progressing"), "False ProgressDeadlineExceeded");
    assert_eq!(reason(&rig, "Available"), "True MinimumReplicasAvailable");
    image(&mut rig, "app:1");
    rig.pass(5).await;
    assert_eq!(rig.counts("web"), [4, 4, 4, 4]);
    assert_eq!(reason(&rig, "Progressing"), "True NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_scales_but_does_not_roll() {
    let mut rig = Rig::new(Played::default());
    rig.create::<Deployment>(deployment("web", 2, &json!({})));
    let paused =
        |paused: bool| move |deployment: &mut Deployment| deployment.spec.as_mut().unwrap().paused = Some(paused);
    rig.change("web", paused(true));
    assert_eq!(reason(&rig, "Progressing"), "Unknown DeploymentPaused");
    image(&mut rig, "app:2");
    scale(&mut rig, 4);
    rig.pass(5).await;
    assert_eq!(rig.sizes(), [4]);
    let found: Deployment = rig.get("web").unwrap();
    assert_eq!(found.status.unwrap().observed_generation, found.metadata.generation);
    rig.change("web", paused(false));
    rig.pass(5).await;
    assert_eq!(rig.sizes(), [0, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_scaling_in_the_middle_of_a_rollout_is_shared_out() {
    let mut rig = Rig::new(Played::default().by(|pod: &Pod| {
        let image = pod.spec.as_ref()?.containers[0].image.as_deref()?;
        (image == "app:broken").then(|| Program::serves().never_ready())
    }));
    let strategy = json!({"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}});
    rig.create::<Deployment>(deployment("web", 10, &json!({"strategy": strategy})));
    image(&mut rig, "app:broken");
    assert_eq!(rig.sizes(), [8, 5]);
    scale(&mut rig, 15);
    assert_eq!(rig.sizes(), [11, 7], "as in Kubernetes' documentation: three of five to the old one");
}

#[tokio::test(start_paused = true)]
async fn pods_count_as_available_once_they_were_ready_long_enough() {
    let mut rig = Rig::new(Played::default());
    rig.create::<Deployment>(deployment("web", 2, &json!({"minReadySeconds": 10})));
    assert_eq!(rig.counts("web"), [2, 2, 2, 0]);
    rig.pass(9).await;
    assert_eq!(rig.counts("web"), [2, 2, 2, 0]);
    rig.pass(1).await;
    assert_eq!(rig.counts("web"), [2, 2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_old_replicasets_are_kept() {
    let mut rig = Rig::new(Played::default());
    rig.create::<Deployment>(deployment("web", 1, &json!({"revisionHistoryLimit": 2})));
    for number in 2..7 {
        image(&mut rig, &format!("app:{number}"));
        rig.pass(3).await;
    }
    assert_eq!(rig.sizes(), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_by_annotation_replaces_every_pod() {
    let mut rig = Rig::new(slow());
    rig.create::<Deployment>(deployment("web", 3, &json!({})));
    rig.pass(10).await;
    let before: Vec<_> = rig.all::<Pod>().into_iter().map(|pod| pod.metadata.uid).collect();
    rig.change::<Deployment>("web", |deployment| {
        let template = &mut deployment.spec.as_mut().unwrap().template;
        let annotations = template.metadata.as_mut().unwrap().annotations.get_or_insert_default();
        annotations.insert("kubectl.kubernetes.io/restartedAt".to_owned(), "now".to_owned());
    });
    let found: Deployment = rig.get("web").unwrap();
    assert_eq!(found.metadata.generation, Some(2));
    assert_eq!(rig.counts("web"), [4, 1, 3, 3]);
    rig.pass(30).await;
    assert!(rig.all::<Pod>().iter().all(|pod| !before.contains(&pod.metadata.uid)));
    assert_eq!(rig.counts("web"), [3, 3, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_deployment_takes_its_replicasets_and_pods_along_unless_they_are_to_stay() {
    for (policy, left) in [("Background", (0, 0)), ("Foreground", (0, 0)), ("Orphan", (1, 2))] {
        let mut rig = Rig::new(Played::default());
        rig.create::<Deployment>(deployment("web", 2, &json!({})));
        rig.delete::<Deployment>("web", json!({"propagationPolicy": policy}));
        rig.pass(3).await;
        assert!(rig.get::<Deployment>("web").is_none(), "{policy}");
        assert_eq!((rig.all::<ReplicaSet>().len(), rig.all::<Pod>().len()), left, "{policy}");
        if policy == "Orphan" {
            let owners = |value: Value| value["metadata"].get("ownerReferences").cloned();
            let set = serde_json::to_value(rig.all::<ReplicaSet>().remove(0)).unwrap();
            assert_eq!(owners(set), None);
            rig.create::<Deployment>(deployment("web", 2, &json!({})));
            rig.pass(3).await;
            assert_eq!((rig.all::<ReplicaSet>().len(), rig.all::<Pod>().len()), left, "adopted again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let mut rig = Rig::new(Played::new(Program::serves().ends_after(Duration::from_secs(5))));
    rig.create::<Deployment>(deployment("web", 2, &json!({})));
    rig.delete::<Deployment>("web", json!({"propagationPolicy": "Foreground"}));
    let going = |rig: &Rig| {
        (rig.all::<Deployment>().len(), rig.all::<ReplicaSet>().len(), rig.all::<Pod>().len(), rig.living().len())
    };
    assert_eq!(going(&rig), (1, 1, 2, 0));
    rig.pass(4).await;
    assert_eq!(going(&rig), (1, 1, 2, 0));
    rig.pass(2).await;
    assert_eq!(going(&rig), (0, 0, 0, 0));
}
