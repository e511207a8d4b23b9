//! What each check looked at, for people who want to know why: in words and figures, and what would have changed it. Pure,
//! and without a say in what is decided.

use super::Candidate;
use crate::{
    action::{self, Right},
    api::{Action, Breaker, DISABLED_ANNOTATION},
    clock::to_the_second,
    remediation::{
        ledger::after,
        world::{Access, Evidence, SiblingNow},
    },
    target::{Resolved, Rollout},
};

/// What would turn a check's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// Where it let the action pass: what would have stood against it.
    pub to_refuse: &'static str,
    /// Where it refused: what would have let it pass.
    pub to_pass: &'static str,
}

/// What turns the check of that name; `None` for a name that this version does not know.
pub fn turns(name: &str) -> Option<Turns> {
    let (to_refuse, to_pass) = match name {
        "pause" => (
            "a Pause in the target's namespace, or one with scope Cluster in Paramedic's own",
            "the end of the Pause, or an API server that says that there is none",
        ),
        "audit" => (
            "an audit log that cannot be written",
            "an audit log that can be written again, or none in the configuration",
        ),
        "schedule" => (
            "a time outside of the schedule's windows, or a freeze, of the policy or of the configuration",
            "time, or another schedule",
        ),
        "evidence" => (
            "a silence or an inhibition, an alert that is over, or an Alertmanager that does not answer",
            "an Alertmanager of the alert's source that says that it fires and is not held back",
        ),
        "target" => (
            "no such object, one that is going or has finished, or labels that do not lead to one",
            "one living object that the alert's labels name, in a namespace that may be touched",
        ),
        "opted out" => (
            "the annotation paramedic.dev/disabled on the target, its subject or its namespace",
            "the annotation paramedic.dev/disabled taken away",
        ),
        "permitted" => (
            "a policy that does not list the target's namespace any more",
            "the target's namespace in the policy's namespaces",
        ),
        "possible" => (
            "a workload that never rolls by itself, where the step is rolloutRestart",
            "another step, or a workload that rolls by itself",
        ),
        "same target" => (
            "another running remediation of the same policy for the same target",
            "nothing: the other remediation is about this target",
        ),
        "subject lock" => (
            "another remediation that runs on the same subject, whatever its policy",
            "the end of the other remediation",
        ),
        "priority" => (
            "a remediation of the same alert under a policy of a higher priority that has not ended, or has helped",
            "the end of the remediation that comes first, unless it helped",
        ),
        "cooldown" => ("an action on the same subject within limits.cooldown", "time, or a shorter limits.cooldown"),
        "given up" => (
            "so many failures in a row, or so many recurrences, of the policy on the subject as limits.giveUp allows",
            "time, or the annotation paramedic.dev/resumed-at on the subject or the policy",
        ),
        "breaker" => (
            "so many failures of the policy as limits.breaker allows",
            "time, or the annotation paramedic.dev/resumed-at on the policy",
        ),
        "storm" => (
            "so many workloads in trouble at once as limits.storm of the configuration allows",
            "fewer workloads in trouble, or a higher limits.storm",
        ),
        "concurrency" => (
            "as many running remediations as limits.concurrency or engine.maxConcurrent allow",
            "the end of one of those that run, or a higher limit",
        ),
        "availability" => (
            "so many pods that are not ready that the action would leave fewer than limits.minAvailable",
            "more ready pods, a lower limits.minAvailable, or allowSingleReplica for one replica",
        ),
        "rollout" => ("a rollout of the subject that is under way", "the end of the rollout that is under way"),
        "access" => (
            "a right that the account in whose name it is done does not have",
            "that right, as paramedic rbac prints it",
        ),
        "rate" => (
            "as many actions in the window as limits.rate allows the policy, the namespace or all",
            "time, or a higher limits.rate",
        ),
        _ => return None,
    };
    Some(Turns { to_refuse, to_pass })
}

/// What the check of that name looked at. A check that needs the target is made only where there is one.
pub(super) fn of(name: &str, candidate: &Candidate<'_>) -> String {
    match (name, &candidate.scene.target) {
        ("pause", _) => pause(candidate),
        ("audit", _) => match candidate.world.audit {
            Some(why) => why.to_owned(),
            None => "nothing keeps the audit log from being written".to_owned(),
        },
        ("schedule", _) => schedule(candidate),
        ("evidence", _) => evidence(candidate.world.evidence),
        ("target", Ok(resolved)) if resolved.target == resolved.subject.object => {
            format!("{} (uid {})", resolved.target, resolved.target.uid)
        }
        ("target", Ok(resolved)) => {
            format!("{} (uid {}) of {}", resolved.target, resolved.target.uid, resolved.subject.object)
        }
        ("target", Err(why)) => why.to_string(),
        (name, Ok(resolved)) => with_target(name, candidate, resolved),
        (_, Err(_)) => String::new(),
    }
}

fn pause(candidate: &Candidate<'_>) -> String {
    match &candidate.scene.pause {
        Ok(None) => "no Pause is in force".to_owned(),
        Ok(Some(pause)) => pause.clone(),
        Err(unknown) => unknown.why.clone(),
    }
}

