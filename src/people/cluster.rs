//! A cluster as somebody sees it, and what is asked of it.

use std::fmt::Debug;

use kube::{Api, Client, api::ListParams, core::DeserializeGuard};
use serde::de::DeserializeOwned;

use super::error::{OperatorError, asking};
use crate::api::ObjectKey;

/// Objects a page of a list.
const PAGE: u32 = 500;

/// Why there is no way to the API.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No configuration was found.
    #[error(
        "neither a kubeconfig nor a service account was found: {0}; set KUBECONFIG or --kubeconfig, or run in a pod"
    )]
    None(#[from] kube::config::InferConfigError),
    /// The kubeconfig that was named cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// No client can be built.
    #[error("no client of the Kubernetes API can be built: {0}")]
    Client(#[from] kube::Error),
}

/// A cluster, and the namespace that is meant where none is named.
pub struct Cluster {
    /// Asks it, as whoever asks. Repeats nothing by itself.
    pub client: Client,
    /// The context's namespace, else `default`.
    pub default_namespace: String,
    /// Where Paramedic is.
    pub own_namespace: String,
}

/// What a list brought: those that can be read, and the names of the others with the reason.
pub struct Listed<K> {
    /// The objects.
    pub objects: Vec<K>,
    /// Those that this version cannot read.
    pub unreadable: Vec<(ObjectKey, String)>,
}

impl Cluster {
    /// An API of one namespace, or of all.
    pub fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        namespace
            .map_or_else(|| Api::all(self.client.clone()), |namespace| Api::namespaced(self.client.clone(), namespace))
    }

    /// Every object of a kind, in one namespace or in all.
    pub async fn list<K>(&self, namespace: Option<&str>) -> Result<Listed<K>, OperatorError>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let place =
            namespace.map_or_else(|| "in all namespaces (-n names one)".to_owned(), |name| format!("in {name}"));
        list(self.api(namespace), &place).await
    }

    /// Every object of a kind that has no namespaces.
    pub async fn list_cluster<K>(&self) -> Result<Listed<K>, OperatorError>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        list(Api::all(self.client.clone()), "of the cluster").await
    }
}

async fn list<K>(api: Api<DeserializeGuard<K>>, place: &str) -> Result<Listed<K>, OperatorError>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut listed = Listed { objects: Vec::new(), unreadable: Vec::new() };
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let what = format!("list {} {place}", K::plural(&()));
        let page = api.list(&params).await.map_err(asking(what))?;
        for DeserializeGuard(object) in page.items {
            match object {
                Ok(object) => listed.objects.push(object),
                Err(invalid) => {
                    let key = ObjectKey {
                        namespace: invalid.metadata.namespace.unwrap_or_default(),
                        name: invalid.metadata.name.unwrap_or_default(),
                    };
                    listed.unreadable.push((key, invalid.error));
                }
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(listed),
        }
    }
}
