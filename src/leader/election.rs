//! Takes, renews and gives back the Lease.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::decision::{Attempt, Sighting, attempt};
use crate::{
    clock::Clock,
    telemetry::{Outage, chain},
};

/// Settings of the election.
#[derive(Clone, Debug)]
pub struct ElectionSettings {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who this is: unique for every process, so that a restarted one does not take its predecessor's lease for its own.
    pub identity: String,
    /// How long a leader leads without a renewal.
    pub lease_duration: Duration,
    /// How often it renews.
    pub renew_every: Duration,
}

/// How a term began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// The last leader gave the lease back after it had finished.
    Released,
    /// It did not: something of its may still be under way.
    Expired,
}

/// One term as leader.
#[derive(Clone, Debug)]
pub struct Term {
    /// How it began.
    pub handover: Handover,
    /// Until when it lasts unless it is renewed.
    valid_until: watch::Receiver<Instant>,
    /// Cancelled at its end.
    ended: CancellationToken,
}

impl Term {
    /// How long it certainly still lasts.
    pub fn remaining(&self) -> Duration {
        if self.ended.is_cancelled() {
            return Duration::ZERO;
        }
        self.valid_until.borrow().saturating_duration_since(Instant::now())
    }

    /// Is cancelled when the term ends, before anybody else can begin one.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// Whether this process leads.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// Somebody else does, or nobody.
    Follower,
    /// It does.
    Leader(Arc<Term>),
}

/// The election.
pub struct Election {
    api: Api<Lease>,
    settings: ElectionSettings,
    clock: Clock,
    outage: Outage,
}

