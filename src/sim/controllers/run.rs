//! The loop that runs the controllers of a cluster.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Controllers, Runtime};
use crate::sim::Cluster;

/// The shortest sleep: a time that has come already must not spin.
const BREATH: Duration = Duration::from_millis(1);

impl Cluster {
    /// Runs the controllers on this cluster until `stop`: after every write, and when time makes something due.
    pub async fn run(&self, runtime: impl Runtime + 'static, stop: CancellationToken) {
        self.run_with(Controllers::new(), runtime, stop).await;
    }

    /// The same with controllers that were set up differently.
    pub async fn run_with(
        &self,
        mut controllers: Controllers,
        runtime: impl Runtime + 'static,
        stop: CancellationToken,
    ) {
        let cluster = self.clone();
        let runtime = Arc::new(Mutex::new(runtime));
        let _lent = self.lend(runtime.clone());
        loop {
            let (now, next) = cluster.with(|state| {
                let now = state.now();
                let mut runtime = runtime.lock().unwrap_or_else(PoisonError::into_inner);
                (now, controllers.step(state, &mut *runtime, now))
            });
            let due = async {
                match next {
                    None => std::future::pending().await,
                    Some(at) => {
                        let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                        tokio::time::sleep(left.max(BREATH)).await;
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = cluster.changed() => {}
                () = due => {}
            }
        }
    }
}
