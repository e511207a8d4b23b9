//! The HTTP API for people, on a port of its own: JSON in and out, described by `/api/v1/openapi.json`.
//!
//! Who asks is found out by a `TokenReview`, and whether they may by a `SubjectAccessReview` of each right; that gives early, clear
//! answers. What is then read or written is, with that person's own token: the API server and its admission policies
//! decide once more, and its audit log names the person. Paramedic's own rights open nothing here.

mod deeds;
mod identity;
pub mod openapi;
mod problem;
mod reads;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use kube::{Api, Client, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio::{sync::Semaphore, time::timeout};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    identity::{Reviews, Right, Token, User},
    problem::Problem,
};
use super::Cluster;
use crate::{
    api::ObjectKey,
    clock::Clock,
    server::{throttle::Throttle, tls::ShownCertificate},
    telemetry::Metrics,
};

/// The longest body.
const BODY_LIMIT: usize = 64 << 10;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// So many requests are answered at the same time.
const AT_ONCE: usize = 64;

/// What the port works with.
pub struct Settings {
    /// Asks who somebody is, in Paramedic's name. Repeats nothing by itself.
    pub reviewer: Client,
    /// Asks without any credential of Paramedic's.
    pub nobodys: Client,
    /// Where Paramedic is installed.
    pub own_namespace: String,
    /// Whether everybody must show a certificate too.
    pub certificates: bool,
    /// Counts failed authentications.
    pub throttle: Arc<Throttle>,
    /// Counts requests.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

struct Desk {
    settings: Settings,
    reviews: Reviews,
    places: Semaphore,
}

/// Somebody who was let in.
#[derive(Clone)]
struct Caller {
    desk: Arc<Desk>,
    user: Arc<User>,
    /// Asks as them.
    client: Client,
}

/// The routes, and what is said of them; they are the same by construction.
fn described() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default()
        .routes(routes!(reads::status))
        .routes(routes!(reads::list_remediations))
        .routes(routes!(reads::get_remediation))
        .routes(routes!(deeds::approve))
        .routes(routes!(deeds::deny))
        .routes(routes!(deeds::cancel))
        .routes(routes!(reads::list_policies))
        .routes(routes!(reads::list_cluster_policies))
        .routes(routes!(reads::list_pauses, deeds::pause))
        .routes(routes!(deeds::resume))
}

/// The routes of the port.
pub fn router(settings: Settings) -> Router {
    let reviews = Reviews::new(settings.reviewer.clone());
    let desk = Arc::new(Desk { settings, reviews, places: Semaphore::new(AT_ONCE) });
    let (routes, _) = described().split_for_parts();
    let routes = routes
        .fallback(async || Problem::NoSuchPath)
        .method_not_allowed_fallback(async || Problem::NoSuchMethod)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), admit))
        .with_state(desk);
    // What there is to ask is no secret: it is in every release.
    let open = Router::new().route("/api/v1/openapi.json", get(async || axum::Json(openapi::document())));
    open.merge(routes).layer(CatchPanicLayer::new())
}

/// Lets in who is known, and counts what came of it.
async fn admit(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let metrics = Arc::clone(&desk.settings.metrics);
    let answered = timeout(ANSWER_WITHIN, answer(&desk, request, next)).await;
    let mut response = answered.unwrap_or_else(|_| Problem::Late.into_response());
    // What one person may see is nothing for a proxy to keep.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    metrics.people_request(response.status().as_u16());
    response
}

