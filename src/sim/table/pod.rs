//! The columns of a pod, whose state is put together from its containers'.

use jiff::Timestamp;
use serde_json::Value;

use super::{builtin::Seen, words};

/// What the containers of a pod add up to.
#[derive(Default)]
struct Sum {
    reason: String,
    ready: usize,
    restarts: i64,
    restarted: Option<Timestamp>,
}

impl Sum {
    fn restarts(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or_default();
        let ended = container["lastState"]["terminated"]["finishedAt"].as_str();
        self.restarted = self.restarted.max(ended.and_then(|time| time.parse().ok()));
    }
}

pub(super) fn cells(seen: Seen<'_>) -> Vec<Value> {
    let sidecars: Vec<&Value> =
        seen.list("/spec/initContainers").iter().filter(|container| container["restartPolicy"] == "Always").collect();
    let total = seen.list("/spec/containers").len() + sidecars.len();
    let sum = sum(seen, &sidecars);
    let phase = seen.text("/status/phase");
    let status = if seen.deleted() && seen.text("/status/reason") == "NodeLost" {
        "Unknown".to_owned()
    } else if seen.deleted() && !matches!(phase, "Succeeded" | "Failed") {
        "Terminating".to_owned()
    } else {
        sum.reason
    };
    let restarts = match sum.restarted {
        Some(time) if sum.restarts > 0 => format!("{} ({} ago)", sum.restarts, words::age(time, seen.now)),
        _ => sum.restarts.to_string(),
    };
    vec![
        seen.name(),
        format!("{}/{total}", sum.ready).into(),
        status.into(),
        restarts.into(),
        seen.age(),
        seen.or_none("/status/podIPs/0/ip").into(),
        seen.or_none("/spec/nodeName").into(),
        seen.or_none("/status/nominatedNodeName").into(),
        gates(seen).into(),
    ]
}

fn gates(seen: Seen<'_>) -> String {
    let gates = seen.list("/spec/readinessGates");
    let open = gates.iter().filter(|gate| gate["conditionType"].as_str().is_some_and(|of| seen.is(of))).count();
    if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) }
}

fn sum(seen: Seen<'_>, sidecars: &[&Value]) -> Sum {
    let gated = seen
        .list("/status/conditions")
        .iter()
        .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated");
    let reason = match seen.text("/status/reason") {
        _ if gated => "SchedulingGated",
        "" => seen.text("/status/phase"),
        reason => reason,
    };
    let mut sum = Sum { reason: reason.to_owned(), ..Sum::default() };
    // The restarts of sidecars alone: they count once the others are done.
    let mut beside = Sum::default();
    let mut initializing = false;
    for (number, container) in seen.list("/status/initContainerStatuses").iter().enumerate() {
        let sidecar = sidecars.iter().any(|sidecar| sidecar["name"] == container["name"]);
        sum.restarts(container);
        if sidecar {
            beside.restarts(container);
        }
        let (ended, waits) = (&container["state"]["terminated"], waiting(container));
        if ended["exitCode"] == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            sum.ready += usize::from(container["ready"] == true);
            continue;
        }
        sum.reason = if ended.is_object() {
            format!("Init:{}", how_it_ended(ended))
        } else if !waits.is_empty() && waits != "PodInitializing" {
            format!("Init:{waits}")
        } else {
            format!("Init:{number}/{}", seen.list("/spec/initContainers").len())
        };
        initializing = true;
        break;
    }
    if initializing && !seen.is("Initialized") {
        return sum;
    }
    (sum.restarts, sum.restarted) = (beside.restarts, beside.restarted);
    let mut running = false;
    for container in seen.list("/status/containerStatuses").iter().rev() {
        sum.restarts(container);
        let ended = &container["state"]["terminated"];
        if !waiting(container).is_empty() {
            waiting(container).clone_into(&mut sum.reason);
        } else if ended.is_object() {
            sum.reason = how_it_ended(ended);
        } else if container["ready"] == true && container["state"]["running"].is_object() {
            running = true;
            sum.ready += 1;
        }
    }
    if sum.reason == "Completed" && running {
        sum.reason = if seen.is("Ready") { "Running".to_owned() } else { "NotReady".to_owned() };
    }
    sum
}

fn waiting(container: &Value) -> &str {
    container["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}

fn how_it_ended(ended: &Value) -> String {
    match (ended["reason"].as_str().unwrap_or_default(), ended["signal"].as_i64().unwrap_or_default()) {
        ("", 0) => format!("ExitCode:{}", ended["exitCode"].as_i64().unwrap_or_default()),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
