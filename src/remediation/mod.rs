//! Remediations: what is decided about a record, what is remembered, and who does it.
//!
//! Pure: `machine` (what follows), `checks` (what stands against acting), `ledger` (the limits' memory), `world` (their
//! inputs), `evidence` (what is known about an alert). With I/O: `index` and `recorder` (from webhooks to records, on
//! every replica), `look` and `driver` (from records to actions, on the leader).

mod checks;
mod evidence;
mod index;
mod ledger;
mod machine;
mod world;

pub use checks::{Candidate, Refusal};
pub use evidence::{LivingSubject, PeerAnswer};
pub use index::{OpenRecord, RecordIndex};
pub use ledger::{LADDER_WINDOW, Ledger, Limited, MEMORY, Mark};
pub use machine::{Effect, JOURNAL_LENGTH, Next, TOTAL_TIMEOUT, UNRESOLVED_TIMEOUT, WAITING_TIMEOUT, next};
pub use world::{Evidence, InForce, Observed, PolicyNow, Recovery, Scene, World};
