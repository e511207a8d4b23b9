//! `paramedic rbac`

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::PathBuf,
};

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Serialize;

use super::{OK, PROBLEMS, USAGE};
use crate::{
    action::{Right, rights},
    api::{Action, GROUP, Mode, TargetKind},
    policy::{self, ALL_NAMESPACES, Policy},
    remediation::LEDGER,
};

/// Options of `rbac`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Compare what it prints with what is there before you apply it; `kubectl diff -f` does. A policy that \
                        needs a right it does not have is refused with the reason NotPermitted, or Forbidden."
)]
pub struct Args {
    /// Files of policies, and directories of such files.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// The namespace that Paramedic runs in.
    #[arg(long, default_value = "paramedic")]
    namespace: String,
    /// The service account that Paramedic runs under.
    #[arg(long, default_value = "paramedic", value_name = "NAME")]
    service_account: String,
    /// With what the HTTP API for people needs (`api.listen`): to ask who somebody is, and what they may.
    #[arg(long)]
    people: bool,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    if let Some(missing) = args.paths.iter().find(|path| !path.exists()) {
        eprintln!("paramedic rbac: {} does not exist", missing.display());
        return USAGE;
    }
    let (policies, problems) = policy::check(&args.paths);
    if !problems.is_empty() {
        for problem in &problems {
            eprintln!("{problem}");
        }
        return PROBLEMS;
    }
    match print(&Needs::of(&policies, args), args) {
        Ok(()) => OK,
        Err(error) => {
            eprintln!("paramedic rbac: {error}");
            USAGE
        }
    }
}

/// What is granted: by API group, resource and, where it is for one object alone, its name the verbs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Grants(BTreeMap<Granted, BTreeSet<String>>);

type Granted = (String, String, Option<String>);

impl Grants {
    fn add(&mut self, group: &str, resource: &str, verbs: &[&str]) {
        self.add_named(group, resource, None, verbs);
    }

    fn add_named(&mut self, group: &str, resource: &str, name: Option<&str>, verbs: &[&str]) {
        let key = (group.to_owned(), resource.to_owned(), name.map(str::to_owned));
        self.0.entry(key).or_default().extend(verbs.iter().map(|verb| (*verb).to_owned()));
    }

    fn add_right(&mut self, right: Right) {
        self.add(right.group, &right.rule(), &[right.verb]);
    }

    fn rules(&self) -> Vec<PolicyRule> {
        let rule = |((group, resource, name), verbs): (&Granted, &BTreeSet<String>)| PolicyRule {
            api_groups: Some(vec![group.clone()]),
            resources: Some(vec![resource.clone()]),
            resource_names: name.clone().map(|name| vec![name]),
            verbs: verbs.iter().cloned().collect(),
            ..PolicyRule::default()
        };
        self.0.iter().map(rule).collect()
    }
}

/// What a set of policies needs.
#[derive(Clone, Debug, Default)]
struct Needs {
    /// In the whole cluster: its own kinds, and what the policies for all namespaces need.
    cluster: Grants,
    /// By namespace.
    namespaces: BTreeMap<String, Grants>,
    /// What the policies' own service accounts need, by their namespace (`*` is every one) and name.
    accounts: BTreeMap<(String, String), Grants>,
}

impl Needs {
    fn of(policies: &[Policy], args: &Args) -> Self {
        let mut needs = Self::default();
        needs.engine(&args.namespace);
        if args.people {
            needs.cluster.add("authentication.k8s.io", "tokenreviews", &["create"]);
            needs.cluster.add("authorization.k8s.io", "subjectaccessreviews", &["create"]);
        }
        for policy in policies.iter().filter(|policy| policy.spec.mode != Mode::Disabled) {
            needs.policy(policy);
        }
        needs
    }

    /// What is needed for no policy at all.
    fn engine(&mut self, own: &str) {
        let all = &mut self.cluster;
        all.add(GROUP, "remediations", &["get", "list", "watch", "create", "delete"]);
        all.add(GROUP, "remediations/status", &["update", "patch"]);
        for kind in ["remediationpolicies", "clusterremediationpolicies"] {
            all.add(GROUP, kind, &["list", "watch"]);
            all.add(GROUP, &format!("{kind}/status"), &["patch"]);
        }
        all.add(GROUP, "pauses", &["list"]);
        all.add(GROUP, "remediationapprovals", &["list", "watch", "delete"]);
        all.add("", "namespaces", &["get"]);
        all.add("authorization.k8s.io", "selfsubjectaccessreviews", &["create"]);
        // How many there are, where many are in trouble at once.
        for workloads in ["deployments", "statefulsets", "daemonsets"] {
            all.add("apps", workloads, &["list"]);
        }
        let own = self.namespaces.entry(own.to_owned()).or_default();
        own.add("coordination.k8s.io", "leases", &["get", "create", "update"]);
        // A rule for create cannot name what is to be created.
        own.add("", "configmaps", &["create"]);
        own.add_named("", "configmaps", Some(LEDGER), &["get", "update"]);
        own.add("events.k8s.io", "events", &["create", "patch"]);
    }

