//! Policies from files: read at the start, and again when they change.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{Audit, Event},
    policy::{self, Contents, Origin, Policy, PolicyStore},
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

fn put(policies: Vec<Policy>, store: &PolicyStore, metrics: &Metrics) {
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
    follow(move |seen| look(&paths, seen), store, metrics, audit, stop).await;
}

/// What the files hold now, and the policies in them where they are not as they were seen.
type Look = (Contents, Option<Result<Vec<Policy>, Vec<FileProblem>>>);

fn look(paths: &[PathBuf], seen: Option<Contents>) -> Look {
    let contents = Contents::of(paths);
    (contents, (Some(contents) != seen).then(|| policy::load(paths)))
}

async fn follow<L>(look: L, store: Arc<PolicyStore>, metrics: Arc<Metrics>, audit: Audit, stop: CancellationToken)
where
    L: Fn(Option<Contents>) -> Look + Clone + Send + 'static,
{
    // Compared as read, so that a file that is only touched changes nothing. The first time there is nothing to compare
    // with: the files may have changed since the start.
    let mut seen = None;
    let mut known: Vec<String> = Vec::new();
    while stop.run_until_cancelled(tokio::time::sleep(RELOAD_EVERY)).await.is_some() {
        let look = look.clone();
        let loaded = match tokio::task::spawn_blocking(move || look(seen)).await {
            Ok((contents, loaded)) => {
                seen = Some(contents);
                loaded.map(|loaded| loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect()))
            }
            // Not seen then, so that it counts again until it is mended.
            Err(panic) => {
                Some(Err(vec![format!("reading the policy files panicked, which is a bug: {}", said(panic))]))
            }
        };
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
                        audit.note(Event::PoliciesRefused { problem: problem.clone() });
                    }
                }
                known = problems;
            }
        }
    }
}

/// What a panic said: without the task's number, which is another one each time.
fn said(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was cut off".to_owned() };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const POLICY: &str = "apiVersion: paramedic.dev/v1alpha1\nkind: RemediationPolicy\nmetadata: {name: a, namespace: shop}\n\
                          spec: {match: ['alertname=\"A\"'], target: {kind: Pod}, steps: [{restartPod: {}}]}\n";

    fn figures(metrics: &Metrics) -> Vec<String> {
        let text = metrics.render().unwrap();
        let lines = text.lines().filter(|line| line.starts_with("paramedic_policy_reload"));
        lines.map(|line| line.trim_start_matches("paramedic_policy_reload_").to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_that_panics_is_a_failed_one_and_the_next_good_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.yaml"), POLICY).unwrap();
        let paths = vec![folder.path().to_owned()];
        let (store, metrics) = (Arc::new(PolicyStore::default()), Arc::new(Metrics::new()));
        load(&paths, &store, &metrics).unwrap();

        let broken = Arc::new(AtomicBool::new(true));
        let breaks = Arc::clone(&broken);
        let reading = move |seen| {
            assert!(!breaks.load(Ordering::Relaxed), "the reader fell over");
            look(&paths, seen)
        };
        let stop = CancellationToken::new();
        let following =
            tokio::spawn(follow(reading, Arc::clone(&store), Arc::clone(&metrics), Audit::default(), stop.clone()));
        tokio::time::sleep(RELOAD_EVERY * 2 + RELOAD_EVERY / 2).await;
        assert_eq!(figures(&metrics), ["success 0", "failures_total 2"]);
        assert_eq!(store.current().len(), 1, "the last good policies stay");

        broken.store(false, Ordering::Relaxed);
        tokio::time::sleep(RELOAD_EVERY).await;
        assert_eq!(figures(&metrics), ["success 1", "failures_total 2"]);
        stop.cancel();
        following.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_duration_beyond_all_measure_fails_a_reload_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.yaml");
        std::fs::write(&file, POLICY.replace("restartPod: {}", "restartPod: {gracePeriod: 99999999999999999999h}"))
            .unwrap();
        let problem = look(std::slice::from_ref(&file), None).1.unwrap().unwrap_err().remove(0).to_string();
        let place = format!("{}:4:", file.display());
        assert!(problem.starts_with(&place) && problem.contains("gracePeriod"), "{problem}");
    }
}
