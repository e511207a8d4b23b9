//! What an audit log tells.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::{Mode, ObjectRef, PolicyRef, Remediation};

/// A text in a line is at most so long, in bytes; what is longer is cut and ends with `…`.
const MOST_TEXT: usize = 2_000;

/// One event. The name of the variant is the line's `event`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all_fields = "camelCase")]
pub enum Event {
    /// The process began.
    Started {
        /// Its version.
        version: &'static str,
        /// The commit it was built of.
        commit: &'static str,
    },
    /// The process ends, and everything that was told before is written.
    Stopped,
    /// The file's last line was not whole: its writer was cut off. It was taken out, and is told here.
    TornLine {
        /// How long it was.
        bytes: u64,
        /// What it said, as far as it can be told.
        text: String,
    },
    /// The file was moved away or emptied; the chain goes on in this one.
    Continued,
    /// The log can be written again.
    Resumed {
        /// What had kept it from being written.
        problem: String,
    },
    /// So many events could not be told, because the log was not written for too long.
    Lost {
        /// How many.
        events: u64,
    },
    /// A notification was taken in.
    Delivered {
        /// Who sent it.
        source: String,
        /// The receiver in Alertmanager that it came by.
        receiver: String,
        /// How many of its alerts came to what.
        outcomes: BTreeMap<&'static str, u64>,
    },
    /// A record was created.
    Recorded {
        /// Which.
        #[serde(flatten)]
        what: What,
        /// Who delivered the alert.
        source: String,
        /// The alert's fingerprint.
        fingerprint: String,
        /// Which episode of the alert under the policy it is, from 1.
        episode: u32,
    },
    /// A record entered a phase, or is in it for another reason: a pause that was seen is one of them (`Paused`).
    Decided {
        /// Which.
        #[serde(flatten)]
        what: What,
        /// The phase.
        phase: &'static str,
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        /// The same for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// An action is about to begin. Nothing was done before this line was written.
    ActionBegins {
        /// For which record.
        #[serde(flatten)]
        what: What,
        /// The action.
        action: String,
        /// The step of the ladder, from 0.
        step: u32,
        /// The place of its entry in the record's journal, from 0.
        entry: usize,
        /// What it is done to.
        target: ObjectRef,
    },
    /// What came of an action was written into its record.
    ActionEnded {
        /// For which record.
        #[serde(flatten)]
        what: What,
        /// The action.
        action: String,
        /// The place of its entry in the record's journal, from 0.
        entry: usize,
        /// What came of it.
        outcome: &'static str,
        /// What the API said.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A record's retention was over, and it was removed.
    Removed {
        /// The record, as `namespace/name`.
        remediation: String,
    },
    /// A policy is in force that was not, or says something else than before; each at the start too.
    PolicyInForce {
        /// Its kind, namespace and name.
        policy: String,
        /// Where it comes from: `resource` or `file`.
        origin: &'static str,
        /// Its mode.
        mode: Mode,
        /// The hash of its spec.
        policy_hash: String,
        /// Its generation; 0 for a policy from a file.
        generation: i64,
    },
    /// A policy is not in force any more.
    PolicyGone {
        /// Its kind, namespace and name.
        policy: String,
    },
    /// Files of policies could not be read; those before stay in force.
    PoliciesRefused {
        /// What is wrong.
        problem: String,
    },
    /// This replica acts from now on.
    LeadershipWon,
    /// This replica does not act any more.
    LeadershipLost,
}

/// The record that an event is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct What {
    /// The record, as `namespace/name`.
    pub remediation: String,
    /// Its UID, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The policy that it is under.
    pub policy: String,
    /// The hash of the policy's spec.
    pub policy_hash: String,
    /// The alert's name.
    pub alert: String,
}

impl What {
    /// Of a record.
    pub fn of(record: &Remediation) -> Self {
        let PolicyRef { hash, .. } = &record.spec.policy;
        Self {
            remediation: crate::api::ObjectKey::of(record).to_string(),
            uid: record.metadata.uid.clone(),
            policy: record.spec.policy.to_string(),
            policy_hash: hash.clone(),
            alert: record.spec.alert.labels.alertname().unwrap_or_default().to_owned(),
        }
    }
}

/// A text as a line has it: not longer than a line may be.
pub(super) fn cut(text: &mut String) {
    if text.len() > MOST_TEXT {
        text.truncate(text.floor_char_boundary(MOST_TEXT));
        text.push('…');
    }
}

impl Event {
    /// Cuts what is too long.
    pub(super) fn bounded(mut self) -> Self {
        match &mut self {
            Self::TornLine { text, .. } => cut(text),
            Self::Decided { what, message, .. } | Self::ActionEnded { what, message, .. } => {
                cut(&mut what.alert);
                message.iter_mut().for_each(cut);
            }
            Self::Recorded { what, .. } | Self::ActionBegins { what, .. } => cut(&mut what.alert),
            Self::Delivered { receiver, .. } => cut(receiver),
            Self::PoliciesRefused { problem } | Self::Resumed { problem } => cut(problem),
            Self::Started { .. }
            | Self::Stopped
            | Self::Continued
            | Self::Lost { .. }
            | Self::Removed { .. }
            | Self::PolicyInForce { .. }
            | Self::PolicyGone { .. }
            | Self::LeadershipWon
            | Self::LeadershipLost => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut text = "é".repeat(MOST_TEXT);
        cut(&mut text);
        assert!(text.len() <= MOST_TEXT + '…'.len_utf8() && text.ends_with("é…"), "{}", text.len());
        let mut short = "short".to_owned();
        cut(&mut short);
        assert_eq!(short, "short");
    }
}
