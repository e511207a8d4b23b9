//! What is applied to the cluster: the sample application and the shipped policy, and what is changed in them here.

use anyhow::{Context, anyhow};
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind, TypeMeta},
};
use serde_json::{Value, json};

use super::OWN_NAMESPACE;

/// The application, as `kubectl apply -k k8s/samples` brings it.
const APP: &str = include_str!("../../../../k8s/samples/demo-app.yaml");
/// The policy for its leak, as it ships.
const LEAK_POLICY: &str = include_str!("../../../../policies/restart-leaking-app.yaml");
/// A policy for crashes that a restart of the container does not cure.
const CRASH_POLICY: &str = include_str!("../assets/restart-crash-looping.yaml");

/// What is different from what ships, in words.
pub const CHANGES: &str = "mode DryRun -> Enforce, cooldown 10m -> 12s, stableFor 1m -> 4s";

/// The namespaces, the application and the shipped policy, which acts here, and sooner than it ships.
pub fn leak() -> anyhow::Result<Vec<Value>> {
    let mut policy = one(LEAK_POLICY)?;
    let spec = policy.get_mut("spec").ok_or_else(|| anyhow!("the policy has no spec"))?;
    merge(spec, &json!({ "mode": "Enforce", "limits": { "cooldown": "12s" } }));
    for step in spec.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten() {
        merge(step, &json!({ "verify": { "within": "30s", "stableFor": "4s" } }));
    }
    all(policy, |_| {})
}

/// The same with an application that has a scratch directory, and a policy for its crashes.
pub fn crash_loop() -> anyhow::Result<Vec<Value>> {
    all(one(CRASH_POLICY)?, |deployment| {
        let pod = &mut deployment["spec"]["template"]["spec"];
        pod["volumes"] = json!([{ "name": "scratch", "emptyDir": {} }]);
        pod["containers"][0]["volumeMounts"] = json!([{ "name": "scratch", "mountPath": "/scratch" }]);
        if let Some(env) = pod["containers"][0]["env"].as_array_mut() {
            env.push(json!({ "name": "DEMO_SCRATCH", "value": "/scratch" }));
        }
    })
}

fn all(policy: Value, change: impl Fn(&mut Value)) -> anyhow::Result<Vec<Value>> {
    let own = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": OWN_NAMESPACE } });
    let mut objects = vec![own];
    for mut object in documents(APP)? {
        if object["kind"] == "Deployment" {
            change(&mut object);
        }
        objects.push(object);
    }
    objects.push(policy);
    Ok(objects)
}

fn documents(yaml: &str) -> anyhow::Result<Vec<Value>> {
    serde_saphyr::from_multiple(yaml).context("a shipped manifest")
}

fn one(yaml: &str) -> anyhow::Result<Value> {
    documents(yaml)?.into_iter().next().ok_or_else(|| anyhow!("a shipped policy is empty"))
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Creates them, in that order.
pub async fn apply(client: &Client, objects: &[Value]) -> anyhow::Result<()> {
    for object in objects {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let TypeMeta { api_version, kind } = object.types.clone().ok_or_else(|| anyhow!("an object without a kind"))?;
        let kind = match api_version.split_once('/') {
            Some((group, version)) => GroupVersionKind::gvk(group, version, &kind),
            None => GroupVersionKind::gvk("", &api_version, &kind),
        };
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let name = object.metadata.name.clone().unwrap_or_default();
        let created = api.create(&PostParams::default(), &object).await;
        created.with_context(|| format!("{} {name} was not created", kind.kind))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Mode, RemediationPolicy};

    fn policy(objects: &[Value]) -> RemediationPolicy {
        serde_json::from_value(objects.last().unwrap().clone()).unwrap()
    }

    #[test]
    fn what_is_said_to_be_changed_is_what_is_changed() {
        let (shipped, here) = (one(LEAK_POLICY).unwrap(), leak().unwrap());
        let shipped: RemediationPolicy = serde_json::from_value(shipped).unwrap();
        let here = policy(&here);
        let said = format!(
            "mode {:?} -> {:?}, cooldown {} -> {}, stableFor {} -> {}",
            shipped.spec.mode,
            here.spec.mode,
            shipped.spec.limits.cooldown.unwrap(),
            here.spec.limits.cooldown.unwrap(),
            shipped.spec.steps[0].verify.stable_for,
            here.spec.steps[0].verify.stable_for
        );
        assert_eq!(said, CHANGES);
        assert_eq!(here.spec.matchers, shipped.spec.matchers);
        assert_eq!(here.spec.limits.min_available, shipped.spec.limits.min_available);
    }

    #[test]
    fn the_application_that_crashes_has_something_to_break() {
        let objects = crash_loop().unwrap();
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["name"], pod["containers"][0]["volumeMounts"][0]["name"]);
        assert_eq!(policy(&objects).spec.mode, Mode::Enforce);
    }
}
