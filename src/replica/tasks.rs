//! Tasks that somebody watches: when one ends before it was told to, the process ends.

use std::{convert::Infallible, future::Future, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// Why a task ended.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// The tasks of the process, by name.
pub struct Tasks {
    running: JoinSet<(&'static str, Result<(), TaskError>)>,
    stop: CancellationToken,
}

/// A task ended that should not have.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It said why.
    #[error("{name}: {why}")]
    Failed {
        /// The task.
        name: &'static str,
        /// Why.
        why: TaskError,
    },
    /// It just ended.
    #[error("{0} ended by itself, which it never should; this is a bug")]
    Silently(&'static str),
    /// It panicked, or was aborted.
    #[error("a task panicked: {0}; this is a bug")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Tasks {
    /// No tasks yet. `stop` tells all of them to end.
    pub fn new(stop: CancellationToken) -> Self {
        Self { running: JoinSet::new(), stop }
    }

    /// What tells a task to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task that cannot fail.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.try_spawn(name, async {
            task.await;
            Ok::<_, Infallible>(())
        });
    }

    /// Starts a task.
    pub fn try_spawn<E: Into<TaskError>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.running.spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    /// Waits until one ends, which is an error whatever it says.
    pub async fn first_end(&mut self) -> Ended {
        match self.running.join_next().await {
            Some(Ok((name, Err(why)))) => Ended::Failed { name, why },
            Some(Ok((name, Ok(())))) => Ended::Silently(name),
            Some(Err(panic)) => panic.into(),
            None => std::future::pending().await,
        }
    }

    /// Tells all to end, and waits for that so long; what is left then is cut off, and `false` is the answer.
    pub async fn drain(mut self, deadline: Duration) -> bool {
        self.stop.cancel();
        let ends = async {
            while let Some(end) = self.running.join_next().await {
                match end {
                    Ok((name, Ok(()))) => tracing::debug!("{name} ended"),
                    Ok((name, Err(why))) => tracing::warn!("{name} ended: {why}"),
                    Err(panic) => tracing::error!("a task panicked: {panic}"),
                }
            }
        };
        let in_time = timeout(deadline, ends).await.is_ok();
        if !in_time {
            tracing::warn!("{} tasks did not end in time and are cut off", self.running.len());
        }
        in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_is_named() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("endless", std::future::pending());
        tasks.spawn("brief", async {});
        assert_eq!(tasks.first_end().await.to_string(), "brief ended by itself, which it never should; this is a bug");
        tasks.try_spawn("failing", async { Err::<(), TaskError>("no luck".into()) });
        assert_eq!(tasks.first_end().await.to_string(), "failing: no luck");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_those_that_listen_and_cuts_off_the_others() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.stop();
        tasks.spawn("polite", async move { stop.cancelled().await });
        assert!(tasks.drain(Duration::from_secs(1)).await);

        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("deaf", std::future::pending());
        assert!(!tasks.drain(Duration::from_secs(1)).await);
    }
}
