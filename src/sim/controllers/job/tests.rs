use std::time::Duration;

use k8s_openapi::api::{
    batch::v1::{CronJob, Job},
    core::v1::Pod,
};
use serde_json::{Value, json};

use super::super::{Played, Program, rig::Rig};

fn spec(rest: &Value) -> Value {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": "work:1"}]});
    let mut spec = json!({"template": {"spec": pod}});
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn job(rest: &Value) -> Value {
    json!({"metadata": {"name": "work"}, "spec": spec(rest)})
}

/// Active, succeeded and failed pods, and what holds.
fn seen(rig: &Rig, name: &str) -> String {
    let status = rig.get::<Job>(name).unwrap().status.unwrap();
    let number = |number: Option<i32>| number.unwrap_or_default();
    let holds: Vec<String> = status
        .conditions
        .iter()
        .flatten()
        .filter(|condition| condition.status == "True")
        .map(|condition| format!("{}={}", condition.type_, condition.reason.as_deref().unwrap_or_default()))
        .collect();
    format!("{}/{}/{} {}", number(status.active), number(status.succeeded), number(status.failed), holds.join(" "))
}

fn works_for(seconds: u64) -> Played {
    Played::new(Program::works_for(Duration::from_secs(seconds)))
}

fn fails_after(seconds: u64) -> Program {
    Program::serves().exits_after(Duration::from_secs(seconds), 1, u32::MAX)
}

const COMPLETE: &str = "SuccessCriteriaMet=CompletionsReached Complete=CompletionsReached";

#[tokio::test(start_paused = true)]
async fn a_job_is_complete_once_enough_of_its_pods_have_succeeded() {
    let mut rig = Rig::new(works_for(10));
    rig.create::<Job>(job(&json!({"completions": 3, "parallelism": 2})));
    assert_eq!(seen(&rig, "work"), "2/0/0 ");
    rig.pass(11).await;
    assert_eq!(seen(&rig, "work"), "1/2/0 ");
    rig.pass(11).await;
    assert_eq!(seen(&rig, "work"), format!("0/3/0 {COMPLETE}"));
    let status = rig.get::<Job>("work").unwrap().status.unwrap();
    assert_eq!(status.completion_time.unwrap().0.to_string(), "2026-01-01T00:00:20Z");
    assert_eq!(status.start_time.unwrap().0.to_string(), "2026-01-01T00:00:00Z");
    assert!(rig.all::<Pod>().iter().all(|pod| pod.metadata.finalizers.is_none()), "counted");
    assert_eq!(rig.all::<Pod>().len(), 3, "their pods stay for their logs");
    assert_eq!(rig.said("Job").last().unwrap(), "Completed: Job completed");
    rig.delete::<Job>("work", json!({"propagationPolicy": "Background"}));
    rig.pass(1).await;
    assert!(rig.all::<Pod>().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_fails_when_its_pods_failed_too_often_with_longer_and_longer_pauses() {
    let mut rig = Rig::new(Played::new(fails_after(1)));
    rig.create::<Job>(job(&json!({"backoffLimit": 2})));
    // Failed at 1 s, again at 12 s, again at 33 s.
    for (passes, expected) in
        [(2, "0/0/1 "), (8, "0/0/1 "), (1, "1/0/1 "), (2, "0/0/2 "), (18, "0/0/2 "), (1, "1/0/2 ")]
    {
        rig.pass(passes).await;
        assert_eq!(seen(&rig, "work"), expected);
    }
    rig.pass(2).await;
    assert_eq!(seen(&rig, "work"), "0/0/3 FailureTarget=BackoffLimitExceeded Failed=BackoffLimitExceeded");
    assert_eq!(rig.all::<Pod>().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_takes_too_long_is_ended_and_failed_only_when_its_pods_are_gone() {
    let mut rig = Rig::new(Played::new(Program::serves().ends_after(Duration::from_secs(5))));
    rig.create::<Job>(job(&json!({"activeDeadlineSeconds": 30})));
    rig.pass(29).await;
    assert_eq!(seen(&rig, "work"), "1/0/0 ");
    rig.pass(1).await;
    assert_eq!(seen(&rig, "work"), "0/0/1 FailureTarget=DeadlineExceeded");
    rig.pass(6).await;
    assert_eq!(seen(&rig, "work"), "0/0/1 FailureTarget=DeadlineExceeded Failed=DeadlineExceeded");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_counts_as_failed_and_is_replaced() {
    let mut rig = Rig::new(works_for(60));
    rig.create::<Job>(job(&json!({})));
    let name = rig.all::<Pod>()[0].metadata.name.clone().unwrap();
    rig.delete::<Pod>(&name, json!({}));
    rig.pass(20).await;
    assert_eq!(seen(&rig, "work"), "1/0/1 ");
    rig.pass(60).await;
    assert_eq!(seen(&rig, "work"), format!("0/1/1 {COMPLETE}"));
}

#[tokio::test(start_paused = true)]
async fn containers_that_are_started_again_count_towards_the_limit() {
    let mut rig = Rig::new(Played::new(fails_after(1)));
    let pod = json!({"restartPolicy": "OnFailure", "containers": [{"name": "work", "image": "work:1"}]});
    rig.create::<Job>(job(&json!({"backoffLimit": 2, "template": {"spec": pod}})));
    rig.pass(60).await;
    assert_eq!(seen(&rig, "work"), "0/0/1 FailureTarget=BackoffLimitExceeded Failed=BackoffLimitExceeded");
}

#[tokio::test(start_paused = true)]
async fn what_is_suspended_runs_no_pods_until_it_goes_on() {
    let mut rig = Rig::new(works_for(10));
    rig.create::<Job>(job(&json!({"suspend": true})));
    assert_eq!(seen(&rig, "work"), "0/0/0 Suspended=JobSuspended");
    assert_eq!(rig.get::<Job>("work").unwrap().status.unwrap().start_time, None);
    rig.pass(5).await;
    rig.change::<Job>("work", |job| job.spec.as_mut().unwrap().suspend = Some(false));
    assert_eq!(seen(&rig, "work"), "1/0/0 ");
    rig.pass(11).await;
    assert_eq!(seen(&rig, "work"), format!("0/1/0 {COMPLETE}"));
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_goes_when_its_time_is_over() {
    let mut rig = Rig::new(works_for(5));
    rig.create::<Job>(job(&json!({"ttlSecondsAfterFinished": 30})));
    rig.pass(34).await;
    assert!(rig.get::<Job>("work").is_some());
    rig.pass(2).await;
    assert!(rig.get::<Job>("work").is_none());
    assert!(rig.all::<Pod>().is_empty());
}

fn cron(rest: &Value) -> Value {
    let mut spec = json!({"schedule": "*/5 * * * *", "jobTemplate": {"spec": spec(&json!({}))}});
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": "backup"}, "spec": spec})
}

/// The names of the jobs, without what is the same in all.
fn jobs(rig: &Rig) -> Vec<i64> {
    let minutes = |job: Job| {
        let name = job.metadata.name.unwrap();
        name.strip_prefix("backup-").unwrap().parse::<i64>().unwrap() - 1_767_225_600 / 60
    };
    rig.all::<Job>().into_iter().map(minutes).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cronjob_starts_a_job_each_time_and_keeps_the_last_ones() {
    let mut rig = Rig::new(works_for(30));
    rig.create::<CronJob>(cron(&json!({"successfulJobsHistoryLimit": 2})));
    rig.pass(301).await;
    assert_eq!(jobs(&rig), [5]);
    let status = rig.get::<CronJob>("backup").unwrap().status.unwrap();
    assert_eq!(status.active.unwrap().len(), 1);
    assert_eq!(status.last_schedule_time.unwrap().0.to_string(), "2026-01-01T00:05:00Z");
    rig.pass(60).await;
    let status = rig.get::<CronJob>("backup").unwrap().status.unwrap();
    assert_eq!(status.active, None);
    assert_eq!(status.last_successful_time.unwrap().0.to_string(), "2026-01-01T00:05:30Z");
    let job = rig.all::<Job>().remove(0);
    assert_eq!(
        job.metadata.annotations.unwrap()["batch.kubernetes.io/cronjob-scheduled-timestamp"],
        "2026-01-01T00:05:00Z"
    );
    rig.pass(1200).await;
    assert_eq!(jobs(&rig), [20, 25]);
    rig.delete::<CronJob>("backup", json!({}));
    rig.pass(1).await;
    assert!(rig.all::<Job>().is_empty() && rig.all::<Pod>().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_policy_says_what_happens_to_a_job_that_still_runs() {
    for (policy, expected) in [("Allow", vec![5, 10]), ("Forbid", vec![5]), ("Replace", vec![10])] {
        let mut rig = Rig::new(works_for(900));
        rig.create::<CronJob>(cron(&json!({"concurrencyPolicy": policy})));
        rig.pass(605).await;
        assert_eq!(jobs(&rig), expected, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_only_the_last_missed_time_is_made_up_for_and_only_before_its_deadline() {
    for (deadline, expected) in [(json!(null), vec![15]), (json!(200), vec![15]), (json!(60), vec![])] {
        let mut rig = Rig::new(works_for(1));
        rig.create::<CronJob>(cron(&json!({"suspend": true, "startingDeadlineSeconds": deadline})));
        rig.pass(1000).await;
        assert!(jobs(&rig).is_empty());
        rig.change::<CronJob>("backup", |cron| cron.spec.as_mut().unwrap().suspend = Some(false));
        assert_eq!(jobs(&rig), expected, "{deadline}");
    }
}
