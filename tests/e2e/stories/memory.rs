//! What is remembered of failures and of the hour: giving up, breakers, storms, schedules. Each story has its twin.

use jiff::{Timestamp, tz::TimeZone};
use paramedic::api::{RESUMED_ANNOTATION, Reason};
use serde_json::{Value, json};

use crate::{
    alerts::Alert,
    harness::{Cause, Entry, twins},
    policies::{NewPolicy, Policy},
    story::Story,
    workloads::{PodRef, Workload},
};

pub fn stories() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(twins("memory::a_subject_given_up", given_up).map(Entry::with_alertmanager));
    entries.extend(twins("memory::a_recurrence_too_many", recurring));
    entries.extend(twins("memory::a_breaker", breaker).map(Entry::with_alertmanager));
    entries.extend(twins("memory::a_storm", storm).map(|entry| entry.alone().only_in_full()));
    entries.extend(twins("memory::outside_of_the_schedule", schedule));
    entries.extend(twins("memory::a_freeze", freeze));
    entries
}

/// One step, which is not given long.
fn soon_given_up() -> Value {
    json!([{"restartPod": {}, "verify": {"within": "12s", "stableFor": "2s"}}])
}

/// An alert about a pod that a restart does not help: its `StatefulSet`'s pods keep their names.
async fn fails(story: &Story, policy: &Policy, alertname: &str, pod: &PodRef) {
    let alert = story.alert(alertname).about(pod).fire().await;
    story.record(&alert, policy).fails_for(Reason::NotHelped).await;
}

fn hopeless(story: &Story, alertname: &str) -> NewPolicy {
    story.policy(alertname).steps(soon_given_up()).limit("cooldown", json!("1s"))
}

/// After one failure the workload is left to people, until one of them says that it may go on. Its twin may fail twice.
async fn given_up(story: Story, cause: Cause) {
    let db = story.stateful_set("db").replicas(3).up().await;
    let (first, second) = db.two_pods().await;
    let failures = if cause.is_present() { 1 } else { 2 };
    let policy = hopeless(&story, "Hopeless").limit("giveUp", json!({"failures": failures})).up().await;
    fails(&story, &policy, "Hopeless", &first).await;
    let again = story.alert("Hopeless").about(&second).fire().await;
    if cause.is_present() {
        let record = story.record(&again, &policy).waits_for(Reason::GivenUp).await;
        let status = record.status.expect("it waits");
        assert!(status.until.is_some(), "it says until when");
        assert!(status.message.unwrap_or_default().contains(RESUMED_ANNOTATION), "it says what lets it go on");
        story.expect_only_ended(&[&first]).await;
        db.annotate(RESUMED_ANNOTATION, &Timestamp::now().to_string()).await;
    }
    acts(&story, &again, &policy, &[&first, &second]).await;
}

async fn acts(story: &Story, alert: &Alert, policy: &Policy, ended: &[&PodRef]) {
    story.record(alert, policy).acts().await;
    story.expect_only_ended(ended).await;
}

/// It helped once, and may help once only.
async fn recurring(story: Story, cause: Cause) {
    let web = story.deployment("web").replicas(4).up().await;
    let (first, second) = web.two_pods().await;
    let recurrences = if cause.is_present() { 1 } else { 2 };
    let policy = story.policy("ComesBack").limit("cooldown", json!("1s"));
    let policy = policy.limit("giveUp", json!({"recurrences": recurrences})).up().await;
    let alert = story.alert("ComesBack").about(&first).fire().await;
    story.record(&alert, &policy).acts().await;
    alert.resolve().await;
    story.record(&alert, &policy).succeeds().await;
    let again = story.alert("ComesBack").about(&second).fire().await;
    if cause.is_present() {
        story.record(&again, &policy).waits_for(Reason::GivenUp).await;
        story.expect_only_ended(&[&first]).await;
    } else {
        acts(&story, &again, &policy, &[&first, &second]).await;
    }
}

