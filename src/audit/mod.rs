//! The audit log: one JSON line an event, each bound to the one before it by its hash.
//!
//! `event` says what is told, `chain` makes and checks lines (pure), `sink` is where they go, `log` is the handle that
//! everybody has and the thread that writes. An action has its line before it begins, or it does not begin. Nothing in
//! it is secret: names, counts, phases and reasons.

mod chain;
mod event;
mod log;
mod sink;

pub use chain::{Broken, Chain, Hash, HashError, Position};
pub use event::{Event, What};
pub use log::{Audit, Refused};
pub use sink::AuditError;
