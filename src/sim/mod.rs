//! A Kubernetes cluster in memory: the API behind a real [`kube::Client`], and the controllers that matter.
//!
//! For `demo`, and for tests that want thousands of clusters a minute. Nothing in it asks the machine for anything: the
//! time comes from a [`Clock`], UIDs and names from a seed, and all collections are ordered; so the same requests in the
//! same order give the same answers, byte for byte. What a real API server has and this one has not is answered with 501.
//!
//! The rest of the crate does not know it: `serve` is given a client, and cannot tell.

pub mod controllers;
pub mod discovery;
pub mod http;
pub mod kinds;
pub mod openapi;
pub mod patch;
mod path;
pub mod people;
mod protobuf;
mod quantity;
mod request;
mod selector;
mod service;
mod state;
mod status;
pub mod table;
mod verbs;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

pub use kinds::{Dependents, Generation, KindInfo, Schema};
pub use selector::{FieldSelector, LabelSelector};
pub use service::{ApiBody, ApiService};
pub use state::{Change, Kind, State};
pub use status::{Cause, Details, Of, Status};

use self::{
    controllers::{ContainerId, Runtime},
    people::People,
};
use crate::clock::Clock;

/// How a simulated cluster is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its time comes from.
    pub clock: Clock,
    /// What its UIDs and generated names follow from.
    pub seed: u64,
    /// How many writes a watch can go back; what is older is 410.
    pub history: usize,
    /// Whether plain writes are noted in managedFields, which costs time. Applies are, always.
    pub managed_fields: bool,
}

impl Settings {
    /// With that clock, seed 0, and the rest as a real cluster has it.
    pub const fn new(clock: Clock) -> Self {
        Self { clock, seed: 0, history: 10_000, managed_fields: true }
    }
}

/// A simulated cluster. Cheap to clone; clones are the same one.
pub struct Cluster {
    core: Arc<Core>,
    /// The revision that this handle's [`Self::changed`] has told of.
    seen: AtomicU64,
}

struct Core {
    state: Mutex<State>,
    people: People,
    sleepers: Mutex<Sleepers>,
    /// What runs the containers, while it does.
    runtime: Mutex<Option<Arc<Mutex<dyn Runtime>>>>,
}

/// What runs the containers is known for as long as this lives.
#[derive(Debug)]
struct Lent(Cluster);

impl Drop for Lent {
    fn drop(&mut self) {
        *self.0.core.runtime.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Who waits for the next write, in the order in which they came.
#[derive(Default)]
struct Sleepers {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Clone for Cluster {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), seen: AtomicU64::new(self.seen.load(Ordering::Relaxed)) }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// A new cluster: it has the namespaces `default` and `kube-system`, and serves our own kinds.
    pub fn new(settings: Settings) -> Self {
        let mut state = State::new(settings.clock, settings.seed, settings.history, settings.managed_fields);
        verbs::furnish(&mut state);
        let core = Core {
            state: Mutex::new(state),
            people: People::default(),
            sleepers: Mutex::default(),
            runtime: Mutex::new(None),
        };
        Self { core: Arc::new(core), seen: AtomicU64::new(0) }
    }

    /// A client of it. It does not retry, as the actions' clients do not. Needs a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.service(), "default")
    }

    /// Who has a token of their own, over HTTP.
    pub fn people(&self) -> People {
        self.core.people.clone()
    }

    /// The API as a tower service, for layers that disturb it.
    pub fn service(&self) -> ApiService {
        ApiService::new(self.clone())
    }

    /// Looks at the state, or changes it; nobody else does meanwhile. Afterwards watches and [`Self::changed`] are told.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.revision();
        let result = work(&mut state);
        let changed = state.revision() != before;
        drop(state);
        if changed {
            let waiting = std::mem::take(&mut self.sleepers().waiting);
            waiting.into_values().for_each(Waker::wake);
        }
        result
    }

    /// Returns when something was written that this handle has not told of yet: writes that happen while nobody waits
    /// are not lost.
    pub async fn changed(&self) {
        let mut place = Place::default();
        let revision = std::future::poll_fn(|context| {
            let seen = self.seen.load(Ordering::Relaxed);
            self.poll_after(seen, &mut place, context)
        })
        .await;
        self.seen.store(revision, Ordering::Relaxed);
    }

    /// Ready with the newest revision as soon as it is above that one.
    fn poll_after(&self, revision: u64, place: &mut Place, context: &Context<'_>) -> Poll<u64> {
        // The state stays locked until the place in the queue is taken: no write can come between.
        let state = self.state();
        if state.revision() > revision {
            return Poll::Ready(state.revision());
        }
        self.wait(place, context);
        Poll::Pending
    }

    fn wait(&self, place: &mut Place, context: &Context<'_>) {
        let mut sleepers = self.sleepers();
        let number = *place.0.get_or_insert_with(|| {
            sleepers.next += 1;
            sleepers.next
        });
        sleepers.waiting.insert(number, context.waker().clone());
    }

    fn leave(&self, place: &Place) {
        if let Some(number) = place.0 {
            self.sleepers().waiting.remove(&number);
        }
    }

    /// Lets logs be asked of what runs the containers.
    fn lend(&self, runtime: Arc<Mutex<dyn Runtime>>) -> Lent {
        *self.core.runtime.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
        Lent(self.clone())
    }

    /// What a container wrote in this run, or in the one before.
    fn log(&self, id: &ContainerId, previous: bool) -> Option<String> {
        let runtime = self.core.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        runtime.lock().unwrap_or_else(PoisonError::into_inner).log(id, previous)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as it was written last; it is whole between two writes.
        self.core.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.core.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue of those who wait.
#[derive(Debug, Default)]
struct Place(Option<u64>);

#[cfg(test)]
mod tests;
