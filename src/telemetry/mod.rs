//! What Paramedic says about itself: logs and metrics.

mod calls;
mod labels;
pub mod logs;
pub mod memory;
pub mod metrics;
mod outage;
mod watched;

pub use calls::TimeCalls;
pub use metrics::Metrics;
pub use outage::{Outage, chain};
pub use watched::Watched;
