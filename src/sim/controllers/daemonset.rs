//! DaemonSets: a pod on every node that has the labels that they want.
//!
//! The pod is given its node at once, where a real controller lets the scheduler do that. A surge is not made: an update
//! takes pods away first, also where `maxSurge` is set.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus},
    core::v1::{Node, Pod},
};

use super::{
    Context, Done,
    objects::{Key, count, earlier, is_deleting, is_empty, name, owned_by, scaled},
    replicas::{available_at, claim, from_template, is_namespace_going, is_over, is_ready, node_of},
    revisions::{self, History, REVISION, Revisions},
};
use crate::sim::Status;

const NAME: &str = "daemonset-controller";
const GENERATION: &str = "pod-template-generation";

/// A DaemonSet under work.
struct Work<'c, 's> {
    context: &'c mut Context<'s>,
    set: Arc<DaemonSet>,
    spec: &'c DaemonSetSpec,
    revisions: Revisions,
    pods: Vec<Arc<Pod>>,
    /// The nodes that should have a pod.
    nodes: Vec<String>,
}

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(set) = context.view.daemon_sets.get(key) else { return Ok(None) };
    let Some(spec) = set.spec.clone() else { return Ok(None) };
    if is_empty(&spec.selector) {
        return Ok(None);
    }
    let pods = claim(context, |view| &view.pods, &*set, &spec.selector, |_| true)?;
    let history = History {
        owner: &*set,
        selector: &spec.selector,
        template: &spec.template,
        collisions: set.status.as_ref().and_then(|status| status.collision_count),
        current: None,
    };
    let revisions = revisions::follow(context, &history)?;
    let nodes = context.view.nodes.all().filter(|(_, node)| fits(&spec, node));
    let nodes = nodes.map(|(_, node)| name(&node.metadata).to_owned()).collect();
    let mut work = Work { context, set, spec: &spec, revisions, pods, nodes };
    let done = if is_deleting(&work.set.metadata) { Ok(()) } else { work.go() };
    let again = work.write_status()?;
    done?;
    work.revisions.truncate(work.context, spec.revision_history_limit, &work.pods)?;
    Ok(again)
}

/// Whether a node has the labels that the pods want.
fn fits(spec: &DaemonSetSpec, node: &Node) -> bool {
    let wanted = spec.template.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    let has = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    wanted.into_iter().flatten().all(|(key, value)| has(key) == Some(value))
}

impl Work<'_, '_> {
    fn available(&self, pod: &Pod) -> Option<Timestamp> {
        available_at(pod, self.spec.min_ready_seconds.unwrap_or_default())
    }

    fn is_available(&self, pod: &Pod) -> bool {
        !is_deleting(&pod.metadata) && self.available(pod).is_some_and(|at| at <= self.context.now)
    }

    fn is_updated(&self, pod: &Pod) -> bool {
        revisions::of(pod) == self.revisions.update_hash()
    }

    /// The pods of each node.
    fn by_node(&self) -> BTreeMap<String, Vec<Arc<Pod>>> {
        let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in &self.pods {
            by_node.entry(node_of(pod).to_owned()).or_default().push(pod.clone());
        }
        by_node
    }

    fn go(&mut self) -> Result<(), Status> {
        let by_node = self.by_node();
        for node in self.nodes.clone() {
            match by_node.get(&node) {
                None => self.create(&node)?,
                Some(pods) => {
                    let (over, running): (Vec<_>, Vec<_>) =
                        pods.iter().filter(|pod| !is_deleting(&pod.metadata)).cloned().partition(|pod| is_over(pod));
                    // Of several on one node, the first stays.
                    for pod in over.iter().chain(running.iter().skip(1)) {
                        self.context.delete_pod(&*self.set, pod, NAME)?;
                    }
                }
            }
        }
        for (node, pods) in &by_node {
            if !self.nodes.contains(node) {
                for pod in pods.iter().filter(|pod| !is_deleting(&pod.metadata)) {
                    self.context.delete_pod(&*self.set, pod, NAME)?;
                }
            }
        }
        self.roll(&by_node)
    }

    /// Takes away pods of an old revision: those that are not available at once, the others as far as enough are.
    fn roll(&mut self, by_node: &BTreeMap<String, Vec<Arc<Pod>>>) -> Result<(), Status> {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return Ok(());
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let most = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let most = most.map_or(Ok(1), |most| scaled(most, count(self.nodes.len()), true)).unwrap_or(1).max(1);
        let (mut missing, mut old) = (0, Vec::new());
        for node in &self.nodes {
            let pods = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
            let living = pods.iter().find(|pod| !is_deleting(&pod.metadata) && !is_over(pod));
            match living {
                Some(pod) if self.is_updated(pod) => missing += i32::from(!self.is_available(pod)),
                Some(pod) if self.is_available(pod) => old.push(pod.clone()),
                Some(pod) => {
                    missing += 1;
                    let pod = pod.clone();
                    self.context.delete_pod(&*self.set, &pod, NAME)?;
                }
                None => missing += 1,
            }
        }
        let left = usize::try_from(most - missing).unwrap_or_default();
        for pod in old.iter().take(left) {
            self.context.delete_pod(&*self.set, pod, NAME)?;
        }
        Ok(())
    }

    fn create(&mut self, node: &str) -> Result<(), Status> {
        let namespace = self.set.metadata.namespace.clone().unwrap_or_default();
        let mut pod = from_template(&self.spec.template, owned_by(&*self.set), &namespace);
        pod.metadata.generate_name = Some(format!("{}-", name(&self.set.metadata)));
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(REVISION.to_owned(), self.revisions.update_hash().to_owned());
        labels.insert(GENERATION.to_owned(), self.set.metadata.generation.unwrap_or_default().to_string());
        pod.spec.get_or_insert_default().node_name = Some(node.to_owned());
        match self.context.create_pod(&*self.set, &pod, NAME) {
            Err(status) if !is_namespace_going(&status) => Err(status),
            _ => Ok(()),
        }
    }

    fn write_status(&mut self) -> Done {
        let by_node = self.by_node();
        let (mut current, mut ready, mut available, mut updated) = (0, 0, 0, 0);
        let mut again = None;
        for node in &self.nodes {
            let pods = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
            let mut living = pods.iter().filter(|pod| !is_deleting(&pod.metadata));
            let Some(pod) = living.next() else { continue };
            current += 1;
            updated += i32::from(self.is_updated(pod));
            if is_ready(pod) {
                ready += 1;
                match self.available(pod) {
                    Some(at) if at > self.context.now => again = earlier(again, Some(at)),
                    _ => available += 1,
                }
            }
        }
        let misplaced = by_node.keys().filter(|node| !self.nodes.contains(node)).count();
        let wanted = count(self.nodes.len());
        let some = |number: i32| Some(number).filter(|number| *number != 0);
        let before = self.set.status.clone().unwrap_or_default();
        let status = DaemonSetStatus {
            desired_number_scheduled: wanted,
            current_number_scheduled: current,
            number_misscheduled: count(misplaced),
            number_ready: ready,
            updated_number_scheduled: some(updated),
            number_available: some(available),
            number_unavailable: some(wanted - available),
            observed_generation: self.set.metadata.generation,
            collision_count: before.collision_count,
            conditions: before.conditions.clone(),
        };
        if status != before {
            let mut changed = DaemonSet::clone(&self.set);
            changed.status = Some(status);
            self.context.state.update_status(&changed)?;
        }
        Ok(again)
    }
}