    fn policy(&mut self, policy: &Policy) {
        for namespace in &policy.namespaces {
            let there = if namespace == ALL_NAMESPACES {
                &mut self.cluster
            } else {
                self.namespaces.entry(namespace.clone()).or_default()
            };
            there.add("events.k8s.io", "events", &["create", "patch"]);
            looking(there, policy.spec.target.kind);
            // Whoever does it. What was done is looked at in Paramedic's own name, and that is among the above.
            let account = policy.spec.service_account_name.as_ref();
            let by = match account {
                None => there,
                Some(name) => self.accounts.entry((namespace.clone(), name.clone())).or_default(),
            };
            for action in policy.spec.steps.iter().filter_map(crate::api::Step::action) {
                for kind in acted_on(action, policy.spec.target.kind) {
                    for right in rights(action, kind.as_str()) {
                        by.add_right(right);
                    }
                }
            }
        }
    }
}

/// What is looked at to find a target, its workload and their health.
fn looking(there: &mut Grants, kind: TargetKind) {
    there.add("", "pods", &["get", "list"]);
    let workloads: &[&str] = match kind {
        // From a pod up to whatever owns it.
        TargetKind::Pod => &["replicasets", "deployments", "statefulsets", "daemonsets"],
        TargetKind::Deployment => &["deployments"],
        TargetKind::StatefulSet => &["statefulsets"],
        TargetKind::DaemonSet => &["daemonsets"],
    };
    for resource in workloads {
        there.add("apps", resource, &["get"]);
    }
}

/// The kinds that an action may meet where the target is of that kind: a pod's workload is one of three.
fn acted_on(action: Action<'_>, target: TargetKind) -> Vec<TargetKind> {
    match (action, target) {
        (Action::RolloutRestart(_), TargetKind::Pod) => {
            vec![TargetKind::Deployment, TargetKind::StatefulSet, TargetKind::DaemonSet]
        }
        (_, kind) => vec![kind],
    }
}

#[derive(Debug, thiserror::Error)]
enum RbacError {
    #[error("a role cannot be written as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    #[error("standard output: {0}")]
    Print(#[from] io::Error),
}

fn print(needs: &Needs, args: &Args) -> Result<(), RbacError> {
    let mut out = io::stdout().lock();
    for document in documents(needs, args)? {
        write!(out, "---\n{document}")?;
    }
    Ok(())
}

/// Every object, as YAML.
fn documents(needs: &Needs, args: &Args) -> Result<Vec<String>, RbacError> {
    let (name, own) = (args.service_account.as_str(), args.namespace.as_str());
    let paramedic = || vec![account(own, name)];
    let mut all = Vec::new();
    let mut add = |text: Result<String, RbacError>| text.map(|text| all.push(text));
    add(yaml(&cluster_role(name, needs.cluster.rules())))?;
    add(yaml(&cluster_binding(name, paramedic())))?;
    for (namespace, grants) in &needs.namespaces {
        add(yaml(&role(namespace, name, grants.rules())))?;
        add(yaml(&binding(namespace, name, paramedic())))?;
    }
    for ((namespace, by), grants) in &needs.accounts {
        let speaks = format!("{name}-as-{by}");
        let may = PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["serviceaccounts".to_owned()]),
            resource_names: Some(vec![by.clone()]),
            verbs: vec!["impersonate".to_owned()],
            ..PolicyRule::default()
        };
        if namespace == ALL_NAMESPACES {
            add(yaml(&cluster_role(&speaks, vec![may])))?;
            add(yaml(&cluster_binding(&speaks, paramedic())))?;
            let unbound = yaml(&cluster_role(by, grants.rules()));
            add(unbound.map(|text| {
                format!("# To be bound to the service account {by} in each namespace where it is to act.\n{text}")
            }))?;
        } else {
            add(yaml(&role(namespace, &speaks, vec![may])))?;
            add(yaml(&binding(namespace, &speaks, paramedic())))?;
            add(yaml(&role(namespace, by, grants.rules())))?;
            add(yaml(&binding(namespace, by, vec![account(namespace, by)])))?;
        }
    }
    Ok(all)
}

fn yaml(object: &impl Serialize) -> Result<String, RbacError> {
    let text = serde_saphyr::to_string(object)?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

fn named(namespace: Option<&str>, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: namespace.map(str::to_owned), ..ObjectMeta::default() }
}

fn account(namespace: &str, name: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
        ..Subject::default()
    }
}

fn of(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole { metadata: named(None, name), rules: Some(rules), ..ClusterRole::default() }
}

fn cluster_binding(name: &str, subjects: Vec<Subject>) -> ClusterRoleBinding {
    ClusterRoleBinding { metadata: named(None, name), role_ref: of("ClusterRole", name), subjects: Some(subjects) }
}

fn role(namespace: &str, name: &str, rules: Vec<PolicyRule>) -> Role {
    Role { metadata: named(Some(namespace), name), rules: Some(rules) }
}

fn binding(namespace: &str, name: &str, subjects: Vec<Subject>) -> RoleBinding {
    RoleBinding { metadata: named(Some(namespace), name), role_ref: of("Role", name), subjects: Some(subjects) }
}

#[cfg(test)]
mod tests;
