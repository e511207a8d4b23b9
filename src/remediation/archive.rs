//! The `ConfigMap` in Paramedic's own namespace in which the ledger keeps what it knows of records that are gone.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use tokio::time::timeout;

use super::ledger::{Kept, Unreadable};
use crate::telemetry::metrics::ApiErrorReason;

/// Its name.
pub const LEDGER: &str = "paramedic-ledger";
/// The one key of its data.
const KEY: &str = "gone";
/// How long the API has for one read or write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why it could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The API refused, or could not be reached.
    #[error(transparent)]
    Api(kube::Error),
    /// It did not answer.
    #[error("no answer in time")]
    NoAnswer,
    /// It says what cannot be understood.
    #[error("{0}; correct the ConfigMap, or delete it if what it says may be forgotten")]
    Unreadable(Unreadable),
}

impl ArchiveError {
    /// For the metric.
    pub(super) fn reason(&self) -> ApiErrorReason {
        match self {
            Self::Api(error) => ApiErrorReason::of(error),
            Self::NoAnswer => ApiErrorReason::NoAnswer,
            Self::Unreadable(_) => ApiErrorReason::OtherAnswer,
        }
    }
}

/// What is kept of records that are gone, for whoever explains what the limits count.
///
/// # Errors
/// It could not be read, or says what cannot be understood.
pub async fn kept(client: Client, own_namespace: &str) -> Result<Kept, ArchiveError> {
    Archive::new(client, own_namespace).read().await.map(|archived| archived.kept)
}

/// What is there, and which version of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Archived {
    pub(super) kept: Kept,
    /// `None` where there is no such object yet.
    version: Option<String>,
}

/// Where it is.
#[derive(Clone)]
pub(super) struct Archive {
    api: Api<ConfigMap>,
}

impl Archive {
    /// In Paramedic's own namespace; the client does not retry by itself.
    pub(super) fn new(client: Client, own_namespace: &str) -> Self {
        Self { api: Api::namespaced(client, own_namespace) }
    }

    /// What was kept; nothing where nothing ever was.
    pub(super) async fn read(&self) -> Result<Archived, ArchiveError> {
        let found = match timeout(TIMEOUT, self.api.get_opt(LEDGER)).await {
            Err(_) => return Err(ArchiveError::NoAnswer),
            Ok(Err(error)) => return Err(ArchiveError::Api(error)),
            Ok(Ok(found)) => found,
        };
        let Some(map) = found else { return Ok(Archived::default()) };
        let text = map.data.as_ref().and_then(|data| data.get(KEY)).map(String::as_str).unwrap_or_default();
        let kept = Kept::from_lines(text).map_err(ArchiveError::Unreadable)?;
        Ok(Archived { kept, version: map.metadata.resource_version })
    }

    /// Keeps this instead, over the very version that was read: a leader that was deposed writes over nothing.
    pub(super) async fn write(&self, kept: Kept, over: Archived) -> Result<Archived, ArchiveError> {
        let exists = over.version.is_some();
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(LEDGER.to_owned()),
                resource_version: over.version,
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), kept.to_lines())])),
            ..ConfigMap::default()
        };
        let params = PostParams::default();
        let write = async {
            if exists { self.api.replace(LEDGER, &params, &map).await } else { self.api.create(&params, &map).await }
        };
        match timeout(TIMEOUT, write).await {
            Err(_) => Err(ArchiveError::NoAnswer),
            Ok(Err(error)) => Err(ArchiveError::Api(error)),
            Ok(Ok(written)) => Ok(Archived { kept, version: written.metadata.resource_version }),
        }
    }
}
