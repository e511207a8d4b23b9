//! A Kubernetes API in memory.

pub mod patch;
