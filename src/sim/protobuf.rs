//! What kubectl sends when it knows a type: protobuf, and nothing else.
//!
//! `kubectl create namespace`, `drain` and `auth can-i` write so; reading, applying and patching is JSON. k8s-openapi's types
//! do not know protobuf, so a table says which field has which number, for what such commands create. A field that it does
//! not have must be empty.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The type of such a body.
pub(super) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Type, and its fields: number, name, and what it is where it is not text. `*` is a list, `+` a part whose fields are the
/// type's own.
const TYPES: &str = "
Capabilities: 1 add *, 2 drop *
ConfigMap: 1 metadata ObjectMeta, 4 immutable bool, 2 data map, 3 binaryData bytemap
ConfigMapEnvSource: 1 localObjectReference +LocalObjectReference, 2 optional bool
ConfigMapKeySelector: 1 localObjectReference +LocalObjectReference, 2 key, 3 optional bool
ConfigMapVolumeSource: 1 localObjectReference +LocalObjectReference, 2 items *KeyToPath, 3 defaultMode int, 4 \
  optional bool
Container: 1 name, 2 image, 3 command *, 4 args *, 5 workingDir, 6 ports *ContainerPort, 19 envFrom *EnvFromSource, \
  7 env *EnvVar, 8 resources ResourceRequirements, 24 restartPolicy, 9 volumeMounts *VolumeMount, 10 livenessProbe \
  Probe, 11 readinessProbe Probe, 22 startupProbe Probe, 12 lifecycle Lifecycle, 13 terminationMessagePath, 20 \
  terminationMessagePolicy, 14 imagePullPolicy, 15 securityContext SecurityContext, 16 stdin bool, 17 stdinOnce \
  bool, 18 tty bool
ContainerPort: 1 name, 2 hostPort int, 3 containerPort int, 4 protocol, 5 hostIP
CronJob: 1 metadata ObjectMeta, 2 spec CronJobSpec
CronJobSpec: 1 schedule, 8 timeZone, 2 startingDeadlineSeconds int, 3 concurrencyPolicy, 4 suspend bool, 5 \
  jobTemplate JobTemplateSpec, 6 successfulJobsHistoryLimit int, 7 failedJobsHistoryLimit int
DeleteOptions: 1 gracePeriodSeconds int, 2 preconditions Preconditions, 3 orphanDependents bool, 4 \
  propagationPolicy, 5 dryRun *, 6 ignoreStoreReadErrorWithClusterBreakingPotential bool
Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec
DeploymentSpec: 1 replicas int, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, \
  5 minReadySeconds int, 6 revisionHistoryLimit int, 7 paused bool, 9 progressDeadlineSeconds int
DeploymentStrategy: 1 type, 2 rollingUpdate RollingUpdateDeployment
EmptyDirVolumeSource: 1 medium, 2 sizeLimit quantity
EnvFromSource: 1 prefix, 2 configMapRef ConfigMapEnvSource, 3 secretRef SecretEnvSource
EnvVar: 1 name, 2 value, 3 valueFrom EnvVarSource
EnvVarSource: 1 fieldRef ObjectFieldSelector, 2 resourceFieldRef ResourceFieldSelector, 3 configMapKeyRef \
  ConfigMapKeySelector, 4 secretKeyRef SecretKeySelector
Eviction: 1 metadata ObjectMeta, 2 deleteOptions DeleteOptions
ExecAction: 1 command *
GRPCAction: 1 port int, 2 service
HTTPGetAction: 1 path, 2 port either, 3 host, 4 scheme, 5 httpHeaders *HTTPHeader
HTTPHeader: 1 name, 2 value
HostAlias: 1 ip, 2 hostnames *
HostPathVolumeSource: 1 path, 2 type
Job: 1 metadata ObjectMeta, 2 spec JobSpec
JobSpec: 1 parallelism int, 2 completions int, 3 activeDeadlineSeconds int, 7 backoffLimit int, 12 \
  backoffLimitPerIndex int, 13 maxFailedIndexes int, 4 selector LabelSelector, 5 manualSelector bool, 6 template \
  PodTemplateSpec, 8 ttlSecondsAfterFinished int, 9 completionMode, 10 suspend bool, 14 podReplacementPolicy, 15 \
  managedBy