/// A failure on one workload stops the policy on the other one.
async fn breaker(story: Story, cause: Cause) {
    let one = story.stateful_set("one").replicas(3).up().await.pod().await;
    let two = story.stateful_set("two").replicas(3).up().await.pod().await;
    let least = if cause.is_present() { 1 } else { 2 };
    let policy = hopeless(&story, "Harmful").limit("breaker", json!({"least": least})).up().await;
    fails(&story, &policy, "Harmful", &one).await;
    let other = story.alert("Harmful").about(&two).fire().await;
    if cause.is_present() {
        story.record(&other, &policy).waits_for(Reason::BreakerOpen).await;
        story.expect_only_ended(&[&one]).await;
    } else {
        acts(&story, &other, &policy, &[&one, &two]).await;
    }
}

/// All but one of the ten or nine are of one replica, to whose restart nobody consents, so that they stay in trouble.
async fn storm(story: Story, cause: Cause) {
    let in_trouble = if cause.is_present() { 10 } else { 9 };
    let web = story.deployment("web").up().await.pod().await;
    let mut others: Vec<Workload> = Vec::new();
    for number in 1..in_trouble {
        others.push(story.deployment(&format!("other-{number}")).replicas(1).up().await);
    }
    let policy = story.policy("Everywhere").up().await;
    for other in &others {
        let alert = story.alert("Everywhere").about(&other.pod().await).fire().await;
        story.record(&alert, &policy).comes_to("it waits", |status| status.subject.is_some()).await;
    }
    let alert = story.alert("Everywhere").about(&web).fire().await;
    if cause.is_present() {
        story.record(&alert, &policy).waits_for(Reason::Storm).await;
        story.expect_untouched().await;
    } else {
        acts(&story, &alert, &policy, &[&web]).await;
    }
}

/// A window of an hour, twelve hours from now, or one that is open: by the clocks of a place without summer time.
async fn schedule(story: Story, cause: Cause) {
    let pod = story.deployment("web").up().await.pod().await;
    let hour = Timestamp::now().to_zoned(TimeZone::fixed(jiff::tz::offset(9))).hour();
    let clock = |hours: i8| format!("{:02}:00", (hour + hours) % 24);
    let (from, to) = if cause.is_present() { (clock(12), clock(13)) } else { (clock(23), clock(2)) };
    let windows = json!({"timeZone": "Asia/Tokyo", "only": [{"from": from, "to": to}]});
    let policy = story.policy("AtNight").schedule(windows).up().await;
    let alert = story.alert("AtNight").about(&pod).fire().await;
    if cause.is_present() {
        let record = story.record(&alert, &policy).waits_for(Reason::OutsideSchedule).await;
        let until = record.status.and_then(|status| status.until).expect("it says when the window opens");
        let hours = until.duration_since(Timestamp::now()).as_secs() / 3600;
        assert!((10..=12).contains(&hours), "in {hours} hours");
        story.expect_untouched().await;
    } else {
        acts(&story, &alert, &policy, &[&pod]).await;
    }
}

/// A freeze that is in force, or one that is over.
async fn freeze(story: Story, cause: Cause) {
    let pod = story.deployment("web").up().await.pod().await;
    let hours = |hours: i64| (Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string();
    let to = if cause.is_present() { hours(1) } else { hours(-1) };
    let freeze = json!({"freeze": [{"from": hours(-2), "to": to, "reason": "the sale"}]});
    let policy = story.policy("Sale").schedule(freeze).up().await;
    let alert = story.alert("Sale").about(&pod).fire().await;
    if cause.is_present() {
        let record = story.record(&alert, &policy).waits_for(Reason::Frozen).await;
        assert!(record.status.and_then(|status| status.message).unwrap_or_default().contains("the sale"));
        story.expect_untouched().await;
    } else {
        acts(&story, &alert, &policy, &[&pod]).await;
    }
}
