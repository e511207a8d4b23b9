//! StatefulSets: pods with names and volumes of their own, one after the other.
//!
//! Unlike with a ReplicaSet, a pod on its way out keeps its name, so its successor is made only when it is gone; and as
//! long as it is ready it counts as ready.

mod claims;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus},
        core::v1::{Pod, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions},
};

use super::{
    Context, Done,
    events::Note,
    objects::{Key, count, earlier, is_deleting, is_empty, key_of, name, owned_by},
    replicas::{available_at, claim, from_template, is_namespace_going, is_ready, phase},
    revisions::{self, History, REVISION, Revisions, of as revision},
};
use crate::sim::Status;

const NAME: &str = "statefulset-controller";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// A StatefulSet under work.
struct Work<'c, 's> {
    context: &'c mut Context<'s>,
    set: Arc<StatefulSet>,
    spec: &'c StatefulSetSpec,
    revisions: Revisions,
    /// All of its pods, in the order of their ordinals.
    pods: Vec<Arc<Pod>>,
}

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(set) = context.view.stateful_sets.get(key) else { return Ok(None) };
    let Some(spec) = set.spec.clone() else { return Ok(None) };
    if is_empty(&spec.selector) {
        return Ok(None);
    }
    let own = name(&set.metadata).to_owned();
    let member = |pod: &Pod| ordinal(pod).is_some_and(|(parent, _)| parent == own);
    let mut pods = claim(context, |view| &view.pods, &*set, &spec.selector, member)?;
    pods.sort_by_key(|pod| number(pod));
    let status = set.status.as_ref();
    let history = History {
        owner: &*set,
        selector: &spec.selector,
        template: &spec.template,
        collisions: status.and_then(|status| status.collision_count),
        current: status.and_then(|status| status.current_revision.as_deref()),
    };
    let revisions = revisions::follow(context, &history)?;
    let mut work = Work { context, set, spec: &spec, revisions, pods };
    let done = if is_deleting(&work.set.metadata) { Ok(()) } else { work.go() };
    let again = work.write_status()?;
    done?;
    work.revisions.truncate(work.context, spec.revision_history_limit, &work.pods)?;
    Ok(again)
}

/// The name of the set that a pod's name says it is of, and its ordinal.
fn ordinal(pod: &Pod) -> Option<(&str, i32)> {
    let (parent, number) = name(&pod.metadata).rsplit_once('-')?;
    Some((parent, number.parse().ok().filter(|number| *number >= 0)?))
}

fn number(pod: &Pod) -> i32 {
    ordinal(pod).map_or(-1, |(_, number)| number)
}

impl Work<'_, '_> {
    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn first(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default()
    }

