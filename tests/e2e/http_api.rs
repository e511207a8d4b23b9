//! The HTTP API for people, as somebody with a token of their own: a service account of the story's namespace.

use std::{net::SocketAddr, process::Child};

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::{Api, ResourceExt, api::PostParams};
use paramedic::api::Remediation;
use serde_json::{Value, json};

use crate::{
    story::Story,
    wait::{PATIENCE, until},
    world::{PEOPLE_NAME, World},
};

/// The port in the pods.
const PORT: u16 = 8443;

/// Paramedic's API for people, on one of its replicas.
pub struct Door {
    http: reqwest::Client,
    base: String,
    forward: Option<Child>,
}

/// Somebody with the rights that the story gives them, and no others.
pub struct Caller {
    /// The user, as the API server knows them.
    pub user: String,
    token: String,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null where there is none.
    pub body: Value,
}

/// The rights of `paramedic-operator` on the objects, without approving and cancelling.
pub fn plain_rights() -> Value {
    json!([
        {"apiGroups": ["paramedic.dev"], "resources": ["remediations"], "verbs": ["get", "list", "patch"]},
        {"apiGroups": ["paramedic.dev"], "resources": ["remediationapprovals"], "verbs": ["create"]},
    ])
}

/// Those with approving, cancelling, pausing and resuming.
pub fn all_rights() -> Value {
    let mut rights = plain_rights();
    let more = [
        json!({"apiGroups": ["paramedic.dev"], "resources": ["remediationpolicies"], "verbs": ["approve", "cancel"]}),
        json!({"apiGroups": ["paramedic.dev"], "resources": ["pauses"], "verbs": ["create", "delete"]}),
    ];
    rights.as_array_mut().expect("it is a list").extend(more);
    rights
}

impl World {
    /// The API for people of a replica.
    pub async fn door(&self) -> Door {
        let pod = until(PATIENCE, "a replica of Paramedic is Ready", || async {
            let pods = self.paramedics().await?;
            pods.into_iter().find(crate::pods::is_ready).ok_or_else(|| "none is".to_owned())
        })
        .await;
        let certificate = reqwest::Certificate::from_pem(self.people_certificate.as_bytes());
        let builder = reqwest::Client::builder()
            .no_proxy()
            .timeout(std::time::Duration::from_secs(30))
            .tls_certs_only([certificate.expect("it is a certificate")]);
        let (address, forward) = if self.rig.is_some() {
            let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()?.parse().ok());
            (SocketAddr::new(ip.expect("a pod that is Ready has an address"), PORT), None)
        } else {
            let (port, child) = self.forward(&pod.name_any(), PORT);
            (SocketAddr::from(([127, 0, 0, 1], port)), Some(child))
        };
        let http = builder.resolve(PEOPLE_NAME, address).build().expect("a client can be made");
        Door { http, base: format!("https://{PEOPLE_NAME}:{}/api/v1", address.port()), forward }
    }
}

impl Story {
    /// Somebody of that name with those rights in the story's namespace.
    pub async fn caller(&self, name: &str, rules: Value) -> Caller {
        let metadata = json!({"name": name});
        let account = json!({"metadata": metadata});
        let role = json!({"metadata": metadata, "rules": rules});
        let binding = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
        });
        let accounts: Api<ServiceAccount> = self.world.api(&self.namespace);
        let params = PostParams::default();
        let account = serde_json::from_value(account).expect("it is a service account");
        accounts.create(&params, &account).await.expect("a service account can be made");
        let role: Role = serde_json::from_value(role).expect("it is a role");
        self.world.api(&self.namespace).create(&params, &role).await.expect("a role can be made");
        let binding: RoleBinding = serde_json::from_value(binding).expect("it is a binding");
        self.world.api(&self.namespace).create(&params, &binding).await.expect("a role can be bound");
        let asked: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": [], "expirationSeconds": 600}}))
            .expect("it is a request of a token");
        let given = accounts.create_token_request(name, &params, &asked).await.expect("a token can be had");
        let token = given.status.expect("it was given").token;
        Caller { user: format!("system:serviceaccount:{}:{name}", self.namespace), token }
    }
}

impl Door {
    /// Asks, as somebody or as nobody.
    pub async fn ask(&self, who: Option<&str>, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let method = method.parse().expect("it is a method");
        let mut request = self.http.request(method, format!("{}/{path}", self.base));
        if let Some(token) = who {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("it answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("the answer can be read");
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }
}

impl Caller {
    /// What they send to prove who they are.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Looks at something.
    pub async fn gets(&self, door: &Door, path: &str) -> Answer {
        door.ask(Some(&self.token), "GET", path, None).await
    }

    /// Wants something done.
    pub async fn posts(&self, door: &Door, path: &str, body: &Value) -> Answer {
        door.ask(Some(&self.token), "POST", path, Some(body)).await
    }

    /// Wants something done to a record.
    pub async fn does(&self, door: &Door, record: &Remediation, what: &str, body: &Value) -> Answer {
        let path = format!("remediations/{}/{}/{what}", record.namespace().unwrap_or_default(), record.name_any());
        self.posts(door, &path, body).await
    }
}

impl Answer {
    /// It was refused to somebody who lacks that right.
    pub fn is_forbidden(&self, user: &str, right: &str) {
        assert_eq!((self.status, &self.body["code"]), (403, &json!("Forbidden")), "{self:?}");
        let detail = self.body["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(&format!("{user} may not {right}")), "{detail}");
    }

    /// It was done.
    pub fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(forward) = &mut self.forward {
            let _ = forward.kill();
            let _ = forward.wait();
        }
    }
}
