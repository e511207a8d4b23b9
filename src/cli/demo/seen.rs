//! What the cluster's watches say: the state that waits are about, and the lines that tell of each change.

use std::{collections::BTreeMap, fmt::Debug, pin::pin};

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use tokio::sync::watch;

use super::{
    screen::{Line, Mood, Screen, Who},
    stage::replica::LEADER_WAITS,
    story,
};
use crate::api::{Phase, Reason, Remediation};

/// The cluster as the watches have shown it so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The records, by name.
    pub records: BTreeMap<String, Remediation>,
    /// The application's pods, by name.
    pub pods: BTreeMap<String, Pod>,
    /// Who leads, by the Lease.
    pub leader: Option<String>,
    /// From when on the leader acts, where the Lease was not given back to it.
    pub acts_from: Option<Timestamp>,
    /// Pods that are gone, by name.
    pub gone: Vec<String>,
    /// Why each record was held back, by its name, in order.
    pub held: BTreeMap<String, Vec<Reason>>,
    given_back: bool,
}

impl Seen {
    /// How many pods are ready.
    pub fn ready(&self) -> usize {
        self.pods.values().filter(|pod| story::is_ready(pod)).count()
    }

    /// The records in that phase.
    pub fn in_phase(&self, phase: Phase) -> impl Iterator<Item = &Remediation> {
        self.records.values().filter(move |record| record.status.as_ref().is_some_and(|status| status.phase == phase))
    }

    /// Whether there are so many records, and all of them have ended.
    pub fn all_ended(&self, records: usize) -> bool {
        let ended = |record: &Remediation| record.status.as_ref().is_some_and(|status| status.phase.is_terminal());
        self.records.len() >= records && self.records.values().all(ended)
    }
}

/// One change.
#[expect(clippy::large_enum_variant, reason = "one at a time, and gone at once")]
enum News {
    Record(Event<Remediation>),
    Pod(Event<Pod>),
    Lease(Event<Lease>),
}

/// Follows the cluster for ever, tells each change, and keeps `seen` up to date.
pub async fn follow(
    client: Client,
    namespace: String,
    own_namespace: String,
    screen: Screen,
    seen: watch::Sender<Seen>,
) {
    let records: Api<Remediation> = Api::all(client.clone());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let leases: Api<Lease> = Api::namespaced(client, &own_namespace);
    let mut news = pin!(stream::select(
        events(records).map(News::Record),
        stream::select(events(pods).map(News::Pod), events(leases).map(News::Lease)),
    ));
    let mut now = Seen::default();
    while let Some(news) = news.next().await {
        // Told before whoever waits for it goes on.
        for line in apply(&mut now, news) {
            screen.line(&line);
        }
        seen.send_replace(now.clone());
    }
}

fn events<K>(api: Api<K>) -> impl Stream<Item = Event<K>>
where
    K: kube::Resource + Clone + Debug + Send + serde::de::DeserializeOwned + 'static,
{
    let watch = watcher::watcher(api, watcher::Config::default()).default_backoff();
    // The watcher tries again by itself.
    watch.filter_map(|event| std::future::ready(event.ok()))
}

