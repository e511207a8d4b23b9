//! The cluster that an operator's command is about, found as kubectl finds it.

use std::{path::PathBuf, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{
    api::ObjectKey,
    people::{ClusterError, OperatorError, cluster::Cluster},
};

/// How long a connection may take to come about, and an answer to begin or to go on.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

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
