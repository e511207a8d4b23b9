//! What stood against acting, and since when: pauses, opt-outs, policies, and what others did to workloads.

use std::{collections::BTreeMap, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use paramedic::{
    alert::{Labels, Matcher},
    api::{DISABLED_ANNOTATION, Mode},
};
use serde_json::Value;

use super::{Judge, LOOK};

/// A time in which something was so.
#[derive(Clone, Debug)]
pub struct Switch {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    pub cluster: bool,
}

impl Switch {
    /// Whether it was on when a decision that was sent then looked at it, however long that took.
    fn held(&self, sent: Timestamp, late: SignedDuration) -> bool {
        self.from < sent - late && self.until.is_none_or(|until| until > sent)
    }
}

/// The versions of policies.
#[derive(Default)]
pub struct Policies(BTreeMap<(String, String, String), Vec<Version>>);

#[derive(Clone, Debug)]
struct Version {
    from: Timestamp,
    /// `None` while it is deleted.
    spec: Option<PolicyVersion>,
}

#[derive(Clone, Debug)]
struct PolicyVersion {
    mode: Mode,
    matchers: Vec<Matcher>,
}

/// A policy that answered an alert for a while.
pub struct Answering {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl Policies {
    pub fn changed(&mut self, object: &Value, deleted: bool, now: Timestamp) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &object["metadata"];
        let key = (text(&object["kind"]), text(&meta["namespace"]), text(&meta["name"]));
        let spec = (!deleted).then(|| PolicyVersion {
            mode: serde_json::from_value(object["spec"]["mode"].clone()).unwrap_or_default(),
            matchers: object["spec"]["match"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|matcher| Matcher::from_str(matcher.as_str()?).ok())
                .collect(),
        });
        self.0.entry(key).or_default().push(Version { from: now, spec });
    }

    /// The versions that somebody who is so late may have gone by then.
    fn seen(versions: &[Version], then: Timestamp, late: SignedDuration) -> impl Iterator<Item = &Version> {
        let first = versions.partition_point(|version| version.from <= then - late).saturating_sub(1);
        versions.iter().skip(first).filter(move |version| version.from <= then)
    }

    /// The policies that answered this alert for so long without a break.
    pub fn answering(&self, labels: &Labels, then: Timestamp, late: SignedDuration) -> Vec<Answering> {
        let answers = |version: &Version| {
            version.spec.as_ref().is_some_and(|spec| {
                spec.mode != Mode::Disabled && spec.matchers.iter().all(|matcher| matcher.matches(labels))
            })
        };
        let alerts = labels.get("namespace").unwrap_or_default();
        // What was there from the beginning is known to whoever takes alerts at all.
        let beginning = self.0.values().flatten().map(|version| version.from).min().unwrap_or(then);
        let all = self.0.iter().filter(|((_, namespace, _), versions)| {
            let old = versions.first().is_some_and(|version| version.from <= (then - late).max(beginning));
            (namespace.is_empty() || namespace == alerts) && old && Self::seen(versions, then, late).all(answers)
        });
        all.map(|((kind, namespace, name), _)| Answering {
            kind: kind.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
        })
        .collect()
    }

    /// Whether a policy was seen to be in force by somebody who is at most so late.
    pub fn may_act(&self, kind: &str, namespace: &str, name: &str, then: Timestamp, late: SignedDuration) -> bool {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let Some(versions) = self.0.get(&key) else { return false };
        Self::seen(versions, then, late)
            .any(|version| version.spec.as_ref().is_some_and(|spec| spec.mode >= Mode::RequireApproval))
    }
}

/// What is known of a workload.
#[derive(Clone, Debug)]
pub struct Workload {
    pub uid: String,
    pub desired: u32,
    /// When pods of it were last lost or won by somebody else's doing, or its size changed.
    pub disturbed: Timestamp,
    /// Its pods, by UID.
    pub pods: BTreeMap<String, Seen>,
}

#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub ready: bool,
    /// When it last became ready.
    pub won: Timestamp,
}

fn word<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The workload of a pod: its label `app`.
pub fn workload_of(object: &Value) -> (String, String) {
    (word(object, "/metadata/namespace").to_owned(), word(object, "/metadata/labels/app").to_owned())
}

pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    !is_terminating(pod) && conditions.is_some_and(|conditions| conditions.iter().any(is_ready))
}

