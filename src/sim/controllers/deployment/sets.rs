//! The ReplicaSets of a Deployment: which one is of the current template, their revisions, and their sizes.

use std::{cmp::Reverse, sync::Arc};

use k8s_openapi::{
    api::apps::v1::{ReplicaSet, ReplicaSetSpec},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta},
};

use super::{
    super::{
        events::Note,
        objects::{Labels, TEMPLATE_HASH, created, hash, is_deleting, key_of, name, owned_by, same_template, uid},
        replicas::is_namespace_going,
    },
    NAME, Work, available, size, sum, why,
};
use crate::sim::Status;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// What is not copied from a Deployment to its ReplicaSets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
    "deprecated.deployment.rollback.to",
];

fn revision(set: &ReplicaSet) -> i64 {
    let annotations = set.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(REVISION)).and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn annotated(set: &ReplicaSet, name: &str) -> Option<i32> {
    set.metadata.annotations.as_ref()?.get(name)?.parse().ok()
}

/// The order of age.
fn age(set: &ReplicaSet) -> (Option<jiff::Timestamp>, String) {
    (created(&set.metadata), name(&set.metadata).to_owned())
}

impl Work<'_, '_> {
    /// Tells the ReplicaSet of the current template, the oldest one if there are several, from the others.
    pub(super) fn sort(&mut self, sets: &[Arc<ReplicaSet>]) {
        let mut sets: Vec<ReplicaSet> = sets.iter().map(|set| ReplicaSet::clone(set)).collect();
        sets.sort_by_key(age);
        let current = sets.iter().position(|set| {
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template.is_some_and(|template| same_template(template, &self.spec.template))
        });
        self.new = current.map(|at| sets.remove(at));
        self.old = sets;
    }

    /// The new ReplicaSet says what the Deployment says, and both have the newest revision.
    pub(super) fn follow_revision(&mut self) -> Result<(), Status> {
        let next = self.next_revision();
        let Some(new) = &self.new else { return Ok(()) };
        let mut set = new.clone();
        let mut annotations = set.metadata.annotations.take().unwrap_or_default();
        self.annotate(&mut annotations, next);
        set.metadata.annotations = Some(annotations);
        if let Some(spec) = &mut set.spec {
            spec.min_ready_seconds = self.spec.min_ready_seconds;
        }
        let changed = set != *new;
        if changed {
            set = self.context.state.update(&set)?;
        }
        let revision = revision(&set);
        self.new = Some(set);
        self.set_revision(revision);
        self.found_new();
        Ok(())
    }

    fn next_revision(&self) -> i64 {
        self.old.iter().map(revision).max().unwrap_or_default() + 1
    }

    fn set_revision(&mut self, revision: i64) {
        let annotations = self.deployment.metadata.annotations.get_or_insert_default();
        annotations.insert(REVISION.to_owned(), revision.to_string());
    }

    /// Copies the Deployment's annotations to a ReplicaSet's, and gives it the revision if that is newer.
    fn annotate(&self, annotations: &mut Labels, next: i64) {
        for (key, value) in self.deployment.metadata.annotations.iter().flatten() {
            if !OWN.contains(&key.as_str()) {
                annotations.insert(key.clone(), value.clone());
            }
        }
        let before = annotations.get(REVISION).cloned();
        let number = before.as_deref().and_then(|number| number.parse::<i64>().ok()).unwrap_or_default();
        if number < next {
            annotations.insert(REVISION.to_owned(), next.to_string());
            if let Some(before) = before {
                let history = annotations.get(HISTORY).filter(|history| !history.is_empty());
                let history = history.map_or_else(|| before.clone(), |history| format!("{history},{before}"));
                annotations.insert(HISTORY.to_owned(), history);
            }
        }
    }

