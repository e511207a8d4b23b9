//! Alertmanager's API v2 (api/v2/openapi.yaml of prometheus/alertmanager).

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;

use super::{ClientError, Endpoint, InProcess};
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

/// One peer. Cheap to clone.
#[derive(Clone)]
pub struct Alertmanager {
    endpoint: Endpoint,
    resend_interval: Duration,
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
    /// The names of mute time intervals; 0.28 on.
    #[serde(default)]
    muted_by: Vec<String>,
}

#[derive(Deserialize)]
struct RawServer {
    /// Named so, but the time at which it was started.
    uptime: Timestamp,
}

impl Alertmanager {
    /// The peer at this address (with its route prefix, without `/api/v2`).
    pub const fn new(endpoint: Endpoint, resend_interval: Duration) -> Self {
        Self { endpoint, resend_interval }
    }

    /// A peer in this process, that goes by this URL.
    pub fn in_process(url: &str, peer: Arc<dyn InProcess>, timeout: Duration, resend_interval: Duration) -> Self {
        Self::new(Endpoint::in_process(url, peer, timeout), resend_interval)
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// How long after its start every alert that fires has certainly been sent to it again.
    pub fn resend_interval(&self) -> Duration {
        self.resend_interval
    }

    /// The alerts that all these matchers match, whether silenced, inhibited or neither. Those that are over are absent.
    pub async fn alerts(&self, matchers: &[Matcher]) -> Result<Vec<PeerAlert>, ClientError> {
        let filters = matchers.iter().map(|matcher| ("filter", matcher.to_string()));
        let states = ["active", "silenced", "inhibited", "unprocessed"].map(|state| (state, "true".to_owned()));
        let query: Vec<_> = filters.chain(states).collect();
        let alerts: Vec<RawAlert> = self.endpoint.json("/api/v2/alerts", &query).await?;
        Ok(alerts.into_iter().map(RawAlert::read).collect())
    }

    /// When it was started. It forgets all alerts when it is.
    pub async fn started_at(&self) -> Result<Timestamp, ClientError> {
        let server: RawServer = self.endpoint.json("/api/v2/status", &[]).await?;
        Ok(server.uptime)
    }
}

impl RawAlert {
    fn read(self) -> PeerAlert {
        let RawStatus { state, silenced_by, inhibited_by, muted_by } = self.status;
        let by = |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
        let held_back = by("silenced by", &silenced_by)
            .or_else(|| by("inhibited by alert", &inhibited_by))
            .or_else(|| by("muted by the time interval", &muted_by));
        let state = match held_back {
            Some(by) => PeerState::Suppressed(by),
            None if state == "suppressed" => PeerState::Suppressed("held back".to_owned()),
            // `unprocessed` has just arrived; it fires.
            None => PeerState::Active,
        };
        PeerAlert { fingerprint: Fingerprint::of(&self.labels), labels: self.labels, starts_at: self.starts_at, state }
    }
}
