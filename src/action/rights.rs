//! Which rights of the API an action needs of whoever does it. Pure.

use crate::api::{Action, RestartMethod};

/// A verb on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource: `pods`.
    pub resource: &'static str,
    /// The subresource, or nothing: `eviction`.
    pub subresource: &'static str,
    /// The verb: `create`.
    pub verb: &'static str,
}

impl Right {
    const fn new(group: &'static str, resource: &'static str, verb: &'static str) -> Self {
        Self { group, resource, subresource: "", verb }
    }

    const fn of(mut self, subresource: &'static str) -> Self {
        self.subresource = subresource;
        self
    }

    /// The resource as RBAC writes it: with its subresource.
    pub fn rule(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.rule())?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// What an action asks of the API to be done to an object of that kind. What is looked at before and afterwards Paramedic
/// asks for itself.
pub fn rights(action: Action<'_>, kind: &str) -> Vec<Right> {
    match action {
        Action::RestartPod(restart) => match restart.method {
            RestartMethod::Evict => vec![Right::new("", "pods", "create").of("eviction")],
            RestartMethod::Delete => vec![Right::new("", "pods", "delete")],
        },
        Action::RolloutRestart(_) => {
            let resource = match kind {
                "StatefulSet" => "statefulsets",
                "DaemonSet" => "daemonsets",
                _ => "deployments",
            };
            // It reads the template before it marks it.
            vec![Right::new("apps", resource, "get"), Right::new("apps", resource, "patch")]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RestartPod, RolloutRestart};

    #[test]
    fn a_right_reads_as_kubectl_writes_it() {
        let said = |action: Action<'_>, kind| rights(action, kind).iter().map(Right::to_string).collect::<Vec<_>>();
        let evict = RestartPod::default();
        assert_eq!(said(Action::RestartPod(&evict), "Pod"), ["create pods/eviction"]);
        let delete = RestartPod { method: RestartMethod::Delete, ..evict };
        assert_eq!(said(Action::RestartPod(&delete), "Pod"), ["delete pods"]);
        let rollout = RolloutRestart {};
        assert_eq!(
            said(Action::RolloutRestart(&rollout), "StatefulSet"),
            ["get statefulsets.apps", "patch statefulsets.apps"]
        );
    }
}