JobTemplateSpec: 1 metadata ObjectMeta, 2 spec JobSpec
KeyToPath: 1 key, 2 path, 3 mode int
LabelSelector: 1 matchLabels map, 2 matchExpressions *LabelSelectorRequirement
LabelSelectorRequirement: 1 key, 2 operator, 3 values *
Lease: 1 metadata ObjectMeta, 2 spec LeaseSpec
LeaseSpec: 1 holderIdentity, 2 leaseDurationSeconds int, 3 acquireTime time, 4 renewTime time, 5 leaseTransitions \
  int, 6 strategy, 7 preferredHolder
Lifecycle: 1 postStart LifecycleHandler, 2 preStop LifecycleHandler, 3 stopSignal
LifecycleHandler: 1 exec ExecAction, 2 httpGet HTTPGetAction, 3 tcpSocket TCPSocketAction, 4 sleep SleepAction
LocalObjectReference: 1 name
Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec
NamespaceSpec: 1 finalizers *
NonResourceAttributes: 1 path, 2 verb
ObjectFieldSelector: 1 apiVersion, 2 fieldPath
ObjectMeta: 1 name, 2 generateName, 3 namespace, 4 selfLink, 5 uid, 6 resourceVersion, 7 generation int, 8 \
  creationTimestamp time, 9 deletionTimestamp time, 10 deletionGracePeriodSeconds int, 11 labels map, 12 annotations \
  map, 13 ownerReferences *OwnerReference, 14 finalizers *
ObjectReference: 1 kind, 2 namespace, 3 name, 4 uid, 5 apiVersion, 6 resourceVersion, 7 fieldPath
OwnerReference: 5 apiVersion, 1 kind, 3 name, 4 uid, 6 controller bool, 7 blockOwnerDeletion bool
PersistentVolumeClaimVolumeSource: 1 claimName, 2 readOnly bool
Pod: 1 metadata ObjectMeta, 2 spec PodSpec
PodDisruptionBudget: 1 metadata ObjectMeta, 2 spec PodDisruptionBudgetSpec
PodDisruptionBudgetSpec: 1 minAvailable either, 2 selector LabelSelector, 3 maxUnavailable either, 4 \
  unhealthyPodEvictionPolicy
PodReadinessGate: 1 conditionType
PodSecurityContext: 1 seLinuxOptions SELinuxOptions, 2 runAsUser int, 6 runAsGroup int, 3 runAsNonRoot bool, 4 \
  supplementalGroups *int, 12 supplementalGroupsPolicy, 5 fsGroup int, 9 fsGroupChangePolicy, 10 seccompProfile \
  SeccompProfile, 13 seLinuxChangePolicy
PodSpec: 1 volumes *Volume, 20 initContainers *Container, 2 containers *Container, 3 restartPolicy, 4 \
  terminationGracePeriodSeconds int, 5 activeDeadlineSeconds int, 6 dnsPolicy, 7 nodeSelector map, 8 \
  serviceAccountName, 9 serviceAccount, 21 automountServiceAccountToken bool, 10 nodeName, 11 hostNetwork bool, 12 \
  hostPID bool, 13 hostIPC bool, 27 shareProcessNamespace bool, 14 securityContext PodSecurityContext, 15 \
  imagePullSecrets *LocalObjectReference, 16 hostname, 17 subdomain, 19 schedulerName, 22 tolerations *Toleration, \
  23 hostAliases *HostAlias, 24 priorityClassName, 25 priority int, 28 readinessGates *PodReadinessGate, 29 \
  runtimeClassName, 30 enableServiceLinks bool, 31 preemptionPolicy, 32 overhead quantities, 33 \
  topologySpreadConstraints *TopologySpreadConstraint, 35 setHostnameAsFQDN bool, 37 hostUsers bool, 40 resources \
  ResourceRequirements, 41 hostnameOverride
PodTemplateSpec: 1 metadata ObjectMeta, 2 spec PodSpec
Preconditions: 1 uid, 2 resourceVersion
Probe: 1 handler +ProbeHandler, 2 initialDelaySeconds int, 3 timeoutSeconds int, 4 periodSeconds int, 5 \
  successThreshold int, 6 failureThreshold int, 7 terminationGracePeriodSeconds int
