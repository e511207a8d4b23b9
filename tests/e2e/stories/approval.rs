//! Nobody without the right approves, forges or cancels a remediation, or pauses what is not theirs; who has it, does. Each
//! attempt has its twin.

use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use paramedic::api::{Decision, ObjectKey, Pause, PauseScope, PauseSpec, Reason, Remediation};
use serde_json::json;

use crate::{
    alerts::Alert,
    harness::{Cause, Entry, story, twins},
    people::is_refused_by_policy,
    policies::Policy,
    story::Story,
    wait::{PATIENCE, until},
    workloads::PodRef,
    world::{PARAMEDIC, SERVICE_ACCOUNT_USER},
};

pub fn stories() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(twins("approval::nobody_approves", nobody_approves));
    entries.extend(twins("approval::without_the_right", without_the_right));
    entries.extend(twins("approval::in_anothers_name", in_anothers_name));
    entries.extend(twins("approval::of_another_policy", of_another_policy));
    entries.extend(twins("approval::of_another_plan", of_another_plan));
    entries.extend(twins("approval::a_denial", a_denial));
    entries.push(story("approval::the_command_of_the_event_can_be_pasted", the_command));
    entries.extend(twins("approval::a_cancel_without_the_right", a_cancel));
    entries.push(story("approval::nobody_forges_a_remediation", nobody_forges));
    entries.push(story("approval::a_pause_for_all_is_made_in_one_namespace", a_pause_for_all));
    entries
}

/// A record that awaits an answer about the pod of its alert.
pub struct Asked {
    pub pod: PodRef,
    pub policy: Policy,
    pub alert: Alert,
    pub record: Remediation,
}

pub async fn asked(story: &Story, alertname: &str) -> Asked {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy(alertname).mode("RequireApproval").up().await;
    let alert = story.alert(alertname).about(&pod).fire().await;
    let record = story.record(&alert, &policy).awaits_approval().await;
    let status = record.status.as_ref().expect("it has a phase");
    assert_eq!(status.target.as_ref().map(|target| &target.uid), Some(&pod.uid), "it is about the alert's pod");
    assert!(status.journal.is_empty(), "nothing was begun");
    Asked { pod, policy, alert, record }
}

impl Asked {
    pub async fn acts(&self, story: &Story, approver: &str) {
        let record = story.record(&self.alert, &self.policy).acts().await;
        let by = record.status.and_then(|status| status.journal.into_iter().next()?.approved_by);
        assert_eq!(by.map(|by| by.approver).as_deref(), Some(approver), "the journal says on whose consent");
        story.expect_only_ended(&[&self.pod]).await;
    }

    pub async fn still_waits(&self, story: &Story) {
        story.expect_untouched().await;
        story.record(&self.alert, &self.policy).awaits_approval().await;
    }
}

async fn nobody_approves(story: Story, cause: Cause) {
    let asked = asked(&story, "Unanswered").await;
    if cause.is_present() {
        return asked.still_waits(&story).await;
    }
    let kim = story.operator("kim").await;
    kim.gives(&kim.answer(&asked.record, Decision::Approve)).await.expect("kim may approve");
    asked.acts(&story, &kim.name).await;
}

async fn without_the_right(story: Story, cause: Cause) {
    let asked = asked(&story, "WithoutTheRight").await;
    if cause.is_present() {
        let kim = story.somebody("kim").await;
        let answer = kim.gives(&kim.answer(&asked.record, Decision::Approve)).await;
        is_refused_by_policy(answer, "needs the verb approve");
        let denial = kim.gives(&kim.answer(&asked.record, Decision::Deny)).await;
        is_refused_by_policy(denial, "needs the verb approve");
        return asked.still_waits(&story).await;
    }
    let kim = story.operator("kim").await;
    kim.gives(&kim.answer(&asked.record, Decision::Approve)).await.expect("kim may approve");
    asked.acts(&story, &kim.name).await;
}

async fn in_anothers_name(story: Story, cause: Cause) {
    let asked = asked(&story, "InAnothersName").await;
    let kim = story.operator("kim").await;
    let mut answer = kim.answer(&asked.record, Decision::Approve);
    if cause.is_present() {
        "anna".clone_into(&mut answer.spec.approver);
        is_refused_by_policy(kim.gives(&answer).await, "spec.approver must be the user");
        return asked.still_waits(&story).await;
    }
    kim.gives(&answer).await.expect("kim may approve");
    asked.acts(&story, &kim.name).await;
}

/// An approval that names a policy on which the approver has the right, for a record of another one.
async fn of_another_policy(story: Story, cause: Cause) {
    let asked = asked(&story, "OfAnotherPolicy").await;
    let kim = story.operator("kim").await;
    let mut answer = kim.answer(&asked.record, Decision::Approve);
    if cause.is_present() {
        "a-policy-of-their-own".clone_into(&mut answer.spec.policy.name);
        kim.gives(&answer).await.expect("kim may approve what that policy plans");
        return asked.still_waits(&story).await;
    }
    kim.gives(&answer).await.expect("kim may approve");
    asked.acts(&story, &kim.name).await;
}