async fn answer(desk: &Arc<Desk>, mut request: Request, next: Next) -> Response {
    // A request's body is not Sync, so no borrow of the request may live through an await.
    let (headers, client) = (request.headers().clone(), client(&request));
    if desk.settings.certificates && request.extensions().get() != Some(&ShownCertificate(true)) {
        desk.settings.metrics.auth_failure();
        return Problem::NoCertificate.into_response();
    }
    match desk.who(Token::of(&headers), client).await {
        Ok(caller) => {
            // Taken by who is known alone: strangers cannot take the places of others.
            let Ok(_place) = desk.places.try_acquire() else { return Problem::Overloaded.into_response() };
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Desk {
    async fn who(self: &Arc<Self>, token: Option<Token>, client: IpAddr) -> Result<Caller, Problem> {
        let Some(token) = token else { return Err(self.stranger("no token", client).await) };
        let Some(user) = self.reviews.who(&token).await? else {
            return Err(self.stranger("a token of nobody", client).await);
        };
        let Some(asking) = token.client(&self.settings.nobodys, &self.settings.own_namespace) else {
            return Err(self.stranger("no token", client).await);
        };
        Ok(Caller { desk: Arc::clone(self), user, client: asking })
    }

    /// Counts a request of nobody who is known; an answer to a client that goes on and on is held back.
    async fn stranger(&self, presented: &str, client: IpAddr) -> Problem {
        self.settings.metrics.auth_failure();
        let throttled = self.settings.throttle.failed(client);
        if throttled {
            self.settings.throttle.hold().await;
        } else {
            tracing::warn!(%client, "a request of the API for people with {presented} was refused");
        }
        Problem::Unauthenticated { throttled }
    }
}

impl Caller {
    /// Refuses where this person lacks one of these rights.
    async fn may(&self, rights: &[Right<'_>]) -> Result<(), Problem> {
        self.desk.reviews.may(&self.user, rights).await
    }

    /// Refuses where this person has none of these rights.
    async fn may_one_of(&self, rights: &[Right<'_>]) -> Result<(), Problem> {
        self.desk.reviews.may_one_of(&self.user, rights).await
    }

    /// An API of one namespace, asked as this person.
    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Says of an error what this person wanted.
    fn wanting(&self, what: impl Into<String>) -> impl FnOnce(kube::Error) -> Problem {
        let what = what.into();
        move |error| Problem::of(error, &self.user.name, what)
    }

    /// The cluster, as this person sees it.
    fn cluster(&self) -> Cluster {
        let own_namespace = self.desk.settings.own_namespace.clone();
        Cluster { client: self.client.clone(), default_namespace: own_namespace.clone(), own_namespace }
    }
}

/// The peer of the connection. Headers such as `X-Forwarded-For` are not asked: anybody can write them.
fn client(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

/// A name that an object of Kubernetes can have. Anything else must not get into a path.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| inner(*byte));
    let bytes = name.as_bytes();
    bytes.len() <= 253
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| inner(*byte) || matches!(byte, b'-' | b'.'))
}

/// The object of a path.
fn key(namespace: String, name: String) -> Result<ObjectKey, Problem> {
    if crate::policy::is_namespace(&namespace) && is_name(&name) {
        return Ok(ObjectKey { namespace, name });
    }
    Err(Problem::Malformed("no object can have that namespace and name".to_owned()))
}

/// Refuses what is no name of a namespace.
fn namespace(name: &str) -> Result<(), Problem> {
    if crate::policy::is_namespace(name) {
        return Ok(());
    }
    Err(Problem::Malformed("namespace: no namespace can have that name".to_owned()))
}

/// A body of JSON.
struct Given<T>(T);

impl<T, S> FromRequest<S> for Given<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = match Bytes::from_request(request, state).await {
            Ok(body) => body,
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Problem::TooLarge { limit: BODY_LIMIT });
            }
            Err(rejection) => return Err(Problem::Malformed(rejection.body_text())),
        };
        let read = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(&body));
        read.map(Self).map_err(|error| Problem::Malformed(format!("the body is not what it should be: {error}")))
    }
}

/// Who asks, in the handlers.
type Who = Extension<Caller>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gets_into_a_path_is_the_name_of_an_object() {
        for good in ["cart", "restart-cart-0011223344556677", "a.b-c", "0"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "..", "a/b", "a?b", "A", "-a", "a.", "a%2f", "ä", &"x".repeat(254)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(key("shop".to_owned(), "../pods".to_owned()).is_err());
        assert!(key("../shop".to_owned(), "one".to_owned()).is_err());
        assert!(key("shop".to_owned(), "one".to_owned()).is_ok());
    }
}
