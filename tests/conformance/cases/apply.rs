//! Server-side apply: who owns what, and what that prevents.

use axum::http::Method;
use serde_json::json;

use crate::{
    objects::{With, configmap, deployment, pause, pod, policy, remediation},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("an apply creates what is not there", |c| async move {
            c.also(&["metadata.managedFields"]);
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
        }),
        case("an apply again changes nothing", |c| async move {
            let made = c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            let again = c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            c.note("the version is the same", made.rv() == again.rv());
        }),
        case("what a manager no longer applies is removed", |c| async move {
            c.also(&["metadata.managedFields"]);
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"data": {"more": "1"}}))).await;
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
        }),
        case("what another manager owns is a conflict with its cause", |c| async move {
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            c.messages();
            c.apply("configmaps/a?fieldManager=two", configmap("a").with(json!({"data": {"key": "another"}}))).await;
        }),
        case("two managers may own the same value", |c| async move {
            c.also(&["metadata.managedFields"]);
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            c.apply("configmaps/a?fieldManager=two", configmap("a")).await;
        }),
        case("a value that two own stays until both let go", |c| async move {
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            c.apply("configmaps/a?fieldManager=two", configmap("a")).await;
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"data": null}))).await;
            c.apply("configmaps/a?fieldManager=two", configmap("a").with(json!({"data": null}))).await;
        }),
        case("force takes what another manager owns", |c| async move {
            c.also(&["metadata.managedFields"]);
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            let other = configmap("a").with(json!({"data": {"key": "another"}}));
            c.apply("configmaps/a?fieldManager=two&force=true", other).await;
        }),
        case("an update takes what an apply owns, and the next apply is a conflict", |c| async move {
            c.also(&["metadata.managedFields"]);
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            c.merge("configmaps/a?fieldManager=editor", json!({"data": {"key": "edited"}})).await;
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
        }),
        case("an apply to a created object shares what it says", |c| async move {
            c.also(&["metadata.managedFields"]);
            c.post("configmaps?fieldManager=creator", configmap("a")).await;
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"data": {"more": "1"}}))).await;
        }),
        case("an apply needs a manager", |c| async move {
            c.apply("configmaps/a", configmap("a")).await;
        }),
        case("an apply needs kind and apiVersion", |c| async move {
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"kind": null}))).await;
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"apiVersion": null}))).await;
        }),
        case("an apply names its object as the path does", |c| async move {
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"metadata": {"name": null}}))).await;
        }),
        case("an apply of another name than the path is 400", |c| async move {
            c.apply("configmaps/b?fieldManager=one", configmap("a")).await;
        }),
        case("an apply of another kind than the path is 400", |c| async move {
            c.apply("configmaps/a?fieldManager=one", pod("a")).await;
        }),
        case("an apply may not have managedFields", |c| async move {
            let fields = json!({"metadata": {"managedFields": [{"manager": "x", "operation": "Apply", "apiVersion": "v1"}]}});
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(fields)).await;
        }),
        case("an apply over an older version is a conflict", |c| async move {
            let made = c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            let over = configmap("a").with(json!({"metadata": {"resourceVersion": made.rv()}, "data": {"key": "second"}}));
            c.apply("configmaps/a?fieldManager=one", over.clone()).await;
            c.apply("configmaps/a?fieldManager=one", over.with(json!({"data": {"key": "third"}}))).await;
        }),
        case("an apply that creates forgets the version it came with", |c| async move {
            c.apply(
                "configmaps/a?fieldManager=one",
                configmap("a").with(json!({"metadata": {"resourceVersion": "1"}})),
            )
            .await;
        }),
        case("an apply over another uid is 422", |c| async move {
            c.apply("configmaps/a?fieldManager=one", configmap("a")).await;
            let other = json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000001"}});
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(other)).await;
        }),
        case("an apply to a namespace that is not there is 404", |c| async move {
            c.apply("/api/v1/namespaces/not-there/configmaps/a?fieldManager=one", configmap("a")).await;
        }),
        case("force is for applies alone", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.merge("configmaps/a?force=true", json!({"data": {"key": "x"}})).await;
        }),
        case("a dry run of an apply changes nothing", |c| async move {
            c.apply("configmaps/a?fieldManager=one&dryRun=All", configmap("a")).await;
            c.get("configmaps/a").await;
        }),
        case("an apply in YAML is taken", |c| async move {
            let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {key: value}\n";
            let content = [("content-type", "application/apply-patch+yaml")];
            c.raw(Method::PATCH, "configmaps/a?fieldManager=one", &content, text.into()).await;
        }),
        case("an apply that is invalid is 422", |c| async move {
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"data": {"a/b": "c"}}))).await;
            c.apply("pauses/a?fieldManager=one", pause("a").with(json!({"spec": {"reason": ""}}))).await;
        }),
        case("an apply's unknown field is an error of the server", |c| async move {
            c.apply("configmaps/a?fieldManager=one", configmap("a").with(json!({"nonsense": 1}))).await;
            c.apply("deployments/a?fieldManager=one", deployment("a").with(json!({"spec": {"nonsense": 1}}))).await;
        }),
        case("a custom kind's apply creates, and grows the generation with the spec", |c| async move {
            c.also(&["spec", "metadata.managedFields"]);
            c.apply("pauses/a?fieldManager=one", pause("a")).await;
            c.apply("pauses/a?fieldManager=one", pause("a").with(json!({"spec": {"reason": "another"}}))).await;
        }),
        case("a custom kind's apply has the conflicts of fields", |c| async move {
            c.apply("remediationpolicies/a?fieldManager=one", policy("a")).await;
            let other = json!({"spec": {"target": {"kind": "Deployment"}, "mode": "Enforce"}});
            c.apply("remediationpolicies/a?fieldManager=two", policy("a").with(other)).await;
        }),
        case("a status is applied under a manager of its own", |c| async move {
            c.also(&["status", "metadata.managedFields"]);
            c.post("remediationpolicies?fieldManager=creator", policy("a")).await;
            let condition = json!({
                "type": "Accepted", "status": "True", "reason": "Valid", "message": "m",
                "lastTransitionTime": "2020-01-01T00:00:00Z",
            });
            let status = json!({
                "apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy", "metadata": {"name": "a"},
                "status": {"observedGeneration": 1, "conditions": [condition]},
            });
            c.apply("remediationpolicies/a/status?fieldManager=one&force=true", status.clone()).await;
            let second = json!({
                "type": "Other", "status": "False", "reason": "R", "message": "m", "lastTransitionTime": "2020-01-01T00:00:00Z",
            });
            c.apply("remediationpolicies/a/status?fieldManager=two", status.with(json!({"status": {"observedGeneration": null, "conditions": [second]}})))
                .await;
        }),
        case("a status cannot be applied to what is not there", |c| async move {
            c.apply("remediations/a/status?fieldManager=one", remediation("a").with(json!({"spec": null}))).await;
        }),
        case("a list of containers is applied by name", |c| async move {
            c.also(&["spec.template.spec.containers"]);
            c.apply("deployments/a?fieldManager=one", deployment("a")).await;
            let side = json!({"spec": {"replicas": null, "selector": null, "template": {"metadata": null, "spec": {
                "schedulerName": null, "containers": [{"name": "side", "image": "busybox:e2e"}],
            }}}});
            c.apply("deployments/a?fieldManager=two", deployment("a").with(side)).await;
            c.apply("deployments/a?fieldManager=one", deployment("a")).await;
        }),
        case("a list of containers loses the one that its manager no longer applies", |c| async move {
            c.also(&["spec.template.spec.containers"]);
            let two = json!([{"name": "main", "image": "busybox:e2e"}, {"name": "side", "image": "busybox:e2e"}]);
            let more = json!({"spec": {"template": {"spec": {"containers": two}}}});
            c.apply("deployments/a?fieldManager=one", deployment("a").with(more)).await;
            c.apply("deployments/a?fieldManager=one", deployment("a")).await;
        }),
        case("replicas that another manager scaled are a conflict", |c| async move {
            c.apply("deployments/a?fieldManager=one", deployment("a")).await;
            c.merge("deployments/a/scale?fieldManager=scaler", json!({"spec": {"replicas": 1}})).await;
            c.apply("deployments/a?fieldManager=one", deployment("a")).await;
        }),
    ]
}