    /// Creates the ReplicaSet of the current template, unless there is one.
    pub(super) fn make_new(&mut self) -> Result<(), Status> {
        if self.new.is_some() {
            return Ok(());
        }
        let next = self.next_revision();
        let collisions = self.deployment.status.as_ref().and_then(|status| status.collision_count);
        let hash = hash(&self.spec.template, collisions);
        let mut template = self.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(TEMPLATE_HASH.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(TEMPLATE_HASH.to_owned(), hash.clone());
        let (namespace, own_name) = key_of(&self.deployment.metadata);
        let mut annotations = Labels::new();
        self.annotate(&mut annotations, next);
        let (surge, _) = self.fences();
        annotations.insert(DESIRED.to_owned(), self.replicas.to_string());
        annotations.insert(MOST.to_owned(), (self.replicas + surge).to_string());
        let replicas = self.new_size(0);
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{own_name}-{hash}")),
                namespace: Some(namespace),
                labels: Some(labels),
                annotations: Some(annotations),
                owner_references: Some(vec![owned_by(&self.deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        match self.context.state.create(&set) {
            Ok(set) => {
                if replicas > 0 {
                    self.scaled("up", &set, 0, replicas);
                }
                self.set_revision(next);
                self.created_new(name(&set.metadata));
                self.new = Some(set);
                Ok(())
            }
            Err(status) if status.is_already_exists() => {
                let counted = self.deployment.status.get_or_insert_default();
                counted.collision_count = Some(counted.collision_count.unwrap_or_default() + 1);
                Err(status)
            }
            Err(status) => {
                if !is_namespace_going(&status) {
                    let message =
                        format!("Failed to create new replica set {:?}: {}", name(&set.metadata), why(&status));
                    self.not_created(&message);
                    self.context.note(&self.deployment, Note::warning(NAME, "ReplicaSetCreateError", message));
                }
                Err(status)
            }
        }
    }

    /// How many pods the new ReplicaSet may have now, when it has that many.
    pub(super) fn new_size(&self, has: i32) -> i32 {
        if self.is_recreate() {
            return self.replicas;
        }
        let room = self.replicas + self.fences().0 - sum(self.all(), size);
        if room <= 0 { has } else { has + room.min(self.replicas - has) }
    }

    /// Whether the Deployment was scaled since its ReplicaSets were.
    pub(super) fn is_scaling(&self) -> bool {
        let mut active = self.all().filter(|set| size(set) > 0);
        active.any(|set| annotated(set, DESIRED).is_some_and(|desired| desired != self.replicas))
    }

    /// Gives a ReplicaSet another size, and says so; whether it had another one.
    pub(super) fn resize(&mut self, set: &mut ReplicaSet, to: i32) -> Result<bool, Status> {
        let from = size(set);
        let mut changed = set.clone();
        if let Some(spec) = &mut changed.spec {
            spec.replicas = Some(to);
        }
        let (surge, _) = self.fences();
        let annotations = changed.metadata.annotations.get_or_insert_default();
        annotations.insert(DESIRED.to_owned(), self.replicas.to_string());
        annotations.insert(MOST.to_owned(), (self.replicas + surge).to_string());
        if changed != *set {
            *set = self.context.state.update(&changed)?;
        }
        if from != to {
            self.scaled(if from < to { "up" } else { "down" }, set, from, to);
        }
        Ok(from != to)
    }

    fn scaled(&mut self, way: &str, set: &ReplicaSet, from: i32, to: i32) {
        let message = format!("Scaled {way} replica set {} from {from} to {to}", name(&set.metadata));
        self.context.note(&self.deployment, Note::normal(NAME, "ScalingReplicaSet", message));
    }

    /// Resizes the new ReplicaSet, or an old one by its place.
    pub(super) fn resize_at(&mut self, at: Option<usize>, to: i32) -> Result<bool, Status> {
        let found = match at {
            Some(at) => self.old.get(at).cloned(),
            None => self.new.clone(),
        };
        let Some(mut set) = found else { return Ok(false) };
        let changed = self.resize(&mut set, to)?;
        match at {
            Some(at) => self.old[at] = set,
            None => self.new = Some(set),
        }
        Ok(changed)
    }

    /// Follows a change of the number of pods without a rollout: all ReplicaSets that have pods get their share.
    pub(super) fn scale(&mut self) -> Result<(), Status> {
        let active: Vec<Option<usize>> =
            self.places().filter(|at| self.at(*at).is_some_and(|set| size(set) > 0)).collect();
        if let [] | [_] = active.as_slice() {
            let only = active.first().copied().or_else(|| self.places().last());
            let Some(only) = only else { return Ok(()) };
            if self.at(only).is_some_and(|set| size(set) != self.replicas) {
                self.resize_at(only, self.replicas)?;
            }
            return Ok(());
        }
        if self.is_saturated() {
            for at in active.into_iter().flatten() {
                self.resize_at(Some(at), 0)?;
            }
            return Ok(());
        }
        if self.is_recreate() { Ok(()) } else { self.share_out(active) }
    }

    /// The places of the ReplicaSets, oldest first, the new one last.
    fn places(&self) -> impl Iterator<Item = Option<usize>> + use<> {
        let new = self.new.is_some().then_some(None);
        (0..self.old.len()).map(Some).chain(new)
    }

    fn at(&self, at: Option<usize>) -> Option<&ReplicaSet> {
        at.map_or(self.new.as_ref(), |at| self.old.get(at))
    }

    fn is_saturated(&self) -> bool {
        self.new.as_ref().is_some_and(|new| {
            size(new) == self.replicas
                && annotated(new, DESIRED) == Some(self.replicas)
                && available(new) == self.replicas
        })
    }

    /// In the middle of a rollout: the larger a ReplicaSet, the more of the difference is its own.
    fn share_out(&mut self, mut active: Vec<Option<usize>>) -> Result<(), Status> {
        let allowed = if self.replicas > 0 { self.replicas + self.fences().0 } else { 0 };
        let sizes = |at: &Option<usize>| self.at(*at).map(size).unwrap_or_default();
        let to_add = allowed - active.iter().map(sizes).sum::<i32>();
        let age_of = |at: &Option<usize>| self.at(*at).map(age);
        if to_add > 0 {
            active.sort_by_key(|at| (Reverse(sizes(at)), Reverse(age_of(at))));
        } else {
            active.sort_by_key(|at| (Reverse(sizes(at)), age_of(at)));
        }
        let mut added = 0;
        let mut targets = Vec::new();
        for at in active {
            let Some(set) = self.at(at) else { continue };
            let has = size(set);
            let mut share = 0;
            if to_add != 0 && to_add != added {
                let fraction = self.fraction(set, allowed);
                let left = to_add - added;
                share = if to_add > 0 { fraction.min(left) } else { fraction.max(left) };
            }
            added += share;
            targets.push((at, has + share));
        }
        if let Some((_, first)) = targets.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (at, target) in targets {
            self.resize_at(at, target)?;
        }
        Ok(())
    }

    /// By how much a ReplicaSet would grow if it grew as the Deployment does.
    fn fraction(&self, set: &ReplicaSet, allowed: i32) -> i32 {
        let has = size(set);
        if self.replicas == 0 {
            return -has;
        }
        let status = || self.deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or_default();
        let before = annotated(set, MOST).filter(|most| *most != 0).unwrap_or_else(status);
        if before == 0 {
            return 0;
        }
        let grown = i64::from(has) * i64::from(allowed);
        // Rounded to the nearest, halves away from zero; all of these are positive.
        let rounded = (2 * grown + i64::from(before)) / (2 * i64::from(before));
        i32::try_from(rounded).unwrap_or(i32::MAX) - has
    }

    /// Deletes old ReplicaSets without pods, but for the newest of them.
    pub(super) fn clean_up(&mut self) -> Result<(), Status> {
        let Some(keep) = self.spec.revision_history_limit.filter(|keep| *keep != i32::MAX) else { return Ok(()) };
        let mut old: Vec<&ReplicaSet> = self.old.iter().filter(|set| !is_deleting(&set.metadata)).collect();
        old.sort_by_key(|set| (revision(set), age(set)));
        let surplus = old.len().saturating_sub(usize::try_from(keep).unwrap_or_default());
        let gone: Vec<_> = old
            .into_iter()
            .take(surplus)
            .filter(|set| {
                let status = set.status.clone().unwrap_or_default();
                size(set) == 0 && status.replicas == 0 && status.observed_generation >= set.metadata.generation
            })
            .map(|set| (key_of(&set.metadata), uid(&set.metadata).to_owned()))
            .collect();
        for ((namespace, name), uid) in gone {
            match self.context.state.delete::<ReplicaSet>(&namespace, &name, &DeleteOptions::default()) {
                Err(status) if !status.is_not_found() => return Err(status),
                _ => self.old.retain(|set| set.metadata.uid.as_deref() != Some(&uid)),
            }
        }
        Ok(())
    }
}