fn schedule(candidate: &Candidate<'_>) -> String {
    let schedules = candidate.in_force.schedules.iter().chain([&candidate.world.bounds.schedule]);
    let open = schedules.filter(|schedule| !schedule.is_always()).map(|schedule| match schedule.open(candidate.now) {
        Ok(()) => format!("a schedule in {} is open", schedule.time_zone),
        Err(closed) => {
            let why = closed.freeze.map_or_else(|| "outside of its windows".to_owned(), |why| format!("frozen: {why}"));
            let until = closed.until.map(|until| format!(", until {until}")).unwrap_or_default();
            format!("a schedule in {} is closed, {why}{until}", schedule.time_zone)
        }
    });
    let mut open: Vec<String> = open.collect();
    open.dedup();
    if open.is_empty() { "at any time".to_owned() } else { open.join("; ") }
}

fn evidence(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Firing => "the alert fires".to_owned(),
        Evidence::Clear { confirmed: true } => "the alert is over; its source was asked".to_owned(),
        Evidence::Clear { confirmed: false } => "the alert is over, as its notice says".to_owned(),
        Evidence::Suppressed(by) => by.clone(),
        Evidence::Unknown(why) => why.clone(),
        Evidence::Unasked => "nobody can be asked whether the alert fires".to_owned(),
    }
}

fn with_target(name: &str, candidate: &Candidate<'_>, resolved: &Resolved) -> String {
    let subject = &resolved.subject.object;
    let (world, limits) = (candidate.world, &candidate.in_force.limits);
    let (ledger, policy) = (candidate.ledger(), candidate.policy());
    match name {
        "opted out" => resolved.opted_out.as_ref().map_or_else(
            || format!("no {DISABLED_ANNOTATION} on target, subject or namespace"),
            |object| format!("{object} has {DISABLED_ANNOTATION}"),
        ),
        "permitted" => {
            let allowed = candidate.in_force.namespaces.join(", ");
            format!("the target is in {}; the policy may touch {allowed}", resolved.target.namespace)
        }
        "possible" => {
            let action = candidate.action(resolved).map_or("no action", Action::name);
            format!("step {}, {action}, on a {}", candidate.step(resolved), subject.kind)
        }
        "same target" => match ledger.same_target(&policy, &resolved.target.uid, world.key) {
            None => "no other remediation of the policy runs on it".to_owned(),
            Some(other) => format!("{other} runs on it"),
        },
        "subject lock" => match ledger.lock(&subject.uid, world.key) {
            Err(super::Limited::Locked { by }) => format!("{by} runs on {subject}"),
            _ => format!("nothing else runs on {subject}"),
        },
        "priority" => siblings(candidate),
        "cooldown" => match ledger.last_on(&subject.uid, world.key) {
            None => format!("no other remediation acted on {subject} lately; its cooldown is {}", limits.cooldown),
            Some(last) => {
                let (at, until) = (to_the_second(last.at), to_the_second(after(last.at, limits.cooldown.signed())));
                format!(
                    "{subject} was acted on at {at} for {}; its cooldown of {} ends at {until}",
                    last.record, limits.cooldown
                )
            }
        },
        "given up" => {
            let limit = limits.give_up;
            let (failures, times) = ledger.record_of(&policy, &subject.uid, limit, world.key, candidate.now);
            format!(
                "{failures} of {} failures in a row, {times} of {} recurrences in {}",
                limit.failures, limit.recurrences, limit.per
            )
        }
        "breaker" => breaker(candidate),
        "storm" => storm(candidate, resolved),
        "concurrency" => {
            let (of_policy, all) = ledger.running_beside(&policy, world.key);
            let (most, most_in_all) = (limits.concurrency, world.max_concurrent);
            format!("{of_policy} of {most} run for the policy, {all} of {most_in_all} in all")
        }
        "availability" => availability(candidate, resolved),
        "rollout" => {
            let state = &resolved.subject.state;
            let updated =
                state.updated.map_or_else(|| "all".to_owned(), |updated| format!("{updated} of {}", state.desired));
            let seen = if state.observed { "" } else { "; its controller has not seen the last change yet" };
            format!("{updated} pods are of the current template{seen}")
        }
        "access" => {
            let right = |right: &Right| match candidate.scene.access.get(right) {
                Some(Access::Allowed) => format!("may {right}"),
                Some(Access::Refused(why) | Access::Unknown { why, .. }) => why.clone(),
                None => format!("whether it may {right} was not asked"),
            };
            let action = candidate.action(resolved);
            let rights = action.map(|action| action::rights(action, &action::acted_on(action, resolved).kind));
            let rights: Vec<String> = rights.iter().flatten().map(right).collect();
            if rights.is_empty() { "it needs no right".to_owned() } else { rights.join("; ") }
        }
        "rate" => rate(candidate, resolved),
        _ => String::new(),
    }
}

