//! The API as a tower service: what [`kube::Client`] and the HTTP server send their requests to.

mod answer;
mod log;
mod watch;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request as HttpRequest, Response, Uri, header},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::Service;

use self::answer::{Answer, Form};
use super::{
    Cluster, discovery,
    kinds::{self, KindInfo},
    people::People,
    request::{Request, Verb},
    state::State,
    status::Status,
    verbs::{self, Selection, Target, Write},
};

/// The body of an answer; that of a watch goes on.
pub type ApiBody = Body;

/// The API of a simulated cluster. Answers each request at once, in the order in which they come.
#[derive(Clone, Debug)]
pub struct ApiService {
    cluster: Cluster,
}

impl ApiService {
    pub(super) const fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Answers a request whose body was read.
    pub fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response<ApiBody> {
        let asked = Asked { method, uri, headers, body };
        if method == Method::POST
            && let Some(answer) = asked.review(&self.cluster.people())
        {
            return answer.response(Form::default(), false, Timestamp::default());
        }
        let form = Form::read(headers, uri.query().unwrap_or_default());
        let now = self.cluster.with(|state| state.now());
        let answer = form.and_then(|form| {
            let Some(request) = Request::read(method.as_str(), uri.path(), uri.query().unwrap_or_default()) else {
                return Ok((form, asked.elsewhere()));
            };
            let request = request?;
            if request.verb == Verb::Watch {
                return Ok((form, watch::open(&self.cluster, &request, form)?));
            }
            if request.verb == Verb::Get && request.subresource.as_deref() == Some("log") {
                return Ok((form, log::read(&self.cluster, &request)?));
            }
            self.cluster.with(|state| asked.of_objects(state, &request)).map(|answer| (form, answer))
        });
        match answer {
            Ok((form, answer)) => answer.response(form, method == Method::HEAD, now),
            Err(status) => Answer::Refusal(status).response(Form::default(), method == Method::HEAD, now),
        }
    }
}

impl<B> Service<HttpRequest<B>> for ApiService
where
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<ApiBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // As much as etcd takes, and some more.
            let body = axum::body::to_bytes(Body::new(body), 3 << 20).await;
            Ok(if let Ok(body) = body {
                this.answer(&parts.method, &parts.uri, &parts.headers, &body)
            } else {
                let status = Status::new(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728");
                Answer::Refusal(status).response(Form::default(), false, Timestamp::default())
            })
        })
    }
}

/// A request as it came.
struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Asked<'_> {
    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What somebody may do is asked by creating a review, which nobody keeps.
    fn review(&self, people: &People) -> Option<Answer> {
        let path = self.uri.path();
        discovery::is_review(path).then(|| match verbs::read_body(self.header(header::CONTENT_TYPE), self.body) {
            Ok((asked, _)) => {
                let body = discovery::review(path, asked, people);
                Answer::Plain { body, code: 201, warnings: Vec::new() }
            }
            Err(status) => Answer::Refusal(status),
        })
    }

    /// What is at a path of no objects.
    fn elsewhere(&self) -> Answer {
        let path = self.uri.path();
        match (self.method, path) {
            (&Method::GET | &Method::HEAD, _) => {
                let accept = self.header(header::ACCEPT).unwrap_or_default();
                match discovery::page(kinds::all(), path, accept) {
                    Some(page) => Answer::Page(page),
                    None => Answer::Text("404 page not found\n".into(), 404),
                }
            }
            _ => Answer::Text("404 page not found\n".into(), 404),
        }
    }

    fn of_objects(&self, state: &mut State, request: &Request) -> Result<Answer, Status> {
        let kind = request.kind;
        let target = Target {
            kind,
            namespace: request.namespace.as_deref().unwrap_or_default(),
            name: request.name.as_deref().unwrap_or_default(),
            subresource: request.subresource.as_deref(),
        };
        match (request.verb, target.subresource) {
            (Verb::Get, Some("scale")) => verbs::read_scale(state, &target).map(Answer::plain),
            (Verb::Get, _) => {
                verbs::get(state, &target, &request.query).map(|object| Answer::object(kind, &object, 200))
            }
            (Verb::List | Verb::Watch, _) => {
                let selection = Selection::read(kind, request.namespace.as_deref(), &request.query)?;
                verbs::list(state, kind, &selection, &request.query).map(|page| Answer::list(kind, page))
            }
            (Verb::Create, subresource) => self.create(state, request, &target, subresource),
            (Verb::Update, Some("scale")) => {
                let (body, write) = self.body(request, "UpdateOptions")?;
                verbs::write_scale(state, &target, &body, true, &write).map(Answer::plain)
            }
            (Verb::Update, _) => {
                let (body, write) = self.body(request, "UpdateOptions")?;
                verbs::update(state, &target, body, &write).map(|written| Answer::written(kind, written))
            }
            (Verb::Patch, _) => {
                let content_type = self.header(header::CONTENT_TYPE);
                let apply = content_type.is_some_and(|kind| kind.starts_with("application/apply-patch"));
                let write = verbs::write_options(&request.query, "PatchOptions", self.agent(), apply)?;
                verbs::patch(state, &target, content_type, self.body, &write)
                    .map(|written| Answer::written(kind, written))
            }
            (Verb::Delete, _) => {
                let (options, dry) = self.options(request)?;
                let deleted = verbs::delete(state, &target, &options, dry)?;
                let warnings = verbs::deletion_warnings(kind, &options);
                Ok(Answer::deleted(kind, &deleted.object, deleted.gone, warnings))
            }
            (Verb::DeleteCollection, _) => {
                let (options, dry) = self.options(request)?;
                let selection = Selection::read(kind, request.namespace.as_deref(), &request.query)?;
                let items = verbs::delete_collection(state, kind, &selection, &options, dry)?;
                let mut metadata = json!({"resourceVersion": state.revision().to_string()});
                if kind.is_custom() {
                    metadata["continue"] = json!("");
                }
                Ok(Answer::list(kind, verbs::Page { items, metadata }))
            }
        }
    }

    fn create(
        &self,
        state: &mut State,
        request: &Request,
        target: &Target<'_>,
        subresource: Option<&str>,
    ) -> Result<Answer, Status> {
        let (body, write) = self.body(request, "CreateOptions")?;
        if subresource == Some("eviction") {
            let warnings = verbs::evict(state, target, &body, &write)?;
            let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            return Ok(Answer::Plain { body: done, code: 201, warnings });
        }
        verbs::create(state, target, body, &write).map(|written| Answer::written(target.kind, written))
    }

    fn agent(&self) -> &str {
        self.header(header::USER_AGENT).unwrap_or("unknown")
    }

    /// The body as a value, and how the write is done.
    fn body(&self, request: &Request, options: &str) -> Result<(Value, Write), Status> {
        let (body, twice) = verbs::read_body(self.header(header::CONTENT_TYPE), self.body)?;
        let mut write = verbs::write_options(&request.query, options, self.agent(), false)?;
        write.twice = twice;
        Ok((body, write))
    }

    fn options(
        &self,
        request: &Request,
    ) -> Result<(k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions, bool), Status> {
        let body = match self.body {
            [] => None,
            // A real API server takes it for its own fault.
            body => Some(
                verbs::read_body(self.header(header::CONTENT_TYPE), body)
                    .map_err(|status| if status.code == 400 { Status::unexplained(status.message) } else { status })?
                    .0,
            ),
        };
        verbs::delete_options(&request.query, body)
    }
}

/// The kind of a list of that kind.
fn list_kind(kind: &KindInfo) -> String {
    format!("{}List", kind.kind)
}
