//! A policy that has passed every check, whichever way it came.

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    alert::{Labels, MatchOp},
    api::{
        Action, Bounds, ClusterRemediationPolicy, Limits, PolicyKind, PolicyLimits, PolicyRef, PositiveDuration,
        RemediationPolicy, RemediationPolicySpec, TOTAL_TIMEOUT, TargetKind, resumed_at,
    },
};

/// In a list of namespaces: all of them.
pub const ALL_NAMESPACES: &str = "*";

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A custom resource.
    Resource,
    /// A file.
    File,
}

/// A policy in force, or one that would be.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What a record says of it.
    pub reference: PolicyRef,
    /// Where it comes from.
    pub origin: Origin,
    /// What it says.
    pub spec: RemediationPolicySpec,
    /// The namespaces that it may touch; [`ALL_NAMESPACES`] is all that are not protected.
    pub namespaces: Vec<String>,
    /// Its limits, every default filled in: ours, until [`Self::under`] says the administrator's.
    pub limits: Limits,
    /// When somebody said that its failures do not count any more.
    pub resumed_at: Option<Timestamp>,
}

/// Why a policy that can be read cannot be in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No name.
    #[error("metadata.name is missing")]
    NoName,
    /// A name that no object of the API could have; the records of such a policy would be refused.
    #[error(
        "metadata.{field}: `{value}` is no name that Kubernetes takes: lower-case letters, digits and `-`{dots}, \
         beginning and ending with a letter or a digit, {most} characters at most"
    )]
    InvalidName {
        /// `name` or `namespace`.
        field: &'static str,
        /// What it says.
        value: String,
        /// What else may be in it.
        dots: &'static str,
        /// How long it may be.
        most: usize,
    },
    /// A namespaced policy without a namespace.
    #[error("metadata.namespace is missing: a RemediationPolicy acts in its own namespace only")]
    NoNamespace,
    /// A cluster policy with one.
    #[error("metadata.namespace is set, but a ClusterRemediationPolicy has none; it lists spec.namespaces")]
    ClusterPolicyInNamespace,
    /// No namespaces, one that cannot be, or `*` among others.
    #[error("spec.namespaces must list namespaces by name, or be [\"*\"] alone")]
    Namespaces,
    /// Matchers that any alert could satisfy.
    #[error("spec.match must have at least one matcher that an absent label does not satisfy, such as alertname=\"…\"")]
    MatchesEverything,
    /// No matcher at all.
    #[error("spec.match is empty: a policy must name its alerts")]
    NoMatcher,
    /// A service account that no object of the API could be.
    #[error(
        "spec.serviceAccountName: `{0}` is no name that Kubernetes takes: lower-case letters, digits, `-` and `.`, \
         beginning and ending with a letter or a digit, 253 characters at most"
    )]
    ServiceAccountName(String),
    /// An empty or overlong ladder.
    #[error("spec.steps has {0} steps; it must have 1 to 8")]
    Steps(usize),
    /// A step whose action cannot be done to the target.
    #[error("spec.steps[{step}]: restartPod needs target.kind Pod, not {kind}; rolloutRestart restarts a {kind}")]
    RestartPodOfWorkload {
        /// The step, from 0.
        step: usize,
        /// The target's kind.
        kind: TargetKind,
    },
    /// Verifications that the remediation's own end would cut off.
    #[error(
        "spec.steps: verify.within is {0} in all, but a remediation ends after an hour; shorten it, or take out a step"
    )]
    VerifiedTooLong(PositiveDuration),
    /// A schedule that cannot be meant.
    #[error("spec.schedule.{0}")]
    Schedule(String),
    /// One policy too many without an alertname to index it by.
    #[error(
        "it is one of more than {max} policies whose match does not fix alertname; add alertname=\"…\", or \
         alertname=~\"A|B\", so that it costs nothing for other alerts"
    )]
    TooManyUnindexed {
        /// How many there may be.
        max: usize,
    },
    /// The object is not of the policy's shape (a newer field, or one that the CRD let through).
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

