//! The leader's turn: works whenever this replica is elected, and says when nothing is under way any more.

use std::{sync::Arc, time::Duration};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::Event,
    leader::Leadership,
    remediation::Driver,
    server::health::{CACHES, Readiness},
};

/// How long a leader waits before it tries again to read what it must know.
const LEAD_AGAIN: Duration = Duration::from_secs(1);

/// Works as leader whenever this process is it, and says when nothing is under way any more.
pub(super) async fn lead(
    driver: Driver,
    mut leadership: watch::Receiver<Leadership>,
    readiness: Readiness,
    stop: CancellationToken,
    drain: oneshot::Sender<bool>,
) {
    // A term that was not worked through leaves what its predecessor left.
    let mut clean = false;
    // What a policy says must be known before anything is decided by it.
    let synced = async {
        while readiness.check(CACHES).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    stop.run_until_cancelled(synced).await;
    while !stop.is_cancelled() {
        let now = leadership.borrow_and_update().clone();
        let Leadership::Leader(term) = now else {
            driver.metrics.leader(false);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = leadership.changed() => if changed.is_err() { break },
            }
            continue;
        };
        driver.metrics.leader(true);
        driver.audit.note(Event::LeadershipWon);
        clean = driver.wait_out(&term, &stop).await;
        while clean && !term.ended().is_cancelled() && !stop.is_cancelled() {
            match Box::pin(driver.lead(Arc::clone(&term), stop.clone())).await {
                Ok(nothing_under_way) => {
                    clean = nothing_under_way;
                    break;
                }
                Err(error) => tracing::error!(%error, "the leader's work did not begin; it is tried again"),
            }
            stop.run_until_cancelled(tokio::time::sleep(LEAD_AGAIN)).await;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = term.ended().cancelled() => {}
        }
        driver.audit.note(Event::LeadershipLost);
    }
    driver.metrics.leader(false);
    // Where nobody listens any more, the term ended by itself.
    let _ = drain.send(clean);
    // Other tasks of the engine end by themselves; this one must not end before it was told to.
    stop.cancelled().await;
}
