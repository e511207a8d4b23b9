//! From an alert's labels to one living object and its subject. Reads only.
//!
//! `named` (pure) says which object the labels name; `workload` (pure) reads what the API says about one; `resolve` asks
//! the API; `census` counts what there is. A missing, ambiguous or contradictory answer is refused with its reason, never guessed.

mod census;
mod named;
mod resolve;
mod workload;

pub use census::Census;
pub use named::{Named, Unnamed, named};
pub use resolve::{Lookup, Pods, Resolved, Resolver, Unresolved, Workload};
pub use workload::{Health, Rollout, WorkloadState};
