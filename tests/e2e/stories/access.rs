//! The shipped RBAC is enough, and no more than that.

use std::sync::Mutex;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::{
    harness::{Entry, story},
    story::Story,
    world::{PARAMEDIC, SERVICE_ACCOUNT_USER},
};

pub fn stories() -> Vec<Entry> {
    vec![
        story("access::the_service_account_may_do_its_work_and_no_more", may_do_no_more),
        // Judges the whole run, so it is the last.
        story("access::nothing_was_forbidden_in_the_whole_run", nothing_was_forbidden).alone(),
    ]
}

/// Logs of pods that are about to go.
static KEPT: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Keeps logs for the last story.
pub fn keep(logs: &[(String, String)]) {
    KEPT.lock().expect("not poisoned").extend_from_slice(logs);
}

/// (verb, group, resource with subresource, namespace)
type Question = (&'static str, &'static str, &'static str, &'static str);

const ALLOWED: [Question; 19] = [
    ("create", "", "pods/eviction", "default"),
    ("delete", "", "pods", "default"),
    ("get", "", "pods", "default"),
    ("get", "", "namespaces", ""),
    ("patch", "apps", "deployments", "default"),
    ("get", "apps", "statefulsets", "default"),
    ("create", "paramedic.dev", "remediations", "default"),
    ("update", "paramedic.dev", "remediations/status", "default"),
    ("list", "paramedic.dev", "pauses", "default"),
    ("list", "paramedic.dev", "remediationapprovals", "default"),
    ("watch", "paramedic.dev", "remediationapprovals", "default"),
    ("watch", "paramedic.dev", "remediationpolicies", "default"),
    ("patch", "paramedic.dev", "remediationpolicies/status", "default"),
    ("create", "events.k8s.io", "events", "default"),
    ("update", "coordination.k8s.io", "leases", PARAMEDIC),
    ("list", "apps", "deployments", ""),
    ("create", "", "configmaps", PARAMEDIC),
    ("create", "authentication.k8s.io", "tokenreviews", ""),
    ("create", "authorization.k8s.io", "subjectaccessreviews", ""),
];

const REFUSED: [Question; 32] = [
    ("get", "", "secrets", PARAMEDIC),
    ("get", "", "configmaps", PARAMEDIC),
    ("update", "", "configmaps", PARAMEDIC),
    ("create", "", "configmaps", "default"),
    ("list", "", "secrets", ""),
    ("get", "", "secrets", "kube-system"),
    ("create", "", "pods", "default"),
    ("patch", "", "pods", "default"),
    ("create", "", "pods/exec", "default"),
    ("deletecollection", "", "pods", "default"),
    ("delete", "apps", "deployments", "default"),
    ("create", "apps", "deployments", "default"),
    ("patch", "", "nodes", ""),
    ("delete", "", "namespaces", ""),
    ("patch", "", "namespaces", ""),
    ("create", "paramedic.dev", "remediationpolicies", "default"),
    ("update", "paramedic.dev", "remediationpolicies", "default"),
    ("create", "paramedic.dev", "clusterremediationpolicies", ""),
    ("delete", "paramedic.dev", "pauses", "default"),
    ("watch", "paramedic.dev", "pauses", "default"),
    ("create", "paramedic.dev", "remediationapprovals", "default"),
    ("approve", "paramedic.dev", "remediationpolicies", "default"),
    ("get", "paramedic.dev", "remediations/status", "default"),
    ("get", "paramedic.dev", "remediationpolicies", "default"),
    ("update", "paramedic.dev", "remediationpolicies/status", "default"),
    ("create", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", "default"),
    ("get", "coordination.k8s.io", "leases", "kube-system"),
    ("create", "", "serviceaccounts/token", PARAMEDIC),
    ("impersonate", "", "users", ""),
    ("impersonate", "", "groups", ""),
    ("create", "paramedic.dev", "pauses", "default"),
];

async fn may_do_no_more(story: Story) {
    let mut wrong = Vec::new();
    for (questions, expected) in [(&ALLOWED[..], true), (&REFUSED[..], false)] {
        for question in questions {
            if may(&story, *question).await != expected {
                wrong.push(format!("{question:?} is {}", if expected { "refused" } else { "allowed" }));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    story.figure(format!("{} allowed, {} refused", ALLOWED.len(), REFUSED.len()));
}

async fn may(story: &Story, (verb, group, resource, namespace): Question) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({
        "spec": {
            "user": SERVICE_ACCOUNT_USER,
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{PARAMEDIC}"), "system:authenticated"],
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace,
            },
        },
    });
    let review = serde_json::from_value(review).expect("it is a review");
    let api: Api<SubjectAccessReview> = Api::all(story.world.client.clone());
    let answer = api.create(&PostParams::default(), &review).await.expect("access can be reviewed");
    answer.status.expect("a review has an answer").allowed
}

/// A story's namespace goes away at its end; that nothing is created in it then is not RBAC's doing.
fn is_rbacs(text: &str) -> bool {
    text.to_lowercase().contains("forbidden") && !text.contains("is being terminated")
}

async fn nothing_was_forbidden(story: Story) {
    let mut logs = story.world.logs(None).await;
    logs.extend(KEPT.lock().expect("not poisoned").drain(..));
    let lines: usize = logs.iter().map(|(_, log)| log.lines().count()).sum();
    assert!(lines > 0, "there are logs to look at");
    let forbidden: Vec<String> = logs
        .iter()
        .flat_map(|(pod, log)| log.lines().filter(|line| is_rbacs(line)).map(move |line| format!("{pod}: {line}")))
        .collect();
    assert!(
        forbidden.is_empty(),
        "{} lines, for example\n{}",
        forbidden.len(),
        forbidden[..forbidden.len().min(5)].join("\n")
    );
    if let Some(audit) = &story.world.audit {
        let refused = audit.asked(|asked| asked.code == 403 && !asked.message.contains("is being terminated"));
        assert!(refused.is_empty(), "{} writes were refused, for example {:?}", refused.len(), refused.first());
        let all = audit.asked(|_| true).len();
        assert!(all > 0, "the audit log knows Paramedic");
        story.figure(format!("{all} writes in the audit log, {lines} lines of logs"));
    }
}
