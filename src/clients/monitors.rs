//! Who can be asked about the alerts of one source.

use super::{Alertmanager, Prometheus};

/// The Alertmanagers and the Prometheus servers that stand for one source.
#[derive(Clone, Default)]
pub struct Monitors {
    /// Its Alertmanagers: each of its peers.
    pub alertmanagers: Vec<Alertmanager>,
    /// The Prometheus servers whose rules make its alerts.
    pub prometheus: Vec<Prometheus>,
}
