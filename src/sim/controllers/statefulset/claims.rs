//! The volumes of a set's pods: a claim for each template and pod, which outlives the pod.

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodSpec, Volume},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use super::{
    super::{
        Context,
        events::Note,
        objects::{key_of, name, owned_by},
    },
    NAME, number,
};
use crate::sim::Status;

fn called(template: &PersistentVolumeClaim, set: &str, number: i32) -> String {
    format!("{}-{set}-{number}", name(&template.metadata))
}

/// Whether claims go with the set, or with a pod that the set no longer wants.
fn goes(spec: &StatefulSetSpec) -> (bool, bool) {
    let policy = spec.persistent_volume_claim_retention_policy.as_ref();
    let delete = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
    (
        delete(policy.and_then(|policy| policy.when_deleted.as_ref())),
        delete(policy.and_then(|policy| policy.when_scaled.as_ref())),
    )
}

/// Creates the claims of a pod that are not there.
///
/// Refuses what the API refuses.
pub(super) fn make_missing(
    context: &mut Context<'_>,
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    number: i32,
) -> Result<(), Status> {
    let (namespace, own) = key_of(&set.metadata);
    for template in spec.volume_claim_templates.iter().flatten() {
        let claim_name = called(template, &own, number);
        if context.view.claims.get(&(namespace.clone(), claim_name.clone())).is_some() {
            continue;
        }
        let mut claim = template.clone();
        claim.status = None;
        claim.metadata.name = Some(claim_name.clone());
        claim.metadata.namespace = Some(namespace.clone());
        let labels = claim.metadata.labels.get_or_insert_default();
        labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
        if goes(spec).0 {
            claim.metadata.owner_references = Some(vec![owned_by(set)]);
        }
        match context.state.create(&claim) {
            Ok(_) => {
                let message = format!("create Claim {claim_name} Pod {own}-{number} in StatefulSet {own} success");
                context.note(set, Note::normal(NAME, "SuccessfulCreate", message));
            }
            Err(status) if status.is_already_exists() => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// Lets a pod have its claims as volumes.
pub(super) fn mount(pod: &mut PodSpec, spec: &StatefulSetSpec, set: &str, number: i32) {
    let templates = spec.volume_claim_templates.as_deref().unwrap_or_default();
    if templates.is_empty() {
        return;
    }
    let others = pod.volumes.take().unwrap_or_default().into_iter();
    let others = others.filter(|volume| templates.iter().all(|template| name(&template.metadata) != volume.name));
    let own = templates.iter().map(|template| Volume {
        name: name(&template.metadata).to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: called(template, set, number),
            read_only: None,
        }),
        ..Volume::default()
    });
    pod.volumes = Some(own.chain(others).collect());
}

/// A pod that is not wanted any more takes its claims along, where the set wants that.
///
/// Refuses what the API refuses.
pub(super) fn let_go(
    context: &mut Context<'_>,
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    pod: &Pod,
) -> Result<(), Status> {
    if !goes(spec).1 {
        return Ok(());
    }
    let (namespace, own) = key_of(&set.metadata);
    for template in spec.volume_claim_templates.iter().flatten() {
        let key = (namespace.clone(), called(template, &own, number(pod)));
        let Some(claim) = context.view.claims.get(&key) else { continue };
        let owner: OwnerReference = owned_by(pod);
        if claim.metadata.owner_references.as_deref() == Some(std::slice::from_ref(&owner)) {
            continue;
        }
        let mut changed = PersistentVolumeClaim::clone(&claim);
        changed.metadata.owner_references = Some(vec![owner]);
        context.state.update(&changed)?;
    }
    Ok(())
}
