//! The door of the API for people: with TLS, with certificates, and with strangers before it.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use paramedic::{
    clock::Clock,
    config::Config,
    people::http,
    server::{Bound, Handle, tls::Tls},
    sim::{
        self, Cluster,
        people::{Grant, Person},
    },
    telemetry::Metrics,
};
use reqwest::{Client, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::encrypted::{Authority, show};

/// The API on a simulated cluster, where kim may list the pauses of namespace `shop`.
struct Door {
    url: String,
    metrics: Arc<Metrics>,
    _folder: TempDir,
    _servers: JoinSet<()>,
}

impl Door {
    async fn build(own: &Authority, clients: Option<&Authority>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut tls = json!({ "certFile": path("cert"), "keyFile": path("key") });
        if let Some(clients) = clients {
            fs::write(path("clients"), clients.pem()).unwrap();
            tls["clientCaFile"] = path("clients").to_str().unwrap().into();
        }
        show(&path("cert"), &path("key"), own);
        let config = json!({ "api": { "listen": "127.0.0.1:0", "tls": tls } });
        let config: Config = serde_json::from_value(config).unwrap();
        let tls = Arc::new(Tls::load(config.api.tls.as_ref().unwrap()).unwrap());
        let cluster = Cluster::new(sim::Settings::new(Clock::system()));
        cluster.people().add("kims", Person::new("kim", [Grant::within("shop", "list", "pauses")]));
        let metrics = Arc::new(Metrics::new());
        let router = http::router(http::Settings {
            reviewer: cluster.client(),
            nobodys: cluster.client(),
            own_namespace: "paramedic".to_owned(),
            certificates: clients.is_some(),
            throttle: Arc::default(),
            metrics: Arc::clone(&metrics),
            clock: Clock::system(),
        });
        let port = Bound::people(&config).await.unwrap().unwrap();
        let url = format!("https://{}/api/v1/pauses?namespace=shop", port.address());
        let mut servers = JoinSet::new();
        servers.spawn(async move { port.serve(router, Handle::new(), Some(tls)).await.unwrap() });
        Self { url, metrics, _folder: folder, _servers: servers }
    }

    async fn ask(&self, client: &Client, token: &str) -> Result<StatusCode, reqwest::Error> {
        Ok(client.get(&self.url).bearer_auth(token).send().await?.status())
    }
}

#[tokio::test]
async fn people_are_served_over_tls_and_never_in_the_clear() {
    let own = Authority::new();
    let door = Door::build(&own, None).await;
    assert_eq!(door.ask(&own.client(None), "kims").await.unwrap(), StatusCode::OK);
    assert!(door.ask(&Authority::new().client(None), "kims").await.is_err(), "the certificate is another's");
    assert!(Client::new().get(door.url.replace("https", "http")).bearer_auth("kims").send().await.is_err());
    assert!(door.metrics.render().unwrap().contains("paramedic_people_requests_total{code=\"200\"} 1"));
}

#[tokio::test]
async fn where_people_must_show_a_certificate_a_token_alone_does_not_open() {
    let (own, clients) = (Authority::new(), Authority::new());
    let door = Door::build(&own, Some(&clients)).await;
    assert_eq!(door.ask(&own.client(Some(&clients)), "kims").await.unwrap(), StatusCode::OK);
    assert_eq!(door.ask(&own.client(None), "kims").await.unwrap(), StatusCode::UNAUTHORIZED);
    assert_eq!(door.ask(&own.client(Some(&clients)), "nobodys").await.unwrap(), StatusCode::UNAUTHORIZED);
}

/// Whoever guesses on and on is answered late, and whoever is known is not, from the same address.
#[tokio::test]
async fn strangers_are_answered_later_and_later_and_hold_up_nobody_who_is_known() {
    let own = Authority::new();
    let door = Door::build(&own, None).await;
    let client = own.client(None);
    let mut slowest = Duration::ZERO;
    for guess in 0..12 {
        let began = Instant::now();
        assert_eq!(door.ask(&client, &format!("guess-{guess}")).await.unwrap(), StatusCode::UNAUTHORIZED);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest >= Duration::from_secs(1), "{slowest:?}");
    let guesses = (0..100).map(|guess| {
        let (client, url) = (client.clone(), door.url.clone());
        tokio::spawn(async move { client.get(url).bearer_auth(format!("more-{guess}")).send().await.unwrap().status() })
    });
    let guesses: Vec<_> = guesses.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(door.ask(&client, "kims").await.unwrap(), StatusCode::OK, "a stranger has taken kim's place");
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), StatusCode::UNAUTHORIZED);
    }
    assert!(door.metrics.render().unwrap().contains("paramedic_auth_failures_total 112"));
}
