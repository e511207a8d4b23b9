//! The set in force, put together from two origins: files and custom resources.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::{FILE_UID_PREFIX, Policy, PolicySet, Problem};
use crate::api::{Bounds, PolicyRef};

/// A policy that is not in force, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub reference: PolicyRef,
    /// Why.
    pub problem: Problem,
}

/// Holds the set in force. Readers never wait; the two origins replace their part whole.
#[derive(Default)]
pub struct PolicyStore {
    bounds: Bounds,
    current: ArcSwap<PolicySet>,
    origins: Mutex<Origins>,
}

#[derive(Default)]
struct Origins {
    files: Vec<Policy>,
    resources: Vec<Policy>,
    rejected: Vec<Rejected>,
}

impl PolicyStore {
    /// A store whose policies have these defaults.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// The administrator's defaults and ceilings.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The set in force now.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.load_full()
    }

    /// Those of either origin that cannot be in force beside the others.
    pub fn rejected(&self) -> Vec<Rejected> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner).rejected.clone()
    }

    /// Replaces the policies from files; gives those of them that cannot be in force.
    pub fn set_files(&self, policies: Vec<Policy>) -> Vec<Rejected> {
        let rejected = self.replace(|origins| origins.files = policies).into_iter();
        rejected.filter(|rejected| rejected.reference.uid.starts_with(FILE_UID_PREFIX)).collect()
    }

    /// Replaces the policies from the API; gives those of them that cannot be in force.
    pub fn set_resources(&self, policies: Vec<Policy>) -> Vec<Rejected> {
        let rejected = self.replace(|origins| origins.resources = policies).into_iter();
        rejected.filter(|rejected| !rejected.reference.uid.starts_with(FILE_UID_PREFIX)).collect()
    }

    fn replace(&self, change: impl FnOnce(&mut Origins)) -> Vec<Rejected> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut origins);
        let all = origins.files.iter().chain(&origins.resources).cloned().map(|policy| policy.under(&self.bounds));
        let (set, rejected) = PolicySet::build(all);
        self.current.store(Arc::new(set));
        origins.rejected = rejected.into_iter().map(|(reference, problem)| Rejected { reference, problem }).collect();
        origins.rejected.clone()
    }
}
