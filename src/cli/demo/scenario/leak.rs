//! Two pods of one Deployment leak at once.

use std::time::Duration;

use super::{PODS, let_leak, some_pods, succeeded};
use crate::{
    api::{Phase, Reason},
    cli::demo::{
        screen::{Mood, Who},
        stage::{Failure, Stage},
    },
};

/// Plays it.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    let pods = some_pods(&stage.seen.borrow(), 2);
    let_leak(stage, &pods).await?;
    stage.wait("a record for each of the two alerts", Duration::from_secs(25), |seen| seen.records.len() >= 2).await?;
    let first = stage.wait("the first repair", Duration::from_secs(30), |seen| {
        seen.in_phase(Phase::Succeeded).count() >= 1 || seen.in_phase(Phase::Failed).count() >= 1
    });
    let seen = first.await?;
    if seen.held.values().flatten().any(|reason| *reason == Reason::SubjectLocked) {
        let text =
            "a Deployment is repaired once at a time, and not again before its cooldown is over: the other pod waits";
        stage.screen.tell(Who::Demo, Mood::Plain, text);
    }
    let seen = stage
        .wait("the second repair", Duration::from_secs(40), |seen| seen.all_ended(2) && seen.ready() >= PODS)
        .await?;
    succeeded(&seen, 2)?;
    if seen.held.values().flatten().any(|reason| matches!(reason, Reason::SubjectLocked | Reason::Cooldown)) {
        return Ok(());
    }
    Err(Failure::Otherwise("no limit held the second eviction back".to_owned()))
}
