//! Alerts that are sent to an Alertmanager, as its API takes them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Alertmanager, ClientError};

/// An alert of our own. The same labels are the same alert, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RaisedAlert {
    /// What tells it apart, and what routing goes by.
    pub labels: BTreeMap<String, String>,
    /// What it says to people.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it is over, if nobody sends it again; in the past: it is over.
    pub ends_at: Timestamp,
}

impl Alertmanager {
    /// Sends alerts. Refuses nothing by itself: what is wrong with them the peer says.
    pub async fn raise(&self, alerts: &[RaisedAlert]) -> Result<(), ClientError> {
        self.endpoint.post("/api/v2/alerts", alerts).await
    }
}
