//! CronJobs: a job whenever the schedule says so.

use std::{str::FromStr, sync::Arc};

use croner::Cron;
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job},
        core::v1::ObjectReference,
    },
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta},
};

use super::{
    Context, Done,
    events::Note,
    job::finish::finished,
    objects::{Key, after, created, is_deleting, key_of, name, owned_by, time, uid},
    replicas::is_namespace_going,
};
use crate::sim::Status;

const NAME: &str = "cronjob-controller";
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Above so many missed times a warning is written.
const MANY: i64 = 100;
/// How much later than the schedule says it is looked at, against clocks that differ.
const PADDING: SignedDuration = SignedDuration::from_millis(100);

/// A CronJob under work.
struct Work<'c, 's> {
    context: &'c mut Context<'s>,
    cron: Arc<CronJob>,
    spec: &'c CronJobSpec,
    status: CronJobStatus,
    jobs: Vec<Arc<Job>>,
}

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(cron) = context.view.cron_jobs.get(key) else { return Ok(None) };
    let Some(spec) = cron.spec.clone() else { return Ok(None) };
    let jobs = context.view.jobs.controlled(uid(&cron.metadata)).cloned().collect();
    let status = cron.status.clone().unwrap_or_default();
    let mut work = Work { context, cron, spec: &spec, status, jobs };
    work.follow_jobs();
    let done = if is_deleting(&work.cron.metadata) { Ok(None) } else { work.go() };
    if done.is_ok() {
        work.clean_up()?;
    }
    work.write_status()?;
    done
}

fn succeeded(job: &Job) -> bool {
    finished(job).is_some_and(|condition| condition.type_ == "Complete")
}

impl Work<'_, '_> {
    /// Brings the list of active jobs in line with the jobs.
    fn follow_jobs(&mut self) {
        let mut active = self.status.active.take().unwrap_or_default();
        let cron = self.cron.clone();
        for job in self.jobs.clone() {
            let listed = active.iter().position(|other| other.uid == job.metadata.uid);
            let called = name(&job.metadata).to_owned();
            match (finished(&job), listed) {
                (None, None) => {
                    let message = format!("Saw a job that the controller did not create or forgot: {called}");
                    self.context.note(&*cron, Note::warning(NAME, "UnexpectedJob", message));
                }
                (Some(condition), Some(at)) => {
                    active.remove(at);
                    let message = format!("Saw completed job: {called}, condition: {}", condition.type_);
                    self.context.note(&*cron, Note::normal(NAME, "SawCompletedJob", message));
                }
                _ => {}
            }
            if succeeded(&job) {
                let at = job.status.as_ref().and_then(|status| status.completion_time.clone());
                self.status.last_successful_time = self.status.last_successful_time.clone().max(at);
            }
        }
        let there = |listed: &ObjectReference| self.jobs.iter().any(|job| job.metadata.uid == listed.uid);
        let (kept, missing): (Vec<_>, Vec<_>) = active.into_iter().partition(there);
        for job in missing {
            let message = format!("Active job went missing: {}", job.name.unwrap_or_default());
            self.context.note(&*cron, Note::normal(NAME, "MissingJob", message));
        }
        self.status.active = Some(kept).filter(|kept| !kept.is_empty());
    }

    fn warn(&mut self, reason: &str, message: String) {
        let cron = self.cron.clone();
        self.context.note(&*cron, Note::warning(NAME, reason, message));
    }

