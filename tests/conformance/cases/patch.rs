//! Merge patches, JSON patches, strategic merge patches.

use axum::http::Method;
use serde_json::json;

use crate::{
    objects::{With, configmap, deployment, pause, pod},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a merge patch adds, changes and removes", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"data": {"old": "1", "gone": "2"}}))).await;
            c.merge("configmaps/a", json!({"data": {"new": "3", "old": "4", "gone": null}})).await;
        }),
        case("a merge patch replaces a list as a whole", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/a", "x.io/b"]}}))).await;
            c.merge("configmaps/a", json!({"metadata": {"finalizers": ["x.io/c"]}})).await;
        }),
        case("a patch that changes nothing keeps the version", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            let same = c.merge("configmaps/a", json!({"data": {"key": "value"}})).await;
            c.note("the version is the same", made.rv() == same.rv());
            let same = c.merge("configmaps/a", json!({})).await;
            c.note("the version is the same", made.rv() == same.rv());
        }),
        case("a patch with the newest version is taken, with an older one a conflict", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            let patch = json!({"metadata": {"resourceVersion": made.rv()}, "data": {"key": "second"}});
            c.merge("configmaps/a", patch.clone()).await;
            c.merge("configmaps/a", patch.with(json!({"data": {"key": "third"}}))).await;
        }),
        case("a patch with another uid is 422", |c| async move {
            c.given("pauses", pause("a")).await;
            c.merge("pauses/a", json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000001"}})).await;
        }),
        case("a patch of what is not there is 404", |c| async move {
            c.merge("configmaps/a", json!({"data": {}})).await;
            c.json_patch("configmaps/a", json!([])).await;
            c.strategic("configmaps/a", json!({})).await;
            c.merge("pauses/a", json!({})).await;
        }),
        case("a patch of another name is 400", |c| async move {
            c.given("pauses", pause("a")).await;
            c.merge("pauses/a", json!({"metadata": {"name": "b"}})).await;
            c.merge("pauses/a", json!({"metadata": {"namespace": "another"}})).await;
        }),
        case("a patch that is no JSON is 400", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.raw(Method::PATCH, "configmaps/a", &[("content-type", "application/merge-patch+json")], "{".into()).await;
            c.raw(Method::PATCH, "configmaps/a", &[("content-type", "application/json-patch+json")], "{}".into()).await;
            c.raw(Method::PATCH, "configmaps/a", &[("content-type", "application/strategic-merge-patch+json")], "[".into())
                .await;
        }),
        case("a patch of a type that is not known is 415", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.raw(Method::PATCH, "configmaps/a", &[("content-type", "application/json")], "{}".into()).await;
            c.raw(Method::PATCH, "configmaps/a", &[("content-type", "text/plain")], "{}".into()).await;
        }),
        case("a custom kind takes no strategic merge patch", |c| async move {
            c.given("pauses", pause("a")).await;
            c.strategic("pauses/a", json!({"spec": {"reason": "another"}})).await;
        }),
        case("a JSON patch adds, replaces, removes, moves and copies", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"data": {"old": "1", "gone": "2"}}))).await;
            let patch = json!([
                {"op": "add", "path": "/data/new", "value": "3"},
                {"op": "replace", "path": "/data/old", "value": "4"},
                {"op": "remove", "path": "/data/gone"},
                {"op": "copy", "from": "/data/new", "path": "/data/copied"},
                {"op": "move", "from": "/data/key", "path": "/data/moved"},
                {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
            ]);
            c.json_patch("configmaps/a", patch).await;
            c.json_patch(
                "configmaps/a",
                json!([{"op": "add", "path": "/metadata/labels/x.io~1y", "value": "z"}]),
            )
            .await;
        }),
        case("a JSON patch adds to the end of a list", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/a"]}}))).await;
            c.json_patch(
                "configmaps/a",
                json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "x.io/b"}]),
            )
            .await;
            c.json_patch(
                "configmaps/a",
                json!([{"op": "add", "path": "/metadata/finalizers/0", "value": "x.io/c"}]),
            )
            .await;
        }),
        case("a JSON patch is applied as a whole or not at all", |c| async move {
            c.given("configmaps", configmap("a")).await;
            let patch = json!([
                {"op": "add", "path": "/data/new", "value": "3"},
                {"op": "test", "path": "/data/key", "value": "another"},
            ]);
            c.json_patch("configmaps/a", patch).await;
            c.get("configmaps/a").await;
        }),
        case("a JSON patch whose test holds is applied", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            let patch = json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": made.rv()},
                {"op": "replace", "path": "/data/key", "value": "another"},
            ]);
            c.json_patch("configmaps/a", patch).await;
        }),
        case("a JSON patch of a path that is not there is 422, but a replacement adds it", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.json_patch("configmaps/a", json!([{"op": "remove", "path": "/data/none"}])).await;
            c.json_patch("configmaps/a", json!([{"op": "replace", "path": "/data/none", "value": "x"}])).await;
            c.json_patch("configmaps/a", json!([{"op": "add", "path": "/none/below", "value": "x"}])).await;
        }),
        case("a JSON patch with an unknown operation is refused", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.json_patch("configmaps/a", json!([{"op": "turn", "path": "/data/key"}])).await;
        }),
        case("a strategic merge patch finds containers by their name", |c| async move {
            c.also(&["spec.template.spec.containers"]);
            let more = json!([
                {"name": "main", "image": "busybox:e2e", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "side", "image": "busybox:e2e"},
            ]);
            c.given(
                "deployments",
                deployment("a").with(json!({"spec": {"template": {"spec": {"containers": more}}}})),
            )
            .await;
            let patch = json!([{"name": "main", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]);
            c.strategic("deployments/a", json!({"spec": {"template": {"spec": {"containers": patch}}}})).await;
        }),
        case("a strategic merge patch takes an item out of a list", |c| async move {
            c.also(&["spec.template.spec.containers"]);
            let more = json!([{"name": "main", "image": "busybox:e2e"}, {"name": "side", "image": "busybox:e2e"}]);
            c.given(
                "deployments",
                deployment("a").with(json!({"spec": {"template": {"spec": {"containers": more}}}})),
            )
            .await;
            let patch = json!([{"name": "side", "$patch": "delete"}]);
            c.strategic("deployments/a", json!({"spec": {"template": {"spec": {"containers": patch}}}})).await;
        }),
        case("a strategic merge patch can replace", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"data": {"old": "1"}}))).await;
            c.strategic("configmaps/a", json!({"data": {"$patch": "replace", "only": "this"}})).await;
        }),
        case("a strategic merge patch removes by null", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"data": {"old": "1"}}))).await;
            c.strategic("configmaps/a", json!({"data": {"old": null}, "metadata": {"labels": {"x": "y"}}})).await;
        }),
        case("a strategic merge patch merges finalizers", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/a"]}}))).await;
            c.strategic("configmaps/a", json!({"metadata": {"finalizers": ["x.io/b"]}})).await;
            c.strategic("configmaps/a", json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"]}})).await;
        }),
        case("a strategic merge patch orders a list as it is told", |c| async move {
            c.also(&["spec.template.spec.containers"]);
            c.given("deployments", deployment("a")).await;
            let patch = json!({
                "$setElementOrder/containers": [{"name": "side"}, {"name": "main"}],
                "containers": [{"name": "side", "image": "busybox:e2e"}],
            });
            c.strategic("deployments/a", json!({"spec": {"template": {"spec": patch}}})).await;
        }),
        case("a rollout restart is a strategic merge patch of an annotation", |c| async move {
            c.also(&["spec.template.metadata"]);
            c.given("deployments", deployment("a")).await;
            let annotations = json!({"kubectl.kubernetes.io/restartedAt": "2020-01-01T00:00:00Z"});
            c.strategic(
                "deployments/a",
                json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}),
            )
            .await;
        }),
        case("a merge patch of the wrong type is refused", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.merge("deployments/a", json!({"spec": {"replicas": "many"}})).await;
            c.given("pauses", pause("a")).await;
            c.merge("pauses/a", json!({"spec": {"reason": 7}})).await;
        }),
        case("a patch's unknown field is 422 where the client is strict, and a warning elsewhere", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.merge("deployments/a?fieldValidation=Strict", json!({"spec": {"nonsense": 1}})).await;
            c.merge("deployments/a", json!({"spec": {"nonsense": 1}})).await;
            c.given("pauses", pause("a")).await;
            c.merge("pauses/a?fieldValidation=Strict", json!({"spec": {"nonsense": 1}})).await;
            c.merge("pauses/a", json!({"spec": {"nonsense": 1}})).await;
        }),
        case("a dry run of a patch changes nothing", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.merge("configmaps/a?dryRun=All", json!({"data": {"key": "dry"}})).await;
            c.get("configmaps/a").await;
        }),
        case("a collection cannot be patched", |c| async move {
            c.merge("configmaps", json!({})).await;
        }),
        case("a pod cannot be bound by a patch", |c| async move {
            c.given("pods", pod("a")).await;
            c.merge("pods/a", json!({"spec": {"nodeName": "nowhere"}})).await;
        }),
    ]
}