pub fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

impl Judge {
    pub(super) fn pause_changed(&mut self, object: &Value, there: bool, now: Timestamp) {
        let key = (word(object, "/metadata/namespace").to_owned(), word(object, "/metadata/name").to_owned());
        let switches = self.pauses.entry(key).or_default();
        if let Some(last) = switches.last_mut().filter(|last| last.until.is_none()) {
            if !there {
                last.until = Some(now);
            }
        } else if there {
            let cluster = word(object, "/spec/scope") == "Cluster";
            switches.push(Switch { from: now, until: None, cluster });
        }
    }

    pub(super) fn opt_out_changed(&mut self, object: &Value, there: bool, now: Timestamp) {
        let annotations = &object["metadata"]["annotations"];
        let out = there && annotations.get(DISABLED_ANNOTATION).and_then(Value::as_str) == Some("true");
        let uid = word(object, "/metadata/uid");
        let last = self.opt_outs.get(uid).and_then(|switches| switches.last());
        if last.is_some_and(|last| last.until.is_none()) == out {
            return;
        }
        let switches = self.opt_outs.entry(uid.to_owned()).or_default();
        if out {
            switches.push(Switch { from: now, until: None, cluster: false });
        } else if let Some(last) = switches.last_mut() {
            last.until = Some(now);
        }
    }

    /// Why nothing may have been begun for that namespace and those objects by whoever sent it then.
    pub(super) fn forbidden(&self, namespace: &str, uids: &[&str], sent: Timestamp) -> Option<String> {
        let paused = self.pauses.iter().find(|((own, _), switches)| {
            let concerns = |switch: &&Switch| switch.cluster || own == namespace;
            switches.iter().filter(concerns).any(|switch| switch.held(sent, LOOK))
        });
        if let Some(((own, name), _)) = paused {
            return Some(format!("Pause {own}/{name} was in force"));
        }
        let out = uids.iter().find(|uid| {
            self.opt_outs.get(**uid).is_some_and(|switches| switches.iter().any(|switch| switch.held(sent, LOOK)))
        });
        out.map(|uid| format!("the object {uid} was opted out"))
    }

    pub(super) fn workload_changed(&mut self, before: Option<&Value>, after: Option<&Value>, now: Timestamp) {
        let Some(object) = after.or(before) else { return };
        self.opt_out_changed(object, after.is_some(), now);
        let key = (word(object, "/metadata/namespace").to_owned(), word(object, "/metadata/name").to_owned());
        let desired = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        let desired = u32::try_from(desired).unwrap_or(u32::MAX);
        let template = |object: Option<&Value>| object.and_then(|object| object.pointer("/spec/template").cloned());
        let rolled = before.is_some() && template(before) != template(after);
        let workload = self.workloads.entry(key).or_insert_with(|| Workload {
            uid: String::new(),
            desired,
            disturbed: now,
            pods: BTreeMap::new(),
        });
        word(object, "/metadata/uid").clone_into(&mut workload.uid);
        if workload.desired != desired || rolled {
            workload.desired = desired;
            workload.disturbed = now;
        }
    }

    pub(super) fn pod_changed(
        &mut self,
        before: Option<&Value>,
        after: Option<&Value>,
        now: Timestamp,
        by_replica: bool,
    ) {
        let Some(object) = after.or(before) else { return };
        self.opt_out_changed(object, after.is_some(), now);
        let uid = word(object, "/metadata/uid").to_owned();
        let ended_by_us = by_replica || self.effects.iter().any(|effect| effect.uid == uid);
        let Some(workload) = self.workloads.get_mut(&workload_of(object)) else { return };
        let was = workload.pods.get(&uid).copied();
        let Some(pod) = after else {
            workload.pods.remove(&uid);
            if was.is_some_and(|was| was.ready) && !ended_by_us {
                workload.disturbed = now;
            }
            return;
        };
        let ready = is_ready(pod);
        if was.is_some_and(|was| was.ready == ready) {
            return;
        }
        if was.is_some_and(|was| was.ready) && !ready && !ended_by_us {
            workload.disturbed = now;
        }
        let won = was.filter(|_| !ready).map_or(now, |was| was.won);
        workload.pods.insert(uid, Seen { ready, won });
    }
}
