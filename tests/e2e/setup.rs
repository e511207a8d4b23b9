//! Paramedic in the cluster: applied from its manifests, with the tokens that its sources need.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    story::STORY_LABEL,
    wait::until,
    world::{PARAMEDIC, PEOPLE_NAME, PEOPLE_SECRET, WEBHOOK_SECRET, World, switched_on},
};

const OVERLAY: &str = "tests/e2e/overlay";
const ROLLOUT: Duration = Duration::from_mins(3);

impl World {
    /// Brings Paramedic up, or takes the one that is there; `E2E_RESTART=1` restarts it, for a new image of the same name.
    pub async fn set_up(&mut self) {
        self.clear_up();
        self.make_tokens().await;
        self.make_people_certificate().await;
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join(OVERLAY).to_string_lossy().into_owned();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &overlay])
            .unwrap_or_else(|e| panic!("{e}"));
        // Without one there is nobody to ask for evidence: the webhooks alone are it. With one, what an earlier run has
        // set is taken back.
        let setting =
            if self.alertmanager.is_none() { "PARAMEDIC_ALERTMANAGERS=[]" } else { "PARAMEDIC_ALERTMANAGERS-" };
        self.kubectl(&["-n", PARAMEDIC, "set", "env", "deployment/paramedic", setting])
            .unwrap_or_else(|error| panic!("{error}"));
        // Only the rig's is where the overlay says.
        let setting = if self.rig.is_none() { "PARAMEDIC_PROMETHEUS=[]" } else { "PARAMEDIC_PROMETHEUS-" };
        self.kubectl(&["-n", PARAMEDIC, "set", "env", "deployment/paramedic", setting])
            .unwrap_or_else(|error| panic!("{error}"));
        if switched_on("E2E_RESTART") {
            self.kubectl(&["-n", PARAMEDIC, "rollout", "restart", "deployment/paramedic"])
                .unwrap_or_else(|error| panic!("{error}"));
        }
        let limit = format!("--timeout={}s", ROLLOUT.as_secs());
        if let Err(error) = self.kubectl(&["-n", PARAMEDIC, "rollout", "status", "deployment/paramedic", &limit]) {
            let state = self.kubectl(&["-n", PARAMEDIC, "get", "pods,events"]).unwrap_or_default();
            let logs: Vec<String> =
                self.logs(Some(30)).await.into_iter().map(|(pod, log)| format!("{pod}:\n{log}")).collect();
            panic!("Paramedic does not come up: {error}\n{state}\n{}", logs.join("\n"));
        }
        until(ROLLOUT, "two replicas, one of which leads", || async {
            let leader = self.leader().await?;
            let pods = self.paramedics().await?;
            let leads = pods.iter().any(|pod| pod.metadata.name.as_ref() == Some(&leader));
            if leads && pods.len() == 2 { Ok(()) } else { Err(format!("{} replicas, leader {leader}", pods.len())) }
        })
        .await;
        if let Some(alertmanager) = &self.alertmanager {
            alertmanager.trusted().await;
        }
        if let Some(rig) = &self.rig {
            rig.run("prometheus", &["reload", &Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").to_string_lossy()]);
        }
    }

    /// What stories that were killed left in the way of others.
    fn clear_up(&self) {
        for kind in ["validatingwebhookconfigurations", "clusterremediationpolicies.paramedic.dev"] {
            // The second kind may not exist yet.
            let _ = self.kubectl(&["delete", kind, "-l", STORY_LABEL, "--ignore-not-found"]);
        }
    }

    async fn make_tokens(&mut self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": PARAMEDIC}})).expect("it is a namespace");
        match namespaces.create(&PostParams::default(), &namespace).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => panic!("the namespace {PARAMEDIC} cannot be made: {error}"),
        }
        let given = self
            .setting("WEBHOOK_TOKEN_FILE")
            .map(|file| fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().to_owned());
        let there = self.tokens().await.unwrap_or_else(|error| panic!("the Secret cannot be read: {error}"));
        let random = || format!("{:032x}", fastrand::u128(..));
        (self.token, self.bound_token) = match (given, there) {
            (Some(given), Some((_, bound))) => (given, bound),
            (Some(given), None) => (given, random()),
            (None, Some(there)) => there,
            (None, None) => (random(), random()),
        };
        let data = BTreeMap::from([("token", &self.token), ("bound-token", &self.bound_token)]);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": WEBHOOK_SECRET}, "stringData": data,
        });
        let api: Api<Secret> = self.api(PARAMEDIC);
        let parameters = PatchParams::apply("e2e").force();
        api.patch(WEBHOOK_SECRET, &parameters, &Patch::Apply(&secret)).await.expect("the Secret can be made");
    }

    /// The certificate of the API for people: the one that is there, as a replica that runs shows it, else a new one.
    async fn make_people_certificate(&mut self) {
        let api: Api<Secret> = self.api(PARAMEDIC);
        let there =
            api.get_opt(PEOPLE_SECRET).await.unwrap_or_else(|error| panic!("the Secret cannot be read: {error}"));
        let certificate = there.and_then(|secret| String::from_utf8(secret.data?.remove("tls.crt")?.0).ok());
        if let Some(certificate) = certificate {
            self.people_certificate = certificate;
            return;
        }
        let made = rcgen::generate_simple_self_signed([PEOPLE_NAME.to_owned()]).expect("a certificate can be made");
        self.people_certificate = made.cert.pem();
        let data = json!({"tls.crt": self.people_certificate, "tls.key": made.signing_key.serialize_pem()});
        let metadata = json!({"name": PEOPLE_SECRET});
        let secret = json!({"metadata": metadata, "type": "kubernetes.io/tls", "stringData": data});
        let secret: Secret = serde_json::from_value(secret).expect("it is a Secret");
        api.create(&PostParams::default(), &secret).await.expect("the Secret can be made");
    }

    /// The namespaces of stories that went wrong, which are kept to be looked at.
    pub async fn kept(&self) -> Vec<String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let list =
            api.list(&ListParams::default().labels(STORY_LABEL)).await.map(|list| list.items).unwrap_or_default();
        let kept = list.into_iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
        kept.filter_map(|namespace| namespace.metadata.name).collect()
    }
}
