//! Two hundred episodes while everything around Paramedic fails again and again: each leads to one action.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use paramedic::api::{ActionOutcome, Phase, Remediation};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    alertmanager::Alertmanager,
    gauges::Gauges,
    harness::{Entry, story},
    records::say,
    rig::Rig,
    story::{Story, seconds},
    wait::until,
    workloads::Workload,
    world::PARAMEDIC,
};

use super::crashes::leading_replica;

pub fn stories() -> Vec<Entry> {
    let name = "episodes::two_hundred_lead_to_one_action_each_whatever_fails_around_them";
    vec![story(name, two_hundred).on_the_rig().alone().only_in_full().within(seconds(900))]
}

const WORKLOADS: usize = 20;
const ROUNDS: usize = 10;
/// How long one episode may take where everything fails around it.
const EPISODE: Duration = Duration::from_mins(3);
/// How long things are left alone between two disturbances.
const LULL: Duration = Duration::from_secs(8);
/// How long the webhook is out of reach.
const OUTAGE: Duration = Duration::from_secs(8);
/// An alert that comes back five times in four hours is left to people: so no workload has one of them as often.
const ALERTS: [&str; 3] = ["EpisodeOne", "EpisodeTwo", "EpisodeThree"];

/// Two Alertmanagers that gossip and two Prometheus that tell both; the webhook fails and comes back, the leader is killed,
/// its lease is taken away.
async fn two_hundred(story: Story) {
    let _pair = Pair::start(&story).await;
    paramedic_with(&story, &settings(&story));
    let workloads: Vec<Workload> =
        join_all((0..WORKLOADS).map(|number| story.deployment(&format!("web-{number:02}")).up())).await;
    for alertname in ALERTS {
        let policy = story.policy(alertname).limit("cooldown", json!("1s"));
        let policy = policy.limit("rate", json!({"actions": 1000, "per": "1h"})).limit("concurrency", json!(50));
        policy.up().await;
    }
    let gauges = story.gauges(&ALERTS).await;

    let begun = Instant::now();
    let (over, mut is_over) = watch::channel(false);
    let episodes = async {
        let ended = join_all(workloads.iter().map(|workload| episodes(&story, &gauges, workload))).await;
        over.send_replace(true);
        ended.into_iter().flatten().collect::<BTreeMap<_, _>>()
    };
    let (ended, counts) = tokio::join!(episodes, disturb(&story, &mut is_over));
    story.figure(format!("{} episodes in {} s", ended.len(), begun.elapsed().as_secs()));
    story.figure(counts);

    judge(&story, &ended).await;
    paramedic_with(&story, &SETTINGS.map(|name| format!("{name}-")));
}

/// Its episodes, one after the other: the pod that each was about, by name, and its alert.
async fn episodes(story: &Story, gauges: &Gauges, workload: &Workload) -> Vec<(String, &'static str)> {
    let mut ended = Vec::new();
    for alertname in ALERTS.into_iter().cycle().take(ROUNDS) {
        let pod = workload.pod().await;
        gauges.trouble(alertname, &pod);
        until(EPISODE, &format!("{} is ended for {alertname}", pod.name), || async {
            if story.pods.ended().contains(&pod.uid) { Ok(()) } else { Err(records_about(story, &pod.name).await) }
        })
        .await;
        gauges.gone(&pod);
        until(EPISODE, &format!("the record of {alertname} about {} ends", pod.name), || async {
            let records = records(story).await?;
            let record = records.iter().find(|record| is_about(record, &pod.name)).ok_or("there is no record")?;
            let status = record.status.clone().unwrap_or_default();
            if status.phase == Phase::Succeeded { Ok(()) } else { Err(say(&status)) }
        })
        .await;
        ended.push((pod.name, alertname));
    }
    ended
}

/// One thing after the other goes wrong until the episodes are over. Says how often each did.
async fn disturb(story: &Story, over: &mut watch::Receiver<bool>) -> String {
    let (mut kills, mut thefts, mut outages) = (0, 0, 0);
    for turn in 0.. {
        tokio::select! {
            _ = over.wait_for(|over| *over) => break,
            () = tokio::time::sleep(LULL) => {}
        }
        match turn % 3 {
            0 => {
                steal_the_lease(story).await;
                thefts += 1;
            }
            1 => {
                kill_the_leader(story).await;
                kills += 1;
            }
            _ => {
                selector(story, "nobody");
                tokio::time::sleep(OUTAGE).await;
                selector(story, "paramedic");
                outages += 1;
            }
        }
    }
    format!("{kills} leaders killed, {thefts} leases lost, {outages} outages of the webhook")
}

