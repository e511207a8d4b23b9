//! The history of a template, as ControllerRevisions: that of a StatefulSet or a DaemonSet.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::ControllerRevision,
        core::v1::{Pod, PodTemplateSpec},
    },
    apimachinery::pkg::{
        apis::meta::v1::{DeleteOptions, LabelSelector, ObjectMeta},
        runtime::RawExtension,
    },
};
use kube::Resource;
use serde_json::{Value, json};

use super::{
    Context,
    objects::{hash, key_of, name, owned_by, same_template},
    replicas::claim,
};
use crate::sim::Status;

/// The label of a pod that says of which revision it is.
pub(super) const REVISION: &str = "controller-revision-hash";

/// The label with the hash of what a revision holds.
pub(super) const HASH: &str = "controller.kubernetes.io/hash";

/// Whose template it is.
pub(super) struct History<'a, O> {
    pub(super) owner: &'a O,
    pub(super) selector: &'a LabelSelector,
    pub(super) template: &'a PodTemplateSpec,
    pub(super) collisions: Option<i32>,
    /// The name of the revision that its pods were of.
    pub(super) current: Option<&'a str>,
}

/// The revisions of a set: all of them, the one that its pods were of, and the one that they should be of.
pub(super) struct Revisions {
    all: Vec<ControllerRevision>,
    current: usize,
    update: usize,
}

/// The template that a revision holds.
fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Makes the current template the newest revision, unless it is that.
///
/// Refuses what the API refuses.
pub(super) fn follow<O: Resource<DynamicType = ()>>(
    context: &mut Context<'_>,
    history: &History<'_, O>,
) -> Result<Revisions, Status> {
    let found = claim(context, |view| &view.revisions, history.owner, history.selector, |_| true)?;
    let mut all: Vec<ControllerRevision> = found.iter().map(|revision| ControllerRevision::clone(revision)).collect();
    all.sort_by_key(|revision| (revision.revision, key_of(&revision.metadata)));
    let same =
        |revision: &ControllerRevision| template(revision).is_some_and(|old| same_template(&old, history.template));
    let same = all.iter().rposition(same);
    let newest = all.last().map_or(0, |revision| revision.revision);
    let update = match same {
        Some(at) if at + 1 == all.len() => at,
        Some(at) => {
            // An old one is taken again, under a new number.
            let mut again = all.remove(at);
            again.revision = newest + 1;
            all.push(context.state.update(&again)?);
            all.len() - 1
        }
        None => {
            let made = make(history, newest + 1);
            all.push(context.state.create(&made)?);
            all.len() - 1
        }
    };
    let noted = history.current.unwrap_or_default();
    let current = all.iter().position(|revision| name(&revision.metadata) == noted).unwrap_or(update);
    Ok(Revisions { all, current, update })
}

fn make<O: Resource<DynamicType = ()>>(history: &History<'_, O>, number: i64) -> ControllerRevision {
    let mut template = serde_json::to_value(history.template).unwrap_or(Value::Null);
    template["$patch"] = json!("replace");
    let hash = hash(history.template, history.collisions);
    let (namespace, own) = key_of(history.owner.meta());
    let mut labels = history.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(HASH.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{own}-{hash}")),
            namespace: Some(namespace),
            labels: Some(labels),
            annotations: history.owner.meta().annotations.clone(),
            owner_references: Some(vec![owned_by(history.owner)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(json!({"spec": {"template": template}}))),
        revision: number,
    }
}

impl Revisions {
    /// The hash of the revision that pods should be of.
    pub(super) fn update_hash(&self) -> &str {
        let labels = self.all.get(self.update).and_then(|revision| revision.metadata.labels.as_ref());
        labels.and_then(|labels| labels.get(HASH)).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn update_name(&self) -> &str {
        self.all.get(self.update).map(|revision| name(&revision.metadata)).unwrap_or_default()
    }

    pub(super) fn current_name(&self) -> &str {
        self.all.get(self.current).map(|revision| name(&revision.metadata)).unwrap_or_default()
    }

    /// The template that the pods were of, and the name of its revision.
    pub(super) fn current(&self) -> (PodTemplateSpec, String) {
        let template = self.all.get(self.current).and_then(template);
        (template.unwrap_or_default(), self.current_name().to_owned())
    }

    /// Deletes the oldest of those that nothing is of, but for as many as are to be kept.
    ///
    /// Refuses what the API refuses.
    pub(super) fn truncate(
        &self,
        context: &mut Context<'_>,
        keep: Option<i32>,
        pods: &[Arc<Pod>],
    ) -> Result<(), Status> {
        let mut live: BTreeSet<&str> = pods.iter().map(|pod| of(pod)).collect();
        live.extend([self.update_name(), self.current_name()]);
        let is_dead = |revision: &&ControllerRevision| {
            let hash = revision.metadata.labels.as_ref().and_then(|labels| labels.get(HASH));
            !live.contains(name(&revision.metadata)) && hash.is_none_or(|hash| !live.contains(hash.as_str()))
        };
        let dead: Vec<_> = self.all.iter().filter(is_dead).collect();
        let keep = usize::try_from(keep.unwrap_or(10)).unwrap_or(usize::MAX);
        for revision in dead.iter().take(dead.len().saturating_sub(keep)) {
            let (namespace, name) = key_of(&revision.metadata);
            context.state.delete::<ControllerRevision>(&namespace, &name, &DeleteOptions::default())?;
        }
        Ok(())
    }
}

/// The revision that a pod says it is of.
pub(super) fn of(pod: &Pod) -> &str {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION)).map(String::as_str).unwrap_or_default()
}
