//! A Kubernetes API in memory.

pub mod controllers;
pub mod patch;
