//! Jobs: pods that run until so many of them have succeeded, or too many have failed.
//!
//! A pod that has ended is counted once: it carries a finalizer until then. Not done, and said in an Event: jobs with an
//! index a pod. Policies for single failures or successes are not looked at.

pub(super) mod finish;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods},
    core::v1::Pod,
};

use self::finish::{Finish, is_finished};
use super::{
    Context, Done,
    events::Note,
    objects::{Key, after, controller_of, count, earlier, is_deleting, name, owned_by, time, uid},
    replicas::{better_deleted, claim, from_template, is_active, is_namespace_going, is_over, is_ready, phase},
};
use crate::sim::Status;

const NAME: &str = "job-controller";
/// What a pod carries until it was counted.
const TRACKED: &str = "batch.kubernetes.io/job-tracking";
/// The first delay after a failure, in seconds; it doubles.
const FIRST: i64 = 10;
/// The longest one.
const LONGEST: i64 = 10 * 60;

/// How many pods failed in a row, and when the last one did.
pub(super) type Failures = (u32, Timestamp);

/// A job under work.
struct Work<'c, 's> {
    context: &'c mut Context<'s>,
    job: Arc<Job>,
    spec: &'c JobSpec,
    status: JobStatus,
    pods: Vec<Arc<Pod>>,
    again: Option<Timestamp>,
}

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(job) = context.view.jobs.get(key) else { return let_go(context, key) };
    let Some(spec) = job.spec.clone() else { return Ok(None) };
    if is_finished(&job) {
        context.failures.remove(uid(&job.metadata));
        return finish::expire(context, &job, &spec);
    }
    if spec.completion_mode.as_deref() == Some("Indexed") {
        let message = "Skipped Job sync because completion mode is unknown".to_owned();
        context.note(&*job, Note::warning(NAME, "UnknownCompletionMode", message));
        return Ok(None);
    }
    let Some(selector) = &spec.selector else { return Ok(None) };
    let pods = claim(context, |view| &view.pods, &*job, selector, |_| true)?;
    let status = job.status.clone().unwrap_or_default();
    let mut work = Work { context, job, spec: &spec, status, pods, again: None };
    let counted = work.count();
    let done = work.go();
    work.write_status()?;
    work.release(&counted)?;
    done?;
    Ok(work.again)
}

/// The job is gone: what it counted needs not be counted any more.
fn let_go(context: &mut Context<'_>, (namespace, job): &Key) -> Done {
    let view = context.view;
    let is_of = |pod: &Pod| {
        controller_of(&pod.metadata).is_some_and(|owner| owner.kind == "Job" && owner.name == *job) && is_tracked(pod)
    };
    let left: Vec<_> = view.pods.within(namespace).filter(|(_, pod)| is_of(pod)).map(|(_, pod)| pod.clone()).collect();
    for pod in left {
        untrack(context, &pod)?;
    }
    Ok(None)
}

fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKED)
}

fn untrack(context: &mut Context<'_>, pod: &Pod) -> Result<(), Status> {
    let mut changed = pod.clone();
    // What else may have been written since is left alone.
    changed.metadata.resource_version = None;
    if let Some(finalizers) = &mut changed.metadata.finalizers {
        finalizers.retain(|finalizer| finalizer != TRACKED);
    }
    match context.state.update(&changed) {
        Err(status) if !status.is_not_found() => Err(status),
        _ => Ok(()),
    }
}

/// When a pod's containers had ended; of one on its way out, when that began.
fn ended_at(pod: &Pod, now: Timestamp) -> Timestamp {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let ends = containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|at| at.0));
    ends.max().unwrap_or(now).min(now)
}

impl Work<'_, '_> {
    fn is_suspended(&self) -> bool {
        self.spec.suspend.unwrap_or_default()
    }

    fn active(&self) -> Vec<Arc<Pod>> {
        self.pods.iter().filter(|pod| is_active(pod)).cloned().collect()
    }

    fn ending(&self) -> usize {
        self.pods.iter().filter(|pod| is_deleting(&pod.metadata) && !is_over(pod)).count()
    }

    /// Counts the pods that have ended since; gives them.
    fn count(&mut self) -> Vec<Arc<Pod>> {
        let only_ended = self.spec.pod_replacement_policy.as_deref() == Some("Failed");
        let mut counted = Vec::new();
        for pod in self.pods.iter().filter(|pod| is_tracked(pod)) {
            let gone = is_deleting(&pod.metadata) && !only_ended;
            match phase(pod) {
                "Succeeded" => {
                    self.status.succeeded = Some(self.status.succeeded.unwrap_or_default() + 1);
                    self.context.failures.remove(uid(&self.job.metadata));
                }
                phase if phase == "Failed" || gone => {
                    self.status.failed = Some(self.status.failed.unwrap_or_default() + 1);
                    let at = ended_at(pod, self.context.now);
                    let failures = self.context.failures.entry(uid(&self.job.metadata).to_owned());
                    let (times, last) = failures.or_insert((0, at));
                    (*times, *last) = (*times + 1, at.max(*last));
                }
                _ => continue,
            }
            counted.push(pod.clone());
        }
        counted
    }

