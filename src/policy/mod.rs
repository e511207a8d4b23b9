//! Policies in force: read from files and from the API, validated, and indexed for matching.
//!
//! `compiled` (pure) turns what was written into what is matched; `set` (pure) is the index; `file` reads files;
//! `store` holds the set in force and takes in the two origins.

mod compiled;
mod file;
mod set;
mod store;
mod watch;

pub use compiled::{ALL_NAMESPACES, FILE_UID_PREFIX, Origin, Policy, Problem};
pub(crate) use compiled::{are_namespaces, covers, digest, is_namespace};
pub use file::{Contents, check, load};
pub use set::{MAX_UNINDEXED, PolicySet};
pub use store::{PolicyStore, Rejected};
pub use watch::{ACCEPTED, PERMITTED, PolicyResource, PolicyResources, Verdict, Written};
