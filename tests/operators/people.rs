//! The HTTP API for people: who is let in, what they may, and that what they do is done as themselves.

use paramedic::{
    api::{Pause, Phase, Reason, RemediationApproval},
    sim::people::{Grant, Person},
};
use serde_json::{Value, json};

use crate::stage::{Stage, policy};

/// What the role `paramedic-operator` has, in one namespace.
fn operator(namespace: &str) -> Vec<Grant> {
    let kinds = "remediations remediationapprovals remediationpolicies pauses";
    vec![
        Grant::within(namespace, "get list watch", kinds),
        Grant::within(namespace, "approve cancel", "remediationpolicies"),
        Grant::within(namespace, "patch", "remediations"),
        Grant::within(namespace, "create", "remediationapprovals"),
        Grant::within(namespace, "create update patch delete", "pauses"),
    ]
}

/// The same without approving and cancelling, as whoever has `paramedic-viewer` and may write the objects.
fn writer(namespace: &str) -> Vec<Grant> {
    operator(namespace).into_iter().filter(|grant| !grant.verbs.contains(&"approve".to_owned())).collect()
}

fn viewer(namespace: &str) -> Vec<Grant> {
    operator(namespace).into_iter().take(1).collect()
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    /// It was refused for that cause, in these words.
    fn is(&self, status: u16, code: &str, words: &[&str]) {
        assert_eq!((self.status, &self.body["code"]), (status, &json!(code)), "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        let detail = self.body["detail"].as_str().unwrap();
        for part in words {
            assert!(detail.contains(part), "no {part:?} in {detail}");
        }
    }
}

/// A replica at work, with a policy that asks for approval, and these people: their name is their token too.
fn stage(people: &[(&str, Vec<Grant>)]) -> Stage {
    let mut stage = Stage::empty();
    for (name, grants) in people {
        stage.cluster.people().add(&format!("token-of-{name}"), Person::new(name, grants.clone()));
    }
    stage.applies(policy("restart-cart", &json!({ "mode": "RequireApproval" })));
    stage.starts_a_replica();
    stage
}

/// The same with a record that awaits an answer: its path, and the hash of its plan.
fn awaiting(people: &[(&str, Vec<Grant>)]) -> (Stage, String, String) {
    let stage = stage(people);
    stage.tells_of(&stage.pods().remove(0));
    stage.is(Phase::AwaitingApproval);
    let record = stage.record().unwrap();
    let path = format!("remediations/shop/{}", record.metadata.name.unwrap());
    (stage, path, record.status.unwrap().plan_hash.unwrap())
}

fn asks(stage: &Stage, who: Option<&str>, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let url = format!("{}/{path}", stage.address_after("API for people on "));
    stage.runtime.block_on(async {
        let mut request = reqwest::Client::new().request(method.parse().unwrap(), url);
        if let Some(who) = who {
            request = request.bearer_auth(format!("token-of-{who}"));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let (status, kind) = (response.status().as_u16(), response.headers().get("content-type").cloned());
        let text = response.text().await.unwrap();
        if status >= 400 {
            assert_eq!(kind.unwrap(), "application/problem+json", "{text}");
        }
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    })
}

fn get(stage: &Stage, who: &str, path: &str) -> Answer {
    asks(stage, Some(who), "GET", path, None)
}

fn post(stage: &Stage, who: &str, path: &str, body: &Value) -> Answer {
    asks(stage, Some(who), "POST", path, Some(body))
}

fn approvals(stage: &Stage) -> Vec<RemediationApproval> {
    stage.cluster.with(|state| state.list(None))
}

#[test]
fn nobody_is_let_in_without_a_token_and_no_token_is_logged() {
    let stage = stage(&[("kim", operator("shop"))]);
    asks(&stage, None, "GET", "remediations?namespace=shop", None).is(401, "Unauthenticated", &["bearer token"]);
    get(&stage, "nobody", "remediations?namespace=shop").is(401, "Unauthenticated", &["bearer token"]);
    asks(&stage, None, "GET", "nowhere", None).is(401, "Unauthenticated", &[]);
    get(&stage, "kim", "nowhere").is(404, "NoSuchPath", &["openapi.json"]);
    asks(&stage, Some("kim"), "PUT", "pauses", None).is(405, "NoSuchMethod", &[]);
    let listed = get(&stage, "kim", "remediations?namespace=shop");
    assert_eq!((listed.status, &listed.body), (200, &json!({ "items": [] })));
    // What there is to ask is told to anybody, and is what the command prints.
    let described = asks(&stage, None, "GET", "openapi.json", None);
    assert_eq!(described.body, serde_json::from_str::<Value>(&stage.run("openapi").out).unwrap());
    let log = stage.logged();
    assert!(log.contains("with no token was refused") && log.contains("with a token of nobody was refused"), "{log}");
    assert!(!log.contains("token-of-"), "a token is in the log: {log}");
}

#[test]
fn each_sees_what_they_may() {
    let everywhere = vec![Grant::everywhere("get list", "*")];
    let (stage, path, hash) =
        awaiting(&[("kim", viewer("shop")), ("anna", viewer("bank")), ("root", everywhere), ("none", Vec::new())]);
    let seen = get(&stage, "kim", &path);
    assert_eq!((seen.status, &seen.body["status"]["planHash"]), (200, &json!(hash)), "{seen:?}");
    assert_eq!(seen.body["kind"], "Remediation", "{seen:?}");
    for (who, where_from) in [("anna", "in namespace shop"), ("none", "in namespace shop")] {
        let refused = get(&stage, who, &path);
        refused.is(403, "Forbidden", &[who, "may not get remediations.paramedic.dev/", where_from, "administrator"]);
    }
    get(&stage, "kim", "remediations").is(403, "Forbidden", &["kim may not list", "in the whole cluster"]);
    let count = |who: &str, query: &str| {
        let page = get(&stage, who, &format!("remediations{query}"));
        assert_eq!(page.status, 200, "{page:?}");
        page.body["items"].as_array().unwrap().len()
    };
    assert_eq!(count("root", ""), 1);
    assert_eq!(count("kim", "?namespace=shop&phase=AwaitingApproval&policy=restart-cart"), 1);
    assert_eq!(count("kim", "?namespace=shop&phase=Failed"), 0);
    assert_eq!(count("kim", "?namespace=shop&policy=another"), 0);
    for (query, word) in [
        ("?namespace=../pods", "namespace"),
        ("?namespace=shop&limit=0", "limit"),
        ("?namespace=shop&phase=Nearly", "Nearly"),
        ("?namespce=shop", "namespce"),
    ] {
        get(&stage, "kim", &format!("remediations{query}")).is(400, "Malformed", &[word]);
    }
    get(&stage, "kim", "remediations/shop/..%2F..%2Fpods").is(400, "Malformed", &["namespace and name"]);
    get(&stage, "kim", "remediations/shop/nothing").is(404, "NotFound", &["there is no remediation shop/nothing"]);
    assert_eq!(get(&stage, "kim", "policies?namespace=shop").body["items"][0]["metadata"]["name"], "restart-cart");
    get(&stage, "kim", "clusterpolicies").is(403, "Forbidden", &["clusterremediationpolicies"]);
    assert_eq!(get(&stage, "root", "clusterpolicies").body["items"], json!([]));
    let status = get(&stage, "root", "status?namespace=shop");
    assert_eq!((status.status, &status.body["leader"]["leads"]), (200, &json!(true)), "{status:?}");
    assert_eq!(status.body["open"][0]["phase"], "AwaitingApproval", "{status:?}");
    get(&stage, "anna", "status?namespace=shop").is(403, "Forbidden", &["anna may not list"]);
}

#[test]
fn pages_lead_to_each_other() {
    let stage = stage(&[("kim", operator("shop"))]);
    for number in 0..3 {
        let pause = json!({ "namespace": "shop", "reason": "a page", "name": format!("p{number}") });
        assert_eq!(post(&stage, "kim", "pauses", &pause).status, 201);
    }
    let mut names = Vec::new();
    let mut token = None::<String>;
    loop {
        let again = token.take().map(|token| format!("&continue={token}")).unwrap_or_default();
        let page = get(&stage, "kim", &format!("pauses?namespace=shop&limit=2{again}"));
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 2, "{page:?}");
        names.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
        match page.body["continue"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(names, ["p0", "p1", "p2"]);
}

#[test]
fn who_may_approves_that_very_plan_and_the_record_says_who() {
    let people = [("kim", operator("shop")), ("bob", writer("shop")), ("anna", operator("bank"))];
    let (stage, path, hash) = awaiting(&people);
    let (approve, body) = (format!("{path}/approve"), json!({ "planHash": hash, "reason": "seen" }));
    let lacking = ["bob may not approve remediationpolicies.paramedic.dev/restart-cart in namespace shop"];
    post(&stage, "bob", &approve, &body).is(403, "Forbidden", &lacking);
    post(&stage, "bob", &format!("{path}/deny"), &body).is(403, "Forbidden", &lacking);
    post(&stage, "anna", &approve, &body).is(403, "Forbidden", &["anna may not get"]);
    let another = json!({ "planHash": "0".repeat(64) });
    post(&stage, "kim", &approve, &another).is(409, "PlanChanged", &["another one now", "Nothing was answered"]);
    post(&stage, "kim", &approve, &json!({})).is(400, "Malformed", &["planHash"]);
    post(&stage, "kim", &approve, &json!({ "planHash": hash, "force": true })).is(400, "Malformed", &["force"]);
    assert_eq!(approvals(&stage), []);
    assert_eq!(stage.record().unwrap().status.unwrap().phase, Phase::AwaitingApproval, "nothing was done so far");

    let made = post(&stage, "kim", &approve, &body);
    assert_eq!((made.status, &made.body["spec"]["approver"]), (201, &json!("kim")), "{made:?}");
    stage.is(Phase::Verifying);
    let journal = stage.record().unwrap().status.unwrap().journal;
    assert_eq!(journal[0].approved_by.as_ref().map(|by| by.approver.as_str()), Some("kim"));
    post(&stage, "kim", &approve, &body).is(409, "AwaitsNoAnswer", &["it is Verifying"]);
}

#[test]
fn who_may_denies_and_nothing_is_done() {
    let (stage, path, hash) = awaiting(&[("kim", operator("shop"))]);
    let pods = stage.pods();
    let denied = post(&stage, "kim", &format!("{path}/deny"), &json!({ "planHash": hash }));
    assert_eq!((denied.status, &denied.body["spec"]["decision"]), (201, &json!("Deny")), "{denied:?}");
    stage.is(Phase::Cancelled);
    assert_eq!(stage.record().unwrap().status.unwrap().reason, Some(Reason::ApprovalDenied));
    assert_eq!(stage.pods(), pods);
}

#[test]
fn who_may_cancels() {
    let (stage, path, _) = awaiting(&[("kim", operator("shop")), ("bob", writer("shop")), ("vera", viewer("shop"))]);
    let (cancel, body) = (format!("{path}/cancel"), json!({ "reason": "by hand" }));
    post(&stage, "vera", &cancel, &body).is(403, "Forbidden", &["vera may not patch remediations.paramedic.dev/"]);
    post(&stage, "bob", &cancel, &body).is(403, "Forbidden", &["bob may not cancel", "nor cancel"]);
    post(&stage, "kim", &cancel, &json!({ "reason": " " })).is(400, "Malformed", &["reason is empty"]);
    assert_eq!(stage.record().unwrap().status.unwrap().phase, Phase::AwaitingApproval, "nothing was changed so far");
    assert_eq!(post(&stage, "kim", &cancel, &body).status, 202);
    stage.is(Phase::Cancelled);
    let status = stage.record().unwrap().status.unwrap();
    assert_eq!(status.reason, Some(Reason::CancelRequested));
    assert!(status.message.unwrap().contains("by hand"));
    post(&stage, "kim", &cancel, &body).is(409, "Ended", &["it is Cancelled"]);
}

#[test]
fn who_may_pauses_and_resumes() {
    let stage = stage(&[("kim", operator("shop")), ("vera", viewer("shop"))]);
    let body = json!({ "namespace": "shop", "reason": "release 14", "name": "release", "for": "1h" });
    post(&stage, "vera", "pauses", &body).is(403, "Forbidden", &["vera may not create pauses", "in namespace shop"]);
    let elsewhere = json!({ "namespace": "bank", "reason": "release 14" });
    post(&stage, "kim", "pauses", &elsewhere).is(403, "Forbidden", &["kim may not create pauses", "in namespace bank"]);
    let all = json!({ "namespace": "shop", "scope": "Cluster", "reason": "all" });
    post(&stage, "kim", "pauses", &all).is(400, "Malformed", &["own namespace: paramedic"]);
    let all = json!({ "namespace": "paramedic", "scope": "Cluster", "reason": "all" });
    post(&stage, "kim", "pauses", &all).is(403, "Forbidden", &["in namespace paramedic"]);
    let over = json!({ "namespace": "shop", "reason": "x", "expiresAt": "2020-01-01T00:00:00Z" });
    post(&stage, "kim", "pauses", &over).is(400, "Malformed", &["over already"]);
    assert_eq!(stage.cluster.with(|state| state.list::<Pause>(None)), []);

    let made = post(&stage, "kim", "pauses", &body);
    assert_eq!((made.status, &made.body["spec"]["reason"]), (201, &json!("release 14")), "{made:?}");
    post(&stage, "kim", "pauses", &body).is(409, "Refused", &["already exists"]);
    stage.tells_of(&stage.pods().remove(0));
    stage.until("Paused", |stage| stage.record().and_then(|record| record.status?.reason) == Some(Reason::Paused));
    let gone = |who| asks(&stage, Some(who), "DELETE", "pauses/shop/release", None);
    gone("vera").is(403, "Forbidden", &["vera may not delete pauses.paramedic.dev/release in namespace shop"]);
    assert_eq!(gone("kim").status, 204);
    gone("kim").is(404, "NotFound", &["there is no pause shop/release"]);
    stage.is(Phase::AwaitingApproval);
}

#[test]
fn without_the_api_server_nobody_is_let_in_and_it_is_said() {
    let stage = stage(&[("kim", operator("shop"))]);
    stage.takes_the_api_away();
    get(&stage, "kim", "remediations?namespace=shop").is(503, "Unavailable", &["did not say whose token that is"]);
}