impl Election {
    /// With a client that does not retry by itself.
    pub fn new(client: Client, settings: ElectionSettings, clock: Clock) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, clock, outage: Outage::of("the election") }
    }

    /// Runs until `stop`, and then until `drained` says that the work has ended. Where that says `true`, nothing is under
    /// way any more, and the lease is given back; otherwise it is left to expire, and the next leader waits.
    pub async fn run(
        self,
        leadership: watch::Sender<Leadership>,
        stop: CancellationToken,
        mut drained: oneshot::Receiver<bool>,
    ) {
        let mut sighting = None;
        while !stop.is_cancelled() {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = self.try_take(&mut sighting) => taken,
            };
            if let Some((lease, handover, started)) = taken {
                self.lead(lease, handover, started, &leadership, &stop, &mut drained).await;
                sighting = None;
            }
            // Not in step with the other candidates.
            let pause = self.settings.renew_every.mul_f64(0.75 + fastrand::f64() / 2.0);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
    }

    /// Reads the Lease, and takes it where that is allowed. Gives the instant at which the successful write was begun.
    async fn try_take(&self, sighting: &mut Option<Sighting>) -> Option<(Lease, Handover, Instant)> {
        let started = Instant::now();
        let (result, handover) = match timeout(self.settings.renew_every, self.api.get_opt(&self.settings.name)).await {
            Err(_) => return self.unreachable("reading the lease timed out"),
            Ok(Err(error)) => return self.unreachable(&chain(&error)),
            // A missing lease may have been deleted under a leader's feet, so this is no clean hand-over.
            Ok(Ok(None)) => {
                let params = PostParams::default();
                let new = self.claim(None);
                (timeout(self.settings.renew_every, self.api.create(&params, &new)).await, Handover::Expired)
            }
            Ok(Ok(Some(lease))) => {
                self.outage.works();
                let version = lease.metadata.resource_version.clone().unwrap_or_default();
                // From the answer on: what was renewed while the question was under way counts as seen just now.
                let now = Sighting::update(sighting.take(), &version, Instant::now());
                let spec = lease.spec.clone().unwrap_or_default();
                let decision = attempt(&spec, &now, self.settings.lease_duration, Instant::now());
                *sighting = Some(now);
                let handover = match decision {
                    Attempt::Wait => return None,
                    Attempt::TakeReleased => Handover::Released,
                    Attempt::TakeExpired => Handover::Expired,
                };
                let claim = self.claim(Some(&lease));
                (self.put(&claim).await, handover)
            }
        };
        match result {
            Ok(Ok(lease)) => Some((lease, handover, started)),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => None,
            Ok(Err(error)) => self.unreachable(&chain(&error)),
            Err(_) => self.unreachable("writing the lease timed out"),
        }
    }

    fn unreachable(&self, why: &str) -> Option<(Lease, Handover, Instant)> {
        self.outage.failed(why);
        None
    }

    async fn put(&self, lease: &Lease) -> Result<kube::Result<Lease>, tokio::time::error::Elapsed> {
        let params = PostParams::default();
        timeout(self.settings.renew_every, self.api.replace(&self.settings.name, &params, lease)).await
    }

    async fn lead(
        &self,
        mut lease: Lease,
        handover: Handover,
        started: Instant,
        leadership: &watch::Sender<Leadership>,
        stop: &CancellationToken,
        drained: &mut oneshot::Receiver<bool>,
    ) {
        let (valid_until, receiver) = watch::channel(started + self.settings.lease_duration);
        let ended = CancellationToken::new();
        let term = Arc::new(Term { handover, valid_until: receiver, ended: ended.clone() });
        info!(identity = self.settings.identity, ?handover, "leading");
        leadership.send_replace(Leadership::Leader(term));
        let mut released = false;
        loop {
            let deadline = *valid_until.borrow();
            tokio::select! {
                biased;
                // What is under way is finished under a lease that goes on being renewed; then it is given back.
                clean = &mut *drained, if stop.is_cancelled() => { released = clean.unwrap_or(false); break }
                () = tokio::time::sleep_until(deadline) => break,
                () = sleep(self.settings.renew_every) => {}
            }
            let started = Instant::now();
            match tokio::time::timeout_at(deadline, self.put(&self.renewal(&lease))).await {
                Ok(Ok(Ok(renewed))) => {
                    lease = renewed;
                    valid_until.send_replace(started + self.settings.lease_duration);
                }
                Ok(Ok(Err(kube::Error::Api(status)))) if matches!(status.code, 404 | 409) => {
                    match self.reread(deadline).await {
                        // The answer to an earlier renewal was lost: it was ours. The time it was begun at is not known
                        // any more, so the term is not prolonged until the next one succeeds.
                        Some(read) if self.is_ours(&read) => lease = read,
                        _ => break,
                    }
                }
                Ok(Ok(Err(error))) => warn!(%error, "the lease was not renewed"),
                Ok(Err(_)) | Err(_) => warn!("renewing the lease timed out"),
            }
            if Instant::now() >= *valid_until.borrow() {
                break;
            }
        }
        ended.cancel();
        leadership.send_replace(Leadership::Follower);
        if released {
            self.release(&lease).await;
        } else {
            warn!(identity = self.settings.identity, "not leading any more");
        }
    }

    async fn reread(&self, deadline: Instant) -> Option<Lease> {
        tokio::time::timeout_at(deadline, self.api.get(&self.settings.name)).await.ok()?.ok()
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.settings.identity)
    }

    /// An empty holder says: nothing of mine is under way.
    async fn release(&self, lease: &Lease) {
        let mut lease = self.renewal(lease);
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
        }
        match self.put(&lease).await {
            Ok(Ok(_)) => info!("gave the lease back"),
            Ok(Err(error)) => warn!(%error, "the lease was not given back; the next leader waits for its end"),
            Err(_) => warn!("giving the lease back timed out; the next leader waits for its end"),
        }
    }

    fn claim(&self, current: Option<&Lease>) -> Lease {
        let now = MicroTime(self.clock.now());
        let transitions = current.and_then(|lease| lease.spec.as_ref()?.lease_transitions).unwrap_or_default();
        let metadata = ObjectMeta {
            name: Some(self.settings.name.clone()),
            namespace: Some(self.settings.namespace.clone()),
            resource_version: current.and_then(|lease| lease.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: i32::try_from(self.settings.lease_duration.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions.saturating_add(i32::from(current.is_some()))),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    fn renewal(&self, lease: &Lease) -> Lease {
        let mut lease = lease.clone();
        lease.metadata.managed_fields = None;
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(self.clock.now()));
        }
        lease
    }
}
