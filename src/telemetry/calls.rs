//! How long the Kubernetes API takes to answer, by verb.

use std::{sync::Arc, task};

use axum::http::{Method, Request, Uri};
use futures::future::BoxFuture;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Metrics;

/// Measures every request of a client, to the answer's head: of a watch that is when it begins.
#[derive(Clone)]
pub struct TimeCalls(Arc<Metrics>);

impl TimeCalls {
    /// Into these metrics.
    pub const fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }
}

impl<S> Layer<S> for TimeCalls {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner, metrics: Arc::clone(&self.0) }
    }
}

/// A client's way to the API, measured.
#[derive(Clone)]
pub struct Timed<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B> Service<Request<B>> for Timed<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, began) = (verb(request.method(), request.uri()), Instant::now());
        let (answer, metrics) = (self.inner.call(request), Arc::clone(&self.metrics));
        Box::pin(async move {
            let answer = answer.await;
            metrics.api_request(verb, began.elapsed());
            answer
        })
    }
}

/// The verb as RBAC has it.
fn verb(method: &Method, uri: &Uri) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::GET if asks_to_watch(uri) => "watch",
        Method::GET if is_collection(uri.path()) => "list",
        Method::GET => "get",
        _ => "other",
    }
}

fn asks_to_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|part| matches!(part, "watch=true" | "watch=1")))
}

fn is_collection(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let group = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return false,
    };
    parts.drain(..group.min(parts.len()));
    if parts.len() > 2 && parts.first() == Some(&"namespaces") {
        parts.drain(..2);
    }
    parts.len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_those_of_rbac() {
        for (method, uri, expected) in [
            (Method::GET, "/version", "get"),
            (Method::GET, "/api/v1/namespaces/shop", "get"),
            (Method::GET, "/api/v1/namespaces", "list"),
            (Method::GET, "/api/v1/namespaces/shop/pods?limit=500", "list"),
            (Method::GET, "/api/v1/namespaces/shop/pods/cart-1", "get"),
            (Method::GET, "/apis/paramedic.dev/v1alpha1/remediations?", "list"),
            (Method::GET, "/apis/paramedic.dev/v1alpha1/remediations?&watch=true&resourceVersion=1", "watch"),
            (Method::GET, "/apis/apps/v1/namespaces/shop/deployments/cart/scale", "get"),
            (Method::POST, "/api/v1/namespaces/shop/pods/cart-1/eviction", "create"),
            (Method::PUT, "/apis/paramedic.dev/v1alpha1/namespaces/shop/remediations/a/status", "update"),
            (Method::PATCH, "/apis/apps/v1/namespaces/shop/deployments/cart", "patch"),
            (Method::DELETE, "/api/v1/namespaces/shop/pods/cart-1", "delete"),
        ] {
            assert_eq!(verb(&method, &uri.parse().unwrap()), expected, "{method} {uri}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_measured_whatever_it_says() {
        let metrics = Arc::new(Metrics::new());
        let slow = tower::service_fn(async |_: Request<()>| {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            Err::<(), _>("no")
        });
        let mut timed = TimeCalls::new(Arc::clone(&metrics)).layer(slow);
        timed.call(Request::post("/api/v1/namespaces/shop/pods").body(()).unwrap()).await.unwrap_err();
        let exposition = metrics.render().unwrap();
        for line in [
            r#"paramedic_api_request_seconds_bucket{le="0.025",verb="create"} 0"#,
            r#"paramedic_api_request_seconds_bucket{le="0.05",verb="create"} 1"#,
        ] {
            assert!(exposition.contains(line), "{line} is not in\n{exposition}");
        }
    }
}
