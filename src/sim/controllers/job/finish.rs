//! How a job ends: whether it has, what it says then, and when it goes.

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobSpec},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions},
};

use super::{
    super::{
        Context, Done,
        events::Note,
        objects::{after, earlier, key_of, time},
        replicas::phase,
    },
    NAME, Work,
};

/// That a job is to end: what it says first, while its last pods go, and what then.
pub(super) struct Finish {
    first: &'static str,
    last: &'static str,
    reason: String,
    message: String,
}

impl Finish {
    pub(super) fn complete() -> Self {
        Self {
            first: "SuccessCriteriaMet",
            last: "Complete",
            reason: "CompletionsReached".to_owned(),
            message: "Reached expected number of succeeded pods".to_owned(),
        }
    }

    fn failed(reason: &str, message: &str) -> Self {
        Self { first: "FailureTarget", last: "Failed", reason: reason.to_owned(), message: message.to_owned() }
    }
}

fn holds<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
}

pub(super) fn is_finished(job: &Job) -> bool {
    finished(job).is_some()
}

/// The condition of a job that has ended.
pub(in super::super) fn finished(job: &Job) -> Option<&JobCondition> {
    holds(job, "Complete").or_else(|| holds(job, "Failed"))
}

/// Deletes a job that has ended once its time is over.
pub(super) fn expire(context: &mut Context<'_>, job: &Job, spec: &JobSpec) -> Done {
    let (Some(seconds), Some(end)) = (spec.ttl_seconds_after_finished, finished(job)) else { return Ok(None) };
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let at = after(end.last_transition_time.as_ref().map_or(context.now, |at| at.0), i64::from(seconds));
    if at > context.now {
        return Ok(Some(at));
    }
    let (namespace, name) = key_of(&job.metadata);
    let options = DeleteOptions {
        propagation_policy: Some("Foreground".to_owned()),
        preconditions: Some(Preconditions { uid: job.metadata.uid.clone(), resource_version: None }),
        ..DeleteOptions::default()
    };
    match context.state.delete::<Job>(&namespace, &name, &options) {
        Err(status) if !status.is_not_found() => Err(status),
        _ => Ok(None),
    }
}

/// How often the containers of pods that run were started again.
fn restarts<'a>(pods: impl Iterator<Item = &'a Pod>) -> i32 {
    let running = pods.filter(|pod| matches!(phase(pod), "Running" | "Pending"));
    let statuses = running.filter_map(|pod| pod.status.as_ref());
    let containers = statuses.flat_map(|status| {
        status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
    });
    containers.map(|container| container.restart_count).sum()
}

impl Work<'_, '_> {
    /// Whether the job is to end: because that was decided before, or because it failed.
    pub(super) fn verdict(&mut self) -> Option<Finish> {
        if holds(&self.job, "SuccessCriteriaMet").is_some() {
            return Some(Finish::complete());
        }
        if let Some(decided) = holds(&self.job, "FailureTarget") {
            let word = |text: &Option<String>| text.clone().unwrap_or_default();
            return Some(Finish::failed(&word(&decided.reason), &word(&decided.message)));
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        let again =
            self.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) == Some("OnFailure");
        let restarted = restarts(self.pods.iter().map(|pod| &**pod));
        let too_often = again && if limit == 0 { restarted > 0 } else { restarted >= limit };
        if self.status.failed.unwrap_or_default() > limit || too_often {
            return Some(Finish::failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
        }
        let deadline = self.spec.active_deadline_seconds.filter(|_| !self.is_suspended())?;
        let since = self.status.start_time.as_ref()?.0;
        let at = after(since, deadline);
        if at <= self.context.now {
            return Some(Finish::failed("DeadlineExceeded", "Job was active longer than specified deadline"));
        }
        self.again = earlier(self.again, Some(at));
        None
    }

    /// Says that it is to end, and when nothing of it runs any more, that it has.
    pub(super) fn finish(&mut self, finish: &Finish, over: bool) {
        self.set(finish.first, true, &finish.reason, &finish.message);
        if !over {
            return;
        }
        self.set(finish.last, true, &finish.reason, &finish.message);
        let job = self.job.clone();
        if finish.last == "Complete" {
            self.status.completion_time = Some(time(self.context.now));
            self.context.note(&*job, Note::normal(NAME, "Completed", "Job completed".to_owned()));
        } else {
            self.context.note(&*job, Note::warning(NAME, &finish.reason, finish.message.clone()));
        }
    }

    /// Sets a condition; whether it was not that before.
    fn set(&mut self, kind: &str, holds: bool, reason: &str, message: &str) -> bool {
        let status = if holds { "True" } else { "False" };
        let now: Timestamp = self.context.now;
        let conditions = self.status.conditions.get_or_insert_default();
        let found = conditions.iter_mut().find(|condition| condition.type_ == kind);
        if found.as_ref().is_some_and(|found| found.status == status && found.reason.as_deref() == Some(reason)) {
            return false;
        }
        let condition = JobCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_probe_time: Some(time(now)),
            last_transition_time: Some(time(now)),
        };
        match found {
            Some(found) => *found = condition,
            None => conditions.push(condition),
        }
        true
    }

    /// Notes that it was suspended, or goes on.
    pub(super) fn note_suspension(&mut self) {
        let job = self.job.clone();
        let known = job.status.as_ref().and_then(|status| status.conditions.as_ref());
        let known = known.into_iter().flatten().any(|condition| condition.type_ == "Suspended");
        if self.is_suspended() {
            if self.set("Suspended", true, "JobSuspended", "Job suspended") {
                self.context.note(&*job, Note::normal(NAME, "Suspended", "Job suspended".to_owned()));
            }
        } else if known && self.set("Suspended", false, "JobResumed", "Job resumed") {
            self.context.note(&*job, Note::normal(NAME, "Resumed", "Job resumed".to_owned()));
            self.status.start_time = Some(time(self.context.now));
        }
    }
}
