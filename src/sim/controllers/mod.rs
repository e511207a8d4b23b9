//! The control loops of the simulated cluster.

mod runtime;

pub use runtime::{ContainerId, ContainerState, Runtime};
