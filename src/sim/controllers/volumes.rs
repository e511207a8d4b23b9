//! Claims for volumes: every one is met at once, with as much as it asks for.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use serde_json::json;

use super::{
    Context, Done,
    objects::{Key, is_deleting, uid},
};
use crate::sim::kinds;

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(claim) = context.view.claims.get(key) else { return Ok(None) };
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let (Some(spec), false, false) = (&claim.spec, bound, is_deleting(&claim.metadata)) else { return Ok(None) };
    if spec.volume_name.is_none() {
        // As the binder does it: the name of the volume may not be changed otherwise.
        let (Some(kind), (namespace, name)) = (kinds::of::<PersistentVolumeClaim>(), key) else { return Ok(None) };
        let Some(found) = context.state.object(kind, namespace, name) else { return Ok(None) };
        let mut object = serde_json::Value::clone(found);
        object["spec"]["volumeName"] = json!(format!("pvc-{}", uid(&claim.metadata)));
        context.state.put(kind, object);
        return Ok(None);
    }
    let mut changed = PersistentVolumeClaim::clone(&claim);
    changed.status = Some(PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes.clone(),
        capacity: spec.resources.as_ref().and_then(|resources| resources.requests.clone()),
        ..PersistentVolumeClaimStatus::default()
    });
    context.state.update_status(&changed)?;
    Ok(None)
}
