//! A pod whose container cannot start any more.

use std::time::Duration;

use super::{PODS, ask, one_eviction, some_pods};
use crate::cli::demo::{
    screen::{Mood, Who},
    stage::{Failure, Stage},
};

/// Plays it.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    let pods = some_pods(&stage.seen.borrow(), 1);
    for pod in &pods {
        ask(stage, pod, "/corrupt").await?;
        let text = format!("{pod} breaks the file in its emptyDir that it cannot start without, and crashes");
        stage.screen.tell(Who::App, Mood::Bad, text);
    }
    stage.wait("a record of the crash loop", Duration::from_secs(30), |seen| !seen.records.is_empty()).await?;
    let seen =
        stage.wait("the repair", Duration::from_secs(30), |seen| seen.all_ended(1) && seen.ready() >= PODS).await?;
    one_eviction(&seen)
}
