//! In whose name an action is done.

use axum::http::{HeaderValue, Request};
use kube::{Client, client::Body};

use crate::api::ObjectKey;

/// What the API server reads to take a request for somebody else's.
const IMPERSONATE: &str = "impersonate-user";

/// The user that a service account is to the API server.
pub fn user(account: &ObjectKey) -> String {
    format!("system:serviceaccount:{}:{}", account.namespace, account.name)
}

/// A client whose requests are made in the name of a service account, or, without one, in Paramedic's own. It repeats as
/// little as the one that it is made of. `None` where the account has a name that no header can carry.
pub fn client_of(client: &Client, account: Option<&ObjectKey>) -> Option<Client> {
    let Some(account) = account else { return Some(client.clone()) };
    let user = HeaderValue::from_str(&user(account)).ok()?;
    let client = client.clone();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let client = client.clone();
        request.headers_mut().insert(IMPERSONATE, user.clone());
        async move { client.send(request).await }
    });
    Some(Client::new(service, account.namespace.clone()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;

    use super::*;

    /// In whose name a read of a pod arrives at the API server.
    async fn arrives_as(account: Option<&ObjectKey>) -> Option<String> {
        let seen = Arc::new(Mutex::new(None));
        let into = Arc::clone(&seen);
        let server = tower::service_fn(move |request: Request<Body>| {
            let user = request.headers().get(IMPERSONATE).map(|user| user.to_str().unwrap().to_owned());
            *into.lock().unwrap() = Some(user);
            async {
                Ok::<_, std::convert::Infallible>(axum::http::Response::new(Body::from(br#"{"metadata":{}}"#.to_vec())))
            }
        });
        let client = client_of(&Client::new(server, "default"), account).unwrap();
        let pods: Api<Pod> = Api::namespaced(client, "shop");
        pods.get("cart-1").await.unwrap();
        let arrived = seen.lock().unwrap().take();
        arrived.expect("it has arrived")
    }

    #[tokio::test]
    async fn a_request_arrives_in_the_name_of_the_account() {
        let account = ObjectKey { namespace: "shop".to_owned(), name: "repairs".to_owned() };
        assert_eq!(arrives_as(Some(&account)).await.as_deref(), Some("system:serviceaccount:shop:repairs"));
        assert_eq!(arrives_as(None).await, None);
    }
}