    fn go(&mut self) -> Result<(), Status> {
        let now = self.context.now;
        if self.status.start_time.is_none() && !self.is_suspended() {
            self.status.start_time = Some(time(now));
        }
        let active = self.active();
        let mut ready = count(active.iter().filter(|pod| is_ready(pod)).count());
        let mut running = count(active.len());
        let mut ending = count(self.ending());
        let mut result = Ok(());
        let finish = match self.verdict() {
            Some(finish) => {
                for pod in &active {
                    self.context.delete_pod(&*self.job, pod, NAME)?;
                }
                // Without a node, or with nothing to end, they are gone already; news tells.
                ending += running;
                (running, ready) = (0, 0);
                Some(finish)
            }
            None if is_deleting(&self.job.metadata) => None,
            None => {
                match self.manage(&active) {
                    Ok((now_running, more_ending)) => {
                        running = now_running;
                        ending += more_ending;
                        if more_ending > 0 {
                            ready = ready.min(running);
                        }
                    }
                    Err(status) => result = Err(status),
                }
                let succeeded = self.status.succeeded.unwrap_or_default();
                let enough = match self.spec.completions {
                    None => succeeded > 0,
                    Some(completions) => succeeded >= completions,
                };
                let complete = enough && running == 0;
                if !complete {
                    self.note_suspension();
                }
                complete.then(Finish::complete)
            }
        };
        self.status.active = Some(running).filter(|running| *running != 0);
        self.status.ready = Some(ready);
        self.status.terminating = Some(ending);
        self.status.uncounted_terminated_pods = Some(UncountedTerminatedPods::default());
        if let Some(finish) = finish {
            self.finish(&finish, ending == 0);
        }
        result
    }

    /// Creates or deletes pods; gives how many are active then, and how many were told to end.
    fn manage(&mut self, active: &[Arc<Pod>]) -> Result<(i32, i32), Status> {
        let now = self.context.now;
        let has = count(active.len());
        let succeeded = self.status.succeeded.unwrap_or_default();
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let wanted = match self.spec.completions {
            _ if self.is_suspended() => 0,
            None if succeeded > 0 => has,
            None => parallelism,
            Some(completions) => (completions - succeeded).min(parallelism).max(0),
        };
        if has > wanted {
            let mut surplus = active.to_vec();
            surplus.sort_by(|one, other| better_deleted(one, other, |_| 0, now));
            surplus.truncate(usize::try_from(has - wanted).unwrap_or_default());
            for pod in &surplus {
                self.context.delete_pod(&*self.job, pod, NAME)?;
            }
            return Ok((wanted, has - wanted));
        }
        let mut missing = wanted - has;
        if self.spec.pod_replacement_policy.as_deref() == Some("Failed") {
            missing -= count(self.ending());
        }
        if missing <= 0 {
            return Ok((has, 0));
        }
        if let Some((times, last)) = self.context.failures.get(uid(&self.job.metadata)) {
            let delay = FIRST.saturating_mul(1 << (times.saturating_sub(1)).min(10)).min(LONGEST);
            let until = after(*last, delay);
            if until > now {
                self.again = earlier(self.again, Some(until));
                return Ok((has, 0));
            }
        }
        let namespace = self.job.metadata.namespace.clone().unwrap_or_default();
        let mut pod = from_template(&self.spec.template, owned_by(&*self.job), &namespace);
        pod.metadata.generate_name = Some(format!("{}-", name(&self.job.metadata)));
        pod.metadata.finalizers.get_or_insert_default().push(TRACKED.to_owned());
        let mut running = has;
        for _ in 0..missing {
            match self.context.create_pod(&*self.job, &pod, NAME) {
                Ok(_) => running += 1,
                Err(status) if is_namespace_going(&status) => break,
                Err(status) => return Err(status),
            }
        }
        Ok((running, 0))
    }

    fn write_status(&mut self) -> Result<(), Status> {
        if self.job.status.as_ref() == Some(&self.status) {
            return Ok(());
        }
        let mut changed = Job::clone(&self.job);
        changed.status = Some(self.status.clone());
        self.context.state.update_status(&changed).map(drop)
    }

    /// What was counted may go.
    fn release(&mut self, counted: &[Arc<Pod>]) -> Result<(), Status> {
        counted.iter().try_for_each(|pod| untrack(self.context, pod))
    }
}

#[cfg(test)]
mod tests;
