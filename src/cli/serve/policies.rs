//! Policies from files: read at the start, and again when they change.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    audit::{Audit, Event},
    policy::{self, Contents, Origin, PolicyStore},
    telemetry::Metrics,
    yaml::FileProblem,
};

/// How often the files are read again. A ConfigMap's mount swaps symbolic links, which watches of a file miss.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Reads the files and puts their policies in force. At the start a problem is an error: nobody wants to find out at
/// the first alert.
pub fn load(paths: &[PathBuf], store: &PolicyStore, metrics: &Metrics) -> Result<(), Vec<FileProblem>> {
    let policies = policy::load(paths)?;
    tracing::info!("{} policies from files", policies.len());
    put(policies, store, metrics);
    Ok(())
}

fn put(policies: Vec<policy::Policy>, store: &PolicyStore, metrics: &Metrics) {
    let all = policies.len();
    let rejected = store.set_files(policies);
    for rejected in &rejected {
        tracing::error!(policy = %rejected.reference, "not in force: {}", rejected.problem);
    }
    metrics.policies(Origin::File, all.saturating_sub(rejected.len()), rejected.len());
    metrics.policy_reload(true);
    tracing::debug!("{all} policies from files");
}

/// Keeps reading the files until `stop`. A bad file keeps the last good set in force; it is counted each time, and
/// logged when it is new.
pub async fn watch(
    paths: Vec<PathBuf>,
    store: Arc<PolicyStore>,
    metrics: Arc<Metrics>,
    audit: Audit,
    stop: CancellationToken,
) {
    // Compared as read, so that a file that is only touched changes nothing. The first time there is nothing to compare
    // with: the files may have changed since the start.
    let mut seen = None;
    let mut known: Vec<FileProblem> = Vec::new();
    while stop.run_until_cancelled(tokio::time::sleep(RELOAD_EVERY)).await.is_some() {
        let again = paths.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let contents = Some(Contents::of(&again));
            (contents, (contents != seen).then(|| policy::load(&again)))
        });
        let Ok((contents, loaded)) = reading.await else { continue };
        seen = contents;
        match loaded {
            None => metrics.policy_reload(known.is_empty()),
            Some(Ok(policies)) => {
                known.clear();
                put(policies, &store, &metrics);
            }
            Some(Err(problems)) => {
                metrics.policy_reload(false);
                if problems != known {
                    for problem in &problems {
                        tracing::error!("{problem}; the last good policies stay in force");
                        audit.note(Event::PoliciesRefused { problem: problem.to_string() });
                    }
                }
                known = problems;
            }
        }
    }
}
