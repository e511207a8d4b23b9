//! Crash points: an admission webhook in this process that holds a request of Paramedic's until the story says so.
//!
//! The image under test is the unmodified one: what stands still is the API server's answer. One
//! `ValidatingWebhookConfiguration` for the story's namespace covers evictions, deletions of pods and the records'
//! status; what it is not told to hold it lets pass.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Json, Router, extract::State, routing::post, serve::Listener};
use base64::Engine;
use k8s_openapi::api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::ConfigMap};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    story::{STORY_LABEL, Story},
    wait::{PATIENCE, until},
};

/// A request to hold, by its `AdmissionRequest`.
type Wanted = fn(&Value) -> bool;

/// Stands before the API server's writes in the story's namespace.
pub struct Gate {
    held: mpsc::UnboundedReceiver<Held>,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// A request that is being held. Let go of, it is denied.
pub struct Held {
    /// The `AdmissionRequest`.
    pub request: Value,
    verdict: oneshot::Sender<bool>,
}

struct Shared {
    wanted: Wanted,
    open: AtomicBool,
    probed: AtomicBool,
    holding: mpsc::UnboundedSender<Held>,
}

/// Evictions.
pub fn evictions(request: &Value) -> bool {
    request["subResource"] == "eviction"
}

/// Deletions of pods.
pub fn deletions(request: &Value) -> bool {
    request["resource"]["resource"] == "pods" && request["operation"] == "DELETE"
}

/// The write that says that an action is about to be done.
pub fn announcements(request: &Value) -> bool {
    last_outcome(request).is_some_and(|outcome| outcome == "Running")
}

/// The write that says that an action was done.
pub fn outcomes(request: &Value) -> bool {
    last_outcome(request).is_some_and(|outcome| outcome == "Done")
}

fn last_outcome(request: &Value) -> Option<&Value> {
    let journal = request["object"]["status"]["journal"].as_array();
    let of_a_record = journal.filter(|_| request["resource"]["resource"] == "remediations");
    of_a_record.and_then(|entries| entries.last()).map(|entry| &entry["outcome"])
}

impl Story {
    /// Holds what is wanted, each request of it, until the gate is opened.
    pub async fn hold(&self, wanted: Wanted) -> Gate {
        let host = self.world.rig().host_ip;
        let listener = TcpListener::bind(SocketAddr::new(host, 0)).await.expect("the machine's address can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let (tls, certificate) = certificate(&host.to_string());
        let (holding, held) = mpsc::unbounded_channel();
        let (open, probed) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { wanted, open, probed, holding });
        let app = Router::new().route("/", post(review)).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            let listener = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(tls)) };
            axum::serve(listener, app).await.expect("the gate serves as long as it lives");
        });
        let gate = Gate { held, shared, server };
        self.register(&format!("https://{address}/"), &certificate).await;
        gate.in_force(self).await;
        gate
    }

    async fn register(&self, url: &str, certificate: &str) {
        let bundle = base64::engine::general_purpose::STANDARD.encode(certificate);
        let rule = |operation: &str, group: &str, version: &str, resource: &str| json!({"operations": [operation], "apiGroups": [group], "apiVersions": [version], "resources": [resource]});
        let webhook = json!({
            "name": "gate.e2e.paramedic.dev",
            "clientConfig": {"url": url, "caBundle": bundle},
            "rules": [
                rule("CREATE", "", "v1", "pods/eviction"),
                rule("DELETE", "", "v1", "pods"),
                rule("UPDATE", "paramedic.dev", "*", "remediations/status"),
                // By which the story finds out that the gate is in force.
                rule("UPDATE", "", "v1", "configmaps"),
            ],
            "namespaceSelector": {"matchLabels": {STORY_LABEL: self.namespace}},
            "failurePolicy": "Fail", "timeoutSeconds": 30, "sideEffects": "None", "matchPolicy": "Equivalent",
            "admissionReviewVersions": ["v1"],
        });
        let hook = json!({
            "metadata": {"name": self.namespace, "labels": {STORY_LABEL: self.namespace}}, "webhooks": [webhook],
        });
        let hook = serde_json::from_value(hook).expect("it is a webhook configuration");
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.world.client.clone());
        api.create(&PostParams::default(), &hook).await.expect("a webhook configuration can be made");
    }
}

impl Gate {
    /// The API server reads its webhooks with a delay: writes something harmless until the gate sees it.
    async fn in_force(&self, story: &Story) {
        let api: Api<ConfigMap> = story.world.api(&story.namespace);
        until(PATIENCE, "the API server asks the gate", || async {
            let patch = json!({"data": {"probe": format!("{:x}", fastrand::u64(..))}});
            let patched = api.patch("kube-root-ca.crt", &PatchParams::default(), &Patch::Merge(patch)).await;
            if self.shared.probed.load(Ordering::SeqCst) { Ok(()) } else { Err(format!("{:?}", patched.err())) }
        })
        .await;
    }

    /// The next request that it holds.
    pub async fn held(&mut self) -> Held {
        let next = tokio::time::timeout(PATIENCE, self.held.recv()).await;
        next.expect("a request to hold comes in time").expect("the gate lives as long as its story")
    }

    /// From now on everything passes.
    pub fn open(&self) {
        self.shared.open.store(true, Ordering::SeqCst);
    }
}

impl Held {
    /// Lets it pass.
    pub fn release(self) {
        let _ = self.verdict.send(true);
    }

    /// Denies it.
    pub fn deny(self) {
        let _ = self.verdict.send(false);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        self.server.abort();
    }
}

async fn review(State(shared): State<Arc<Shared>>, Json(review): Json<Value>) -> Json<Value> {
    let request = review["request"].clone();
    shared.probed.fetch_or(request["resource"]["resource"] == "configmaps", Ordering::SeqCst);
    let uid = request["uid"].clone();
    let mut allowed = true;
    if (shared.wanted)(&request) && !shared.open.load(Ordering::SeqCst) {
        let (verdict, said) = oneshot::channel();
        let _ = shared.holding.send(Held { request, verdict });
        allowed = said.await.unwrap_or(false);
    }
    let response = json!({"uid": uid, "allowed": allowed, "status": {"message": "a story denies it"}});
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
}

fn certificate(host: &str) -> (ServerConfig, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate can be made");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("the key is one");
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    (config.expect("the certificate is good"), made.cert.pem())
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
