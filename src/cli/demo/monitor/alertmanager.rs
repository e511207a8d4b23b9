//! Plays Alertmanager: takes alerts over its API v2, tells Paramedic by webhook, and can be asked what fires.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State as Shared},
    http::StatusCode,
    routing::get,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    inbox::{Inbox, Notice, State},
    rule::Fired,
};
use crate::{
    alert::{Labels, Matcher},
    clock::Clock,
};

/// The receiver's name.
const RECEIVER: &str = "paramedic";
/// How often it looks what is due.
const TICK: Duration = Duration::from_millis(100);
/// How long Paramedic may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// The webhooks behind one name, as a Service has them: the first that answers is told.
pub type Service = Arc<Mutex<Vec<String>>>;

/// What came of a notice.
#[derive(Clone, Debug)]
pub struct Told {
    /// Which Alertmanager.
    pub by: String,
    /// About what.
    pub labels: Labels,
    /// Firing or over.
    pub state: State,
    /// Not for the first time.
    pub again: bool,
    /// It had been taken before.
    pub repeat: bool,
    /// The answer: a status, or why there was none.
    pub answer: Result<u16, String>,
}

/// One Alertmanager. Cheap to clone.
#[derive(Clone)]
pub struct Alertmanager {
    /// Its name, for people.
    pub name: String,
    /// Its URL.
    pub url: String,
    inner: Arc<Inner>,
}

/// What an Alertmanager is among others.
pub struct Place {
    /// Its name, for people.
    pub name: String,
    /// Its number, from 0: each begins at another of the webhooks.
    pub number: usize,
    /// Whom it tells.
    pub webhooks: Service,
}

struct Inner {
    inbox: Mutex<Inbox>,
    clock: Clock,
    started_at: Timestamp,
    number: usize,
    webhooks: Service,
    client: reqwest::Client,
}

impl Alertmanager {
    /// Serves on `listener`, and tells its webhooks, until `stop`; what it told goes to `told` as well.
    pub fn start(
        place: Place,
        listener: TcpListener,
        clock: Clock,
        told: mpsc::UnboundedSender<Told>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let address: SocketAddr = listener.local_addr()?;
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
        let started_at = clock.now();
        let Place { name, number, webhooks } = place;
        let inner = Arc::new(Inner { inbox: Mutex::default(), clock, started_at, number, webhooks, client });
        let this = Self { name, url: format!("http://{address}"), inner };
        let router = Router::new()
            .route("/api/v2/alerts", get(alerts).post(post_alerts))
            .route("/api/v2/status", get(status))
            .with_state(Arc::clone(&this.inner));
        let served = stop.clone();
        tokio::spawn(async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(served.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::warn!(%error, "the Alertmanager's port is not served any more");
            }
        });
        let notifier = this.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(notifier.notify(told)).await;
        });
        Ok(this)
    }

    /// Takes alerts in, as from Prometheus.
    pub fn take(&self, alerts: &[Fired]) {
        let now = self.inner.clock.now();
        let mut inbox = self.inner.inbox();
        for alert in alerts {
            inbox.take(alert.clone(), now);
        }
    }

    async fn notify(self, told: mpsc::UnboundedSender<Told>) {
        loop {
            let due = self.inner.inbox().due(RECEIVER, &self.url, self.inner.clock.now());
            // Each group by itself, as Alertmanager does: one that is not taken does not hold the others up.
            let tellings = due.into_iter().map(|notice| async {
                let answer = self.post(&notice).await;
                let taken = answer.as_ref().is_ok_and(|code| *code < 500);
                self.inner.inbox().told(&notice, taken, self.inner.clock.now());
                let Notice { labels, state, again, repeat, .. } = notice;
                // Where nobody listens any more, the demonstration is at its end.
                let _ = told.send(Told { by: self.name.clone(), labels, state, again, repeat, answer });
            });
            futures::future::join_all(tellings).await;
            tokio::time::sleep(TICK).await;
        }
    }

    /// Posts to the first webhook that can be reached.
    async fn post(&self, notice: &Notice) -> Result<u16, String> {
        let mut webhooks = self.inner.webhooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !webhooks.is_empty() {
            let first = self.inner.number % webhooks.len();
            webhooks.rotate_left(first);
        }
        let mut why = "there is no webhook".to_owned();
        for webhook in webhooks {
            match self.inner.client.post(&webhook).json(&notice.body).send().await {
                Ok(answer) => return Ok(answer.status().as_u16()),
                Err(error) => why = crate::telemetry::chain(&error),
            }
        }
        Err(why)
    }
}

impl Inner {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn alerts(
    Shared(inner): Shared<Arc<Inner>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let filters = query.iter().filter(|(name, _)| name == "filter");
    let matchers: Result<Vec<Matcher>, _> = filters.map(|(_, text)| text.parse()).collect();
    let matchers = matchers.map_err(|error| (StatusCode::BAD_REQUEST, format!("bad matcher format: {error}")))?;
    Ok(Json(inner.inbox().alerts(&matchers, inner.clock.now())))
}

/// An alert as it is posted to Alertmanager.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: Labels,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
}

async fn post_alerts(Shared(inner): Shared<Arc<Inner>>, Json(posted): Json<Vec<Posted>>) -> Json<Value> {
    let now = inner.clock.now();
    let mut inbox = inner.inbox();
    for Posted { labels, annotations, starts_at, ends_at } in posted {
        inbox.take(Fired { labels, annotations, starts_at: starts_at.unwrap_or(now), ends_at }, now);
    }
    Json(json!({}))
}

async fn status(Shared(inner): Shared<Arc<Inner>>) -> Json<Value> {
    Json(json!({
        "cluster": { "status": "disabled", "peers": [] },
        "config": { "original": "" },
        "uptime": inner.started_at,
        "versionInfo": { "version": "played by paramedic demo" },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn paramedics_own_client_can_ask_it() {
        // The process's provider may have been installed by another test.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (told, mut heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let place = Place { name: "a".to_owned(), number: 0, webhooks: Service::default() };
        let played = Alertmanager::start(place, listener, Clock::system(), told, stop.clone()).unwrap();
        let labels: Labels = [("alertname", "X"), ("pod", "p")].into_iter().collect();
        let body = json!([{ "labels": labels }]);
        let posted = reqwest::Client::new().post(format!("{}/api/v2/alerts", played.url)).json(&body).send().await;
        assert_eq!(posted.unwrap().status(), 200);

        let second = Duration::from_secs(1);
        let endpoint = crate::clients::Endpoint::new(&played.url, second, crate::config::Access::default()).unwrap();
        let asked = crate::clients::Alertmanager::new(endpoint, second);
        let found = asked.alerts(&["pod=\"p\"".parse().unwrap()]).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].labels, labels);
        assert!(asked.alerts(&["pod=\"q\"".parse().unwrap()]).await.unwrap().is_empty());
        assert!(asked.started_at().await.unwrap() <= Clock::system().now());
        let told = heard.recv().await.unwrap();
        assert_eq!((told.labels, told.answer), (labels, Err("there is no webhook".to_owned())));
        stop.cancel();
    }
}