/// How much of what lately ended failed.
fn breaker(candidate: &Candidate<'_>) -> String {
    let (ledger, policy) = (candidate.ledger(), candidate.policy());
    let breakers = candidate.in_force.breakers.iter().map(|limit| {
        let (failed, ended) = ledger.ended_in(&policy, *limit);
        let Breaker { failed: share, least, per } = limit;
        format!("{failed} of the last {ended} failed; it opens at {share} of at least {least} in {per}")
    });
    let mut breakers: Vec<String> = breakers.collect();
    breakers.dedup();
    breakers.join(" then, and now ")
}

/// How much is in trouble, of how much.
fn storm(candidate: &Candidate<'_>, resolved: &Resolved) -> String {
    let world = candidate.world;
    let (crowd, namespace) = (world.crowd, &resolved.target.namespace);
    let there_are = candidate.scene.workloads.as_ref();
    let of = |counted: Option<&Result<usize, String>>| match counted {
        Some(Ok(number)) => format!(" of {number}"),
        Some(Err(why)) => format!(" of nobody knows how many ({why})"),
        None => String::new(),
    };
    let here = format!("{}{}", crowd.in_namespace(namespace), of(there_are.map(|all| &all.in_namespace)));
    let all = format!("{}{}", crowd.in_all(), of(there_are.map(|all| &all.in_all)));
    let limit = world.bounds.storm;
    format!(
        "{here} workloads are in trouble in namespace {namespace}, {all} in the cluster; a storm is {}, and {} at least",
        limit.subjects, limit.least
    )
}

/// How much of each rate is used.
fn rate(candidate: &Candidate<'_>, resolved: &Resolved) -> String {
    let (world, ledger, policy) = (candidate.world, candidate.ledger(), candidate.policy());
    let rates = candidate.in_force.rates.iter();
    let used = rates.map(|rate| {
        let used = ledger.used(&policy, *rate, candidate.now);
        format!("{used} of {} actions in {}", rate.actions, rate.per)
    });
    let mut used: Vec<String> = used.collect();
    used.dedup();
    let of_policy = used.join(" then, and now ");
    let namespace = &resolved.target.namespace;
    let bounds = [
        (world.bounds.rate_per_namespace, Some(namespace), format!("in namespace {namespace}")),
        (world.bounds.rate, None, "in all".to_owned()),
    ];
    let of_all = bounds.into_iter().filter_map(|(rate, namespace, place)| {
        let rate = rate?;
        let used = ledger.used_of_all(namespace.map(String::as_str), rate, candidate.now);
        Some(format!("; {place} {used} of {} in {}", rate.actions, rate.per))
    });
    of_policy + &of_all.collect::<String>()
}

fn siblings(candidate: &Candidate<'_>) -> String {
    let outranked_by = &candidate.spec.outranked_by;
    let stands = outranked_by.iter().enumerate().map(|(number, sibling)| {
        let now = match candidate.scene.siblings.get(number) {
            Some(SiblingNow::There { phase, dry_run: false, .. }) => phase.as_str().to_owned(),
            Some(SiblingNow::There { phase, dry_run: true, .. }) => format!("{}, a dry run", phase.as_str()),
            Some(SiblingNow::Absent) => "not there".to_owned(),
            Some(SiblingNow::Unknown(why)) => format!("not known: {why}"),
            None => "not asked for".to_owned(),
        };
        format!("{} of priority {}: {now}", sibling.key(), sibling.priority)
    });
    let stands: Vec<String> = stands.collect();
    if stands.is_empty() {
        "no other policy of a higher priority answers the alert".to_owned()
    } else {
        stands.join("; ")
    }
}

fn availability(candidate: &Candidate<'_>, resolved: &Resolved) -> String {
    let gone = candidate.world.ledger.ended_lately(candidate.now);
    let desired = resolved.subject.state.desired;
    let listed = resolved.pods.ready.len();
    let ready = resolved.pods.ready.iter().filter(|uid| !gone.contains(uid.as_str())).count();
    let ended = if ready < listed { format!(" (and {} that was ended lately)", listed - ready) } else { String::new() };
    let state = &resolved.subject.state;
    let ends = match (candidate.action(resolved), state.rollout) {
        (Some(Action::RestartPod(_)), _) if resolved.target_ready => ", and the action ends one of them".to_owned(),
        (Some(Action::RestartPod(_)), _) => ", and the target is not one of them".to_owned(),
        (Some(Action::RolloutRestart(_)), Rollout::Surging) => {
            format!(", and a rollout ends {} of them at once", state.unavailable)
        }
        (Some(Action::RolloutRestart(_)), Rollout::OneByOne) => {
            format!(", and a rollout ends {} of them at once", state.unavailable.max(1))
        }
        (Some(Action::RolloutRestart(_)), _) => ", and a rollout ends all of them at once".to_owned(),
        (None, _) => String::new(),
    };
    let mut asked: Vec<String> = candidate
        .in_force
        .min_available
        .iter()
        .map(|share| format!("minAvailable {share} asks for {}", share.of(desired)))
        .collect();
    asked.dedup();
    format!("{ready} of {desired} pods are ready{ended}{ends}; {}", asked.join(", and now "))
}