/// Takes in a change; gives what it tells.
fn apply(seen: &mut Seen, news: News) -> Vec<Line> {
    match news {
        News::Record(Event::Apply(record) | Event::InitApply(record)) => {
            let name = record.name_any();
            let lines = story::of_record(seen.records.get(&name), &record);
            let waits = record.status.as_ref().filter(|status| status.phase == Phase::Waiting);
            if let Some(reason) = waits.and_then(|status| status.reason) {
                let held = seen.held.entry(name.clone()).or_default();
                if held.last() != Some(&reason) {
                    held.push(reason);
                }
            }
            seen.records.insert(name, record);
            lines
        }
        News::Record(Event::Delete(record)) => {
            seen.records.remove(&record.name_any());
            Vec::new()
        }
        News::Pod(Event::Apply(pod) | Event::InitApply(pod)) => {
            let name = pod.name_any();
            let lines = story::of_pod(seen.pods.get(&name), Some(&pod));
            seen.pods.insert(name, pod);
            lines
        }
        News::Pod(Event::Delete(pod)) => {
            let name = pod.name_any();
            seen.gone.push(name.clone());
            story::of_pod(seen.pods.remove(&name).or(Some(pod)).as_ref(), None)
        }
        News::Lease(Event::Apply(lease) | Event::InitApply(lease)) => {
            let spec = lease.spec.unwrap_or_default();
            let since = spec.acquire_time.map(|MicroTime(since)| since);
            let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
            if holder == seen.leader {
                return Vec::new();
            }
            // Who takes one that nobody gave back, also the first one ever, cannot know what is under way.
            let waits = !std::mem::take(&mut seen.given_back);
            let text = match &holder {
                Some(holder) if waits => format!(
                    "{} holds the lease; it acts only when nothing of a leader before it can be under way any more: in {} s",
                    replica(holder),
                    LEADER_WAITS.as_secs()
                ),
                Some(holder) => format!("{} holds the lease, and acts at once, as it was given back", replica(holder)),
                None => "the lease was given back".to_owned(),
            };
            let acts = |since: Timestamp| since.checked_add(LEADER_WAITS).ok();
            seen.acts_from = since.filter(|_| waits && holder.is_some()).and_then(acts);
            seen.given_back = holder.is_none();
            seen.leader = holder;
            vec![Line::new(Who::Paramedic, Mood::Plain, text)]
        }
        News::Record(_) | News::Pod(_) | News::Lease(_) => Vec::new(),
    }
}

/// The replica's name in a Lease's holder, which has a number that changes with each start behind it.
pub fn replica(holder: &str) -> &str {
    holder.rsplit_once('_').map_or(holder, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_leader_is_told_once_with_when_it_acts() {
        let mut seen = Seen::default();
        let lease = |holder: &str| -> Lease {
            let spec = json!({ "holderIdentity": holder, "acquireTime": "2026-01-01T00:00:00.000000Z" });
            from_value(json!({ "metadata": { "name": "paramedic" }, "spec": spec })).unwrap()
        };
        let mut tell = |holder: &str| {
            let lines = apply(&mut seen, News::Lease(Event::Apply(lease(holder))));
            (lines.into_iter().map(|line| line.text).collect::<Vec<_>>(), seen.acts_from.map(|at| at.to_string()))
        };
        let (first, acts_from) = tell("paramedic-0_1a2b");
        assert!(
            first[0].starts_with("paramedic-0 holds the lease; it acts only when") && first[0].ends_with("in 5 s"),
            "{first:?}"
        );
        assert_eq!(acts_from.as_deref(), Some("2026-01-01T00:00:05Z"));
        assert_eq!(tell("paramedic-0_1a2b").0, [""; 0]);
        assert!(tell("paramedic-1_3c4d").0[0].ends_with("in 5 s"), "nobody gave it back");
        assert_eq!(tell("").0.len(), 1);
        let (given, acts_from) = tell("paramedic-0_5e6f");
        assert_eq!(
            (given[0].as_str(), acts_from),
            ("paramedic-0 holds the lease, and acts at once, as it was given back", None)
        );
    }

    #[test]
    fn pods_come_and_go() {
        let mut seen = Seen::default();
        let pod: Pod = from_value(json!({
            "metadata": { "name": "a" }, "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }))
        .unwrap();
        apply(&mut seen, News::Pod(Event::InitApply(pod.clone())));
        assert_eq!(seen.ready(), 1);
        apply(&mut seen, News::Pod(Event::Delete(pod)));
        assert_eq!((seen.ready(), seen.gone.as_slice()), (0, ["a".to_owned()].as_slice()));
    }
}
