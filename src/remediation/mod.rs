//! Remediations: what is decided about a record, what is remembered, and who does it.
//!
//! Pure: `machine` (what follows), `checks` (what stands against acting), `ledger` (the limits' memory), `world` (their
//! inputs), `evidence` (what is known about an alert), `crowd` (how much is in trouble), `approval` (what people said to a
//! plan), `explain` (the same for people), `traces` (the spans that a decision ends). With I/O: `index`, `recorder` and `poll`
//! (from webhooks and polls to records, on every replica), `look` and `driver` (from records to actions, on the leader),
//! `archive` (what the ledger keeps of records that are gone), `escalation` (from what failed to people).

mod access;
mod announce;
mod approval;
mod archive;
mod ask;
mod cache;
mod checks;
mod crowd;
mod driver;
mod escalation;
mod evidence;
mod explain;
#[cfg(test)]
pub(crate) mod fixtures;
mod held;
mod index;
mod ledger;
mod look;
mod machine;
mod poll;
mod recorder;
mod traces;
mod world;

pub use access::Reviewer;
pub use announce::{Announcer, Publisher, announcer};
pub use approval::{Consent, Consents};
pub use archive::{ArchiveError, LEDGER, kept};
pub use cache::{Change, RecordCache};
pub use checks::{
    Candidate, Check, Refusal,
    figures::{Turns, turns},
};
pub use crowd::Crowd;
pub use driver::{Driver, DriverError, DriverSettings};
pub use escalation::{Escalations, Escalator};
pub use evidence::{Evaluated, LivingSubject, PeerAnswer, RulesAnswer};
pub use explain::{Explained, explain};
pub use index::{OpenRecord, RecordIndex};
pub use ledger::{Kept, LADDER_WINDOW, Ledger, Limited, MEMORY, MOST_KEPT, Mark, Side, Unreadable, Verdict, Whose};
pub use look::{Asked, Looker};
pub use machine::{Effect, JOURNAL_LENGTH, Next, UNRESOLVED_TIMEOUT, WAITING_TIMEOUT, next};
pub use poll::{Polled, Poller};
pub use recorder::Recorder;
pub use world::{
    Access, Evidence, InForce, Observed, PauseUnknown, PolicyNow, QueryNow, Recovery, Scene, Seen, SiblingNow,
    Workloads, World,
};
