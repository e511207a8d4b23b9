//! The calls that lie between a POST and its eviction, by a client that does nothing else.
//!
//! An alert is on record before it is answered, its pod is looked up with its owners and their other pods, the action is
//! written down before it is begun, and a pause is asked for in the last moment: so many calls one after another, some of
//! them beside others, are made for one eviction, whoever makes them. A `ConfigMap` of a record's size stands for the record.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{ConfigMap, Namespace, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{EvictParams, ListParams, PostParams, VersionMatch},
};
use paramedic::api::Pause;

use crate::cluster::{OWN, PODS};

/// So many calls come one after another: record, pod, `ReplicaSet`, Deployment, pods, record, pauses, eviction.
pub const SEQUENTIAL: usize = 8;
/// The size of a record, in bytes.
const RECORD: usize = 3_000;
/// How long the API server may take to serve what was just defined.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes them for one pod of a Deployment, whose pods that selector selects; gives when they began.
pub async fn evict(client: &Client, pod: &str, deployment: &str, selector: &str) -> anyhow::Result<Instant> {
    let records: Api<ConfigMap> = Api::namespaced(client.clone(), PODS);
    let pods: Api<Pod> = Api::namespaced(client.clone(), PODS);
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), PODS);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), PODS);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let pauses = [OWN, PODS].map(|namespace| Api::<Pause>::namespaced(client.clone(), namespace));
    let posting = PostParams::default();

    let began = Instant::now();
    let mut record = records.create(&posting, &a_record(pod)).await.context("the record is not made")?;
    let all = ListParams::default();
    let chain = async {
        let found = pods.get(pod).await?;
        let owner = found.metadata.owner_references.unwrap_or_default().into_iter().next().unwrap_or_default();
        sets.get(&owner.name).await?;
        deployments.get(deployment).await?;
        pods.list(&ListParams::default().labels(selector)).await
    };
    let (living, _, own, theirs) =
        tokio::try_join!(chain, namespaces.get(PODS), pauses[0].list(&all), pauses[1].list(&all))?;
    ensure!(!living.items.is_empty(), "{deployment} has pods");
    record.metadata.managed_fields = None;
    records.replace(pod, &posting, &record).await.context("the record is not written")?;
    let since = [own, theirs].map(|list| list.metadata.resource_version.unwrap_or_default());
    let not_older = since.map(|version| ListParams::default().at(&version).matching(VersionMatch::NotOlderThan));
    tokio::try_join!(pauses[0].list(&not_older[0]), pauses[1].list(&not_older[1]))?;
    pods.evict(pod, &EvictParams::default()).await.context("the eviction was refused")?;
    Ok(began)
}

/// Waits until the API server has begun to serve what was just defined: the first list of it may be refused.
pub async fn served(client: &Client) -> anyhow::Result<()> {
    let pauses = Api::<Pause>::namespaced(client.clone(), PODS);
    let end = Instant::now() + PATIENCE;
    while let Err(error) = pauses.list(&ListParams::default()).await {
        ensure!(Instant::now() < end, "pauses cannot be listed: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn a_record(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some([("record".to_owned(), "x".repeat(RECORD))].into()),
        ..ConfigMap::default()
    }
}
