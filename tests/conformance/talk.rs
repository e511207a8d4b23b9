//! What a case says to an API server, and hears; all of it goes into the transcript.

use std::{
    fmt::{Display, Write},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::http::{HeaderMap, Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use crate::{
    objects::{self, With},
    place::Place,
    symbols::{self, Symbols},
    view::{self, View},
    watch::Watch,
};

/// How long one answer may take.
pub const ANSWER: Duration = Duration::from_secs(10);
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const MERGE: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];

/// A case's conversation. Clones are the same one.
#[derive(Clone)]
pub struct Talk {
    place: Place,
    notes: Arc<Mutex<Notes>>,
}

struct Notes {
    text: String,
    view: View,
    symbols: Symbols,
    collections: Vec<String>,
}

/// An answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; a string where it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The object's resourceVersion.
    pub fn rv(&self) -> String {
        view::version(&self.body).unwrap_or_else(|| panic!("no resourceVersion")).to_owned()
    }

    /// The object's UID.
    pub fn uid(&self) -> String {
        self.at("/metadata/uid").as_str().unwrap_or_else(|| panic!("no uid")).to_owned()
    }

    /// The object's name.
    pub fn name(&self) -> String {
        self.at("/metadata/name").as_str().unwrap_or_else(|| panic!("no name")).to_owned()
    }

    /// The list's continue token.
    pub fn token(&self) -> String {
        self.at("/metadata/continue").as_str().unwrap_or_else(|| panic!("no continue token")).to_owned()
    }

    /// The object with changes.
    pub fn body_with(&self, patch: Value) -> Value {
        self.body.clone().with(patch)
    }

    /// What is at that JSON pointer; null where nothing is.
    pub fn at(&self, pointer: &str) -> Value {
        self.body.pointer(pointer).cloned().unwrap_or_default()
    }
}

impl Talk {
    /// Nothing is said yet.
    pub fn new(place: Place) -> Self {
        let symbols = Symbols::new(&place.namespace);
        let notes = Notes { text: String::new(), view: View::default(), symbols, collections: Vec::new() };
        Self { place, notes: Arc::new(Mutex::new(notes)) }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("not poisoned")
    }

    /// The case's namespace.
    pub fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// From now on shows these paths too, with what is below them: `spec.replicas`. An empty one is everything.
    pub fn also(&self, paths: &[&str]) {
        self.notes().view.also.extend(paths.iter().map(|path| (*path).to_owned()));
    }

    /// From now on shows messages.
    pub fn messages(&self) {
        self.notes().view.messages = true;
    }

    /// Writes down something that was found out.
    pub fn note(&self, what: &str, value: impl Display) {
        let mut notes = self.notes();
        let line = notes.symbols.line(&format!("{what}: {value}"));
        notes.text.push_str(&line);
        notes.text.push('\n');
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.raw(Method::GET, path, &[], Vec::new()).await
    }

