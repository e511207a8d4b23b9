//! What an alert may lead to: its own object, in a namespace that is allowed, and never the exporter that reported it.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use paramedic::api::Reason;
use serde_json::json;

use crate::{
    harness::{Cause, Entry, story, twins},
    policies::verified_quickly,
    story::Story,
    wait::{PATIENCE, WATCHED, throughout, until},
};

/// The namespace that the source `bound` may speak of.
const BOUND: &str = "e2e-bound";

pub fn stories() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.push(story("targets::a_forged_namespace_from_a_bound_source::holds_it_back", a_forged_namespace));
    entries.push(
        story("targets::a_forged_namespace_from_a_bound_source::its_twin_acts", the_namespace_it_is_bound_to)
            .in_namespace(BOUND),
    );
    entries.extend(twins("targets::an_alert_that_names_its_exporters_pod", the_exporters_pod));
    entries.push(story("targets::kube_state_metrics_labels_lead_to_the_deployment", the_right_deployment));
    entries.push(story("targets::exported_labels_go_first", exported_labels));
    entries.push(story("targets::a_protected_namespace::holds_it_back", a_protected_namespace));
    entries.push(story("targets::a_protected_namespace::its_twin_acts", a_cluster_policys_namespace));
    entries.extend(twins("targets::a_pod_without_a_controller", a_bare_pod));
    entries.extend(twins("targets::a_pod_that_does_not_exist", a_missing_pod));
    entries
}

/// The source `bound` posts an alert about a namespace that is not its own, which has a policy for it.
async fn a_forged_namespace(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Forged").up().await;
    let replicas = story.world.replicas().await;
    let alert = story.alert("Forged").about(&pod).untold();
    let answer = alert.deliver(&replicas[0], &story.world.bound_token).await.expect("a replica answers");
    assert_eq!(answer.status, 200, "that it is refused is an outcome, which no repetition changes: {answer:?}");

    let said = answer.body.to_string().to_lowercase();
    let said_in_the_answer =
        ["refused", "notpermitted", "not permitted", "not among"].iter().any(|word| said.contains(word));
    if said_in_the_answer {
        throughout(WATCHED, "there is no record", || async {
            let all = story.record(&alert, &policy).all().await?;
            if all.is_empty() { Ok(()) } else { Err(format!("{} records", all.len())) }
        })
        .await;
    } else {
        println!("the answer to the forged namespace: {}", answer.body);
        story.record(&alert, &policy).is_skipped_for(Reason::NotPermitted).await;
    }
    story.expect_untouched().await;
}

/// The same from the same source about the namespace that it is bound to. Nobody can be asked about that source's
/// alerts, so its webhook is the evidence, and success is not confirmed.
async fn the_namespace_it_is_bound_to(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Forged").up().await;
    let replicas = story.world.replicas().await;
    let alert = story.alert("Forged").about(&pod).untold();
    let answer = alert.deliver(&replicas[0], &story.world.bound_token).await.expect("a replica answers");
    assert_eq!(answer.status, 200, "{answer:?}");
    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
    let over = alert.body("resolved");
    let answer = replicas[1].webhook(Some(&story.world.bound_token), &over).await.expect("a replica answers");
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = story.record(&alert, &policy).succeeds().await;
    assert_eq!(crate::records::confirmed(&record), Some("False"), "nobody was asked: {:?}", record.status);
}

/// kube-state-metrics' own labels on its series: `pod` is the exporter, the object is a Deployment. The twin's labels
/// are cAdvisor's, of that very pod.
async fn the_exporters_pod(story: Story, cause: Cause) {
    let exporter = story.deployment("kube-state-metrics").up().await.pod().await;
    let web = story.deployment("web").up().await;
    let policy = story.policy("MisledByLabels").up().await;
    let alert = story.alert("MisledByLabels").about(&exporter);
    let alert = if cause.is_present() {
        let instance = format!("{}:8080", exporter.ip);
        alert.label("job", "kube-state-metrics").label("instance", &instance).about_workload(&web)
    } else {
        alert.label("job", "kubelet").label("instance", "10.90.0.99:10250")
    };
    let alert = alert.fire().await;
    if cause.is_present() {
        story.record(&alert, &policy).is_skipped_for(Reason::TargetIsExporter).await;
        story.expect_untouched().await;
    } else {
        story.record(&alert, &policy).acts().await;
        story.expect_only_ended(&[&exporter]).await;
    }
}

