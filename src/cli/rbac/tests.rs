//! What is printed is what the policies need, and the shipped role grants what the shipped policies need.

use super::*;
use crate::{api::TargetKind, remediation::fixtures::*};

fn args() -> Args {
    Args {
        paths: Vec::new(),
        namespace: "paramedic".to_owned(),
        service_account: "paramedic".to_owned(),
        people: false,
    }
}

fn grants(grants: &Grants) -> Vec<String> {
    let line = |((group, resource, name), verbs): (&Granted, &BTreeSet<String>)| {
        let name = name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
        format!("{} {resource}{name}{}{group}", verbs.join(","), if group.is_empty() { "" } else { "." })
    };
    grants.0.iter().map(line).collect()
}

#[test]
fn a_policy_needs_what_its_steps_do_in_its_namespace_and_no_more() {
    let evicts = a_policy("evicts").steps(vec![restart_pod()]).build();
    let needs = Needs::of(&[evicts], &args());
    assert_eq!(
        grants(&needs.namespaces["shop"]),
        [
            "get,list pods",
            "create pods/eviction",
            "get daemonsets.apps",
            "get deployments.apps",
            "get replicasets.apps",
            "get statefulsets.apps",
            "create,patch events.events.k8s.io",
        ]
    );
    let rolls = a_policy("rolls").targeting(TargetKind::StatefulSet).steps(vec![rollout_restart()]).build();
    let needs = Needs::of(&[rolls], &args());
    assert_eq!(
        grants(&needs.namespaces["shop"]),
        ["get,list pods", "get,patch statefulsets.apps", "create,patch events.events.k8s.io"]
    );
    assert!(!grants(&needs.cluster).iter().any(|line| line.contains("pods")), "nothing of the cluster's pods");
}

#[test]
fn what_is_disabled_needs_nothing() {
    let disabled = a_policy("rests").mode(Mode::Disabled).build();
    let needs = Needs::of(&[disabled], &args());
    assert_eq!(needs.namespaces.keys().collect::<Vec<_>>(), ["paramedic"]);
}

#[test]
fn an_action_in_anothers_name_is_that_accounts_right_and_paramedics_to_speak_in_it() {
    let mut policy = a_policy("evicts").steps(vec![restart_pod()]);
    policy.spec.service_account_name = Some("repairs".to_owned());
    let needs = Needs::of(&[policy.build()], &args());
    let account = &needs.accounts[&("shop".to_owned(), "repairs".to_owned())];
    assert_eq!(grants(account), ["create pods/eviction"]);
    assert!(!grants(&needs.namespaces["shop"]).iter().any(|line| line.contains("eviction")), "not Paramedic's own");
    let printed = documents(&needs, &args()).unwrap();
    let speaks: Role = printed
        .iter()
        .find_map(|text| {
            let role: Role = serde_saphyr::from_str(text).ok()?;
            (role.metadata.name.as_deref() == Some("paramedic-as-repairs") && role.rules.is_some()).then_some(role)
        })
        .unwrap();
    let rule = &speaks.rules.unwrap()[0];
    assert_eq!(
        (&rule.verbs, &rule.resource_names),
        (&vec!["impersonate".to_owned()], &Some(vec!["repairs".to_owned()]))
    );
    assert_eq!(speaks.metadata.namespace.as_deref(), Some("shop"));
}

/// What a rule of the shipped role grants, as questions.
fn shipped() -> BTreeSet<(String, String, String)> {
    granted("k8s/base/rbac.yaml")
}

fn granted(file: &str) -> BTreeSet<(String, String, String)> {
    let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(base).unwrap();
    let mut granted = BTreeSet::new();
    for document in text.split("\n---\n").filter(|document| document.contains("\nrules:")) {
        let role: serde_json::Value = serde_saphyr::from_str(document).unwrap();
        let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap();
        for rule in rules {
            for group in rule.api_groups.unwrap() {
                for resource in rule.resources.iter().flatten() {
                    granted.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
                }
            }
        }
    }
    granted
}

fn needed(needs: &Needs) -> BTreeSet<(String, String, String)> {
    let all = std::iter::once(&needs.cluster).chain(needs.namespaces.values());
    let each = |(key, verbs): (&Granted, &BTreeSet<String>)| {
        let (group, resource, _) = key.clone();
        verbs.iter().map(move |verb| (group.clone(), resource.clone(), verb.clone())).collect::<Vec<_>>()
    };
    all.flat_map(|grants| grants.0.iter().flat_map(each)).collect()
}

#[test]
fn the_shipped_role_grants_what_the_shipped_policies_need() {
    let (policies, problems) = policy::check(&[std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")]);
    assert!(problems.is_empty(), "{problems:?}");
    let missing: Vec<_> = needed(&Needs::of(&policies, &args())).difference(&shipped()).cloned().collect();
    assert_eq!(missing, [], "k8s/base/rbac.yaml lacks these");
}

/// The shipped role is for every policy there can be, and grants nothing that none of them needs.
#[test]
fn the_shipped_role_grants_nothing_that_no_policy_needs() {
    let pods = a_policy("pods").steps(vec![restart_pod(), delete_pod(), rollout_restart()]).build();
    let unneeded: Vec<_> = shipped().difference(&needed(&Needs::of(&[pods], &args()))).cloned().collect();
    assert_eq!(unneeded, [], "k8s/base/rbac.yaml has these for nobody");
}

#[test]
fn the_component_for_people_grants_what_they_need_and_no_more() {
    let without = needed(&Needs::of(&[], &args()));
    let with = needed(&Needs::of(&[], &Args { people: true, ..args() }));
    assert_eq!(&with - &without, granted("k8s/components/people/rbac.yaml"));
}
