//! Clients of what Paramedic asks and tells beside Kubernetes: thin, one type each, no decisions.

mod alertmanager;
pub mod collector;
mod endpoint;
mod monitors;
mod prometheus;
mod raised;

pub use alertmanager::{Alertmanager, PeerAlert, PeerState, Polling};
pub use collector::Collector;
pub use endpoint::{Cause, ClientError, Endpoint, InProcess};
pub use monitors::Monitors;
pub use prometheus::{AlertingRule, Prometheus, QueryResult, RuleAlert};
pub use raised::RaisedAlert;
