//! Two Alertmanagers, which do not know of each other, report the same alert to two replicas.

use std::time::Duration;

use super::{PODS, let_leak, one_eviction, some_pods};
use crate::cli::demo::{
    screen::{Mood, Who},
    stage::{Failure, Stage},
};

/// Plays it.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    let pods = some_pods(&stage.seen.borrow(), 1);
    let_leak(stage, &pods).await?;
    stage.wait("a record of the alert", Duration::from_secs(25), |seen| !seen.records.is_empty()).await?;
    let seen =
        stage.wait("the repair", Duration::from_secs(30), |seen| seen.all_ended(1) && seen.ready() >= PODS).await?;
    one_eviction(&seen)?;
    let by = stage.notices.borrow().by.clone();
    if by.len() < 2 {
        return Err(Failure::Otherwise("only one of the Alertmanagers was heard".to_owned()));
    }
    let told: Vec<String> = by.iter().map(|(name, times)| format!("{name} {times}")).collect();
    let text = format!("firing notices that were taken: {}; records: 1; evictions: 1", told.join(", "));
    stage.screen.tell(Who::Demo, Mood::Good, text);
    Ok(())
}
