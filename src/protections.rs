//! What guards against doing harm, by name, so that a test can take one guard away and show what it was for.
//!
//! Only the feature `chaos`, which no build that is shipped has, knows how to take one away. Without it every guard holds:
//! [`Protections::hold`] is then `true` at compile time.

/// One guard. Each is asked for where it guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// One episode of an alert has one record, whoever hears of it, and however often.
    Dedupe,
    /// A sender is told 200 only for what the API server has confirmed.
    DurableAnswer,
    /// An action names the UID of what it was decided for.
    Uid,
    /// The journal's entry is written before its action begins.
    JournalFirst,
    /// A status is written over the very version that it was decided on.
    CompareAndSwap,
    /// A new leader waits until nothing of its predecessor can be under way any more.
    LeadersWait,
    /// A new leader knows what was done from the records themselves.
    LedgerFromList,
    /// One subject has one running remediation.
    SubjectLock,
    /// A subject keeps as many ready pods as its policy asks for.
    Availability,
    /// Nothing new is begun while a Pause is in force.
    Pause,
}

impl Protection {
    /// Every guard.
    pub const ALL: [Self; 10] = [
        Self::Dedupe,
        Self::DurableAnswer,
        Self::Uid,
        Self::JournalFirst,
        Self::CompareAndSwap,
        Self::LeadersWait,
        Self::LedgerFromList,
        Self::SubjectLock,
        Self::Availability,
        Self::Pause,
    ];
}

/// Which guards hold: all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protections {
    #[cfg(feature = "chaos")]
    off: Option<Protection>,
}

impl Protections {
    /// All but one.
    #[cfg(feature = "chaos")]
    pub const fn without(protection: Protection) -> Self {
        Self { off: Some(protection) }
    }

    /// Whether this one holds.
    #[cfg(feature = "chaos")]
    pub fn hold(self, protection: Protection) -> bool {
        self.off != Some(protection)
    }

    /// Whether this one holds: it does.
    #[cfg(not(feature = "chaos"))]
    pub const fn hold(self, _: Protection) -> bool {
        true
    }
}
