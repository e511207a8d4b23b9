//! The cluster that an operator's command is about, found as kubectl finds it, and what is asked of it.

use std::{fmt::Debug, path::PathBuf, time::Duration};

use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::DeserializeGuard,
};
use serde::de::DeserializeOwned;

use super::{
    exit::{OperatorError, asking},
    serve::cluster::ClusterError,
};
use crate::api::ObjectKey;

/// How long a connection may take to come about, and an answer to begin or to go on.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Objects a page of a list.
const PAGE: u32 = 500;

/// Which cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// The kubeconfig. Default: the files of KUBECONFIG, then ~/.kube/config, then the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace that Paramedic is installed in.
    #[arg(long, value_name = "NAMESPACE", env = "PARAMEDIC_NAMESPACE", default_value = "paramedic")]
    pub paramedic_namespace: String,
}

/// A cluster, and the namespace that is meant where none is named.
pub struct Cluster {
    /// Asks it. Repeats nothing by itself.
    pub client: Client,
    /// The context's namespace, else `default`.
    pub default_namespace: String,
    /// Where Paramedic is.
    pub own_namespace: String,
}

impl ClusterArgs {
    /// Reads the kubeconfig; asks nobody yet.
    pub async fn connect(&self) -> Result<Cluster, OperatorError> {
        let mut config = self.config().await?;
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_WITHIN);
        config.read_timeout = Some(ANSWER_WITHIN);
        let default_namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(ClusterError::from)?;
        Ok(Cluster { client, default_namespace, own_namespace: self.paramedic_namespace.clone() })
    }

    async fn config(&self) -> Result<Config, ClusterError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        Ok(match (&self.kubeconfig, &self.context) {
            (Some(path), _) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            (None, Some(_)) => Config::from_kubeconfig(&options).await?,
            (None, None) => Config::infer().await?,
        })
    }
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

/// One namespace.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NamespaceArgs {
    /// The namespace. Default: the context's.
    #[arg(short, long, value_name = "NAMESPACE", help_heading = "Cluster")]
    pub namespace: Option<String>,
}

impl NamespaceArgs {
    /// The one that is meant.
    pub fn of<'a>(&'a self, cluster: &'a Cluster) -> &'a str {
        self.namespace.as_deref().unwrap_or(&cluster.default_namespace)
    }

    /// The object that `NAME` or `NAMESPACE/NAME` means.
    pub fn key(&self, name: &str, cluster: &Cluster) -> Result<ObjectKey, OperatorError> {
        match (name.split_once('/'), &self.namespace) {
            (Some((namespace, _)), Some(other)) if namespace != other => Err(OperatorError::Usage(format!(
                "`{name}` is of namespace {namespace}, but -n says {other}; leave one of them out"
            ))),
            (Some((namespace, name)), _) => Ok(ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }),
            (None, _) => Ok(ObjectKey { namespace: self.of(cluster).to_owned(), name: name.to_owned() }),
        }
    }
}
