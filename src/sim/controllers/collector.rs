//! Deletes what has lost its owners, and lets those go that wait for their dependents.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde_json::{Value, json};

use super::{
    Context, Done,
    graph::{FOREGROUND, Item, ORPHAN, Owner, Place},
};
use crate::sim::{
    KindInfo, Status, kinds,
    verbs::{self, Target, Write},
};

/// What is true of an owner.
enum Standing {
    /// It is there, or cannot be known: then nothing is done.
    Solid,
    /// It is gone, or was another object.
    Absent,
    /// It is there, and waits for this dependent.
    Waiting,
}

pub(super) fn reconcile(context: &mut Context<'_>, place: &Place) -> Done {
    let Some(item) = context.view.graph.item(place).cloned() else { return Ok(None) };
    if item.orphans {
        return release(context, place, &item);
    }
    if item.foreground {
        return dependents_first(context, place, &item);
    }
    if item.going || item.owners.is_empty() {
        return Ok(None);
    }
    let standing = |owner: &Owner| standing(context, place, owner);
    let (mut solid, mut waiting, mut leaving) = (false, false, Vec::new());
    for owner in &item.owners {
        match standing(owner) {
            Standing::Solid => solid = true,
            Standing::Absent => leaving.push(owner.uid.clone()),
            Standing::Waiting => {
                waiting = true;
                leaving.push(owner.uid.clone());
            }
        }
    }
    if leaving.is_empty() {
        return Ok(None);
    }
    if solid {
        change(context, place, |metadata| retain(metadata, "ownerReferences", |owner| !is_among(owner, &leaving)))?;
        return Ok(None);
    }
    // One that an owner waits for takes its own dependents along first.
    let in_turn = waiting && !context.view.graph.dependents(&item.uid).is_empty();
    delete(context, place, &item, if in_turn { "Foreground" } else { "Background" })
}

fn is_among(owner: &Value, uids: &[String]) -> bool {
    owner.get("uid").and_then(Value::as_str).is_some_and(|uid| uids.iter().any(|other| other == uid))
}

fn standing(context: &Context<'_>, (_, (namespace, _)): &Place, owner: &Owner) -> Standing {
    let Some(kind) = kinds::of_kind(&owner.group, &owner.kind) else { return Standing::Solid };
    let Some(place) = context.view.graph.place(&owner.uid) else { return Standing::Absent };
    let (storage, (owner_namespace, owner_name)) = place;
    let there =
        *storage == kind.storage && *owner_name == owner.name && (!kind.namespaced || owner_namespace == namespace);
    match context.view.graph.item(place) {
        Some(item) if there && item.foreground => Standing::Waiting,
        Some(_) if there => Standing::Solid,
        _ => Standing::Absent,
    }
}

/// Takes its name off its dependents, and then the finalizer off itself.
fn release(context: &mut Context<'_>, place: &Place, item: &Item) -> Done {
    let uids = [item.uid.clone()];
    for dependent in context.view.graph.dependents(&item.uid) {
        change(context, &dependent, |metadata| {
            retain(metadata, "ownerReferences", |owner| !is_among(owner, &uids));
        })?;
    }
    change(context, place, |metadata| retain(metadata, "finalizers", |name| name.as_str() != Some(ORPHAN)))?;
    Ok(None)
}

/// Deletes its dependents; when none is left that it waits for, takes the finalizer off it.
fn dependents_first(context: &mut Context<'_>, place: &Place, item: &Item) -> Done {
    let mut blocked = false;
    for dependent in context.view.graph.dependents(&item.uid) {
        let Some(found) = context.view.graph.item(&dependent).cloned() else { continue };
        blocked |= found.owners.iter().any(|owner| owner.uid == item.uid && owner.blocks);
        if !found.going {
            reconcile(context, &dependent)?;
        }
    }
    if !blocked {
        change(context, place, |metadata| retain(metadata, "finalizers", |name| name.as_str() != Some(FOREGROUND)))?;
    }
    Ok(None)
}

fn delete(context: &mut Context<'_>, place: &Place, item: &Item, propagation: &str) -> Done {
    let Some(kind) = kind_at(place) else { return Ok(None) };
    let (_, (namespace, name)) = place;
    let target = Target { kind, namespace, name, subresource: None };
    let finalizers = |wanted: &str| {
        let object = context.state.object(kind, namespace, name);
        let names = object.and_then(|object| object["metadata"].get("finalizers")).and_then(Value::as_array);
        names.into_iter().flatten().any(|finalizer| finalizer.as_str() == Some(wanted))
    };
    let propagation = match () {
        () if finalizers(ORPHAN) => "Orphan",
        () if finalizers(FOREGROUND) => "Foreground",
        () => propagation,
    };
    let options = DeleteOptions {
        propagation_policy: Some(propagation.to_owned()),
        preconditions: Some(Preconditions { uid: Some(item.uid.clone()), resource_version: None }),
        ..DeleteOptions::default()
    };
    match verbs::delete(context.state, &target, &options, false) {
        Err(status) if !status.is_not_found() => Err(status),
        _ => Ok(None),
    }
}

fn kind_at((storage, _): &Place) -> Option<&'static KindInfo> {
    kinds::all().iter().find(|kind| kind.storage == *storage)
}

/// Changes the metadata of an object, if it is still there.
fn change(context: &mut Context<'_>, place: &Place, change: impl FnOnce(&mut Value)) -> Result<(), Status> {
    let Some(kind) = kind_at(place) else { return Ok(()) };
    let (_, (namespace, name)) = place;
    let Some(found) = context.state.object(kind, namespace, name) else { return Ok(()) };
    let mut object = Value::clone(found);
    change(&mut object["metadata"]);
    let target = Target { kind, namespace, name, subresource: None };
    verbs::update(context.state, &target, object, &Write::by("kube-controller-manager")).map(drop)
}

/// Keeps of a list in the metadata what is to be kept; an empty one goes.
fn retain(metadata: &mut Value, list: &str, keep: impl Fn(&Value) -> bool) {
    let Some(fields) = metadata.as_object_mut() else { return };
    let left: Vec<Value> =
        fields.get(list).and_then(Value::as_array).into_iter().flatten().filter(|item| keep(item)).cloned().collect();
    if left.is_empty() {
        fields.remove(list);
    } else {
        fields.insert(list.to_owned(), json!(left));
    }
}