ProbeHandler: 1 exec ExecAction, 2 httpGet HTTPGetAction, 3 tcpSocket TCPSocketAction, 4 grpc GRPCAction
ResourceAttributes: 1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name
ResourceFieldSelector: 1 containerName, 2 resource, 3 divisor quantity
ResourceRequirements: 1 limits quantities, 2 requests quantities
RollingUpdateDeployment: 1 maxUnavailable either, 2 maxSurge either
SELinuxOptions: 1 user, 2 role, 3 type, 4 level
SeccompProfile: 1 type, 2 localhostProfile
Secret: 1 metadata ObjectMeta, 5 immutable bool, 2 data bytemap, 4 stringData map, 3 type
SecretEnvSource: 1 localObjectReference +LocalObjectReference, 2 optional bool
SecretKeySelector: 1 localObjectReference +LocalObjectReference, 2 key, 3 optional bool
SecretVolumeSource: 1 secretName, 2 items *KeyToPath, 3 defaultMode int, 4 optional bool
SecurityContext: 1 capabilities Capabilities, 2 privileged bool, 3 seLinuxOptions SELinuxOptions, 4 runAsUser int, 8 \
  runAsGroup int, 5 runAsNonRoot bool, 6 readOnlyRootFilesystem bool, 7 allowPrivilegeEscalation bool, 9 procMount, \
  11 seccompProfile SeccompProfile
SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SelfSubjectAccessReviewSpec
SelfSubjectAccessReviewSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes
SelfSubjectReview: 1 metadata ObjectMeta
Service: 1 metadata ObjectMeta, 2 spec ServiceSpec
ServiceAccount: 1 metadata ObjectMeta, 2 secrets *ObjectReference, 3 imagePullSecrets *LocalObjectReference, 4 \
  automountServiceAccountToken bool
ServicePort: 1 name, 2 protocol, 6 appProtocol, 3 port int, 4 targetPort either, 5 nodePort int
ServiceSpec: 1 ports *ServicePort, 2 selector map, 3 clusterIP, 18 clusterIPs *, 4 type, 5 externalIPs *, 7 \
  sessionAffinity, 8 loadBalancerIP, 9 loadBalancerSourceRanges *, 10 externalName, 11 externalTrafficPolicy, 12 \
  healthCheckNodePort int, 13 publishNotReadyAddresses bool, 19 ipFamilies *, 17 ipFamilyPolicy, 20 \
  allocateLoadBalancerNodePorts bool, 21 loadBalancerClass, 22 internalTrafficPolicy, 23 trafficDistribution
SleepAction: 1 seconds int
TCPSocketAction: 1 port either, 2 host
Toleration: 1 key, 2 operator, 3 value, 4 effect, 5 tolerationSeconds int
TopologySpreadConstraint: 1 maxSkew int, 2 topologyKey, 3 whenUnsatisfiable, 4 labelSelector LabelSelector, 5 \
  minDomains int, 6 nodeAffinityPolicy, 7 nodeTaintsPolicy, 8 matchLabelKeys *
Volume: 1 name, 2 volumeSource +VolumeSource
VolumeMount: 1 name, 2 readOnly bool, 7 recursiveReadOnly, 3 mountPath, 4 subPath, 5 mountPropagation, 6 subPathExpr
VolumeSource: 1 hostPath HostPathVolumeSource, 2 emptyDir EmptyDirVolumeSource, 6 secret SecretVolumeSource, 10 \
  persistentVolumeClaim PersistentVolumeClaimVolumeSource, 19 configMap ConfigMapVolumeSource
";

/// A zero or a false that was said, where for other fields it stands for nothing.
const SAID: &[&str] = &[
    "replicas",
    "parallelism",
    "completions",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "gracePeriodSeconds",
    "terminationGracePeriodSeconds",
    "revisionHistoryLimit",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "seconds",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "runAsNonRoot",
    "allowPrivilegeEscalation",
    "readOnlyRootFilesystem",
    "orphanDependents",
    "tolerationSeconds",
];

#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    of: &'static str,
}

type Types = BTreeMap<&'static str, BTreeMap<u64, Field>>;

