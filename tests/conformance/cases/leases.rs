//! Leases, as an election uses them.

use serde_json::json;

use crate::{
    objects::{With, lease},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("of two candidates that saw one version one gets the lease", |c| async move {
            c.also(&["spec"]);
            let seen = c.given("leases", lease("a").with(json!({"spec": {"holderIdentity": null}}))).await;
            let candidate = |name: &str| seen.body.clone().with(json!({"spec": {"holderIdentity": name}}));
            c.put("leases/a", candidate("one")).await;
            c.put("leases/a", candidate("two")).await;
            c.get("leases/a").await;
        }),
        case("of two candidates that create one is too late", |c| async move {
            c.post("leases", lease("a").with(json!({"spec": {"holderIdentity": "one"}}))).await;
            c.post("leases", lease("a").with(json!({"spec": {"holderIdentity": "two"}}))).await;
        }),
        case("a lease is renewed over its own version", |c| async move {
            c.also(&["spec"]);
            let spec = json!({"leaseDurationSeconds": 15, "acquireTime": "2020-01-01T00:00:00.000000Z",
                "renewTime": "2020-01-01T00:00:00.000000Z", "leaseTransitions": 1});
            let made = c.post("leases", lease("a").with(json!({"spec": spec}))).await;
            let next = made.body_with(json!({"spec": {"renewTime": "2020-01-01T00:00:05.000001Z"}}));
            let renewed = c.put("leases/a", next).await;
            c.put("leases/a", renewed.body_with(json!({"spec": {"renewTime": "2020-01-01T00:00:10.5Z"}}))).await;
            c.put("leases/a", renewed.body_with(json!({"spec": {"renewTime": "2020-01-01T00:00:10.500000Z"}}))).await;
        }),
        case("a lease is given back by an empty holder", |c| async move {
            c.also(&["spec"]);
            let made = c.given("leases", lease("a")).await;
            c.put("leases/a", made.body.with(json!({"spec": {"holderIdentity": ""}}))).await;
        }),
        case("a lease that was deleted meanwhile is a conflict", |c| async move {
            let made = c.given("leases", lease("a")).await;
            c.delete("leases/a").await;
            c.put("leases/a", made.body).await;
        }),
        case("a lease that was made anew has another uid", |c| async move {
            let made = c.given("leases", lease("a")).await;
            c.delete("leases/a").await;
            c.given("leases", lease("a")).await;
            c.put("leases/a", made.body).await;
        }),
        case("a lease is deleted over the version that was seen", |c| async move {
            let made = c.given("leases", lease("a")).await;
            c.given_patch("leases/a", json!({"spec": {"holderIdentity": "another"}})).await;
            let preconditions = json!({"preconditions": {"uid": made.uid(), "resourceVersion": made.rv()}});
            c.delete_with("leases/a", preconditions).await;
        }),
    ]
}