    /// GET as a Table.
    pub async fn table(&self, path: &str) -> Answer {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        self.raw(Method::GET, path, &[("accept", accept)], Vec::new()).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.json(Method::POST, path, "application/json", &body).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PUT, path, "application/json", &body).await
    }

    /// A merge patch.
    pub async fn merge(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PATCH, path, "application/merge-patch+json", &body).await
    }

    /// A JSON patch.
    pub async fn json_patch(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PATCH, path, "application/json-patch+json", &body).await
    }

    /// A strategic merge patch.
    pub async fn strategic(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PATCH, path, "application/strategic-merge-patch+json", &body).await
    }

    /// A server-side apply; the manager is in the query.
    pub async fn apply(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PATCH, path, "application/apply-patch+yaml", &body).await
    }

    /// DELETE without options.
    pub async fn delete(&self, path: &str) -> Answer {
        self.raw(Method::DELETE, path, &[], Vec::new()).await
    }

    /// DELETE with options.
    pub async fn delete_with(&self, path: &str, options: Value) -> Answer {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        objects::merge(&mut body, options);
        self.json(Method::DELETE, path, "application/json", &body).await
    }

    async fn json(&self, method: Method, path: &str, content: &str, body: &Value) -> Answer {
        let body = self.body(body);
        self.raw(method, path, &[("content-type", content)], body).await
    }

    /// A body as it is sent: the string `NS` is the case's namespace.
    fn body(&self, body: &Value) -> Vec<u8> {
        body.to_string().replace("\"NS\"", &format!("{:?}", self.namespace())).into_bytes()
    }

    /// Any request, and its answer, into the transcript.
    pub async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.asked(&method, path, headers);
        let answer = self.answer(method, path, headers, body).await;
        self.heard(&answer);
        answer
    }

    /// Makes an object that the case begins with. Says nothing of it, but it must succeed.
    pub async fn given(&self, collection: &str, object: Value) -> Answer {
        let answer = self.answer(Method::POST, collection, &JSON, self.body(&object)).await;
        assert!(answer.status < 300, "given {collection}: {} {}", answer.status, answer.body);
        answer
    }

    /// Does something that the case begins with, by a merge patch.
    pub async fn given_patch(&self, path: &str, change: Value) -> Answer {
        let answer = self.answer(Method::PATCH, path, &MERGE, self.body(&change)).await;
        assert!(answer.status < 300, "given {path}: {} {}", answer.status, answer.body);
        answer
    }

    /// Reads without a word in the transcript.
    pub async fn look(&self, path: &str) -> Answer {
        self.answer(Method::GET, path, &[], Vec::new()).await
    }

    /// The version of the newest list.
    pub async fn moment(&self, collection: &str) -> String {
        let version = self.look(collection).await.rv();
        self.notes().symbols.learn_moment(&version);
        version
    }

    /// Reads in another form, without a word in the transcript.
    pub async fn look_as(&self, method: Method, path: &str, accept: &str) -> Answer {
        self.answer(method, path, &[("accept", accept)], Vec::new()).await
    }

    /// Deletes without a word in the transcript.
    pub async fn look_delete(&self, path: &str) -> Answer {
        self.answer(Method::DELETE, path, &[], Vec::new()).await
    }

    /// Waits until a POST is answered so, as what refuses it may hear of its reason a little later.
    pub async fn until_status(&self, path: &str, status: u16) {
        let begun = tokio::time::Instant::now();
        let body = self.body(&objects::configmap("any"));
        while self.answer(Method::POST, path, &JSON, body.clone()).await.status != status {
            assert!(begun.elapsed() < ANSWER, "POST {path} is not answered with {status}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until a real cluster's controllers have seen the newest spec, so that they write no more.
    pub async fn settled(&self, path: &str) {
        if !self.place.real {
            return;
        }
        loop {
            let object = self.look(path).await;
            if object.at("/status/observedGeneration") == object.at("/metadata/generation") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits, where a real cluster's controllers may write, until that pointer has that value.
    pub async fn until(&self, path: &str, pointer: &str, value: Value) {
        let asked = tokio::time::Instant::now();
        while self.look(path).await.at(pointer) != value {
            assert!(asked.elapsed() < ANSWER, "{path} {pointer} is not {value}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits for a budget's status: a real cluster's controller writes it, anywhere else the case does.
    pub async fn given_budget_status(&self, name: &str, healthy: i32, desired: i32, pods: i32) {
        let allowed = (healthy - desired).max(0);
        let path = format!("poddisruptionbudgets/{name}");
        if self.place.real {
            self.settled(&path).await;
            self.until(&path, "/status/expectedPods", json!(pods)).await;
            self.until(&path, "/status/currentHealthy", json!(healthy)).await;
            return self.until(&path, "/status/disruptionsAllowed", json!(allowed)).await;
        }
        let status = json!({"observedGeneration": 1, "currentHealthy": healthy, "desiredHealthy": desired,
            "expectedPods": pods, "disruptionsAllowed": allowed});
        self.given_patch(&format!("{path}/status"), json!({"status": status})).await;
    }

    /// Opens a watch: the path is that of a list, with `watch=1` in the query.
    pub async fn watch(&self, path: &str) -> Watch {
        self.asked(&Method::GET, path, &[]);
        let response = tokio::time::timeout(ANSWER, self.send(Method::GET, path, &[], Vec::new())).await;
        let response = response.unwrap_or_else(|_| panic!("no answer to a watch of {path}"));
        let status = response.status().as_u16();
        let body = axum::body::Body::new(response.into_body());
        if status == 200 {
            self.write("  200");
            return Watch::new(self.clone(), Some(body.into_data_stream()));
        }
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("an error has a body");
        self.heard(&Answer { status, headers: HeaderMap::new(), body: read(&bytes) });
        Watch::new(self.clone(), None)
    }

    /// Adds a line, with symbols.
    pub fn write(&self, line: &str) {
        let mut notes = self.notes();
        let line = notes.symbols.line(line);
        notes.text.push_str(&line);
        notes.text.push('\n');
    }

    /// Lets something look at an object's names, and at what the case wants to see.
    pub fn with_view<T>(&self, look: impl FnOnce(&mut Symbols, &View) -> T) -> T {
        let mut notes = self.notes();
        let view = notes.view.clone();
        look(&mut notes.symbols, &view)
    }

    /// What was said and heard so far, with symbols.
    pub fn transcript(&self) -> String {
        symbols::resolve(&self.notes().text)
    }

    fn asked(&self, method: &Method, path: &str, headers: &[(&str, &str)]) {
        let mut notes = self.notes();
        let usual = ["application/json"];
        let mut line = notes.symbols.request(&format!("{method} {path}"));
        for (name, value) in headers.iter().filter(|(_, value)| !usual.contains(value)) {
            let _ = write!(line, " {name}: {value}");
        }
        notes.text.push_str(&line);
        notes.text.push('\n');
    }

    fn heard(&self, answer: &Answer) {
        let mut notes = self.notes();
        view::learn(&answer.body, &mut notes.symbols);
        let mut text = format!("  {}\n", answer.status);
        for name in ["retry-after", "warning", "allow"] {
            for value in answer.headers.get_all(name) {
                let _ = writeln!(text, "  {name}: {}", value.to_str().unwrap_or("not text"));
            }
        }
        for line in view::lines(&answer.body, &notes.view, &notes.symbols) {
            let _ = writeln!(text, "    {line}");
        }
        notes.text.push_str(&text);
    }

    async fn answer(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        if method == Method::POST || method == Method::PATCH {
            let collection = path.split(['/', '?']).next().unwrap_or_default().to_owned();
            let mut notes = self.notes();
            if !notes.collections.contains(&collection) {
                notes.collections.push(collection);
            }
        }
        let response = tokio::time::timeout(ANSWER, async {
            let response = self.send(method, path, headers, body).await;
            let (parts, body) = response.into_parts();
            let bytes = axum::body::to_bytes(axum::body::Body::new(body), 1 << 24).await;
            (parts, bytes.unwrap_or_else(|error| panic!("the answer broke off: {error}")))
        });
        let (parts, bytes) = response.await.unwrap_or_else(|_| panic!("no answer to {path}"));
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body: read(&bytes) };
        view::learn(&answer.body, &mut self.notes().symbols);
        answer
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(self.path(path));
        if headers.iter().all(|(name, _)| *name != "accept") {
            request = request.header("accept", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).expect("a request");
        self.place.client.send(request).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A whole path: `pods/a` is in the case's namespace, one that begins with a slash is as it is, but for `NS`.
    fn path(&self, path: &str) -> String {
        if path.starts_with('/') {
            return self.spelled(path);
        }
        let plural = path.split(['/', '?']).next().unwrap_or_default();
        let (group, namespaced) = objects::resource(plural);
        let space = if namespaced { format!("/namespaces/{}", self.namespace()) } else { String::new() };
        format!("/{group}{space}/{}", self.spelled(path))
    }

    /// A path with the case's namespace for `NS`; a token may have these letters by chance.
    fn spelled(&self, path: &str) -> String {
        let token = path.find("continue=").unwrap_or(path.len());
        path[..token].replace("NS", self.namespace()) + &path[token..]
    }

    /// Makes the case's namespace, with the service account that pods are admitted with.
    pub async fn move_in(&self) {
        let name = self.namespace();
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"conformance": "case"}},
        });
        self.given("/api/v1/namespaces", namespace).await;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        // A real cluster's controller may have been quicker.
        let path = "/api/v1/namespaces/NS/serviceaccounts";
        self.answer(Method::POST, path, &JSON, account.to_string().into_bytes()).await;
        // Whose version counts as seen must not depend on who was quicker.
        self.notes().symbols = Symbols::new(name);
    }

    /// Deletes the namespace of a real cluster, and what would keep it from going.
    pub async fn move_out(&self) {
        if !self.place.real {
            return;
        }
        let collections = self.notes().collections.clone();
        for collection in collections.iter().filter(|collection| !collection.is_empty()) {
            let list = self.look(collection).await;
            let ours = |item: &Value| {
                objects::resource(collection).1 || item["metadata"]["labels"]["conformance"] == self.namespace()
            };
            for item in list.at("/items").as_array().into_iter().flatten().filter(|item| ours(item)) {
                let path = format!("{collection}/{}", item["metadata"]["name"].as_str().unwrap_or_default());
                if item["metadata"]["finalizers"].is_array() {
                    let freed = json!({"metadata": {"finalizers": null}}).to_string().into_bytes();
                    self.answer(Method::PATCH, &path, &MERGE, freed).await;
                }
                let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
                self.answer(Method::DELETE, &path, &JSON, options.to_string().into_bytes()).await;
            }
        }
        self.answer(Method::DELETE, "/api/v1/namespaces/NS", &[], Vec::new()).await;
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes).trim_end()))
}
