//! The policies in force, indexed by alertname. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Origin, Policy, Problem};
use crate::{
    alert::Labels,
    api::{PolicyKind, PolicyRef},
};

/// How many policies may be in force whose match does not fix alertname. Each of them is tried on every alert.
pub const MAX_UNINDEXED: usize = 100;

/// The policies in force. The cost of a look-up does not grow with the number of policies that fix alertname.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    by_alertname: HashMap<String, Vec<Arc<Policy>>>,
    unindexed: Vec<Arc<Policy>>,
    by_uid: HashMap<String, Arc<Policy>>,
}

impl PolicySet {
    /// Builds the index. Of two policies of one kind, namespace and name the custom resource wins; those without
    /// alertname beyond [`MAX_UNINDEXED`], in the order of kind, namespace and name, are given back with the reason.
    pub fn build(policies: impl IntoIterator<Item = Policy>) -> (Self, Vec<(PolicyRef, Problem)>) {
        let mut unique: BTreeMap<(PolicyKind, Option<String>, String), Policy> = BTreeMap::new();
        for policy in policies {
            let reference = &policy.reference;
            let key = (reference.kind, reference.namespace.clone(), reference.name.clone());
            match unique.get(&key) {
                Some(known) if known.origin == Origin::Resource => {}
                _ => {
                    unique.insert(key, policy);
                }
            }
        }
        let mut set = Self::default();
        let mut refused = Vec::new();
        for policy in unique.into_values() {
            let policy = Arc::new(policy);
            match policy.alertnames() {
                Some(mut names) => {
                    names.sort_unstable();
                    names.dedup();
                    for name in names {
                        set.by_alertname.entry(name.to_owned()).or_default().push(Arc::clone(&policy));
                    }
                }
                None if set.unindexed.len() < MAX_UNINDEXED => set.unindexed.push(Arc::clone(&policy)),
                None => {
                    refused.push((policy.reference.clone(), Problem::TooManyUnindexed { max: MAX_UNINDEXED }));
                    continue;
                }
            }
            set.by_uid.insert(policy.reference.uid.clone(), Arc::clone(&policy));
            set.policies.push(policy);
        }
        (set, refused)
    }

    /// The policies whose matchers all match.
    pub fn matching<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a Arc<Policy>> {
        let named = labels.alertname().and_then(|name| self.by_alertname.get(name)).into_iter().flatten();
        named.chain(&self.unindexed).filter(|policy| policy.matches(labels))
    }

    /// The policy of that UID.
    pub fn by_uid(&self, uid: &str) -> Option<&Arc<Policy>> {
        self.by_uid.get(uid)
    }

    /// All, in the order of kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}

#[cfg(test)]
mod tests;