    fn one_by_one(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_available(&self, pod: &Pod) -> bool {
        let seconds = self.spec.min_ready_seconds.unwrap_or_default();
        available_at(pod, seconds).is_some_and(|at| at <= self.context.now)
    }

    fn is_unavailable(&self, pod: &Pod) -> bool {
        !self.is_available(pod) || is_deleting(&pod.metadata)
    }

    /// Whether the pod with that ordinal should be there.
    fn is_wanted(&self, number: i32) -> bool {
        (self.first()..self.first() + self.replicas()).contains(&number)
    }

    /// One stride: missing pods first, then surplus ones, then those of an old revision.
    fn go(&mut self) -> Result<(), Status> {
        for number in self.first()..self.first() + self.replicas() {
            let found = self.pods.iter().find(|pod| super::statefulset::number(pod) == number).cloned();
            if self.settle(number, found)? && self.one_by_one() {
                return Ok(());
            }
        }
        let surplus: Vec<_> = self.pods.iter().rev().filter(|pod| !self.is_wanted(number(pod))).cloned().collect();
        let wanted = self.pods.iter().filter(|pod| self.is_wanted(number(pod)));
        let unwanted = surplus.iter().rev();
        let first_unhealthy = wanted.chain(unwanted).find(|pod| self.is_unavailable(pod)).cloned();
        for pod in surplus {
            let blocks = is_deleting(&pod.metadata)
                || (!self.is_available(&pod)
                    && first_unhealthy.as_ref().is_some_and(|first| first.metadata.uid != pod.metadata.uid));
            if self.one_by_one() && blocks {
                return Ok(());
            }
            if !is_deleting(&pod.metadata) {
                claims::let_go(self.context, &self.set, self.spec, &pod)?;
                self.delete(&pod)?;
            }
            if self.one_by_one() {
                return Ok(());
            }
        }
        self.roll()
    }

    /// Creates a pod that is missing, replaces one that has ended; whether those after it have to wait.
    fn settle(&mut self, number: i32, found: Option<Arc<Pod>>) -> Result<bool, Status> {
        let Some(pod) = found else {
            self.create(number)?;
            return Ok(true);
        };
        if matches!(phase(&pod), "Failed" | "Succeeded") {
            if !is_deleting(&pod.metadata) {
                self.delete(&pod)?;
            }
            return Ok(true);
        }
        if phase(&pod) == "Pending" {
            claims::make_missing(self.context, &self.set, self.spec, number)?;
        }
        Ok(is_deleting(&pod.metadata) || phase(&pod) != "Running" || !is_ready(&pod) || !self.is_available(&pod))
    }

    /// Deletes the last pod that is not of the current revision, once all after it are well.
    fn roll(&mut self) -> Result<(), Status> {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return Ok(());
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or_default();
        for place in (partition..self.replicas()).rev() {
            let wanted = self.first() + place;
            let Some(pod) = self.pods.iter().find(|pod| number(pod) == wanted).cloned() else { return Ok(()) };
            if revision(&pod) != self.revisions.update_name() && !is_deleting(&pod.metadata) {
                return self.delete(&pod);
            }
            if self.is_unavailable(&pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The template and the revision of a pod that is made now: below the partition the current one, else the new one.
    fn template(&self, number: i32) -> (PodTemplateSpec, String) {
        let strategy = self.spec.update_strategy.as_ref();
        let rolls = strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
        let below = match strategy.and_then(|strategy| strategy.rolling_update.as_ref()) {
            Some(rolling) => number < self.first() + rolling.partition.unwrap_or_default(),
            None if rolls => {
                let current = self.set.status.as_ref().and_then(|status| status.current_replicas);
                number < self.first() + current.unwrap_or_default()
            }
            None => false,
        };
        if below {
            self.revisions.current()
        } else {
            (self.spec.template.clone(), self.revisions.update_name().to_owned())
        }
    }

    fn create(&mut self, number: i32) -> Result<(), Status> {
        let (namespace, own) = key_of(&self.set.metadata);
        let called = format!("{own}-{number}");
        let (template, revision) = self.template(number);
        claims::make_missing(self.context, &self.set, self.spec, number)?;
        let mut pod = from_template(&template, owned_by(&*self.set), &namespace);
        pod.metadata.name = Some(called.clone());
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(POD_NAME.to_owned(), called.clone());
        labels.insert(POD_INDEX.to_owned(), number.to_string());
        labels.insert(REVISION.to_owned(), revision);
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(called.clone());
        spec.subdomain = self.spec.service_name.clone().filter(|name| !name.is_empty());
        claims::mount(spec, self.spec, &own, number);
        match self.context.state.create(&pod) {
            Ok(_) => {
                let message = format!("create Pod {called} in StatefulSet {own} successful");
                self.context.note(&*self.set, Note::normal(NAME, "SuccessfulCreate", message));
                Ok(())
            }
            Err(status) if is_namespace_going(&status) => Ok(()),
            Err(status) => {
                let message = format!("create Pod {called} in StatefulSet {own} failed error: {}", status.message);
                self.context.note(&*self.set, Note::warning(NAME, "FailedCreate", message));
                Err(status)
            }
        }
    }

    fn delete(&mut self, pod: &Pod) -> Result<(), Status> {
        let (namespace, called) = key_of(&pod.metadata);
        let own = name(&self.set.metadata);
        let options = DeleteOptions {
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteOptions::default()
        };
        match self.context.state.delete::<Pod>(&namespace, &called, &options) {
            Ok(()) => {
                let message = format!("delete Pod {called} in StatefulSet {own} successful");
                self.context.note(&*self.set, Note::normal(NAME, "SuccessfulDelete", message));
                Ok(())
            }
            Err(status) if status.is_not_found() => Ok(()),
            Err(status) => Err(status),
        }
    }

    /// Counts the pods, as they were found; gives when that changes by itself.
    fn write_status(&mut self) -> Done {
        let seconds = self.spec.min_ready_seconds.unwrap_or_default();
        let (mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0);
        let mut again: Option<Timestamp> = None;
        for pod in &self.pods {
            if phase(pod) == "Running" && is_ready(pod) {
                ready += 1;
                match available_at(pod, seconds) {
                    Some(at) if at > self.context.now => again = earlier(again, Some(at)),
                    _ => available += 1,
                }
            }
            if !is_deleting(&pod.metadata) {
                current += i32::from(revision(pod) == self.revisions.current_name());
                updated += i32::from(revision(pod) == self.revisions.update_name());
            }
        }
        let before = self.set.status.clone().unwrap_or_default();
        let replicas = count(self.pods.len());
        let some = |number: i32| Some(number).filter(|number| *number != 0);
        let mut current_name = self.revisions.current_name().to_owned();
        let strategy = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        let wanted = self.replicas();
        if strategy != Some("OnDelete") && [updated, ready, replicas] == [wanted; 3] {
            current = updated;
            self.revisions.update_name().clone_into(&mut current_name);
        }
        let status = StatefulSetStatus {
            replicas,
            ready_replicas: some(ready),
            available_replicas: Some(available),
            current_replicas: some(current),
            updated_replicas: some(updated),
            current_revision: Some(current_name),
            update_revision: Some(self.revisions.update_name().to_owned()),
            observed_generation: self.set.metadata.generation,
            collision_count: Some(before.collision_count.unwrap_or_default()),
            conditions: before.conditions.clone(),
        };
        if status != before {
            let mut changed = StatefulSet::clone(&self.set);
            changed.status = Some(status);
            self.context.state.update_status(&changed)?;
        }
        Ok(again)
    }
}

#[cfg(test)]
mod tests;