impl Policy {
    /// A policy from the API.
    pub fn from_resource(policy: RemediationPolicy) -> Result<Self, Problem> {
        let uid = policy.uid().unwrap_or_default();
        let generation = policy.metadata.generation.unwrap_or_default();
        Self::namespaced(policy, Origin::Resource, uid, generation)
    }

    /// A cluster policy from the API.
    pub fn from_cluster_resource(policy: ClusterRemediationPolicy) -> Result<Self, Problem> {
        let uid = policy.uid().unwrap_or_default();
        let generation = policy.metadata.generation.unwrap_or_default();
        Self::cluster(policy, Origin::Resource, uid, generation)
    }

    /// A policy from a file. Its UID is a hash of kind, namespace and name, so that it stays the same across replicas
    /// and restarts.
    pub fn from_file(policy: RemediationPolicy) -> Result<Self, Problem> {
        let uid = file_uid(PolicyKind::RemediationPolicy, policy.namespace().as_deref(), &policy.name_any());
        Self::namespaced(policy, Origin::File, uid, 0)
    }

    /// A cluster policy from a file.
    pub fn from_cluster_file(policy: ClusterRemediationPolicy) -> Result<Self, Problem> {
        let uid = file_uid(PolicyKind::ClusterRemediationPolicy, None, &policy.name_any());
        Self::cluster(policy, Origin::File, uid, 0)
    }

    fn namespaced(policy: RemediationPolicy, origin: Origin, uid: String, generation: i64) -> Result<Self, Problem> {
        let namespace = policy.namespace().filter(|namespace| !namespace.is_empty()).ok_or(Problem::NoNamespace)?;
        let reference = PolicyRef {
            kind: PolicyKind::RemediationPolicy,
            name: policy.name_any(),
            hash: hash(&policy.spec),
            namespace: Some(namespace.clone()),
            uid,
            generation,
        };
        let resumed_at = resumed_at(&policy.metadata);
        let limits = policy.spec.limits.or(&PolicyLimits::default());
        Self { reference, origin, spec: policy.spec, namespaces: vec![namespace], limits, resumed_at }.checked()
    }

    fn cluster(
        policy: ClusterRemediationPolicy,
        origin: Origin,
        uid: String,
        generation: i64,
    ) -> Result<Self, Problem> {
        if policy.metadata.namespace.is_some() {
            return Err(Problem::ClusterPolicyInNamespace);
        }
        let reference = PolicyRef {
            kind: PolicyKind::ClusterRemediationPolicy,
            name: policy.name_any(),
            hash: hash(&policy.spec),
            namespace: None,
            uid,
            generation,
        };
        let namespaces = policy.spec.namespaces.clone();
        if !are_namespaces(&namespaces) {
            return Err(Problem::Namespaces);
        }
        let resumed_at = resumed_at(&policy.metadata);
        let limits = policy.spec.limits.or(&PolicyLimits::default());
        Self { reference, origin, spec: policy.spec.into(), namespaces, limits, resumed_at }.checked()
    }

