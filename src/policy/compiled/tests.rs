//! What a policy must be to be in force.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;
use crate::{
    api::{ClusterRemediationPolicySpec, Step, Verify},
    remediation::fixtures::*,
};

fn cluster(namespaces: &[&str]) -> ClusterRemediationPolicy {
    let RemediationPolicySpec {
        mode,
        matchers,
        target,
        service_account_name,
        steps,
        limits,
        schedule,
        on_failure,
        approval,
        priority,
    } = a_policy("restart-cart").spec;
    let namespaces = namespaces.iter().copied().map(str::to_owned).collect();
    let spec = ClusterRemediationPolicySpec {
        namespaces,
        mode,
        matchers,
        target,
        service_account_name,
        steps,
        limits,
        schedule,
        on_failure,
        approval,
        priority,
    };
    let metadata = ObjectMeta { name: Some("restart-cart".to_owned()), ..ObjectMeta::default() };
    ClusterRemediationPolicy { metadata, spec, status: None }
}

fn problem(policy: &PolicyFixture) -> Option<Problem> {
    let metadata = ObjectMeta {
        name: Some(policy.name.clone()),
        namespace: Some(policy.namespace.clone()),
        ..ObjectMeta::default()
    };
    Policy::from_file(RemediationPolicy { metadata, spec: policy.spec.clone(), status: None }).err()
}

#[test]
fn a_policy_that_any_alert_could_satisfy_is_refused() {
    for matchers in [&["team!=\"red\""][..], &["team=\"\""], &["team=~\".*\""], &["a!=\"b\"", "c!~\"d\""]] {
        assert_eq!(problem(&a_policy("all").matching(matchers)), Some(Problem::MatchesEverything), "{matchers:?}");
    }
    assert_eq!(problem(&a_policy("all").matching(&[])), Some(Problem::NoMatcher));
    assert_eq!(problem(&a_policy("all").matching(&["team!=\"red\"", "alertname=~\".+\""])), None);
}

#[test]
fn a_ladder_has_one_to_eight_steps_that_fit_its_target() {
    let steps = |number: usize| a_policy("restart-cart").steps(vec![restart_pod(); number]);
    assert_eq!(problem(&steps(0)), Some(Problem::Steps(0)));
    assert_eq!(problem(&steps(8)), None);
    assert_eq!(problem(&steps(9)), Some(Problem::Steps(9)));
    let kind = TargetKind::Deployment;
    let of_workload = a_policy("restart-cart").targeting(kind).steps(vec![rollout_restart(), restart_pod()]);
    assert_eq!(problem(&of_workload), Some(Problem::RestartPodOfWorkload { step: 1, kind }));
    assert_eq!(problem(&of_workload.steps(vec![rollout_restart()])), None);
}

#[test]
fn a_ladder_that_its_remediation_would_not_live_to_see_is_refused_with_what_to_do() {
    let verified = |within: &[i64]| {
        let step =
            |within: &i64| Step { verify: Verify { within: seconds(*within), ..Verify::default() }, ..restart_pod() };
        problem(&a_policy("restart-cart").steps(within.iter().map(step).collect()))
    };
    assert_eq!(verified(&[HOUR]), None);
    assert_eq!(verified(&[30 * MINUTE, 30 * MINUTE]), None);
    let refused = verified(&[HOUR + 1]).unwrap().to_string();
    assert_eq!(
        refused,
        "spec.steps: verify.within is 1h1s in all, but a remediation ends after an hour; shorten it, or take out a step"
    );
    assert_eq!(verified(&[HOUR, MINUTE]), Some(Problem::VerifiedTooLong(seconds(HOUR + MINUTE))));
}

#[test]
fn the_namespaces_of_a_cluster_policy_are_names_or_the_star_alone() {
    for good in [&["shop"][..], &["shop", "till"], &["*"]] {
        assert_eq!(Policy::from_cluster_file(cluster(good)).unwrap().namespaces, good);
    }
    for bad in [&[][..], &[""], &["shop", ""], &["*", "shop"], &["*", "*"], &["shop-*"], &["Shop"]] {
        assert_eq!(Policy::from_cluster_file(cluster(bad)), Err(Problem::Namespaces), "{bad:?}");
    }
    let mut in_a_namespace = cluster(&["shop"]);
    in_a_namespace.metadata.namespace = Some("shop".to_owned());
    assert_eq!(Policy::from_cluster_file(in_a_namespace), Err(Problem::ClusterPolicyInNamespace));
}

#[test]
fn a_name_that_the_api_would_refuse_is_refused_before_an_alert_meets_it() {
    for bad in ["Restart Cart", "restart_cart", "Restart", "-cart", "cart-", "cart..cart", "kärt", &"a".repeat(254)] {
        let refused = problem(&a_policy(bad));
        assert!(matches!(&refused, Some(Problem::InvalidName { field: "name", value, .. }) if value == bad), "{bad}");
    }
    assert_eq!(problem(&a_policy("")), Some(Problem::NoName));
    for good in ["restart-cart", "0", "restart.cart-2", &"a".repeat(253)] {
        assert_eq!(problem(&a_policy(good)), None, "{good}");
    }
}

#[test]
fn the_uid_of_a_file_is_that_of_its_kind_namespace_and_name_and_its_hash_that_of_its_spec() {
    let policy = a_policy("restart-cart").build_as_file();
    assert!(policy.reference.uid.starts_with(FILE_UID_PREFIX));
    assert_eq!(
        policy.reference.uid,
        a_policy("restart-cart").limits(|l| l.concurrency = 9).build_as_file().reference.uid
    );
    let others = [
        a_policy("another").build_as_file().reference.uid,
        a_policy("restart-cart").in_namespace("till").build_as_file().reference.uid,
        Policy::from_cluster_file(cluster(&["shop"])).unwrap().reference.uid,
    ];
    assert!(!others.contains(&policy.reference.uid));
    assert_eq!(policy.reference.hash, a_policy("restart-cart").build().reference.hash);
    assert_ne!(policy.reference.hash, a_policy("restart-cart").limits(|l| l.concurrency = 9).build().reference.hash);
    let narrowed = |namespaces: &[&str]| Policy::from_cluster_file(cluster(namespaces)).unwrap().reference.hash;
    assert_ne!(narrowed(&["shop", "till"]), narrowed(&["shop"]));
}
