//! The cluster that is measured on: two namespaces of ours, made and deleted.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use paramedic::api::Remediation;

/// Paramedic's own.
pub const OWN: &str = "bench-paramedic";
/// That of the pods that are ended.
pub const PODS: &str = "bench-pods";

/// Says that a namespace is ours to delete.
const MARK: (&str, &str) = ("app.kubernetes.io/managed-by", "paramedic-bench");

/// A client like the one that Paramedic acts with: one that repeats nothing by itself.
pub async fn connect(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).context("the kubeconfig cannot be read")?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Makes the namespaces, anew if an earlier run was killed.
pub async fn prepare(client: &Client) -> anyhow::Result<()> {
    clear(client).await?;
    let api: Api<Namespace> = Api::all(client.clone());
    for name in [OWN, PODS] {
        gone(&api, name).await?;
    }
    let records: Api<Remediation> = Api::all(client.clone());
    let records = records.list(&ListParams::default().limit(1)).await.context("apply k8s/crds to the cluster first")?;
    if !records.items.is_empty() {
        bail!(
            "the cluster has Remediations, so another Paramedic works on it; the one that is measured would do so too"
        );
    }
    for name in [OWN, PODS] {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some([(MARK.0.to_owned(), MARK.1.to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        api.create(&PostParams::default(), &namespace).await.with_context(|| format!("namespace {name}"))?;
    }
    Ok(())
}

/// Deletes what `prepare` made; the cluster finishes that by itself.
pub async fn clear(client: &Client) -> anyhow::Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    for name in [OWN, PODS] {
        let Some(namespace) = api.get_opt(name).await? else { continue };
        if namespace.metadata.labels.as_ref().and_then(|labels| labels.get(MARK.0)).is_none_or(|by| by != MARK.1) {
            bail!("there is a namespace {name} that is not ours");
        }
        if namespace.metadata.deletion_timestamp.is_none() {
            api.delete(name, &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

async fn gone(api: &Api<Namespace>, name: &str) -> anyhow::Result<()> {
    for _ in 0..600 {
        if api.get_opt(name).await?.is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the namespace {name} of an earlier run does not go away")
}
