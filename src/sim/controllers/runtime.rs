//! What a kubelet has beneath it: something that runs containers and says what became of them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

/// Which container of which pod. A container that is started again is the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId {
    /// The pod's UID.
    pub pod: String,
    /// The container's name in the pod.
    pub container: String,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// It was started, and has not ended.
    Running {
        /// Since when.
        since: Timestamp,
        /// Whether its readiness probe would succeed; without a probe, whether it serves.
        ready: bool,
        /// How many bytes of memory it uses, where that is known.
        memory: Option<u64>,
    },
    /// It has ended, by itself or because it was told to.
    Exited {
        /// Its exit code: 0, 137 after SIGKILL, 143 after SIGTERM, ….
        code: i32,
        /// Why, where it is neither `Completed` nor `Error`: `OOMKilled`.
        reason: Option<String>,
        /// When it was started.
        since: Timestamp,
        /// When it ended.
        at: Timestamp,
    },
    /// It was never started, or the pod was forgotten.
    Unknown,
}

/// Runs containers. The kubelet's loop calls it while it holds the cluster, so nothing here may block or wait: what takes
/// time is begun, and told later by [`Runtime::changed`].
pub trait Runtime: Send {
    /// Starts a container of a pod; also one that has ended, again. An error is why it could not be started: the
    /// container then waits with `CrashLoopBackOff`'s delays and the reason `RunContainerError`.
    fn start(&mut self, pod: &Pod, container: &str, now: Timestamp) -> Result<(), String>;

    /// What it does now.
    fn state(&mut self, id: &ContainerId, now: Timestamp) -> ContainerState;

    /// Tells it to end, and ends it after `grace` if it has not by then; at once with no grace. Told once more, only with
    /// less grace.
    fn stop(&mut self, id: &ContainerId, grace: Duration, now: Timestamp);

    /// The pod is gone: whatever is left of it may be dropped.
    fn forget(&mut self, pod: &str);

    /// The UIDs of pods of which a container's state has changed since this was last asked. One too many is harmless, one
    /// too few is never noticed.
    fn changed(&mut self, now: Timestamp) -> Vec<String>;

    /// When [`Runtime::changed`] should be asked at the latest; `None` if nothing will change by itself.
    fn next(&mut self, now: Timestamp) -> Option<Timestamp>;

    /// What the container wrote so far; of its run before this one with `previous`. `None` if there is nothing.
    fn log(&mut self, id: &ContainerId, previous: bool) -> Option<String>;

    /// The pod's address, where the runtime knows better than the kubelet, which otherwise makes one up.
    fn address(&mut self, pod: &str) -> Option<String> {
        let _ = pod;
        None
    }
}
