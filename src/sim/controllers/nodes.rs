//! The nodes, and where a pod goes: what the scheduler and the node controllers do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Pod, PodCondition, ServiceAccount,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{DeleteOptions, ObjectMeta},
    },
};
use serde_json::json;

use super::{
    Context, Done,
    events::Note,
    objects::{Key, after, controller_of, earlier, is_deleting, key_of, name, time},
    replicas::{condition, is_over, node_of},
    view::View,
};
use crate::sim::{State, Status, kinds};

const SCHEDULER: &str = "default-scheduler";

/// Makes that many nodes, unless there are any.
pub(super) fn furnish(state: &mut State, nodes: usize, now: Timestamp) {
    if !state.list::<Node>(None).is_empty() {
        return;
    }
    for number in 1..=nodes {
        let node = node(number, now);
        if state.create(&node).is_ok() {
            drop(state.update_status(&node));
        }
    }
}

fn node(number: usize, now: Timestamp) -> Node {
    let name = format!("node-{number}");
    let labels =
        [("kubernetes.io/arch", "amd64"), ("kubernetes.io/hostname", name.as_str()), ("kubernetes.io/os", "linux")];
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(time(now)),
        last_transition_time: Some(time(now)),
    };
    let enough = |what: &str, says: &str| condition(&format!("{what}Pressure"), "False", &format!("Kubelet{says}"), "");
    let room: BTreeMap<String, Quantity> = [("cpu", "8"), ("memory", "16Gi"), ("pods", "110")]
        .into_iter()
        .map(|(what, amount)| (what.to_owned(), Quantity(amount.to_owned())))
        .collect();
    Node {
        metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() },
        spec: Some(NodeSpec { pod_cidr: Some(format!("10.244.{number}.0/24")), ..NodeSpec::default() }),
        status: Some(NodeStatus {
            addresses: Some(vec![
                NodeAddress { type_: "InternalIP".to_owned(), address: address(&name) },
                NodeAddress { type_: "Hostname".to_owned(), address: name },
            ]),
            allocatable: Some(room.clone()),
            capacity: Some(room),
            conditions: Some(vec![
                enough("Memory", "HasSufficientMemory"),
                enough("Disk", "HasNoDiskPressure"),
                enough("PID", "HasSufficientPID"),
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
            ]),
            node_info: Some(NodeSystemInfo {
                architecture: "amd64".to_owned(),
                operating_system: "linux".to_owned(),
                os_image: "simulated".to_owned(),
                kernel_version: "0".to_owned(),
                container_runtime_version: "simulated://0".to_owned(),
                kubelet_version: "v1.34.4".to_owned(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }),
    }
}

/// The address of a node.
pub(super) fn address(node: &str) -> String {
    let number: u32 = node.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    format!("172.18.{}.{}", number / 250, number % 250 + 2)
}

/// Whether a kubelet works on that node.
pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default()
}

/// The pods that may wait for a node, or for theirs to be well again.
pub(super) fn waiting(view: &View) -> Vec<Key> {
    view.pods.all().filter(|(_, pod)| !is_over(pod)).map(|(key, _)| key.clone()).collect()
}

/// How long a pod may be on a node that is down, unless it says so itself; in seconds.
const TOLERATED: i64 = 300;

/// Says of the pods on nodes that are down that they are not ready, and deletes them after a time. Gives when the next
/// ones are to go.
pub(super) fn evict(context: &mut Context<'_>) -> Done {
    let mut again = None;
    for (_, node) in context.view.nodes.all().filter(|(_, node)| !is_ready(node)) {
        let since = down_since(node).unwrap_or(context.now);
        let on_it = context.view.pods.all().filter(|(_, pod)| node_of(pod) == name(&node.metadata) && !is_over(pod));
        for (_, pod) in on_it {
            if super::replicas::is_ready(pod) {
                not_ready(context, pod)?;
            }
            let end = tolerated(pod).map(|seconds| after(since, seconds));
            match end.filter(|_| !is_deleting(&pod.metadata)) {
                Some(end) if end <= context.now => taint_eviction(context, pod)?,
                Some(end) => again = earlier(again, Some(end)),
                None => {}
            }
        }
    }
    Ok(again)
}

fn down_since(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// For how many seconds a pod tolerates that its node is down; `None` means for ever. Pods of DaemonSets do that.
fn tolerated(pod: &Pod) -> Option<i64> {
    if controller_of(&pod.metadata).is_some_and(|owner| owner.kind == "DaemonSet") {
        return None;
    }
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_ref());
    let meant =
        |key: &String| matches!(key.as_str(), "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable");
    let found = tolerations.into_iter().flatten().find(|toleration| {
        toleration.key.as_ref().is_none_or(meant)
            && toleration.effect.as_ref().is_none_or(|effect| effect == "NoExecute")
    });
    found.map_or(Some(TOLERATED), |toleration| toleration.toleration_seconds)
}

fn not_ready(context: &mut Context<'_>, pod: &Pod) -> Result<(), Status> {
    let mut changed = pod.clone();
    let now = time(context.now);
    for condition in changed.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
        if condition.type_ == "Ready" {
            "False".clone_into(&mut condition.status);
            condition.last_transition_time = Some(now.clone());
        }
    }
    context.state.update_status(&changed)?;
    context.note(pod, Note::warning("node-controller", "NodeNotReady", "Node is not ready".to_owned()));
    Ok(())
}

