//! Who somebody is, and what they may do: as the API server says.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue, Request, header};
use futures::future::join_all;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams, client::Body};
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::Problem;
use crate::{api::GROUP, telemetry::chain};

/// How long it is believed who a token stands for. The API server decides about every request again.
const BELIEVED: Duration = Duration::from_secs(10);
/// So many tokens are remembered at most.
const REMEMBERED: usize = 1024;
/// So many tokens are asked about at the same time; others wait. What a flood of guesses costs the API server is bounded.
const ASKED_AT_ONCE: usize = 8;
/// No token is longer.
const LONGEST_TOKEN: usize = 16 << 10;

/// A person's bearer token. It is in no log and in no error.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Of a request's headers; `None` where there is none that could be one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
        let token = token.trim();
        let good =
            !token.is_empty() && token.len() <= LONGEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic());
        (good && scheme.eq_ignore_ascii_case("bearer")).then(|| Self(token.to_owned()))
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// A client whose requests carry this token and nothing of Paramedic's.
    pub fn client(&self, nobodys: &Client, namespace: &str) -> Option<Client> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        bearer.set_sensitive(true);
        let client = nobodys.clone();
        let service = tower::service_fn(move |mut request: Request<Body>| {
            let client = client.clone();
            request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
            async move { client.send(request).await }
        });
        Some(Client::new(service, namespace))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Somebody, as the API server knows them.
#[derive(Debug)]
pub struct User {
    /// The user's name.
    pub name: String,
    info: UserInfo,
}

/// What somebody wants to do with Paramedic's own kinds.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    /// `list`, `approve`.
    pub verb: &'static str,
    /// `remediations`.
    pub resource: &'a str,
    /// Where; without one, in all of them, or of a kind that has none.
    pub namespace: Option<&'a str>,
    /// Which one.
    pub name: Option<&'a str>,
}

impl fmt::Display for Right<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{GROUP}", self.verb, self.resource)?;
        if let Some(name) = self.name {
            write!(f, "/{name}")?;
        }
        match self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

/// By a token's digest: since when it is known whose it is.
type Known = BTreeMap<[u8; 32], (Instant, Arc<User>)>;

/// Asks the API server, in Paramedic's name.
pub struct Reviews {
    client: Client,
    known: Mutex<Known>,
    places: Semaphore,
}