    /// The checks that need more than one field.
    fn checked(self) -> Result<Self, Problem> {
        let spec = &self.spec;
        if self.reference.name.is_empty() {
            return Err(Problem::NoName);
        }
        let (name, namespace) = (&self.reference.name, self.reference.namespace.as_ref());
        if !(name.len() <= 253 && name.split('.').all(is_dns_label)) {
            let (value, dots) = (name.clone(), ", in parts joined by `.`");
            return Err(Problem::InvalidName { field: "name", value, dots, most: 253 });
        }
        if let Some(value) = namespace.filter(|namespace| !is_namespace(namespace)) {
            return Err(Problem::InvalidName { field: "namespace", value: value.clone(), dots: "", most: 63 });
        }
        let account = spec.service_account_name.as_ref();
        if let Some(account) = account.filter(|name| !(name.len() <= 253 && name.split('.').all(is_dns_label))) {
            return Err(Problem::ServiceAccountName(account.clone()));
        }
        if spec.matchers.is_empty() {
            return Err(Problem::NoMatcher);
        }
        let nothing = Labels::default();
        if spec.matchers.iter().all(|matcher| matcher.matches(&nothing)) {
            return Err(Problem::MatchesEverything);
        }
        if spec.steps.is_empty() || spec.steps.len() > 8 {
            return Err(Problem::Steps(spec.steps.len()));
        }
        for (step, rung) in spec.steps.iter().enumerate() {
            if let Some(Action::RestartPod(_)) = rung.action()
                && spec.target.kind != TargetKind::Pod
            {
                return Err(Problem::RestartPodOfWorkload { step, kind: spec.target.kind });
            }
        }
        if let Some(problem) = spec.schedule.problem() {
            return Err(Problem::Schedule(problem));
        }
        let verified = spec.steps.iter().map(|step| step.verify.within.get().as_secs()).sum();
        if i64::try_from(verified).is_ok_and(|seconds| seconds > TOTAL_TIMEOUT.as_secs()) {
            return Err(Problem::VerifiedTooLong(PositiveDuration::from_secs(verified)));
        }
        Ok(self)
    }

    /// With the administrator's defaults where it leaves a limit out.
    #[must_use]
    pub fn under(self, bounds: &Bounds) -> Self {
        Self { limits: bounds.limits(&self.spec.limits), ..self }
    }

    /// Whether every matcher matches.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.spec.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// The values of alertname that this policy can match, where they can be listed.
    pub fn alertnames(&self) -> Option<Vec<&str>> {
        let of_alertname = self.spec.matchers.iter().filter(|matcher| matcher.name == "alertname");
        of_alertname
            .filter(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex))
            .filter_map(crate::alert::Matcher::literal_values)
            // An alert without a name has none to be found by.
            .find(|names| !names.contains(&""))
    }
}

/// Whether that is a label of DNS (RFC 1123) as Kubernetes has them in names, whatever its length.
fn is_dns_label(text: &str) -> bool {
    let plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    text.starts_with(plain)
        && text.ends_with(plain)
        && text.chars().all(|character| plain(character) || character == '-')
}

/// Whether a namespace can have that name.
pub(crate) fn is_namespace(text: &str) -> bool {
    text.len() <= 63 && is_dns_label(text)
}

/// Whether that lists namespaces by name, or is [`ALL_NAMESPACES`] alone: a pattern would stand for none.
pub(crate) fn are_namespaces(list: &[String]) -> bool {
    match list {
        [] => false,
        [all] if all == ALL_NAMESPACES => true,
        names => names.iter().all(|name| is_namespace(name)),
    }
}

/// Whether a list of namespaces has this one.
pub(crate) fn covers(namespaces: &[String], namespace: &str) -> bool {
    namespaces.iter().any(|listed| listed == ALL_NAMESPACES || listed == namespace)
}

/// The first 16 hexadecimal digits of SHA-256 over the spec as JSON, whose order of fields is that of the types.
fn hash(spec: &impl Serialize) -> String {
    digest([serde_json::to_string(spec).unwrap_or_default().as_str()])
}

/// What the UIDs of policies from files begin with; no UID of the API does.
pub const FILE_UID_PREFIX: &str = "file-";

fn file_uid(kind: PolicyKind, namespace: Option<&str>, name: &str) -> String {
    format!("{FILE_UID_PREFIX}{}", digest([kind.as_str(), namespace.unwrap_or_default(), name]))
}

/// The first 16 hexadecimal digits of SHA-256 over the parts, each ended by a zero byte so that none runs into the next.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
        use std::fmt::Write;
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
        hex
    })
}

#[cfg(test)]
mod tests;