/// The same labels under a policy whose target is a Deployment lead to the Deployment.
async fn the_right_deployment(story: Story) {
    let exporter = story.deployment("kube-state-metrics").up().await.pod().await;
    let web = story.deployment("web").up().await;
    let policy = story
        .policy("ReplicasMismatch")
        .target("Deployment")
        .steps(json!([{"rolloutRestart": {}, "verify": verified_quickly()}]))
        .up()
        .await;
    let alert = story.alert("ReplicasMismatch").about(&exporter).about_workload(&web);
    let alert = alert.label("job", "kube-state-metrics").fire().await;
    let record = story.record(&alert, &policy).acts().await;
    let target = record.status.and_then(|status| status.target).expect("it has a target");
    assert_eq!((target.kind.as_str(), target.name.as_str()), ("Deployment", "web"));
    assert!(web.restarted_at().await.is_some(), "web was restarted");
    let ended = story.pods.ended();
    assert!(!ended.contains(&exporter.uid), "the exporter was left alone");
}

/// Where Prometheus renames a series' own labels, `exported_*` is the object; plain ones are the exporter's, here even
/// in a namespace that is protected.
async fn exported_labels(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Exported").up().await;
    let alert = story
        .alert("Exported")
        .label("namespace", "kube-system")
        .label("pod", "kube-state-metrics-0")
        .label("job", "kube-state-metrics")
        .label("exported_namespace", &story.namespace)
        .label("exported_pod", &pod.name)
        .fire()
        .await;
    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
}

/// A cluster policy that lists kube-system, and an alert about a real pod there.
async fn a_protected_namespace(story: Story) {
    let system: Api<Pod> = story.world.api("kube-system");
    let before = uids(&system).await;
    let policy = story.policy("SystemPod").in_the_cluster(&["kube-system"]).up().await;
    let (name, _) = before.first().expect("there is a pod in kube-system");
    // The story's namespace is in a label of its own, so that the record is found.
    let alert = story.alert("SystemPod").label("namespace", "kube-system").label("pod", name);
    let alert = alert.label("story", &story.namespace).fire().await;
    story.record(&alert, &policy).is_skipped_for(Reason::Protected).await;
    throughout(WATCHED, "no pod of kube-system is replaced", || async {
        let now = uids(&system).await;
        if now == before { Ok(()) } else { Err(format!("{now:?}, not {before:?}")) }
    })
    .await;
}

/// The same kind of policy with a namespace that is not protected.
async fn a_cluster_policys_namespace(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let namespace = story.namespace.clone();
    let policy = story.policy("OrdinaryPod").in_the_cluster(&[namespace.as_str()]).up().await;
    let alert = story.alert("OrdinaryPod").about(&pod).fire().await;
    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
}

async fn uids(api: &Api<Pod>) -> Vec<(String, Option<String>)> {
    let list = api.list(&ListParams::default()).await.expect("pods can be listed").items;
    list.iter().map(|pod| (pod.name_any(), pod.uid())).collect()
}

async fn a_bare_pod(story: Story, cause: Cause) {
    let pod =
        if cause.is_present() { story.bare_pod("web").await } else { story.deployment("web").up().await.pod().await };
    let policy = story.policy("Bare").limit("allowSingleReplica", json!(true)).up().await;
    let alert = story.alert("Bare").about(&pod).fire().await;
    if cause.is_present() {
        story.record(&alert, &policy).is_skipped_for(Reason::NoController).await;
        story.expect_untouched().await;
    } else {
        story.record(&alert, &policy).acts().await;
        story.expect_only_ended(&[&pod]).await;
    }
}

async fn a_missing_pod(story: Story, cause: Cause) {
    let mut pod = story.deployment("web").up().await.pod().await;
    if cause.is_present() {
        "web-that-is-not-there".clone_into(&mut pod.name);
    }
    let policy = story.policy("Missing").up().await;
    let alert = story.alert("Missing").about(&pod).fire().await;
    if cause.is_present() {
        story.record(&alert, &policy).waits_for(Reason::TargetUnresolved).await;
        story.expect_untouched().await;
        alert.resolve().await;
        story.record(&alert, &policy).is_skipped_for(Reason::AlertCleared).await;
    } else {
        story.record(&alert, &policy).acts().await;
        story.expect_only_ended(&[&pod]).await;
    }
    until(PATIENCE, "the story has one record", || async {
        let all = story.record(&alert, &policy).all().await?;
        if all.len() == 1 { Ok(()) } else { Err(format!("{} records", all.len())) }
    })
    .await;
}
