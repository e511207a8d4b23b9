//! Clients of what Paramedic asks beside Kubernetes: thin, one type each, no decisions.

mod alertmanager;
mod endpoint;

pub use alertmanager::{Alertmanager, PeerAlert, PeerState};
pub use endpoint::{Cause, ClientError, Endpoint, InProcess};
