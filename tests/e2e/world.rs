//! The cluster that the stories run on, and Paramedic in it.

use std::{env, path::PathBuf, process::Command, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{Pod, Secret},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, LogParams},
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{
    alertmanager::Alertmanager,
    audit::Audit,
    rig::{Rig, Settings},
};

/// Paramedic's own namespace, and the name of its Deployment, Lease and service account.
pub const PARAMEDIC: &str = "paramedic";
/// The user that it is to the API server.
pub const SERVICE_ACCOUNT_USER: &str = "system:serviceaccount:paramedic:paramedic";
/// The Secret with the sources' tokens.
pub const WEBHOOK_SECRET: &str = "paramedic-webhook";
/// The Secret with the certificate of the API for people, and the name that it is for.
pub const PEOPLE_SECRET: &str = "paramedic-people-tls";
pub const PEOPLE_NAME: &str = "paramedic.paramedic.svc";

/// All that the stories share.
pub struct World {
    /// Without retries: a story sees every answer.
    pub client: Client,
    /// The rig, where the cluster is one.
    pub rig: Option<Rig>,
    /// The API server's audit log, on the rig.
    pub audit: Option<Audit>,
    /// Alertmanager, where there is one.
    pub alertmanager: Option<Alertmanager>,
    /// For requests that do not go to the API server.
    pub http: reqwest::Client,
    /// The token of the source `alertmanager`.
    pub token: String,
    /// The token of the source `bound`, which may speak of `e2e-bound` alone.
    pub bound_token: String,
    /// The certificate of the API for people, in PEM.
    pub people_certificate: String,
    /// The kubeconfig, for kubectl.
    pub kubeconfig: PathBuf,
    settings: Settings,
}

impl World {
    /// Connects; the tokens are filled in by the set-up.
    pub async fn connect() -> Result<Self, String> {
        let settings = Settings::read();
        let kubeconfig: PathBuf = settings
            .get("KUBECONFIG")
            .ok_or("no cluster: start one with tests/cluster/up, or set KUBECONFIG to another one's")?
            .into();
        let read = Kubeconfig::read_from(&kubeconfig).map_err(|error| error.to_string())?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| error.to_string())?;
        config.default_retry = false;
        config.read_timeout = Some(Duration::from_mins(1));
        let client = Client::try_from(config).map_err(|error| error.to_string())?;
        client.apiserver_version().await.map_err(|error| format!("{}: {error}", kubeconfig.display()))?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build();
        let http = http.map_err(|error| error.to_string())?;
        let rig = settings.rig();
        Ok(Self {
            audit: rig.as_ref().map(|rig| Audit::follow(&rig.audit_log)),
            alertmanager: settings.get("ALERTMANAGER_URL").map(|url| Alertmanager::new(http.clone(), &url)),
            rig,
            client,
            http,
            token: String::new(),
            bound_token: String::new(),
            people_certificate: String::new(),
            kubeconfig,
            settings,
        })
    }

    /// A setting: of the environment, or of the rig.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name)
    }

    /// The rig, for stories that run only there.
    pub fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("the story runs only on the rig")
    }

    /// Runs kubectl; gives what it printed, or what it complained of.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let program = self.settings.get("KUBECTL").unwrap_or_else(|| "kubectl".to_owned());
        let output = Command::new(&program).env("KUBECONFIG", &self.kubeconfig).args(arguments).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// A client of another user, whom the one who runs the stories may impersonate.
    pub async fn client_as(&self, user: &str) -> Client {
        let read = Kubeconfig::read_from(&self.kubeconfig).expect("the kubeconfig was read before");
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let mut config = config.expect("the kubeconfig was read before");
        config.default_retry = false;
        config.auth_info.impersonate = Some(user.to_owned());
        Client::try_from(config).expect("the same as without another user")
    }

    /// Runs a line in a shell, whose `kubectl` is the stories' own.
    pub fn shell(&self, line: &str) -> Result<String, String> {
        let kubectl = self.settings.get("KUBECTL").unwrap_or_else(|| "kubectl".to_owned());
        let line = format!("kubectl() {{ {kubectl:?} \"$@\"; }}; {line}");
        let output = Command::new("sh").env("KUBECONFIG", &self.kubeconfig).args(["-c", &line]).output();
        let output = output.map_err(|error| format!("sh: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// An API in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Paramedic's pods that are not on their way out.
    pub async fn paramedics(&self) -> Result<Vec<Pod>, String> {
        let deployment: Deployment =
            self.api(PARAMEDIC).get(PARAMEDIC).await.map_err(|error| format!("Deployment paramedic: {error}"))?;
        let labels = deployment.spec.and_then(|spec| spec.selector.match_labels).unwrap_or_default();
        let selector = labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",");
        let list = self.api::<Pod>(PARAMEDIC).list(&ListParams::default().labels(&selector)).await;
        let pods = list.map_err(|error| format!("Paramedic's pods: {error}"))?.items;
        Ok(pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// The pod that leads, by the Lease; an `Err` while nobody does.
    pub async fn leader(&self) -> Result<String, String> {
        let holder = self.leading_process().await?;
        // The pod's name, and a part that each process has for itself.
        Ok(holder.split_once('_').map_or(holder.as_str(), |(pod, _)| pod).to_owned())
    }

    /// The process that leads: a container that starts again is another one.
    pub async fn leading_process(&self) -> Result<String, String> {
        let lease: Lease = self.api(PARAMEDIC).get(PARAMEDIC).await.map_err(|error| format!("the Lease: {error}"))?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
        holder.ok_or_else(|| "the Lease has no holder".to_owned())
    }

    /// The logs of all of Paramedic's containers, those before a restart too: (pod, text).
    pub async fn logs(&self, tail: Option<i64>) -> Vec<(String, String)> {
        let api: Api<Pod> = self.api(PARAMEDIC);
        let pods = match api.list(&ListParams::default()).await {
            Ok(pods) => pods.items,
            Err(error) => return vec![("no logs".to_owned(), error.to_string())],
        };
        let mut logs = Vec::new();
        for pod in pods {
            let name = pod.name_any();
            let restarted = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            let restarted = restarted.into_iter().any(|container| container.restart_count > 0);
            for previous in [true, false].into_iter().filter(|previous| restarted || !previous) {
                let parameters = LogParams { previous, tail_lines: tail, ..LogParams::default() };
                let text = api.logs(&name, &parameters).await.unwrap_or_else(|error| format!("no log: {error}"));
                logs.push((if previous { format!("{name} (previous)") } else { name.clone() }, text));
            }
        }
        logs
    }

    /// The tokens in the Secret, if it is there.
    pub async fn tokens(&self) -> Result<Option<(String, String)>, String> {
        let api: Api<Secret> = self.api(PARAMEDIC);
        let secret = api.get_opt(WEBHOOK_SECRET).await.map_err(|error| error.to_string())?;
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        Ok(text("token").zip(text("bound-token")))
    }
}

/// Whether a switch of the environment is on.
pub fn switched_on(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}
