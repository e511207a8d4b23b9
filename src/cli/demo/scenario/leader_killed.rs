//! The leader is killed in the middle of an action.

use std::time::Duration;

use super::{PODS, let_leak, one_eviction, some_pods};
use crate::{
    api::Phase,
    cli::demo::{
        screen::{Mood, Who},
        seen::replica,
        stage::{Failure, Stage},
    },
};

/// Plays it.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    let pods = some_pods(&stage.seen.borrow(), 1);
    let_leak(stage, &pods).await?;
    let seen = stage
        .wait("a decision", Duration::from_secs(40), |seen| {
            seen.in_phase(Phase::Acting).next().is_some() || seen.in_phase(Phase::Verifying).next().is_some()
        })
        .await?;
    let leader = seen.leader.as_deref().map(replica).unwrap_or_default().to_owned();
    let Some(killed) = stage.replicas.iter_mut().find(|replica| replica.name == leader) else {
        return Err(Failure::Otherwise(format!("the Lease names {leader}, which is none of the replicas")));
    };
    killed.kill();
    let when = if seen.in_phase(Phase::Acting).next().is_some() {
        "after it wrote down what it will do, and before what came of it is on record"
    } else {
        "after its action, before that is verified"
    };
    let text = format!("kill -9 {}: {leader}, the leader, {when}", killed.pid());
    stage.screen.tell(Who::Demo, Mood::Bad, text);

    let was = seen.leader;
    stage.wait("another leader", Duration::from_secs(20), |seen| seen.leader.is_some() && seen.leader != was).await?;
    let seen =
        stage.wait("the repair", Duration::from_secs(40), |seen| seen.all_ended(1) && seen.ready() >= PODS).await?;
    one_eviction(&seen)
}