async fn of_another_plan(story: Story, cause: Cause) {
    let asked = asked(&story, "OfAnotherPlan").await;
    let kim = story.operator("kim").await;
    let mut answer = kim.answer(&asked.record, Decision::Approve);
    if cause.is_present() {
        answer.spec.plan_hash = "0".repeat(64);
        kim.gives(&answer).await.expect("kim may approve what nobody plans");
        return asked.still_waits(&story).await;
    }
    kim.gives(&answer).await.expect("kim may approve");
    asked.acts(&story, &kim.name).await;
}

async fn a_denial(story: Story, cause: Cause) {
    let asked = asked(&story, "Denied").await;
    let kim = story.operator("kim").await;
    if cause.is_present() {
        kim.gives(&kim.answer(&asked.record, Decision::Deny)).await.expect("kim may deny");
        story.record(&asked.alert, &asked.policy).is_cancelled_for(Reason::ApprovalDenied).await;
        return story.expect_untouched().await;
    }
    kim.gives(&kim.answer(&asked.record, Decision::Approve)).await.expect("kim may approve");
    asked.acts(&story, &kim.name).await;
}

/// As the one who runs the stories, whoever that is to the API server.
async fn the_command(story: Story) {
    let asked = asked(&story, "Pasted").await;
    let command = until(PATIENCE, "an Event with a command", || async {
        let events = story.events_about(&asked.pod.uid).await;
        let mut notes = events.into_iter().filter(|event| event.reason.as_deref() == Some("AwaitingApproval"));
        let note = notes.find_map(|event| event.note).ok_or_else(|| "no Event".to_owned())?;
        note.split_once("; to approve: ").map(|(_, command)| command.to_owned()).ok_or(note)
    })
    .await;
    let whoami = story.world.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    let printed = story.world.shell(&command).unwrap_or_else(|error| panic!("{command}\n{error}"));
    assert!(printed.contains("created"), "{printed}");
    asked.acts(&story, &whoami.expect("kubectl knows who it is")).await;
}

async fn a_cancel(story: Story, cause: Cause) {
    let asked = asked(&story, "Cancelled").await;
    if cause.is_present() {
        let kim = story.somebody("kim").await;
        is_refused_by_policy(kim.cancels(&asked.record).await, "needs the verb cancel");
        return asked.still_waits(&story).await;
    }
    let kim = story.operator("kim").await;
    kim.cancels(&asked.record).await.expect("kim may cancel");
    story.record(&asked.alert, &asked.policy).is_cancelled_for(Reason::CancelRequested).await;
    story.expect_untouched().await;
}

/// Neither by creating one, nor by writing its status, nor by changing what is beside its spec. Paramedic's own service
/// account may: the same requests, of which nothing is kept.
async fn nobody_forges(story: Story) {
    let asked = asked(&story, "Forged").await;
    let kim = story.operator("kim").await;
    let paramedic = story.user(SERVICE_ACCOUNT_USER).await;
    let key = ObjectKey::of(&asked.record);
    let mut forged = Remediation::new("forged", asked.record.spec.clone());
    forged.metadata.namespace = Some(key.namespace.clone());
    let acting = Patch::Merge(json!({"status": {"phase": "Acting"}}));
    let try_it = PostParams { dry_run: true, ..PostParams::default() };
    let try_patch = PatchParams { dry_run: true, ..PatchParams::default() };
    for person in [&kim, &paramedic] {
        let api: Api<Remediation> = Api::namespaced(person.client.clone(), &key.namespace);
        let created = api.create(&try_it, &forged).await.map(|_| ());
        let written = api.patch_status(&key.name, &try_patch, &acting).await.map(|_| ());
        if person.name == paramedic.name {
            created.expect("Paramedic creates records");
            written.expect("Paramedic writes their status");
        } else {
            is_refused_by_policy(created, "only Paramedic writes Remediations");
            is_refused_by_policy(written, "only Paramedic writes Remediations");
        }
    }
    let label = json!({"metadata": {"labels": {"paramedic.dev/policy": "another"}}});
    is_refused_by_policy(kim.patches(&asked.record, &label).await, "paramedic.dev/cancel alone");
    asked.still_waits(&story).await;
    let answer = kim.answer(&asked.record, Decision::Approve);
    kim.gives(&answer).await.expect("kim may approve");
    asked.acts(&story, &kim.name).await;
}

/// Nothing is really paused: these are dry runs.
async fn a_pause_for_all(story: Story) {
    let spec = PauseSpec { scope: PauseScope::Cluster, reason: "a story".to_owned(), expires_at: None };
    let pause = Pause::new("a-story", spec);
    let try_it = PostParams { dry_run: true, ..PostParams::default() };
    let elsewhere = story.world.api::<Pause>(&story.namespace).create(&try_it, &pause).await.map(|_| ());
    is_refused_by_policy(elsewhere, "works only in Paramedic's own namespace");
    story.world.api::<Pause>(PARAMEDIC).create(&try_it, &pause).await.expect("there it may be made");
    let mut for_one = pause.clone();
    for_one.spec.scope = PauseScope::Namespace;
    story
        .world
        .api::<Pause>(&story.namespace)
        .create(&try_it, &for_one)
        .await
        .expect("for its namespace it may be made");
}