static FIELDS: LazyLock<Types> = LazyLock::new(|| {
    let mut types = Types::new();
    for (name, fields) in TYPES.lines().filter_map(|line| line.split_once(": ")) {
        for field in fields.split(',') {
            let mut words = field.split_whitespace();
            let number = words.next().and_then(|number| number.parse().ok());
            if let (Some(number), Some(field)) = (number, words.next()) {
                types
                    .entry(name)
                    .or_default()
                    .insert(number, Field { name: field, of: words.next().unwrap_or("text") });
            }
        }
    }
    types
});

/// The object that such a body holds.
///
/// Refuses, and says why: what is no such body, a type that is not in the table, and a field that is not.
pub(super) fn read(body: &[u8]) -> Result<Value, String> {
    let envelope = body.strip_prefix(b"k8s\0").ok_or("it does not begin as protobuf of Kubernetes does")?;
    let (mut named, mut raw) = (Map::new(), &[][..]);
    for part in parts(envelope) {
        match part? {
            (1, Part::Bytes(bytes)) => {
                for part in parts(bytes) {
                    match part? {
                        (1, Part::Bytes(text)) => named.insert("apiVersion".to_owned(), self::text(text)?),
                        (2, Part::Bytes(text)) => named.insert("kind".to_owned(), self::text(text)?),
                        _ => None,
                    };
                }
            }
            (2, Part::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let kind = named.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut object = self::object(&kind, raw)?;
    object.extend(named);
    Ok(Value::Object(object))
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Part<'_> {
    fn is_empty(self) -> bool {
        match self {
            Self::Number(number) => number == 0,
            // A message of nothing but nothing.
            Self::Bytes(bytes) => {
                bytes.is_empty() || parts(bytes).all(|part| part.is_ok_and(|(_, part)| part.is_empty()))
            }
        }
    }
}

/// The fields of a message, in their order.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Part<'_>), String>> {
    std::iter::from_fn(move || {
        (!bytes.is_empty()).then(|| {
            part(&mut bytes).ok_or_else(|| {
                bytes = &[];
                "it ends in the middle of a field".to_owned()
            })
        })
    })
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Part<'a>)> {
    let tag = number(bytes)?;
    let part = match tag & 7 {
        0 => Part::Number(number(bytes)?),
        1 => Part::Bytes(bytes.split_off(..8)?),
        2 => {
            let length = usize::try_from(number(bytes)?).ok()?;
            Part::Bytes(bytes.split_off(..length)?)
        }
        5 => Part::Bytes(bytes.split_off(..4)?),
        _ => return None,
    };
    Some((tag >> 3, part))
}

/// A number in as many bytes as it needs, seven bits each.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn text(bytes: &[u8]) -> Result<Value, String> {
    std::str::from_utf8(bytes).map(Value::from).map_err(|_| "a text is not UTF-8".to_owned())
}

fn object(of: &str, bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let known = FIELDS.get(of).ok_or_else(|| format!("{of} is not known as protobuf"))?;
    let mut object = Map::new();
    for part in parts(bytes) {
        let (number, part) = part?;
        let Some(field) = known.get(&number) else {
            if part.is_empty() {
                continue;
            }
            return Err(format!("field {number} of {of} is not known as protobuf"));
        };
        if let Some(within) = field.of.strip_prefix('+') {
            if let Part::Bytes(bytes) = part {
                object.extend(self::object(within, bytes)?);
            }
            continue;
        }
        if let Some(of) = field.of.strip_prefix('*') {
            let item = value(Field { of: if of.is_empty() { "text" } else { of }, ..*field }, part)?;
            let list = object.entry(field.name).or_insert_with(|| json!([]));
            list.as_array_mut().into_iter().for_each(|list| list.push(item.clone()));
            continue;
        }
        if matches!(field.of, "map" | "bytemap" | "quantities") {
            let (key, item) = pair(field.of, part)?;
            object.entry(field.name).or_insert_with(|| json!({}))[key] = item;
            continue;
        }
        let value = value(*field, part)?;
        let nothing = value.is_null() || value == "" || value == 0 || value == false;
        if !nothing || (SAID.contains(&field.name) && !value.is_null()) {
            object.insert(field.name.to_owned(), value);
        }
    }
    Ok(object)
}

fn value(field: Field, part: Part<'_>) -> Result<Value, String> {
    match (field.of, part) {
        // A number is the two's complement of a signed one.
        ("int", Part::Number(number)) => Ok(Value::from(number.cast_signed())),
        ("bool", Part::Number(number)) => Ok(Value::from(number != 0)),
        ("text", Part::Bytes(bytes)) => text(bytes),
        ("bytes", Part::Bytes(bytes)) => Ok(Value::from(BASE64_STANDARD.encode(bytes))),
        ("time", Part::Bytes(bytes)) => time(bytes),
        ("quantity", Part::Bytes(bytes)) => match parts(bytes).next().transpose()? {
            Some((1, Part::Bytes(quantity))) => text(quantity),
            _ => Ok(Value::Null),
        },
        ("either", Part::Bytes(bytes)) => either(bytes),
        (of, Part::Bytes(bytes)) => object(of, bytes).map(Value::Object),
        (of, Part::Number(_)) => Err(format!("{} is a number, and not of {of}", field.name)),
    }
}

/// An entry of a map.
fn pair(of: &str, part: Part<'_>) -> Result<(String, Value), String> {
    let Part::Bytes(bytes) = part else { return Err("an entry of a map is a number".to_owned()) };
    let (mut key, mut value) = (json!(""), json!(""));
    for part in parts(bytes) {
        match part? {
            (1, Part::Bytes(bytes)) => key = text(bytes)?,
            (2, part) => {
                let of = match of {
                    "bytemap" => "bytes",
                    "quantities" => "quantity",
                    _ => "text",
                };
                value = self::value(Field { name: "value", of }, part)?;
            }
            _ => {}
        }
    }
    Ok((key.as_str().unwrap_or_default().to_owned(), value))
}

/// Seconds and nanoseconds; nothing stands for no time.
fn time(bytes: &[u8]) -> Result<Value, String> {
    let (mut seconds, mut nanos) = (0, 0);
    for part in parts(bytes) {
        match part? {
            (1, Part::Number(number)) => seconds = number.cast_signed(),
            (2, Part::Number(number)) => nanos = i32::try_from(number).unwrap_or_default(),
            _ => {}
        }
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    Timestamp::new(seconds, nanos).map(|time| Value::from(time.to_string())).map_err(|error| error.to_string())
}

/// A number or a text.
fn either(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut words) = (false, 0, Value::from(""));
    for part in parts(bytes) {
        match part? {
            (1, Part::Number(of)) => is_text = of == 1,
            (2, Part::Number(value)) => number = value.cast_signed(),
            (3, Part::Bytes(bytes)) => words = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { words } else { Value::from(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let named = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &named), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn every_type_that_the_table_names_is_in_it() {
        let plain =
            ["text", "int", "bool", "bytes", "time", "quantity", "either", "map", "bytemap", "quantities", "*", "*int"];
        for (name, fields) in FIELDS.iter() {
            for field in fields.values() {
                let of = field.of.trim_start_matches(['*', '+']);
                assert!(plain.contains(&field.of) || FIELDS.contains_key(of), "{name}.{}: {}", field.name, field.of);
            }
        }
    }

    #[test]
    fn a_namespace_is_read() {
        let labels = [field(1, b"a"), field(2, b"b")].concat();
        let metadata = [field(1, b"shop"), field(2, b""), field(8, b""), field(11, &labels)].concat();
        let raw = [field(1, &metadata), field(2, b""), field(3, &field(1, b""))].concat();
        let expected = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}, "spec": {}});
        assert_eq!(read(&body("Namespace", &raw)).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_refused_and_not_lost() {
        assert!(read(b"{}").is_err());
        assert!(read(&body("Ingress", b"")).unwrap_err().contains("Ingress"));
        let raw = field(9, &field(1, b"x"));
        assert!(read(&body("Namespace", &raw)).unwrap_err().contains("field 9 of Namespace"));
        assert!(read(&body("Namespace", &[10, 50])).is_err());
    }

    #[test]
    fn a_zero_that_was_said_stays() {
        let spec = [vec![8, 0], vec![5 << 3, 0]].concat();
        let read = read(&body("Deployment", &field(2, &spec))).unwrap();
        assert_eq!(read["spec"], json!({"replicas": 0}));
    }
}
