//! The cluster from outside: what conformance cannot see, as a real cluster has no paused clock and no seed.

use std::time::Duration;

use axum::http::{HeaderMap, Method, Uri};
use futures::StreamExt;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace, Pod},
    apimachinery::pkg::apis::meta::v1::DeleteOptions,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams, WatchParams},
    core::WatchEvent,
};
use serde_json::{Value, json};

use super::{Cluster, Settings};
use crate::clock::Clock;

fn cluster(history: usize) -> Cluster {
    let base = "2026-01-01T00:00:00Z".parse().unwrap();
    Cluster::new(Settings { seed: 7, history, ..Settings::new(Clock::driven(base)) })
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "default"}})).unwrap()
}

fn maps(cluster: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client(), "default")
}

async fn say(cluster: &Cluster, method: Method, path: &str, body: Value) -> (u16, Value) {
    let headers = HeaderMap::from_iter([(axum::http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer = cluster.service().answer(&method, &path.parse::<Uri>().unwrap(), &headers, &body);
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn the_same_requests_give_the_same_answers() {
    async fn told() -> Vec<String> {
        let cluster = cluster(100);
        let mut told = Vec::new();
        for (method, path, body) in [
            (Method::POST, "/api/v1/namespaces/default/configmaps", json!({"metadata": {"generateName": "a-"}})),
            (Method::POST, "/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "b"}})),
            (Method::GET, "/api/v1/namespaces/default/configmaps?limit=1", Value::Null),
            (Method::DELETE, "/api/v1/namespaces/default/configmaps/b", Value::Null),
            (Method::GET, "/api/v1/namespaces", Value::Null),
        ] {
            told.push(format!("{:?}", say(&cluster, method, path, body).await));
        }
        told
    }
    let one = told().await;
    assert_eq!(one, told().await);
    assert!(one[4].contains("kube-system"), "{}", one[4]);
}

#[tokio::test(start_paused = true)]
async fn a_client_creates_reads_and_is_refused() {
    let cluster = cluster(100);
    let api = maps(&cluster);
    let made = api.create(&PostParams::default(), &map("a")).await.unwrap();
    assert_eq!(made.uid().map(|uid| uid.len()), Some(36));
    let error = api.create(&PostParams::default(), &map("a")).await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.is_already_exists()), "{error}");
    assert!(api.get_opt("b").await.unwrap().is_none());
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_has_what_comes_and_bookmarks_meanwhile() {
    let cluster = cluster(100);
    let api = maps(&cluster);
    let params = WatchParams::default().timeout(200);
    let mut watch = api.watch(&params, "0").await.unwrap().boxed();
    cluster.with(|state| state.create(&map("a"))).unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(object))) if object.name_any() == "a"));
    cluster.with(|state| state.delete::<ConfigMap>("default", "a", &DeleteOptions::default())).unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Deleted(object))) if object.name_any() == "a"));
    let revision = cluster.with(|state| state.revision());
    let begun = tokio::time::Instant::now();
    let mark = watch.next().await;
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert!(
        matches!(&mark, Some(Ok(WatchEvent::Bookmark(mark))) if mark.metadata.resource_version == revision.to_string()),
        "{mark:?}"
    );
    while let Some(event) = watch.next().await {
        assert!(matches!(event, Ok(WatchEvent::Bookmark(_))), "{event:?}");
    }
    assert_eq!(begun.elapsed().as_secs(), 200, "it ends when its time is over");
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_gone() {
    let cluster = cluster(3);
    let first = cluster.with(|state| state.create(&map("a"))).unwrap();
    let (_, page) = say(&cluster, Method::GET, "/api/v1/namespaces/default/configmaps?limit=1", Value::Null).await;
    assert!(page["metadata"]["continue"].is_null(), "there is but one");
    for name in ["b", "c", "d"] {
        cluster.with(|state| state.create(&map(name))).unwrap();
    }
    let (_, page) = say(&cluster, Method::GET, "/api/v1/namespaces/default/configmaps?limit=1", Value::Null).await;
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/namespaces/default/configmaps?continue={token}");
    assert_eq!(say(&cluster, Method::GET, &path, Value::Null).await.0, 200);
    for name in ["e", "f", "g", "h"] {
        cluster.with(|state| state.create(&map(name))).unwrap();
    }
    let (code, refusal) = say(&cluster, Method::GET, &path, Value::Null).await;
    assert_eq!((code, refusal["reason"].as_str()), (410, Some("Expired")));
    let api = maps(&cluster);
    let version = first.resource_version().unwrap();
    let mut watch = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    let event = watch.next().await;
    assert!(matches!(&event, Some(Ok(WatchEvent::Error(error))) if error.code == 410), "{event:?}");
    assert!(watch.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn no_change_is_missed_between_two_waits() {
    let cluster = cluster(100);
    // The first wait tells of what there is already.
    cluster.changed().await;
    let waiting = tokio::time::timeout(Duration::from_secs(1), cluster.changed());
    assert!(waiting.await.is_err(), "nothing was written since");
    let other = cluster.clone();
    other.with(|state| state.create(&map("a"))).unwrap();
    cluster.changed().await;
    other.changed().await;
    let waiting = tokio::time::timeout(Duration::from_secs(1), cluster.changed());
    let write = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        other.with(|state| state.create(&map("b"))).unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, write);
    waited.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_namespace_ends_when_nothing_holds_what_is_in_it() {
    let cluster = cluster(100);
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    let held: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "n", "finalizers": ["x.io/held"]}}))
            .unwrap();
    cluster.with(|state| {
        state.create(&namespace).unwrap();
        state.create(&held).unwrap();
        state.delete::<Namespace>("", "n", &DeleteOptions::default()).unwrap();
        let refused = state.create(&ConfigMap {
            metadata: kube::core::ObjectMeta { name: Some("b".into()), ..held.metadata.clone() },
            ..held.clone()
        });
        assert_eq!(refused.unwrap_err().code, 403);
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.with(|state| {
        let mut held = state.get::<ConfigMap>("n", "a").unwrap();
        held.metadata.finalizers = None;
        state.update(&held).unwrap();
        assert!(state.get::<ConfigMap>("n", "a").is_none());
        assert!(state.get::<Namespace>("", "n").is_none(), "the last one let it go");
    });
}

#[tokio::test(start_paused = true)]
async fn a_pod_on_a_node_is_given_its_grace() {
    let cluster = cluster(100);
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "default"},
        "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "a:1"}]}}))
    .unwrap();
    cluster.with(|state| {
        state.create(&pod).unwrap();
        state.delete::<Pod>("default", "a", &DeleteOptions::default()).unwrap();
        let going = state.get::<Pod>("default", "a").unwrap();
        assert_eq!(going.metadata.deletion_grace_period_seconds, Some(30));
        assert_eq!(going.metadata.deletion_timestamp.unwrap().0.to_string(), "2026-01-01T00:00:30Z");
        let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        state.delete::<Pod>("default", "a", &now).unwrap();
        assert!(state.get::<Pod>("default", "a").is_none());
    });
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_leaves_no_watch_behind() {
    let cluster = cluster(100);
    let client: Client = cluster.client();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let mut watch = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let waiting = tokio::time::timeout(Duration::from_secs(1), watch.next());
    assert!(waiting.await.is_err());
    assert_eq!(cluster.sleepers().waiting.len(), 1);
    drop(watch);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.sleepers().waiting.len(), 0);
}

#[test]
fn the_rest_of_the_crate_does_not_know_it() {
    fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() { files(&entry.path(), found) } else { found.push(entry.path()) }
        }
    }
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let known = |path: &std::path::Path| ["sim", "cli/demo"].iter().any(|known| path.starts_with(source.join(known)));
    for path in found.iter().filter(|path| !known(path)) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("crate::sim") && !text.contains("super::sim"), "{} uses the simulation", path.display());
    }
}
