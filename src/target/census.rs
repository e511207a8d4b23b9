//! How many workloads there are: asked of the API where it matters, and remembered for a while.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{Api, Client, Resource, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio::{sync::Mutex, time::Instant};

/// How long a count is believed. It is a denominator, and moves slowly.
const FRESH: Duration = Duration::from_mins(1);
/// How long it is believed that nobody can tell.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);

type Known = BTreeMap<Option<String>, (Instant, Result<usize, String>)>;

/// Counts Deployments, StatefulSets and DaemonSets. Cheap to clone; what one clone knows all know.
#[derive(Clone)]
pub struct Census {
    client: Client,
    known: Arc<Mutex<Known>>,
}

impl Census {
    /// Asks with this client, which does not retry by itself.
    pub fn new(client: Client) -> Self {
        Self { client, known: Arc::default() }
    }

    /// How many there are in a namespace; in the cluster where none is given. Whoever asks while it is being asked
    /// already waits for that answer.
    ///
    /// # Errors
    /// What the API said instead.
    pub async fn workloads(&self, namespace: Option<&str>) -> Result<usize, String> {
        let mut known = self.known.lock().await;
        let place = namespace.map(str::to_owned);
        let now = Instant::now();
        known.retain(|_, (at, counted)| now.duration_since(*at) < if counted.is_ok() { FRESH } else { UNKNOWN_FOR });
        if let Some((_, counted)) = known.get(&place) {
            return counted.clone();
        }
        let (deployments, sets, daemons) = tokio::join!(
            self.count::<Deployment>(namespace),
            self.count::<StatefulSet>(namespace),
            self.count::<DaemonSet>(namespace)
        );
        let counted: Result<usize, String> = [deployments, sets, daemons].into_iter().sum();
        known.insert(place, (now, counted.clone()));
        counted
    }

    /// One object is read; the server says how many more there are.
    async fn count<K>(&self, namespace: Option<&str>) -> Result<usize, String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let list = api.list(&ListParams::default().limit(1)).await.map_err(|error| error.to_string())?;
        let more = list.metadata.continue_.is_some_and(|token| !token.is_empty());
        match list.metadata.remaining_item_count {
            Some(remaining) => Ok(list.items.len().saturating_add(usize::try_from(remaining).unwrap_or_default())),
            None if more => Err(format!("the API does not say how many more {} there are", K::plural(&()))),
            None => Ok(list.items.len()),
        }
    }
}
