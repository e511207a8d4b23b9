//! What Paramedic says about itself: logs and metrics.

pub mod logs;
mod memory;
pub mod metrics;

pub use metrics::Metrics;
