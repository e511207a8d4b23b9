//! What Paramedic says about itself: logs, metrics and traces.

mod calls;
mod labels;
pub mod logs;
pub mod memory;
pub mod metrics;
mod outage;
pub mod traces;
mod watched;

pub use calls::TimeCalls;
pub use metrics::Metrics;
pub use outage::{Outage, chain};
pub use traces::{TraceContext, Traces};
pub use watched::Watched;
