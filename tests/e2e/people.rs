//! People other than the one who runs the stories: users as the API server takes them for, with rights of their own.

use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use paramedic::api::{
    ApprovalPolicy, CANCEL_ANNOTATION, Decision, Remediation, RemediationApproval, RemediationApprovalSpec,
};
use serde_json::{Value, json};

use crate::story::Story;

/// Somebody with the rights that the story gives them, and no others.
pub struct Person {
    story: Story,
    /// The user.
    pub name: String,
    /// What they ask, they ask as that user.
    pub client: Client,
}

/// The rights that RBAC asks for before the admission policies ask for theirs.
fn plain_rights() -> Value {
    json!([
        {"apiGroups": ["paramedic.dev"], "resources": ["remediations"], "verbs": ["get", "list", "patch", "update", "create"]},
        {"apiGroups": ["paramedic.dev"], "resources": ["remediations/status"], "verbs": ["patch", "update"]},
        {"apiGroups": ["paramedic.dev"], "resources": ["remediationapprovals"], "verbs": ["create"]},
        {"apiGroups": ["paramedic.dev"], "resources": ["pauses"], "verbs": ["create"]},
    ])
}

impl Story {
    /// Somebody of that name who may write every object that stories are about, in the story's namespace, but may neither
    /// approve nor cancel.
    pub async fn somebody(&self, name: &str) -> Person {
        let person = self.user(&format!("{name}-{}", self.namespace)).await;
        person.may(&format!("{name}-writes"), plain_rights()).await;
        person
    }

    /// Somebody who may answer for the policies of the story's namespace too.
    pub async fn operator(&self, name: &str) -> Person {
        let person = self.somebody(name).await;
        let verbs = json!(["approve", "cancel"]);
        let answers = json!([{"apiGroups": ["paramedic.dev"], "resources": ["remediationpolicies"], "verbs": verbs}]);
        person.may(&format!("{name}-answers"), answers).await;
        person
    }

    /// A user as the API server takes them for, with what rights they have.
    pub async fn user(&self, name: &str) -> Person {
        Person { story: self.clone(), name: name.to_owned(), client: self.world.client_as(name).await }
    }
}

impl Person {
    /// Gives a right in the story's namespace.
    async fn may(&self, name: &str, rules: Value) {
        let metadata = json!({"name": name});
        let object = json!({"metadata": metadata, "rules": rules});
        let object: Role = serde_json::from_value(object).expect("it is a role");
        self.story
            .world
            .api(&self.story.namespace)
            .create(&PostParams::default(), &object)
            .await
            .expect("a role can be made");
        let binding = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.name}],
        });
        let binding: RoleBinding = serde_json::from_value(binding).expect("it is a binding");
        self.story
            .world
            .api(&self.story.namespace)
            .create(&PostParams::default(), &binding)
            .await
            .expect("a role can be bound");
    }

    /// Their answer to the plan that a record awaits one to, as they would give it.
    pub fn answer(&self, record: &Remediation, decision: Decision) -> RemediationApproval {
        let status = record.status.as_ref().expect("it awaits an answer");
        let spec = RemediationApprovalSpec {
            remediation: record.metadata.name.clone().expect("a record has a name"),
            policy: ApprovalPolicy::from(&record.spec.policy),
            plan_hash: status.plan_hash.clone().expect("there is a plan"),
            target_uid: status.target.as_ref().expect("it has a target").uid.clone(),
            decision,
            approver: self.name.clone(),
            comment: Some("a story".to_owned()),
        };
        RemediationApproval::new(&format!("answer-{:08x}", fastrand::u32(..)), spec)
    }

    /// Gives an answer.
    pub async fn gives(&self, answer: &RemediationApproval) -> kube::Result<()> {
        let api: Api<RemediationApproval> = Api::namespaced(self.client.clone(), &self.story.namespace);
        api.create(&PostParams::default(), answer).await.map(|_| ())
    }

    /// Sets the annotation that cancels.
    pub async fn cancels(&self, record: &Remediation) -> kube::Result<()> {
        self.patches(record, &json!({"metadata": {"annotations": {CANCEL_ANNOTATION: "a story"}}})).await
    }

    /// Patches a record.
    pub async fn patches(&self, record: &Remediation, patch: &Value) -> kube::Result<()> {
        let api: Api<Remediation> = Api::namespaced(self.client.clone(), &self.story.namespace);
        let name = record.metadata.name.as_deref().expect("a record has a name");
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ())
    }
}

/// It was refused, by the admission policy that says so and not by RBAC or for what it looks like.
pub fn is_refused_by_policy(result: kube::Result<()>, saying: &str) {
    match result {
        Err(kube::Error::Api(status)) => {
            assert!(status.message.contains("ValidatingAdmissionPolicy"), "{}", status.message);
            assert!(status.message.contains(saying), "{}", status.message);
        }
        other => panic!("it was not refused: {other:?}"),
    }
}
