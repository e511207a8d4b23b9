//! Nobody without the right approves, cancels, pauses or resumes over HTTP, and nobody is let in without a token of their own;
//! who has the right, does, and the records name them.

use kube::{Api, ResourceExt, api::ListParams};
use paramedic::api::{Pause, Reason, Remediation};
use serde_json::{Value, json};

use super::approval::asked;
use crate::{
    harness::{Cause, Entry, story, twins},
    http_api::{Caller, Door, all_rights, plain_rights},
    story::Story,
    wait::{PATIENCE, until},
    world::PARAMEDIC,
};

pub fn stories() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(twins("http_api::approving_without_the_right", approving));
    entries.extend(twins("http_api::cancelling_without_the_right", cancelling));
    entries.extend(twins("http_api::pausing_without_the_right", pausing));
    entries.push(story("http_api::a_right_in_one_namespace_is_none_elsewhere", elsewhere));
    entries.push(story("http_api::nobody_is_let_in_without_a_token_of_their_own", strangers));
    entries
}

/// Kim, who has the right or lacks it, once the API server knows of the rights that they have.
async fn kim(story: &Story, door: &Door, cause: Cause) -> Caller {
    let rights = if cause.is_present() { plain_rights() } else { all_rights() };
    let kim = story.caller("kim", rights).await;
    let path = format!("remediations?namespace={}", story.namespace);
    until(PATIENCE, "kim may list remediations", || async {
        let answer = kim.gets(door, &path).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    kim
}

fn answer_to(record: &Remediation) -> Value {
    json!({"planHash": record.status.as_ref().and_then(|status| status.plan_hash.clone()), "reason": "a story"})
}

async fn pauses(story: &Story) -> Vec<Pause> {
    let api: Api<Pause> = story.world.api(&story.namespace);
    api.list(&ListParams::default()).await.expect("pauses can be listed").items
}

async fn approving(story: Story, cause: Cause) {
    let (door, asked) = (story.world.door().await, asked(&story, "ApprovedByHttp").await);
    let kim = kim(&story, &door, cause).await;
    let answer = answer_to(&asked.record);
    if cause.is_present() {
        for what in ["approve", "deny"] {
            let refused = kim.does(&door, &asked.record, what, &answer).await;
            refused.is_forbidden(&kim.user, "approve remediationpolicies.paramedic.dev/");
        }
        return asked.still_waits(&story).await;
    }
    let another = json!({"planHash": "0".repeat(64)});
    kim.does(&door, &asked.record, "approve", &another).await.is(409);
    asked.still_waits(&story).await;
    let made = kim.does(&door, &asked.record, "approve", &answer).await;
    made.is(201);
    // The admission policy holds this against the user of the request: it was theirs, and not Paramedic's.
    assert_eq!(made.body["spec"]["approver"], json!(kim.user), "{made:?}");
    asked.acts(&story, &kim.user).await;
}

async fn cancelling(story: Story, cause: Cause) {
    let (door, asked) = (story.world.door().await, asked(&story, "CancelledByHttp").await);
    let kim = kim(&story, &door, cause).await;
    let answer = kim.does(&door, &asked.record, "cancel", &json!({"reason": "a story"})).await;
    if cause.is_present() {
        answer.is_forbidden(&kim.user, "cancel remediationpolicies.paramedic.dev/");
        return asked.still_waits(&story).await;
    }
    answer.is(202);
    story.record(&asked.alert, &asked.policy).is_cancelled_for(Reason::CancelRequested).await;
    story.expect_untouched().await;
}

/// Who may not pause holds nothing up; who may does, and lets go again.
async fn pausing(story: Story, cause: Cause) {
    let door = story.world.door().await;
    let kim = kim(&story, &door, cause).await;
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("PausedByHttp").up().await;
    let pause = json!({"namespace": story.namespace, "reason": "a story", "name": "by-http", "for": "1h"});
    let answer = kim.posts(&door, "pauses", &pause).await;
    let path = format!("pauses/{}/by-http", story.namespace);
    if cause.is_present() {
        answer.is_forbidden(&kim.user, "create pauses.paramedic.dev");
        assert_eq!(pauses(&story).await, [], "nothing was made");
        story.pause("by-http", None);
        let resumed = door.ask(Some(kim.token()), "DELETE", &path, None).await;
        resumed.is_forbidden(&kim.user, "delete pauses.paramedic.dev/by-http");
        assert_eq!(pauses(&story).await.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["by-http"]);
        let alert = story.alert("PausedByHttp").about(&pod).fire().await;
        story.record(&alert, &policy).waits_for(Reason::Paused).await;
        return story.expect_untouched().await;
    }
    answer.is(201);
    let alert = story.alert("PausedByHttp").about(&pod).fire().await;
    story.record(&alert, &policy).waits_for(Reason::Paused).await;
    story.expect_untouched().await;
    door.ask(Some(kim.token()), "DELETE", &path, None).await.is(204);
    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
}

async fn elsewhere(story: Story) {
    let door = story.world.door().await;
    let kim = kim(&story, &door, Cause::Absent).await;
    for path in
        ["remediations", "remediations?namespace=default", "status", "clusterpolicies", "pauses?namespace=kube-system"]
    {
        kim.gets(&door, path).await.is_forbidden(&kim.user, "list ");
    }
    kim.gets(&door, "remediations/default/one").await.is_forbidden(&kim.user, "get remediations.paramedic.dev/one");
    for (namespace, scope) in [("default", "Namespace"), (PARAMEDIC, "Cluster")] {
        let pause = json!({"namespace": namespace, "reason": "a story", "scope": scope, "for": "1m"});
        kim.posts(&door, "pauses", &pause).await.is_forbidden(&kim.user, "create pauses.paramedic.dev");
    }
}

/// Neither without a token, nor with one that is nobody's, nor with the webhook's; and theirs opens nothing on the webhook.
async fn strangers(story: Story) {
    let door = story.world.door().await;
    let kim = kim(&story, &door, Cause::Absent).await;
    let path = format!("remediations?namespace={}", story.namespace);
    for token in [None, Some("nobody's"), Some(story.world.token.as_str())] {
        let answer = door.ask(token, "GET", &path, None).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("Unauthenticated")), "{answer:?}");
    }
    kim.gets(&door, &path).await.is(200);
    let replica = story.world.replicas().await.remove(0);
    let answer = replica.webhook(Some(kim.token()), &json!({"receiver": "paramedic", "alerts": []})).await;
    assert_eq!(answer.expect("it answers").status, 401);
    let described = door.ask(None, "GET", "openapi.json", None).await;
    assert_eq!((described.status, &described.body["openapi"]), (200, &json!("3.1.0")), "it needs no token");
}