    /// Starts the job that is due; gives when the next one is.
    fn go(&mut self) -> Done {
        let zone = match self.spec.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(called) => match TimeZone::get(called) {
                Ok(zone) => zone,
                Err(why) => {
                    self.warn("UnknownTimeZone", format!("invalid timeZone: {called:?}: {why}"));
                    return Ok(None);
                }
            },
        };
        if self.spec.suspend.unwrap_or_default() {
            return Ok(None);
        }
        let text = &self.spec.schedule;
        let schedule = match Cron::from_str(text) {
            Ok(schedule) => Schedule { schedule, zone },
            Err(why) => {
                self.warn("UnparseableSchedule", format!("unparseable schedule: {text:?} : {why}"));
                return Ok(None);
            }
        };
        let now = self.context.now;
        let mut earliest = self.since();
        if let Some(seconds) = self.spec.starting_deadline_seconds {
            earliest = earliest.max(after(now, -seconds));
        }
        let Some((due, missed)) = schedule.latest(earliest, now) else { return Ok(self.next(&schedule)) };
        if missed > MANY {
            let message =
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.warn("TooManyMissedTimes", message.to_owned());
        }
        if self.status.last_schedule_time == Some(time(due)) {
            return Ok(self.next(&schedule));
        }
        let active = self.status.active.clone().unwrap_or_default();
        match self.spec.concurrency_policy.as_deref() {
            Some("Forbid") if !active.is_empty() => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                let cron = self.cron.clone();
                self.context.note(&*cron, Note::normal(NAME, "JobAlreadyActive", message.to_owned()));
                return Ok(schedule.after(now).and_then(padded));
            }
            Some("Replace") => {
                for job in active {
                    self.delete(&job.name.clone().unwrap_or_default())?;
                    if let Some(active) = &mut self.status.active {
                        active.retain(|other| other.uid != job.uid);
                    }
                }
            }
            _ => {}
        }
        self.start(due, &schedule.zone)?;
        Ok(self.next(&schedule))
    }

    /// Since when times may have been missed.
    fn since(&self) -> Timestamp {
        let last = self.status.last_schedule_time.as_ref().map(|time| time.0);
        last.or_else(|| created(&self.cron.metadata)).unwrap_or(self.context.now)
    }

    fn next(&self, schedule: &Schedule) -> Option<Timestamp> {
        let from = schedule.latest(self.since(), self.context.now).map_or(self.since(), |(latest, _)| latest);
        schedule.after(from).and_then(padded)
    }

    fn start(&mut self, due: Timestamp, zone: &TimeZone) -> Result<(), Status> {
        let (namespace, own) = key_of(&self.cron.metadata);
        let template = self.spec.job_template.metadata.clone().unwrap_or_default();
        let mut annotations = template.annotations.unwrap_or_default();
        let at = due.to_zoned(zone.clone());
        let offset = if at.offset().is_zero() { "Z".to_owned() } else { at.strftime("%:z").to_string() };
        annotations.insert(SCHEDULED.to_owned(), format!("{}{offset}", at.strftime("%Y-%m-%dT%H:%M:%S")));
        let job = Job {
            metadata: ObjectMeta {
                name: Some(format!("{own}-{}", due.as_second() / 60)),
                namespace: Some(namespace),
                labels: template.labels,
                annotations: Some(annotations),
                owner_references: Some(vec![owned_by(&*self.cron)]),
                ..ObjectMeta::default()
            },
            spec: self.spec.job_template.spec.clone(),
            status: None,
        };
        match self.context.state.create(&job) {
            Ok(job) => {
                let cron = self.cron.clone();
                let message = format!("Created job {}", name(&job.metadata));
                self.context.note(&*cron, Note::normal(NAME, "SuccessfulCreate", message));
                self.status.active.get_or_insert_default().push(ObjectReference {
                    api_version: Some("batch/v1".to_owned()),
                    kind: Some("Job".to_owned()),
                    namespace: job.metadata.namespace.clone(),
                    name: job.metadata.name.clone(),
                    uid: job.metadata.uid.clone(),
                    resource_version: job.metadata.resource_version.clone(),
                    ..ObjectReference::default()
                });
                self.status.last_schedule_time = Some(time(due));
                Ok(())
            }
            Err(status) if status.is_already_exists() || is_namespace_going(&status) => Ok(()),
            Err(status) => {
                self.warn("FailedCreate", format!("Error creating job: {}", status.message));
                Err(status)
            }
        }
    }

    fn delete(&mut self, job: &str) -> Result<(), Status> {
        let (namespace, _) = key_of(&self.cron.metadata);
        let options = DeleteOptions { propagation_policy: Some("Background".to_owned()), ..DeleteOptions::default() };
        match self.context.state.delete::<Job>(&namespace, job, &options) {
            Ok(()) => {
                let cron = self.cron.clone();
                let message = format!("Deleted job {job}");
                self.context.note(&*cron, Note::normal(NAME, "SuccessfulDelete", message));
                Ok(())
            }
            Err(status) if status.is_not_found() => Ok(()),
            Err(status) => Err(status),
        }
    }

    /// Deletes the oldest of the jobs that have ended, but for as many as are to be kept.
    fn clean_up(&mut self) -> Result<(), Status> {
        let limits = [
            (true, self.spec.successful_jobs_history_limit.unwrap_or(3)),
            (false, self.spec.failed_jobs_history_limit.unwrap_or(1)),
        ];
        for (well, keep) in limits {
            let is_such = |job: &&Arc<Job>| finished(job).is_some() && succeeded(job) == well;
            let mut those: Vec<_> =
                self.jobs.iter().filter(is_such).filter(|job| !is_deleting(&job.metadata)).collect();
            those.sort_by_key(|job| {
                let start = job.status.as_ref().and_then(|status| status.start_time.clone());
                (start.is_none(), start, job.metadata.name.clone())
            });
            let surplus = those.len().saturating_sub(usize::try_from(keep).unwrap_or_default());
            let gone: Vec<String> = those.iter().take(surplus).map(|job| name(&job.metadata).to_owned()).collect();
            for job in gone {
                self.delete(&job)?;
            }
        }
        Ok(())
    }

    fn write_status(&mut self) -> Result<(), Status> {
        if self.cron.status.clone().unwrap_or_default() == self.status {
            return Ok(());
        }
        let mut changed = CronJob::clone(&self.cron);
        changed.status = Some(self.status.clone());
        self.context.state.update_status(&changed).map(drop)
    }
}

