//! POST of objects: what is taken, what is filled in, what is refused and where.

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    objects::{
        With, budget, configmap, cronjob, deployment, job, lease, pod, replicaset, statefulset,
    },
    suite::{Case, case},
};

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

pub fn cases() -> Vec<Case> {
    vec![
        case("a created object has a uid, a version and a time", |c| async move {
            c.post("configmaps", configmap("a")).await;
        }),
        case("what has a spec that counts begins at generation 1", |c| async move {
            c.post("pods", pod("a")).await;
            c.post("deployments", deployment("a")).await;
            c.post("leases", lease("a")).await;
            c.post("poddisruptionbudgets", budget("a")).await;
            c.post("jobs", job("a")).await;
            c.post("cronjobs", cronjob("a")).await;
            c.post("replicasets", replicaset("a")).await;
            c.post("statefulsets", statefulset("a")).await;
        }),
        case("what the client says of uid and times is not taken", |c| async move {
            let uid = "00000000-0000-0000-0000-000000000001";
            let said = json!({"metadata": {
                "uid": uid, "creationTimestamp": "2020-01-01T00:00:00Z", "generation": 7, "selfLink": "/x",
                "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5,
            }});
            let made = c.post("configmaps", configmap("a").with(said)).await;
            c.note("uid is the server's", made.uid() != uid);
        }),
        case("an object with a resourceVersion cannot be created", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"metadata": {"resourceVersion": "1"}}))).await;
        }),
        case("an object that is there cannot be created again", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.post("configmaps", configmap("a")).await;
            c.given("deployments", deployment("a")).await;
            c.post("deployments", deployment("a")).await;
            c.given("pauses", crate::objects::pause("a")).await;
            c.post("pauses", crate::objects::pause("a")).await;
        }),
        case("a name can be generated", |c| async move {
            let nameless = configmap("").with(json!({"metadata": {"name": null, "generateName": "made-"}}));
            let one = c.post("configmaps", nameless.clone()).await;
            let two = c.post("configmaps", nameless).await;
            c.note("the names differ", one.name() != two.name());
        }),
        case("a given name wins over one that would be generated", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"metadata": {"generateName": "made-"}}))).await;
        }),
        case("an object without a name is refused", |c| async move {
            c.post("configmaps", configmap("").with(json!({"metadata": {"name": null}}))).await;
            c.post("pauses", crate::objects::pause("").with(json!({"metadata": {"name": null}}))).await;
        }),
        case("a name that is too long is refused", |c| async move {
            c.post("configmaps", configmap(&"a".repeat(254))).await;
            c.post("configmaps", configmap(&"a".repeat(253))).await;
        }),
        case("a name that is no DNS subdomain is refused", |c| async move {
            for name in ["Upper", "under_score", "-a", "a-", "a..b", "a/b", "a b"] {
                c.post("configmaps", configmap(name)).await;
            }
        }),
        case("a namespace has the name of a DNS label", |c| async move {
            for name in ["a.b", "Upper"] {
                let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                c.post("/api/v1/namespaces", body).await;
            }
        }),
        case("an object needs its namespace to be there", |c| async move {
            c.post("/api/v1/namespaces/not-there/configmaps", configmap("a")).await;
            c.post("/apis/coordination.k8s.io/v1/namespaces/not-there/leases", lease("a")).await;
            c.post("/apis/paramedic.dev/v1alpha1/namespaces/not-there/pauses", crate::objects::pause("a")).await;
        }),
        case("a body of another namespace than the path is 400", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"metadata": {"namespace": "another"}}))).await;
        }),
        case("a body that names the namespace of the path is taken", |c| async move {
            let namespace = c.namespace().to_owned();
            c.post("configmaps", configmap("a").with(json!({"metadata": {"namespace": namespace}}))).await;
        }),
        case("a body of another kind is 400", |c| async move {
            c.post("configmaps", pod("a")).await;
            c.post("deployments", deployment("a").with(json!({"apiVersion": "apps/v1beta1"}))).await;
            c.post("pauses", configmap("a")).await;
        }),
        case("a body without kind and apiVersion is taken", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"kind": null, "apiVersion": null}))).await;
        }),
        case("a custom kind's body without kind and apiVersion is refused", |c| async move {
            c.post("pauses", crate::objects::pause("a").with(json!({"kind": null, "apiVersion": null}))).await;
        }),
        case("a body that is no JSON is 400", |c| async move {
            for text in ["{", "", "null", "[]", "\"text\"", "{\"metadata\": 7}"] {
                c.raw(Method::POST, "configmaps", &JSON, text.into()).await;
            }
        }),
        case("a content type that is not known is 415", |c| async move {
            c.raw(Method::POST, "configmaps", &[("content-type", "text/plain")], bytes(&configmap("a"))).await;
            c.raw(Method::POST, "pauses", &[("content-type", "text/plain")], bytes(&crate::objects::pause("a"))).await;
        }),
        case("a body in YAML is taken", |c| async move {
            let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {key: value}\n";
            c.raw(Method::POST, "configmaps", &[("content-type", "application/yaml")], text.into()).await;
        }),
        case("a body without a content type is taken as JSON", |c| async move {
            c.raw(Method::POST, "configmaps", &[], bytes(&configmap("a"))).await;
        }),
        case("an unknown field is dropped with a warning", |c| async move {
            let odd = configmap("a").with(json!({"nonsense": 1}));
            c.post("configmaps?fieldValidation=Warn", odd.clone()).await;
            c.post("configmaps", odd.with(json!({"metadata": {"name": "b"}}))).await;
        }),
        case("an unknown field is 400 where the client is strict", |c| async move {
            let odd = configmap("a").with(json!({"nonsense": 1, "metadata": {"odd": true}}));
            c.messages();
            c.post("configmaps?fieldValidation=Strict", odd).await;
            let odd = pod("a").with(json!({"spec": {"nonsense": 1}}));
            c.post("pods?fieldValidation=Strict", odd).await;
        }),
        case("an unknown field is dropped without a word where the client ignores it", |c| async move {
            c.post("configmaps?fieldValidation=Ignore", configmap("a").with(json!({"nonsense": 1}))).await;
        }),
        case("an unknown way of field validation is refused", |c| async move {
            c.post("configmaps?fieldValidation=Maybe", configmap("a")).await;
        }),
        case("a field that is there twice is 400 where the client is strict", |c| async move {
            let text = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"b"},"data":{"a":"c"}}"#;
            c.raw(Method::POST, "configmaps?fieldValidation=Strict", &JSON, text.into()).await;
            c.raw(Method::POST, "configmaps?fieldValidation=Warn", &JSON, text.into()).await;
        }),
        case("a field of the wrong type is 400", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"data": {"key": 1}}))).await;
            c.post("deployments", deployment("a").with(json!({"spec": {"replicas": "many"}}))).await;
            c.post("pods", pod("a").with(json!({"spec": {"containers": {"name": "main"}}}))).await;
        }),
        case("a dry run creates nothing", |c| async move {
            c.post("configmaps?dryRun=All", configmap("a")).await;
            c.get("configmaps/a").await;
        }),
        case("a dry run finds what is there already", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.post("configmaps?dryRun=All", configmap("a")).await;
        }),
        case("an unknown kind of dry run is refused", |c| async move {
            c.post("configmaps?dryRun=Some", configmap("a")).await;
        }),
        case("a status at creation is dropped", |c| async move {
            c.also(&["status"]);
            let status = json!({"status": {"replicas": 7, "observedGeneration": 9}});
            c.post("deployments", deployment("a").with(status)).await;
            let status = json!({"status": {"phase": "Running", "message": "x"}});
            c.post("pods", pod("a").with(status)).await;
        }),
        case("a label that is none is refused", |c| async move {
            c.post("configmaps", configmap("a").labelled(json!({"a b": "c", "x/y/z": "c", "ok": "not ok"}))).await;
            c.post("configmaps", configmap("a").labelled(json!({"long": "a".repeat(64)}))).await;
        }),
        case("an annotation needs a name", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"metadata": {"annotations": {"a b": "any thing"}}}))).await;
        }),
        case("annotations may not be larger than 256 KiB", |c| async move {
            let large = json!({"metadata": {"annotations": {"a": "x".repeat(262_144)}}});
            c.post("configmaps", configmap("a").with(large)).await;
        }),
        case("a finalizer needs a qualified name", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["plain"]}}))).await;
            c.post("configmaps", configmap("b").with(json!({"metadata": {"finalizers": ["example.com/a b"]}}))).await;
        }),
        case("an owner needs a version, a kind, a name and a uid", |c| async move {
            let owner = json!({"apiVersion": "", "kind": "", "name": "", "uid": ""});
            c.post("configmaps", configmap("a").with(json!({"metadata": {"ownerReferences": [owner]}}))).await;
        }),
        case("only one owner may be the controller", |c| async move {
            let owner = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name, "controller": true});
            let owners = json!({"metadata": {"ownerReferences": [owner("a"), owner("b")]}});
            c.post("configmaps", configmap("a").with(owners)).await;
        }),
        case("a pod needs a container", |c| async move {
            c.post("pods", pod("a").with(json!({"spec": {"containers": []}}))).await;
            c.post("pods", pod("a").with(json!({"spec": null}))).await;
        }),
        case("a container needs a name and an image", |c| async move {
            c.post("pods", pod("a").with(json!({"spec": {"containers": [{}]}}))).await;
            c.post("pods", pod("a").with(json!({"spec": {"containers": [{"name": "Not OK", "image": "x"}]}}))).await;
        }),
        case("two containers of a pod have two names", |c| async move {
            let container = json!({"name": "main", "image": "busybox:e2e"});
            c.post("pods", pod("a").with(json!({"spec": {"containers": [container, container]}}))).await;
        }),
        case("a pod's policies are of those that there are", |c| async move {
            c.post("pods", pod("a").with(json!({"spec": {"restartPolicy": "Sometimes", "dnsPolicy": "Odd"}}))).await;
            let container = json!({"name": "main", "image": "x", "imagePullPolicy": "Rarely"});
            c.post("pods", pod("a").with(json!({"spec": {"containers": [container]}}))).await;
        }),
        case("a container's request may not be above its limit", |c| async move {
            let resources = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
            let container = json!({"name": "main", "image": "busybox:e2e", "resources": resources});
            c.post("pods", pod("a").with(json!({"spec": {"containers": [container]}}))).await;
        }),
        case("a quantity that is none is 400", |c| async move {
            let container = json!({"name": "main", "image": "x", "resources": {"limits": {"memory": "much"}}});
            c.post("pods", pod("a").with(json!({"spec": {"containers": [container]}}))).await;
        }),
        case("a limit without a request is the request too", |c| async move {
            c.also(&["spec.containers[0].resources", "status.qosClass"]);
            let container = json!({"name": "main", "image": "x", "resources": {"limits": {"memory": "1Gi", "cpu": "0.5"}}});
            c.post("pods", pod("a").with(json!({"spec": {"containers": [container]}}))).await;
        }),
        case("a probe has bounds", |c| async move {
            let container = json!({"name": "main", "image": "x", "livenessProbe": {"periodSeconds": -1}});
            c.post("pods", pod("a").with(json!({"spec": {"containers": [container]}}))).await;
        }),
        case("a pod's grace period below zero is one second", |c| async move {
            c.also(&["spec.terminationGracePeriodSeconds"]);
            c.post("pods", pod("a").with(json!({"spec": {"terminationGracePeriodSeconds": -1}}))).await;
        }),
        case("a pod needs its service account to be there", |c| async move {
            c.post("pods", pod("a").with(json!({"spec": {"serviceAccountName": "not-there"}}))).await;
        }),
        case("a deployment needs a selector that fits its template", |c| async move {
            c.post(
                "deployments",
                deployment("a").with(json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}})),
            )
            .await;
            c.post("deployments", deployment("a").with(json!({"spec": {"selector": null}}))).await;
            c.post("deployments", deployment("a").with(json!({"spec": {"selector": {"matchLabels": null}}}))).await;
        }),
        case("a deployment's replicas may not be below zero", |c| async move {
            c.post("deployments", deployment("a").with(json!({"spec": {"replicas": -1}}))).await;
        }),
        case("a deployment's pods are always restarted", |c| async move {
            let never = json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}});
            c.post("deployments", deployment("a").with(never)).await;
        }),
        case("a deployment's strategy makes sense", |c| async move {
            let strategy = |value: Value| deployment("a").with(json!({"spec": {"strategy": value}}));
            c.post("deployments", strategy(json!({"type": "Odd"}))).await;
            c.post("deployments", strategy(json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}))).await;
            let none = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}});
            c.post("deployments", strategy(none)).await;
            c.post("deployments", strategy(json!({"rollingUpdate": {"maxUnavailable": "x%"}}))).await;
        }),
        case("a deployment's times make sense", |c| async move {
            let times = json!({"spec": {"minReadySeconds": -1, "revisionHistoryLimit": -1}});
            c.post("deployments", deployment("a").with(times)).await;
            let times = json!({"spec": {"minReadySeconds": 600, "progressDeadlineSeconds": 600}});
            c.post("deployments", deployment("a").with(times)).await;
        }),
        case("a stateful set has defaults", |c| async move {
            c.also(&["spec.podManagementPolicy", "spec.updateStrategy", "spec.revisionHistoryLimit", "spec.replicas"]);
            c.also(&["spec.persistentVolumeClaimRetentionPolicy", "spec.serviceName"]);
            c.post("statefulsets", statefulset("a").with(json!({"spec": {"paused": null}}))).await;
        }),
        case("a stateful set needs a selector that fits its template", |c| async move {
            c.post(
                "statefulsets",
                statefulset("a").with(json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}})),
            )
            .await;
            c.post("statefulsets", statefulset("a").with(json!({"spec": {"podManagementPolicy": "Odd"}}))).await;
        }),
        case("a replica set needs a selector that fits its template", |c| async move {
            c.post(
                "replicasets",
                replicaset("a").with(json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}})),
            )
            .await;
        }),
        case("a job has defaults and a selector of its own", |c| async move {
            c.also(&["spec.backoffLimit", "spec.completions", "spec.parallelism", "spec.completionMode"]);
            c.also(&["spec.suspend", "spec.selector", "spec.template.metadata", "spec.podReplacementPolicy"]);
            c.post("jobs", job("a")).await;
        }),
        case("a job's pods are not always restarted", |c| async move {
            c.post("jobs", job("a").with(json!({"spec": {"template": {"spec": {"restartPolicy": "Always"}}}}))).await;
            c.post("jobs", job("a").with(json!({"spec": {"template": {"spec": {"restartPolicy": null}}}}))).await;
        }),
        case("a job's numbers may not be below zero", |c| async move {
            let numbers = json!({"parallelism": -1, "completions": -1, "backoffLimit": -1, "activeDeadlineSeconds": -1,
                "ttlSecondsAfterFinished": -1});
            c.post("jobs", job("a").with(json!({"spec": numbers}))).await;
        }),
        case("a job's selector is not given by hand", |c| async move {
            c.post("jobs", job("a").with(json!({"spec": {"selector": {"matchLabels": {"app": "a"}}}}))).await;
        }),
        case("a cron job has defaults", |c| async move {
            c.also(&["spec.concurrencyPolicy", "spec.failedJobsHistoryLimit", "spec.successfulJobsHistoryLimit"]);
            c.also(&["spec.suspend", "spec.schedule"]);
            c.post("cronjobs", cronjob("a")).await;
        }),
        case("a cron job needs a schedule and a policy that there are", |c| async move {
            c.post("cronjobs", cronjob("a").with(json!({"spec": {"schedule": "often"}}))).await;
            c.post("cronjobs", cronjob("a").with(json!({"spec": {"schedule": ""}}))).await;
            c.post("cronjobs", cronjob("a").with(json!({"spec": {"concurrencyPolicy": "Odd"}}))).await;
            c.post("cronjobs", cronjob("a").with(json!({"spec": {"timeZone": "Nowhere/City"}}))).await;
        }),
        case("a cron job's name leaves room for its jobs", |c| async move {
            c.post("cronjobs", cronjob(&"a".repeat(53))).await;
            c.post("cronjobs", cronjob(&"a".repeat(52))).await;
        }),
        case("a budget says minAvailable or maxUnavailable", |c| async move {
            c.also(&["spec"]);
            c.post("poddisruptionbudgets", budget("a").with(json!({"spec": {"maxUnavailable": 1}}))).await;
            c.post("poddisruptionbudgets", budget("a").with(json!({"spec": {"minAvailable": -1}}))).await;
            c.post("poddisruptionbudgets", budget("a").with(json!({"spec": {"minAvailable": "110%"}}))).await;
            c.post("poddisruptionbudgets", budget("a").with(json!({"spec": {"minAvailable": "50%"}}))).await;
        }),
        case("a budget may say neither", |c| async move {
            c.also(&["spec"]);
            c.post("poddisruptionbudgets", budget("a").with(json!({"spec": {"minAvailable": null}}))).await;
        }),
        case("a config map's keys are file names", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"data": {"a/b": "c", "..": "d"}}))).await;
        }),
        case("a config map's key is in one place", |c| async move {
            c.post("configmaps", configmap("a").with(json!({"binaryData": {"key": "AAAA"}}))).await;
        }),
        case("a lease's numbers are above zero", |c| async move {
            c.post("leases", lease("a").with(json!({"spec": {"leaseDurationSeconds": 0}}))).await;
            c.post("leases", lease("a").with(json!({"spec": {"leaseTransitions": -1}}))).await;
        }),
        case("a lease's time has microseconds", |c| async move {
            c.also(&["spec"]);
            c.post("leases", lease("a").with(json!({"spec": {"renewTime": "2020-01-01T00:00:00.123456Z"}}))).await;
            c.post("leases", lease("b").with(json!({"spec": {"renewTime": "2020-01-01T00:00:00Z"}}))).await;
            c.post("leases", lease("c").with(json!({"spec": {"renewTime": "yesterday"}}))).await;
        }),
        case("a POST to an object is 405", |c| async move {
            c.post("configmaps/a", configmap("a")).await;
        }),
        case("the manager of a created object is who asked", |c| async move {
            c.also(&["metadata.managedFields"]);
            c.post("configmaps?fieldManager=somebody", configmap("a").labelled(json!({"x": "y"}))).await;
        }),
        case("a manager's name has at most 128 characters", |c| async move {
            c.post(&format!("configmaps?fieldManager={}", "a".repeat(129)), configmap("a")).await;
        }),
    ]
}
