//! Remediations: what is decided about a record, what is remembered, and who does it.
//!
//! Pure: `machine` (what follows), `checks` (what stands against acting), `ledger` (the limits' memory), `world` (their
//! inputs), `evidence` (what is known about an alert), `approval` (what people said to a plan). With I/O: `index` and `recorder` (from webhooks to records, on
//! every replica), `look` and `driver` (from records to actions, on the leader).

mod access;
mod announce;
mod approval;
mod cache;
mod checks;
mod driver;
mod evidence;
#[cfg(test)]
pub(crate) mod fixtures;
mod held;
mod index;
mod ledger;
mod look;
mod machine;
mod recorder;
mod world;

pub use access::Reviewer;
pub use announce::{Announcer, Publisher, announcer};
pub use approval::{Consent, Consents};
pub use cache::{Change, RecordCache};
pub use checks::{Candidate, Refusal};
pub use driver::{Driver, DriverError, DriverSettings};
pub use evidence::{LivingSubject, PeerAnswer};
pub use index::{OpenRecord, RecordIndex};
pub use ledger::{LADDER_WINDOW, Ledger, Limited, MEMORY, Mark, Side};
pub use look::{Looker, Seen};
pub use machine::{Effect, JOURNAL_LENGTH, Next, UNRESOLVED_TIMEOUT, WAITING_TIMEOUT, next};
pub use recorder::Recorder;
pub use world::{Access, Evidence, InForce, Observed, PauseUnknown, PolicyNow, Recovery, Scene, SiblingNow, World};