fn padded(at: Timestamp) -> Option<Timestamp> {
    at.checked_add(PADDING).ok()
}

/// When jobs are due.
struct Schedule {
    schedule: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// The first time after that one.
    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let at: Zoned = at.to_zoned(self.zone.clone());
        self.schedule.find_next_occurrence(&at, false).ok().map(|next| next.timestamp())
    }

    /// The last time after `earliest` that has come, and about how many have come since then.
    fn latest(&self, earliest: Timestamp, now: Timestamp) -> Option<(Timestamp, i64)> {
        let first = self.after(earliest).filter(|first| *first <= now)?;
        let at = now.to_zoned(self.zone.clone());
        let latest = self.schedule.find_previous_occurrence(&at, true).ok()?.timestamp();
        let between = self.after(first).map_or(1, |second| second.duration_since(first).as_secs().max(1));
        Some((latest.max(first), now.duration_since(first).as_secs() / between + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_due_is_the_last_one_that_has_come() {
        let schedule = |text: &str, zone: &str| Schedule {
            schedule: Cron::from_str(text).unwrap(),
            zone: TimeZone::get(zone).unwrap(),
        };
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let hourly = schedule("30 * * * *", "UTC");
        assert_eq!(hourly.latest(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:29:59Z")), None);
        assert_eq!(
            hourly.latest(at("2026-01-01T00:00:00Z"), at("2026-01-01T03:30:00Z")),
            Some((at("2026-01-01T03:30:00Z"), 4))
        );
        assert_eq!(hourly.after(at("2026-01-01T00:30:00Z")), Some(at("2026-01-01T01:30:00Z")));
        let in_berlin = schedule("0 8 * * *", "Europe/Berlin");
        assert_eq!(in_berlin.after(at("2026-01-01T07:00:00Z")), Some(at("2026-01-02T07:00:00Z")));
        assert_eq!(in_berlin.after(at("2026-07-01T06:00:00Z")), Some(at("2026-07-02T06:00:00Z")));
        assert!(Cron::from_str("every day").is_err());
    }
}