impl Reviews {
    /// Of a client that does not retry by itself.
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::default(), places: Semaphore::new(ASKED_AT_ONCE) }
    }

    /// Whose token that is: `None` where it is nobody's.
    pub async fn who(&self, token: &Token) -> Result<Option<Arc<User>>, Problem> {
        let digest = token.digest();
        if let Some(user) = self.remembered(&digest) {
            return Ok(Some(user));
        }
        // It is never closed.
        let _place = self.places.acquire().await.map_err(|_| Problem::Overloaded)?;
        let review = TokenReview {
            // Without audiences it has to be one for the API server itself, to which it is sent afterwards.
            spec: TokenReviewSpec { token: Some(token.0.clone()), audiences: None },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await;
        let status = answer.map_err(|error| own_fault("say whose token that is", "tokenreviews", &error))?.status;
        let status = status.filter(|status| status.authenticated == Some(true));
        let Some(info) = status.and_then(|status| status.user) else { return Ok(None) };
        let Some(name) = info.username.clone().filter(|name| !name.is_empty()) else { return Ok(None) };
        let user = Arc::new(User { name, info });
        let now = Instant::now();
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.retain(|_, (since, _)| now.duration_since(*since) < BELIEVED);
        }
        if known.len() < REMEMBERED {
            known.insert(digest, (now, Arc::clone(&user)));
        }
        Ok(Some(user))
    }

    /// Whether somebody may do all of this; the first that they may not is the answer.
    pub async fn may(&self, user: &User, rights: &[Right<'_>]) -> Result<(), Problem> {
        for (right, allowed) in rights.iter().zip(self.review(user, rights).await) {
            if let Err(why) = allowed? {
                return Err(Problem::Forbidden { user: user.name.clone(), what: right.to_string(), why });
            }
        }
        Ok(())
    }

    /// Whether somebody may do one of these; what is answered otherwise names the first.
    pub async fn may_one_of(&self, user: &User, rights: &[Right<'_>]) -> Result<(), Problem> {
        let answers = self.review(user, rights).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        if answers.iter().any(Result::is_ok) {
            return Ok(());
        }
        let what = rights.iter().map(ToString::to_string).collect::<Vec<_>>().join(", nor ");
        Err(Problem::Forbidden { user: user.name.clone(), what, why: String::new() })
    }

    /// Of each right whether it is there, and where it is not, what the API server said about that.
    async fn review(&self, user: &User, rights: &[Right<'_>]) -> Vec<Result<Result<(), String>, Problem>> {
        join_all(rights.iter().map(|right| self.one(user, right))).await
    }

    async fn one(&self, user: &User, right: &Right<'_>) -> Result<Result<(), String>, Problem> {
        let owned = |text: &str| text.to_owned();
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some(right.resource.to_owned()),
            verb: Some(right.verb.to_owned()),
            namespace: right.namespace.map(owned),
            name: right.name.map(owned),
            ..ResourceAttributes::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                user: Some(user.name.clone()),
                uid: user.info.uid.clone(),
                groups: user.info.groups.clone(),
                extra: user.info.extra.clone(),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| own_fault("say what you may", "subjectaccessreviews", &error))?;
        let status = answer.status.unwrap_or_default();
        if status.allowed {
            return Ok(Ok(()));
        }
        Ok(Err(status
            .reason
            .filter(|reason| !reason.is_empty())
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default()))
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<Arc<User>> {
        let mut known = self.known();
        let (since, user) = known.get(digest)?;
        if since.elapsed() < BELIEVED {
            return Some(Arc::clone(user));
        }
        known.remove(digest);
        None
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That Paramedic could not ask is not for the person to mend.
fn own_fault(what: &str, resource: &str, error: &kube::Error) -> Problem {
    let why = match error {
        kube::Error::Api(status) if status.code == 403 => {
            tracing::error!("Paramedic may not create {resource}; k8s/components/people gives it that right");
            format!("Paramedic may not create {resource}; k8s/components/people gives it that right")
        }
        error => chain(error),
    };
    Problem::Unavailable { what: what.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        Token::of(&headers).map(|token| token.0)
    }

    #[test]
    fn a_token_is_what_a_header_can_carry_on() {
        assert_eq!(read("Bearer abc.def").as_deref(), Some("abc.def"));
        assert_eq!(read("bearer  abc ").as_deref(), Some("abc"));
        for none in ["Basic YTpi", "Bearer", "Bearer ", "Bearer a b", &format!("Bearer {}", "x".repeat(20_000))] {
            assert_eq!(read(none), None, "{none:.40}");
        }
    }

    #[test]
    fn a_token_is_not_told() {
        assert_eq!(format!("{:?}", Token("secret".to_owned())), "Token(…)");
    }

    #[tokio::test]
    async fn what_is_asked_as_somebody_carries_their_token() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let server = tower::service_fn(move |request: Request<Body>| {
            into.lock().unwrap().push(request.headers().clone());
            let answer = br#"{"metadata":{},"spec":{"reason":"x"}}"#.to_vec();
            async { Ok::<_, std::convert::Infallible>(axum::http::Response::new(Body::from(answer))) }
        });
        let client = Token("kims".to_owned()).client(&Client::new(server, "default"), "default").unwrap();
        let pauses: Api<crate::api::Pause> = Api::namespaced(client, "shop");
        pauses.get("stop").await.unwrap();
        let headers = seen.lock().unwrap().pop().unwrap();
        assert_eq!(headers.get_all(header::AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer kims"]);
        assert!(headers[header::AUTHORIZATION].is_sensitive(), "it is in no log of a request");
        assert!(headers.keys().all(|name| !name.as_str().starts_with("impersonate")), "{headers:?}");
    }

    #[test]
    fn a_right_reads_as_kubectl_would_ask_for_it() {
        let right =
            Right { verb: "approve", resource: "remediationpolicies", namespace: Some("shop"), name: Some("a") };
        assert_eq!(right.to_string(), "approve remediationpolicies.paramedic.dev/a in namespace shop");
        let right = Right { verb: "list", resource: "remediations", namespace: None, name: None };
        assert_eq!(right.to_string(), "list remediations.paramedic.dev in the whole cluster");
    }
}
