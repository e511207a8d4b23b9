//! Alertmanager's API v2 (api/v2/openapi.yaml of prometheus/alertmanager).

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::{Certificate, Client, Url};
use serde::Deserialize;

use crate::alert::{Fingerprint, Labels, Matcher};

/// What a peer says about an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It fires and is told to people.
    Active,
    /// It fires, but is held back, and by what.
    Suppressed(String),
}

/// An alert as a peer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAlert {
    /// Its labels.
    pub labels: Labels,
    /// Computed from the labels.
    pub fingerprint: Fingerprint,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// Whether it is held back.
    pub state: PeerState,
}

/// Why a peer did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AlertmanagerError {
    /// It could not be reached, refused, or answered what is no answer of the API v2.
    #[error("{url} did not answer: {source}")]
    NoAnswer {
        /// The peer.
        url: String,
        /// Why.
        source: Cause,
    },
    /// A file that the settings name cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The settings make no client.
    #[error("{url} cannot be asked with these settings: {source}")]
    Settings {
        /// The peer.
        url: String,
        /// Why.
        source: Cause,
    },
}

/// What kept a peer from answering.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A peer that is no process of its own: for the simulation. Given what would be asked for by GET, it gives the body of a
/// 200, or why there is none.
pub trait InProcess: Send + Sync {
    /// Answers. Whoever asks bounds the time.
    fn get(&self, url: Url) -> BoxFuture<'_, Result<Vec<u8>, Cause>>;
}

/// One peer.
#[derive(Clone)]
pub struct Alertmanager {
    url: String,
    way: Way,
    resend_interval: Duration,
}

#[derive(Clone)]
enum Way {
    Http { client: Client, basic_auth: Option<(String, PathBuf)> },
    InProcess { peer: Arc<dyn InProcess>, timeout: Duration },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAlert {
    labels: Labels,
    starts_at: Timestamp,
    status: RawStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatus {
    state: String,
    #[serde(default)]
    silenced_by: Vec<String>,
    #[serde(default)]
    inhibited_by: Vec<String>,
}

#[derive(Deserialize)]
struct RawServer {
    /// Named so, but the time at which it was started.
    uptime: Timestamp,
}

impl Alertmanager {
    /// A peer at this URL (with its route prefix, without `/api/v2`).
    ///
    /// `timeout` bounds each request; `ca_file` is a PEM bundle that is trusted beside the system's. The password's file
    /// is read at every request, so a rotated one is used at once.
    pub fn new(
        url: &str,
        timeout: Duration,
        resend_interval: Duration,
        basic_auth: Option<(String, PathBuf)>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, AlertmanagerError> {
        let settings =
            |source: reqwest::Error| AlertmanagerError::Settings { url: url.to_owned(), source: source.into() };
        let mut builder = Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = ca_file {
            let pem = std::fs::read(&path).map_err(|source| AlertmanagerError::File { path, source })?;
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(settings)?);
        }
        let client = builder.build().map_err(settings)?;
        let way = Way::Http { client, basic_auth };
        Ok(Self { url: url.trim_end_matches('/').to_owned(), way, resend_interval })
    }

    /// A peer in this process, that goes by this URL.
    pub fn in_process(url: &str, peer: Arc<dyn InProcess>, timeout: Duration, resend_interval: Duration) -> Self {
        Self { url: url.to_owned(), way: Way::InProcess { peer, timeout }, resend_interval }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How long after its start every alert that fires has certainly been sent to it again.
    pub fn resend_interval(&self) -> Duration {
        self.resend_interval
    }

    /// The alerts that all these matchers match, whether silenced, inhibited or neither. Those that are over are absent.
    pub async fn alerts(&self, matchers: &[Matcher]) -> Result<Vec<PeerAlert>, AlertmanagerError> {
        let filters = matchers.iter().map(|matcher| ("filter", matcher.to_string()));
        let states = ["active", "silenced", "inhibited", "unprocessed"].map(|state| (state, "true".to_owned()));
        let query: Vec<_> = filters.chain(states).collect();
        let alerts: Vec<RawAlert> = self.ask("alerts", &query).await?;
        Ok(alerts.into_iter().map(RawAlert::read).collect())
    }

    /// When it was started. It forgets all alerts when it is.
    pub async fn started_at(&self) -> Result<Timestamp, AlertmanagerError> {
        let server: RawServer = self.ask("status", &[]).await?;
        Ok(server.uptime)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, AlertmanagerError> {
        let no_answer = |source| AlertmanagerError::NoAnswer { url: self.url.clone(), source };
        let mut url = Url::parse(&format!("{}/api/v2/{path}", self.url)).map_err(|error| no_answer(error.into()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        match &self.way {
            Way::Http { client, basic_auth } => {
                let mut request = client.get(url);
                if let Some((user, file)) = basic_auth {
                    let password = tokio::fs::read_to_string(file)
                        .await
                        .map_err(|source| AlertmanagerError::File { path: file.clone(), source })?;
                    request = request.basic_auth(user, Some(password.trim_end()));
                }
                let answer = async { request.send().await?.error_for_status()?.json().await };
                answer.await.map_err(|error: reqwest::Error| no_answer(error.into()))
            }
            Way::InProcess { peer, timeout } => {
                let answer =
                    tokio::time::timeout(*timeout, peer.get(url)).await.map_err(|late| no_answer(late.into()))?;
                serde_json::from_slice(&answer.map_err(no_answer)?).map_err(|error| no_answer(error.into()))
            }
        }
    }
}

impl RawAlert {
    fn read(self) -> PeerAlert {
        let state = match self.status.state.as_str() {
            "suppressed" => {
                let RawStatus { silenced_by, inhibited_by, .. } = self.status;
                PeerState::Suppressed(if silenced_by.is_empty() {
                    format!("inhibited by alert {}", inhibited_by.join(", "))
                } else {
                    format!("silenced by {}", silenced_by.join(", "))
                })
            }
            // `unprocessed` has just arrived; it fires.
            _ => PeerState::Active,
        };
        PeerAlert { fingerprint: Fingerprint::of(&self.labels), labels: self.labels, starts_at: self.starts_at, state }
    }
}
