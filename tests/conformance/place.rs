//! Where a case is told: on a real API server, or on a simulated one of its own.

use std::path::Path;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use paramedic::{
    clock::Clock,
    sim::{Cluster, Settings},
};

/// An API server for one case.
#[derive(Clone)]
pub struct Place {
    /// Reaches it; does not retry.
    pub client: Client,
    /// The case's own namespace.
    pub namespace: String,
    /// Whether it is a real one: others use it too, and its controllers work beside the case.
    pub real: bool,
}

impl Place {
    /// A simulated API server of its own.
    pub fn simulated() -> Self {
        let cluster = Cluster::new(Settings::new(Clock::system()));
        Self { client: cluster.client(), namespace: "conformance-00000000".to_owned(), real: false }
    }

    /// A new namespace of the real cluster.
    pub fn real(client: &Client) -> Self {
        Self { client: client.clone(), namespace: format!("conformance-{:08x}", fastrand::u32(..)), real: true }
    }
}

/// A client of the cluster that the kubeconfig leads to, and its version.
pub async fn connect(kubeconfig: &Path) -> Result<(Client, String), String> {
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| error.to_string())?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| error.to_string())?;
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    let version = client.apiserver_version().await.map_err(|error| format!("{}: {error}", kubeconfig.display()))?;
    Ok((client, version.git_version))
}