fn taint_eviction(context: &mut Context<'_>, pod: &Pod) -> Result<(), Status> {
    let (namespace, name) = key_of(&pod.metadata);
    context.state.delete::<Pod>(&namespace, &name, &DeleteOptions::default())?;
    let message = format!("Marking for deletion Pod {namespace}/{name}");
    context.note(pod, Note::normal("taint-eviction-controller", "TaintManagerEviction", message));
    Ok(())
}

/// A new namespace gets the account that its pods run under.
pub(super) fn account(context: &mut Context<'_>, name: &str) -> Done {
    let Some(namespace) = context.view.namespaces.get(&(String::new(), name.to_owned())) else { return Ok(None) };
    if is_deleting(&namespace.metadata) || context.state.get::<ServiceAccount>(name, "default").is_some() {
        return Ok(None);
    }
    let metadata =
        ObjectMeta { name: Some("default".to_owned()), namespace: Some(name.to_owned()), ..ObjectMeta::default() };
    context.state.create(&ServiceAccount { metadata, ..ServiceAccount::default() })?;
    Ok(None)
}

/// Gives a pod a node: of those that are ready, not cordoned, and have the labels that it wants, the one with the fewest
/// pods. Without one, the pod says so, and waits for a change of the nodes.
///
/// Refuses what the API refuses.
pub(super) fn schedule(context: &mut Context<'_>, key: &Key, pod: &Pod) -> Result<(), Status> {
    let wanted = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    let labelled = |node: &Node| {
        let has = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key));
        wanted.into_iter().flatten().all(|(key, value)| has(key) == Some(value))
    };
    let view = context.view;
    let mut load: BTreeMap<&str, usize> = BTreeMap::new();
    let nodes = view.nodes.all().map(|(_, node)| &**node);
    let fit: Vec<&Node> = nodes.filter(|node| is_ready(node) && !is_cordoned(node) && labelled(node)).collect();
    if fit.len() > 1 {
        for (_, pod) in view.pods.all().filter(|(_, pod)| !is_over(pod)) {
            *load.entry(node_of(pod)).or_default() += 1;
        }
    }
    let pods_on = |node: &Node| load.get(name(&node.metadata)).copied().unwrap_or_default();
    match fit.into_iter().min_by_key(|node| (pods_on(node), name(&node.metadata).to_owned())) {
        Some(node) => {
            let node = name(&node.metadata).to_owned();
            bind(context, key, &node);
            let message = format!("Successfully assigned {}/{} to {node}", key.0, key.1);
            context.note(pod, Note::normal(SCHEDULER, "Scheduled", message));
            Ok(())
        }
        None => refuse(context, pod),
    }
}

/// What the binding subresource does: not a change of the spec, so the generation stays.
fn bind(context: &mut Context<'_>, (namespace, name): &Key, node: &str) {
    let Some(kind) = kinds::of::<Pod>() else { return };
    let Some(found) = context.state.object(kind, namespace, name) else { return };
    let mut object = serde_json::Value::clone(found);
    let now = time(context.now);
    object["spec"]["nodeName"] = json!(node);
    let others = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut conditions: Vec<_> = others.filter(|condition| condition["type"] != "PodScheduled").cloned().collect();
    conditions
        .push(json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now, "lastProbeTime": null}));
    object["status"]["conditions"] = json!(conditions);
    context.state.put(kind, object);
}

fn refuse(context: &mut Context<'_>, pod: &Pod) -> Result<(), Status> {
    let total = context.view.nodes.all().count();
    let (mut down, mut cordoned, mut other) = (0, 0, 0);
    for (_, node) in context.view.nodes.all() {
        match (is_ready(node), is_cordoned(node)) {
            (false, _) => down += 1,
            (_, true) => cordoned += 1,
            _ => other += 1,
        }
    }
    let mut why: Vec<String> = Vec::new();
    let mut say = |count: usize, what: &str| {
        if count > 0 {
            why.push(format!("{count} {what}"));
        }
    };
    say(other, "node(s) didn't match Pod's node affinity/selector");
    say(down, "node(s) had untolerated taint(s)");
    say(cordoned, "node(s) were unschedulable");
    let message = if total == 0 {
        "no nodes available to schedule pods".to_owned()
    } else {
        format!(
            "0/{total} nodes are available: {}. no new claims to deallocate, preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling.",
            why.join(", ")
        )
    };
    let known = condition(pod, "PodScheduled").is_some_and(|known| known.message.as_deref() == Some(&message));
    if known {
        return Ok(());
    }
    context.note(pod, Note::warning(SCHEDULER, "FailedScheduling", message.clone()));
    let mut changed = pod.clone();
    let conditions = changed.status.get_or_insert_default().conditions.get_or_insert_default();
    let since = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let since = since.and_then(|condition| condition.last_transition_time.clone());
    conditions.retain(|condition| condition.type_ != "PodScheduled");
    conditions.push(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message),
        last_transition_time: Some(since.unwrap_or_else(|| time(context.now))),
        ..PodCondition::default()
    });
    context.state.update_status(&changed).map(drop)
}
