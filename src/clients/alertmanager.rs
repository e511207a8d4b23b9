//! Alertmanager's API v2 (api/v2/openapi.yaml of prometheus/alertmanager).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;

use super::{ClientError, Endpoint, InProcess};
use crate::alert::{Alert, AlertState, Fingerprint, Labels, Matcher};

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
    pub(super) endpoint: Endpoint,
    resend_interval: Duration,
    polling: Option<Polling>,
}

/// How an Alertmanager is read for what its webhooks may have lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polling {
    /// The receivers in its configuration that post to Paramedic, by name.
    pub receivers: Vec<String>,
    /// How often.
    pub every: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAlert {
    labels: Labels,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    status: RawStatus,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

#[derive(Deserialize)]
struct RawGroup {
    receiver: RawReceiver,
    alerts: Vec<RawAlert>,
}

#[derive(Deserialize)]
struct RawReceiver {
    name: String,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVersions {
    version_info: RawVersion,
}

#[derive(Deserialize)]
struct RawVersion {
    version: String,
}

impl Alertmanager {
    /// The peer at this address (with its route prefix, without `/api/v2`).
    pub const fn new(endpoint: Endpoint, resend_interval: Duration) -> Self {
        Self { endpoint, resend_interval, polling: None }
    }

    /// The same, to be polled.
    #[must_use]
    pub fn polled(self, polling: Polling) -> Self {
        Self { polling: Some(polling), ..self }
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

    /// How it is to be polled, if it is.
    pub const fn polling(&self) -> Option<&Polling> {
        self.polling.as_ref()
    }

    /// The alerts that all these matchers match, whether silenced, inhibited or neither. Those that are over are absent.
    pub async fn alerts(&self, matchers: &[Matcher]) -> Result<Vec<PeerAlert>, ClientError> {
        let filters = matchers.iter().map(|matcher| ("filter", matcher.to_string()));
        let states = ["active", "silenced", "inhibited", "unprocessed"].map(|state| (state, "true".to_owned()));
        let query: Vec<_> = filters.chain(states).collect();
        let alerts: Vec<RawAlert> = self.endpoint.json("/api/v2/alerts", &query).await?;
        Ok(alerts.into_iter().map(RawAlert::read).collect())
    }

    /// What it would tell these receivers now: the alerts of their routes that fire and that nothing holds back.
    pub async fn firing(&self, receivers: &[String]) -> Result<Vec<Alert>, ClientError> {
        // Anchored by Alertmanager.
        let pattern = receivers.iter().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|");
        let states = [("active", true), ("silenced", false), ("inhibited", false), ("muted", false)];
        let query: Vec<_> = states.map(|(state, wanted)| (state, wanted.to_string())).into();
        let query = [query, vec![("receiver", pattern)]].concat();
        let groups: Vec<RawGroup> = self.endpoint.json("/api/v2/alerts/groups", &query).await?;
        let ours = groups.into_iter().filter(|group| receivers.contains(&group.receiver.name));
        // What it was asked to leave out is left out here as well: nothing may come of what people hold back.
        Ok(ours.flat_map(|group| group.alerts).filter_map(RawAlert::firing).collect())
    }

    /// Its version, as it says it.
    pub async fn version(&self) -> Result<String, ClientError> {
        let versions: RawVersions = self.endpoint.json("/api/v2/status", &[]).await?;
        Ok(versions.version_info.version)
    }

    /// When it was started. It forgets all alerts when it is.
    pub async fn started_at(&self) -> Result<Timestamp, ClientError> {
        let server: RawServer = self.endpoint.json("/api/v2/status", &[]).await?;
        Ok(server.uptime)
    }
}

impl RawStatus {
    fn read(self) -> PeerState {
        let Self { state, silenced_by, inhibited_by, muted_by } = self;
        let by = |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
        let held_back = by("silenced by", &silenced_by)
            .or_else(|| by("inhibited by alert", &inhibited_by))
            .or_else(|| by("muted by the time interval", &muted_by));
        match held_back {
            Some(by) => PeerState::Suppressed(by),
            None if state == "suppressed" => PeerState::Suppressed("held back".to_owned()),
            // `unprocessed` has just arrived; it fires.
            None => PeerState::Active,
        }
    }
}

impl RawAlert {
    fn read(self) -> PeerAlert {
        let (fingerprint, state) = (Fingerprint::of(&self.labels), self.status.read());
        PeerAlert { fingerprint, labels: self.labels, starts_at: self.starts_at, state }
    }

    /// The alert as a webhook would tell of it; `None` where nobody would be told.
    fn firing(self) -> Option<Alert> {
        let Self { labels, annotations, starts_at, status, generator_url } = self;
        let fires = status.state == "active" && status.read() == PeerState::Active && !labels.0.is_empty();
        fires.then(|| Alert {
            state: AlertState::Firing,
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations,
            starts_at,
            ends_at: None,
            generator_url: generator_url.filter(|url| !url.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests;
