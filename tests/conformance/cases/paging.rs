//! Lists in pages.

use serde_json::json;

use crate::{
    objects::{With, lease, pause},
    suite::{Case, case},
    talk::{Answer, Talk},
};

async fn five(c: &Talk) {
    for name in ["a", "b", "c", "d", "e"] {
        let odd = if ["a", "c", "e"].contains(&name) { "yes" } else { "no" };
        c.given("leases", lease(name).labelled(json!({"odd": odd}))).await;
    }
}

fn page(c: &Talk, answer: &Answer) {
    let items = answer.at("/items");
    let names: Vec<&str> =
        items.as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str()).collect();
    let more = answer.at("/metadata/continue").as_str().is_some_and(|token| !token.is_empty());
    c.note("page", format!("{} {names:?}, more {more}, left {}", answer.status, answer.at("/metadata/remainingItemCount")));
}

pub fn cases() -> Vec<Case> {
    vec![
        case("a page says how to go on and how many are left", |c| async move {
            five(&c).await;
            let first = c.get("leases?limit=2").await;
            let second = c.get(&format!("leases?limit=2&continue={}", first.token())).await;
            let third = c.get(&format!("leases?limit=2&continue={}", second.token())).await;
            page(&c, &third);
        }),
        case("pages go on at the version of the first", |c| async move {
            five(&c).await;
            let first = c.look("leases?limit=2").await;
            page(&c, &first);
            c.given("leases", lease("bb")).await;
            c.given_patch("leases/c", json!({"metadata": {"labels": {"later": "yes"}}})).await;
            c.delete("leases/d").await;
            let second = c.look(&format!("leases?limit=2&continue={}", first.token())).await;
            page(&c, &second);
            c.note("later", second.at("/items/0/metadata/labels/later"));
            c.note("the version is the first's", first.at("/metadata/resourceVersion") == second.at("/metadata/resourceVersion"));
            let third = c.look(&format!("leases?limit=2&continue={}", second.token())).await;
            page(&c, &third);
        }),
        case("a token may be used again", |c| async move {
            five(&c).await;
            let first = c.look("leases?limit=2").await;
            for limit in [1, 2, 10] {
                page(&c, &c.look(&format!("leases?limit={limit}&continue={}", first.token())).await);
            }
            page(&c, &c.look(&format!("leases?continue={}", first.token())).await);
        }),
        case("a page that holds all has no token", |c| async move {
            five(&c).await;
            page(&c, &c.get("leases?limit=5").await);
            page(&c, &c.look("leases?limit=6").await);
            page(&c, &c.look("leases?limit=0").await);
        }),
        case("a selected page does not say how many are left", |c| async move {
            five(&c).await;
            let first = c.look("leases?limit=2&labelSelector=odd%3Dyes").await;
            page(&c, &first);
            page(&c, &c.look(&format!("leases?limit=2&labelSelector=odd%3Dyes&continue={}", first.token())).await);
            let first = c.look("leases?limit=1&fieldSelector=metadata.name!%3Da").await;
            page(&c, &first);
        }),
        case("a token that is none is 400", |c| async move {
            five(&c).await;
            c.get("leases?limit=2&continue=nonsense").await;
            c.get("pauses?limit=2&continue=nonsense").await;
        }),
        case("a token and a version do not go together", |c| async move {
            five(&c).await;
            let first = c.look("leases?limit=2").await;
            c.get(&format!("leases?limit=2&resourceVersion=5&continue={}", first.token())).await;
        }),
        case("with version zero a token's limit does not count", |c| async move {
            five(&c).await;
            let first = c.look("leases?limit=2").await;
            let answer = c.get(&format!("leases?limit=2&resourceVersion=0&continue={}", first.token())).await;
            page(&c, &answer);
        }),
        case("version zero with a limit gives all", |c| async move {
            five(&c).await;
            c.until("leases?resourceVersion=0", "/items/4/metadata/name", json!("e")).await;
            page(&c, &c.look("leases?limit=2&resourceVersion=0").await);
        }),
        case("a limit that is no number is refused, one below zero is none", |c| async move {
            c.get("leases?limit=many").await;
            five(&c).await;
            page(&c, &c.look("leases?limit=-1").await);
        }),
        case("custom kinds come in pages too", |c| async move {
            for name in ["a", "b", "c"] {
                c.given("pauses", pause(name)).await;
            }
            let first = c.get("pauses?limit=2").await;
            c.get(&format!("pauses?limit=2&continue={}", first.token())).await;
        }),
        case("pages over all namespaces go on in the order of namespace and name", |c| async move {
            for name in ["a", "b", "c"] {
                c.given("leases", lease(name).labelled(json!({"conformance": "NS"}))).await;
            }
            let path = "/apis/coordination.k8s.io/v1/leases?labelSelector=conformance%3DNS&limit=2";
            let first = c.look(path).await;
            page(&c, &first);
            page(&c, &c.look(&format!("{path}&continue={}", first.token())).await);
        }),
    ]
}