/// Somebody else holds the Lease, and does not renew it.
async fn steal_the_lease(story: &Story) {
    let api: Api<Lease> = story.world.api(PARAMEDIC);
    until(EPISODE, "the Lease is taken away", || async {
        let mut lease = api.get(PARAMEDIC).await.map_err(|error| error.to_string())?;
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some("a-thief".to_owned());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        let replaced = api.replace(PARAMEDIC, &PostParams::default(), &lease).await;
        replaced.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

/// `kill -9`, and the pod is not kept, as a container that dies often waits longer each time until it starts again.
async fn kill_the_leader(story: &Story) {
    let leader = leading_replica(story).await;
    Rig::kill_9(&leader.uid, PARAMEDIC);
    let api: Api<Pod> = story.world.api(PARAMEDIC);
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let _ = api.delete(&leader.name, &at_once).await;
}

/// The Service leads to the pods with this label.
fn selector(story: &Story, name: &str) {
    let patch = json!({"spec": {"selector": {"app.kubernetes.io/name": name}}}).to_string();
    let patched = story.world.kubectl(&["-n", PARAMEDIC, "patch", "service", "paramedic", "-p", &patch]);
    patched.unwrap_or_else(|error| panic!("{error}"));
}

/// By the API server's audit log each pod was ended once, and by the records each episode has one, with one action.
async fn judge(story: &Story, ended: &BTreeMap<String, &'static str>) {
    assert_eq!(ended.len(), WORKLOADS * ROUNDS, "every episode was about a pod of its own");
    let audit = story.world.audit.as_ref().expect("the rig has an audit log");
    let asked: Vec<String> = audit.pods_ended(&story.namespace).into_iter().map(|asked| asked.name).collect();
    let names: BTreeSet<&String> = asked.iter().collect();
    story.figure(format!("{} evictions of {} pods", asked.len(), names.len()));
    assert_eq!(asked.len(), names.len(), "no pod was ended twice");
    assert!(names.iter().all(|name| ended.contains_key(*name)), "no other pod was ended");
    // A leader that was killed did not hear of what it had asked for: it was done all the same, and only once.
    let unheard: Vec<String> = audit.pods_perhaps_ended(&story.namespace).into_iter().map(|asked| asked.name).collect();
    let missing: Vec<&String> = ended.keys().filter(|pod| !names.contains(pod)).collect();
    let asked_once = |pod: &&String| unheard.iter().filter(|name| name == pod).count() == 1;
    assert!(missing.iter().all(asked_once), "each pod was ended by one request: {missing:?}, {unheard:?}");
    story.figure(format!("{} whose client was gone before the answer", missing.len()));

    let records = records(story).await.expect("records can be read");
    let done = |record: &Remediation| {
        let journal = record.status.iter().flat_map(|status| &status.journal);
        journal.filter(|entry| entry.outcome == ActionOutcome::Done).count()
    };
    let actions: usize = records.iter().map(done).sum();
    story.figure(format!("{} records with {actions} actions", records.len()));
    for (pod, alertname) in ended {
        let about: Vec<&Remediation> = records.iter().filter(|record| is_about(record, pod)).collect();
        let [record] = about[..] else { panic!("{pod}: {} records of one episode", about.len()) };
        assert_eq!(record.spec.alert.labels.get("alertname"), Some(*alertname));
        assert_eq!(done(record), 1, "{pod}: {:?}", record.status);
    }
    assert_eq!(records.len(), ended.len(), "no record is about anything else");
}

async fn records(story: &Story) -> Result<Vec<Remediation>, String> {
    let api: Api<Remediation> = story.world.api(&story.namespace);
    Ok(api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items)
}

fn is_about(record: &Remediation, pod: &str) -> bool {
    record.spec.alert.labels.get("pod") == Some(pod)
}

async fn records_about(story: &Story, pod: &str) -> String {
    let records = records(story).await.unwrap_or_default();
    let about = records.iter().filter(|record| is_about(record, pod));
    about.map(|record| say(&record.status.clone().unwrap_or_default())).collect::<Vec<_>>().join("; ")
}

const SETTINGS: [&str; 5] = [
    "PARAMEDIC_LEADER__LEASE_DURATION",
    "PARAMEDIC_LEADER__RENEW_EVERY",
    "PARAMEDIC_LEADER__ACTION_TIMEOUT",
    "PARAMEDIC_ALERTMANAGERS",
    "PARAMEDIC_LIMITS__STORM__LEAST",
];

/// A lease of 3 s, both peers to be asked, and nothing that counts as a storm.
fn settings(story: &Story) -> [String; 5] {
    let peers: Vec<String> = addresses(story)
        .iter()
        .map(|url| format!("{{url=\"{url}\",source=\"alertmanager\",resendInterval=\"20s\"}}"))
        .collect();
    let peers = format!("[{}]", peers.join(","));
    // Twenty workloads in trouble at once are what this is about.
    let values = ["3s".to_owned(), "500ms".to_owned(), "2s".to_owned(), peers, "1000".to_owned()];
    let mut settings = SETTINGS.map(str::to_owned);
    for (setting, value) in settings.iter_mut().zip(values) {
        setting.push('=');
        setting.push_str(&value);
    }
    settings
}

/// Restarts Paramedic with these variables of the environment; a name with a minus takes one away.
fn paramedic_with(story: &Story, settings: &[String; 5]) {
    let mut arguments = vec!["-n", PARAMEDIC, "set", "env", "deployment/paramedic"];
    arguments.extend(settings.iter().map(String::as_str));
    let world = story.world;
    let rollout = ["-n", PARAMEDIC, "rollout", "status", "deployment/paramedic", "--timeout=120s"];
    for arguments in [&arguments[..], &rollout] {
        world.kubectl(arguments).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The Alertmanagers' addresses.
fn addresses(story: &Story) -> [String; 2] {
    ["ALERTMANAGER_URL", "ALERTMANAGER_2_URL"].map(|name| story.world.setting(name).expect("the rig names both"))
}

/// Two of each as long as it lives.
struct Pair<'a>(&'a Rig);

impl<'a> Pair<'a> {
    async fn start(story: &'a Story) -> Self {
        let rig = story.world.rig();
        rig.run("pair", &["start"]);
        let pair = Self(rig);
        for url in addresses(story) {
            Alertmanager::new(story.world.http.clone(), &url).up_for(seconds(25)).await;
        }
        pair
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        self.0.run("pair", &["stop"]);
    }
}
