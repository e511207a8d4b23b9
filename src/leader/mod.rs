//! Election by a Lease.
//!
//! A Lease elects but does not fence: the journal's compare-and-swap and the actions' own preconditions do. What the
//! election promises is that a leader knows, by its own monotonic clock, until when it is one, and that its successor
//! begins later than that. Every write carries the resourceVersion that was read; clocks of different machines are never
//! compared.

mod decision;
mod election;

pub use decision::{Attempt, Sighting, attempt};
pub use election::{Election, ElectionSettings, Handover, Leadership, Term};
