//! The Kubernetes API is gone while an alert fires.

use std::time::Duration;

use anyhow::Context;

use super::{PODS, let_leak, one_eviction, some_pods};
use crate::{
    cli::demo::{
        monitor::rule::LEAK_BYTES,
        screen::{Mood, Who},
        stage::{Failure, Stage},
    },
    sim::http::Down,
};

/// How often a notice is refused before the API is back.
const REFUSED: usize = 3;

/// Plays it.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    let pods = some_pods(&stage.seen.borrow(), 1);
    let_leak(stage, &pods).await?;
    let processes = stage.processes.clone();
    let too_much = async {
        while !processes.list().iter().any(|container| container.memory.is_some_and(|bytes| bytes > LEAK_BYTES)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let within = Duration::from_secs(20);
    tokio::time::timeout(within, too_much).await.map_err(|_| Failure::NotInTime {
        what: "the leak".to_owned(),
        within,
        so_far: "no pod has passed 300 MiB".to_owned(),
    })?;
    stage.api.pause(Down::Refused).await.context("the API does not go away")?;
    stage.screen.tell(Who::Cluster, Mood::Bad, "the Kubernetes API is gone: connections are refused");

    let mut notices = stage.notices.clone();
    let within = Duration::from_secs(30);
    let refused = notices.wait_for(|notices| notices.refused >= REFUSED);
    let refused = tokio::time::timeout(within, refused).await.is_ok_and(|refused| refused.is_ok());
    if !refused {
        return Err(Failure::NotInTime {
            what: "that Alertmanager was told to come again".to_owned(),
            within,
            so_far: format!("{} notices were not taken", stage.notices.borrow().refused),
        });
    }
    stage.api.resume().await.context("the API does not come back")?;
    stage.screen.tell(Who::Cluster, Mood::Good, "the Kubernetes API is back");
    stage.wait("a record of the alert", Duration::from_secs(20), |seen| !seen.records.is_empty()).await?;
    let seen =
        stage.wait("the repair", Duration::from_secs(40), |seen| seen.all_ended(1) && seen.ready() >= PODS).await?;
    one_eviction(&seen)
}
