//! The history of a set's template, as ControllerRevisions.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec},
        core::v1::{Pod, PodTemplateSpec},
    },
    apimachinery::pkg::{
        apis::meta::v1::{DeleteOptions, ObjectMeta},
        runtime::RawExtension,
    },
};
use serde_json::{Value, json};

use super::{
    super::{
        Context,
        objects::{hash, key_of, name, owned_by, same_template},
        replicas::claim,
    },
    revision,
};
use crate::sim::Status;

/// The label with the hash of what a revision holds.
const HASH: &str = "controller.kubernetes.io/hash";

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
pub(super) fn follow(
    context: &mut Context<'_>,
    set: &StatefulSet,
    spec: &StatefulSetSpec,
) -> Result<Revisions, Status> {
    let found = claim(context, |view| &view.revisions, set, &spec.selector, |_| true)?;
    let mut all: Vec<ControllerRevision> = found.iter().map(|revision| ControllerRevision::clone(revision)).collect();
    all.sort_by_key(|revision| (revision.revision, key_of(&revision.metadata)));
    let same =
        all.iter().rposition(|revision| template(revision).is_some_and(|old| same_template(&old, &spec.template)));
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
            let made = make(set, spec, newest + 1);
            all.push(context.state.create(&made)?);
            all.len() - 1
        }
    };
    let noted = set.status.as_ref().and_then(|status| status.current_revision.as_deref()).unwrap_or_default();
    let current = all.iter().position(|revision| name(&revision.metadata) == noted).unwrap_or(update);
    Ok(Revisions { all, current, update })
}

fn make(set: &StatefulSet, spec: &StatefulSetSpec, number: i64) -> ControllerRevision {
    let mut template = serde_json::to_value(&spec.template).unwrap_or(Value::Null);
    template["$patch"] = json!("replace");
    let hash = hash(&spec.template, set.status.as_ref().and_then(|status| status.collision_count));
    let (namespace, own) = key_of(&set.metadata);
    let mut labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(HASH.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{own}-{hash}")),
            namespace: Some(namespace),
            labels: Some(labels),
            annotations: set.metadata.annotations.clone(),
            owner_references: Some(vec![owned_by(set)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(json!({"spec": {"template": template}}))),
        revision: number,
    }
}

impl Revisions {
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

    /// Deletes the oldest of those that nothing is of, but for as many as the set wants to keep.
    ///
    /// Refuses what the API refuses.
    pub(super) fn truncate(
        &self,
        context: &mut Context<'_>,
        spec: &StatefulSetSpec,
        pods: &[Arc<Pod>],
    ) -> Result<(), Status> {
        let mut live: BTreeSet<&str> = pods.iter().map(|pod| revision(pod)).collect();
        live.extend([self.update_name(), self.current_name()]);
        let dead: Vec<_> = self.all.iter().filter(|revision| !live.contains(name(&revision.metadata))).collect();
        let keep = usize::try_from(spec.revision_history_limit.unwrap_or(10)).unwrap_or(usize::MAX);
        for revision in dead.iter().take(dead.len().saturating_sub(keep)) {
            let (namespace, name) = key_of(&revision.metadata);
            context.state.delete::<ControllerRevision>(&namespace, &name, &DeleteOptions::default())?;
        }
        Ok(())
    }
}
