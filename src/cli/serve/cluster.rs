//! The way to the Kubernetes API, and whether it is open.

use std::{path::Path, sync::Arc, time::Duration};

use kube::{
    Client,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use crate::people::ClusterError;
use crate::{
    replica::{Clients, patience},
    server::health::{API, Readiness},
    telemetry::{Metrics, Outage, TimeCalls, chain, metrics::ApiErrorReason},
};

/// How often the API server is asked whether it answers, and how long it may take.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// So long after an answer it counts as answering: two asks may fail.
const FRESH_FOR: Duration = Duration::from_secs(15);

/// Finds the cluster: the kubeconfig that is named, else as kubectl does, else the pod's service account.
pub async fn find(kubeconfig: Option<&Path>) -> Result<kube::Config, ClusterError> {
    Ok(match kubeconfig {
        Some(path) => {
            let options = KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
        }
        None => kube::Config::infer().await?,
    })
}

/// Makes the clients of a replica, which ask in Paramedic's own name.
pub fn clients(mut config: kube::Config, metrics: &Arc<Metrics>) -> Result<Clients, ClusterError> {
    let timed = TimeCalls::new(Arc::clone(metrics));
    let patient = ClientBuilder::try_from(config.clone())?.with_layer(&patience()).with_layer(&timed).build();
    config.default_retry = false;
    let once = ClientBuilder::try_from(config)?.with_layer(&timed).build();
    Ok(Clients { patient, once })
}

/// Makes a client that asks in nobody's name: of where the cluster is, and how it proves itself, it knows what the others
/// do, and of Paramedic's credentials nothing. What is asked through it in somebody's name carries theirs.
pub fn nobodys(mut config: kube::Config, metrics: &Arc<Metrics>) -> Result<Client, ClusterError> {
    config.auth_info = kube::config::AuthInfo::default();
    config.headers.clear();
    config.default_retry = false;
    config.connect_timeout = Some(ANSWER_WITHIN);
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeCalls::new(Arc::clone(metrics))).build())
}

/// Keeps asking the API server whether it answers, until `stop`.
pub async fn watch(client: Client, readiness: Readiness, metrics: Arc<Metrics>, stop: CancellationToken) {
    let outage = Outage::of("the API server");
    let asking = async {
        loop {
            let problem = match timeout(ANSWER_WITHIN, client.apiserver_version()).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some((ApiErrorReason::of(&error), chain(&error))),
                Err(_) => Some((ApiErrorReason::NoAnswer, format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
            };
            match problem {
                None => {
                    outage.works();
                    readiness.pass_for(API, FRESH_FOR);
                }
                Some((reason, why)) => {
                    metrics.api_error("get", reason);
                    outage.failed(&why);
                    // One failure is none: an earlier answer holds for its time, and only then is this the reason. The
                    // log has the cause; strangers who ask need not learn where the API server is.
                    if readiness.check(API).is_err() {
                        readiness.fail(API, format!("does not answer: {}", reason.as_str()));
                    }
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    stop.run_until_cancelled(asking).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{
        Router,
        http::{HeaderMap, header},
    };
    use kube::config::AuthInfo;

    use super::*;

    /// The headers with which each client's request arrives, for a kubeconfig with a token that impersonates somebody.
    async fn arrive() -> (HeaderMap, HeaderMap) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(move |headers: HeaderMap| {
            into.lock().unwrap().push(headers);
            async { axum::Json(serde_json::json!({})) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut config = kube::Config::new(url.parse().unwrap());
        config.auth_info = AuthInfo {
            token: Some("paramedics".to_owned().into()),
            impersonate: Some("anna".to_owned()),
            ..AuthInfo::default()
        };
        let metrics = Arc::new(Metrics::new());
        let own = clients(config.clone(), &metrics).unwrap().once;
        let nobodys = nobodys(config, &metrics).unwrap();
        for client in [own, nobodys] {
            let request = axum::http::Request::get("/version").body(Vec::new()).unwrap();
            client.request_text(request).await.unwrap();
        }
        let mut seen = seen.lock().unwrap();
        let of_nobody = seen.pop().unwrap();
        (seen.pop().unwrap(), of_nobody)
    }

    #[tokio::test]
    async fn what_is_asked_in_nobodys_name_carries_no_credential() {
        let (own, of_nobody) = arrive().await;
        assert_eq!(
            (&own[header::AUTHORIZATION], &own["impersonate-user"]),
            (&"Bearer paramedics".parse().unwrap(), &"anna".parse().unwrap())
        );
        assert!(of_nobody.get(header::AUTHORIZATION).is_none(), "{of_nobody:?}");
        assert!(of_nobody.get("impersonate-user").is_none(), "{of_nobody:?}");
    }
}
