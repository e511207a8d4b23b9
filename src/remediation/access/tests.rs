//! What is asked, how often, and what each answer means.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::{api::RestartPod, remediation::fixtures::*};

/// An API server that answers every review with what the function says to its attributes, and how often it was asked.
fn reviewer(answer: fn(&Value) -> (u16, Value)) -> (Reviewer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = tower::service_fn(move |request: Request<Body>| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            let body = request.into_body().collect_bytes().await.unwrap();
            let review: Value = serde_json::from_slice(&body).unwrap();
            let (code, said) = answer(&review["spec"]["resourceAttributes"]);
            let response = Response::builder().status(code).body(Body::from(said.to_string().into_bytes()));
            Ok::<_, kube::Error>(response.unwrap())
        }
    });
    (Reviewer::new(Client::new(server, "default")), asked)
}

fn review(allowed: bool) -> (u16, Value) {
    (201, json!({ "metadata": {}, "spec": {}, "status": { "allowed": allowed } }))
}

fn refusal(code: u16) -> (u16, Value) {
    let status = json!({ "kind": "Status", "status": "Failure", "code": code, "message": "no", "reason": "Forbidden" });
    (code, status)
}

fn evict() -> Right {
    crate::action::rights(crate::api::Action::RestartPod(&RestartPod::default()), "Pod")[0]
}

async fn asked_of(reviewer: &Reviewer, account: Option<&ObjectKey>) -> Access {
    reviewer.review(account, BTreeMap::from([(evict(), &pod("cart-1"))])).await.remove(&evict()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_yes_is_believed_for_a_minute_and_a_no_never() {
    let (yes, asked) = reviewer(|_| review(true));
    for (seconds, expected) in [(0, 1), (59, 1), (1, 2)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(asked_of(&yes, None).await, Access::Allowed);
        assert_eq!(asked.load(Ordering::SeqCst), expected);
    }
    let (no, asked) = reviewer(|_| review(false));
    for expected in [2, 4] {
        let Access::Refused(why) = asked_of(&no, None).await else { panic!() };
        assert!(why.contains("may not create pods/eviction in namespace shop"), "{why}");
        assert_eq!(asked.load(Ordering::SeqCst), expected, "for the namespace, and for the pod");
    }
}

#[tokio::test]
async fn a_right_to_one_object_is_a_right_to_it() {
    let (one, _) = reviewer(|attributes| review(attributes["name"] == "cart-1"));
    assert_eq!(asked_of(&one, None).await, Access::Allowed);
}

#[tokio::test]
async fn one_accounts_right_is_not_anothers() {
    let (yes, asked) = reviewer(|_| review(true));
    let repairs = ObjectKey { namespace: "shop".to_owned(), name: "repairs".to_owned() };
    assert_eq!(asked_of(&yes, None).await, Access::Allowed);
    assert_eq!(asked_of(&yes, Some(&repairs)).await, Access::Allowed);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_name_that_paramedic_may_not_speak_in_is_a_refusal_and_a_server_that_fails_is_none() {
    let repairs = ObjectKey { namespace: "shop".to_owned(), name: "repairs".to_owned() };
    let (forbidden, _) = reviewer(|_| refusal(403));
    let Access::Refused(why) = asked_of(&forbidden, Some(&repairs)).await else { panic!() };
    assert!(why.contains("may not act in the name of system:serviceaccount:shop:repairs"), "{why}");
    assert!(matches!(asked_of(&forbidden, None).await, Access::Unknown { forbidden: true, .. }));
    let (broken, _) = reviewer(|_| refusal(500));
    for account in [None, Some(&repairs)] {
        assert!(matches!(asked_of(&broken, account).await, Access::Unknown { forbidden: false, .. }));
    }
}
