//! Local processes: the replicas of Paramedic, the pods' containers, and whatever else the demonstration starts. None of
//! them outlives it.

pub mod container;
pub mod leash;
pub mod ports;
pub mod runtime;
