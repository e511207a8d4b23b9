//! Looks at the world for a record: the pauses, the alert, the target, the subject's recovery. Reads only; every answer
//! is bounded in time, and one that does not come says so instead of being assumed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{
    FutureExt,
    future::{OptionFuture, join_all},
};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ListParams, ObjectList, VersionMatch},
    core::DeserializeGuard,
};
use tokio::time::timeout;

use super::{
    Consent, Consents, Reviewer,
    ask::{self, Answers},
    evidence::{self, LivingSubject},
    world::{Access, Evidence, PauseUnknown, Scene, Seen, SiblingNow, Workloads},
};
use crate::{
    action::{self, Right},
    api::{
        Action, GROUP, Mode, ObjectKey, Pause, PauseScope, Remediation, RemediationApproval, RemediationSpec,
        RemediationStatus, Step,
    },
    clients::Monitors,
    clock::Clock,
    target::{Census, Health, Lookup, Pods, Resolved, Resolver, Unresolved, WorkloadState},
};

/// How long the API has for all that is asked about one record at a time.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What looking needs. Cheap to clone.
#[derive(Clone)]
pub struct Looker {
    /// A client that does not retry by itself.
    pub client: Client,
    /// Asks what would be refused.
    pub reviewer: Reviewer,
    /// Who can be asked about the alerts of each source.
    pub monitors: Arc<BTreeMap<String, Monitors>>,
    /// Counts workloads.
    pub census: Census,
    /// Paramedic's own namespace, where a Pause may be for the whole cluster.
    pub own_namespace: String,
    /// The namespaces that nobody may touch.
    pub protected: Arc<Vec<String>>,
    /// How long a firing notice proves that the alert fires.
    pub evidence_max_age: Duration,
    /// The time.
    pub clock: Clock,
}

/// What is asked beside what is always asked, for a record whose limits care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What people said to its plans: somebody has to approve.
    pub consents: bool,
    /// How many workloads there are: so many are in trouble that it matters.
    pub workloads: bool,
}

/// How far the pauses were seen, as the resourceVersion of the list of each namespace.
#[derive(Clone, Debug, Default)]
pub struct PausesSeen(BTreeMap<String, String>);

impl Looker {
    /// What stands against acting beside the limits, and whether the alert fires; all asked at once.
    pub async fn scene(&self, record: &Remediation, asked: Asked) -> (Scene, Evidence, PausesSeen) {
        let status = record.status.clone().unwrap_or_default();
        let nothing = PausesSeen::default();
        let (pause, evidence, (target, access), siblings, consents, workloads) = tokio::join!(
            self.pause(&record.spec, &status, &nothing).boxed(),
            self.alert(&record.spec, &status).boxed(),
            self.permitted_target(&record.spec, &status).boxed(),
            self.siblings(&record.spec).boxed(),
            self.consents(record, asked.consents).boxed(),
            self.workloads(&record.spec, &status, asked.workloads).boxed()
        );
        let (pause, seen) = match pause {
            Ok((pause, seen)) => (Ok(pause), seen),
            Err(unknown) => (Err(unknown), nothing),
        };
        (Scene { siblings, pause, target, access, consents, workloads }, evidence, seen)
    }

    /// The target, and whether what the steps do to it would be let through.
    async fn permitted_target(
        &self,
        spec: &RemediationSpec,
        status: &RemediationStatus,
    ) -> (Result<Resolved, Unresolved>, BTreeMap<Right, Access>) {
        let target = self.target(spec, status).await;
        let Ok(resolved) = &target else { return (target, BTreeMap::new()) };
        let mut rights = BTreeMap::new();
        for action in spec.steps.iter().filter_map(Step::action) {
            let object = action::acted_on(action, resolved);
            rights.extend(action::rights(action, &object.kind).into_iter().map(|right| (right, object)));
        }
        let account = spec.account(&resolved.target.namespace);
        let access = self.reviewer.review(account.as_ref(), rights).await;
        (target, access)
    }

    /// What people said to the record's plans. Asked live: what a watch says may be older than a denial.
    async fn consents(&self, record: &Remediation, by_approval: bool) -> Consents {
        if !by_approval {
            return Consents::Unasked;
        }
        let key = ObjectKey::of(record);
        let api: Api<DeserializeGuard<RemediationApproval>> = Api::namespaced(self.client.clone(), &key.namespace);
        match timeout(LOOK_TIMEOUT, api.list(&ListParams::default())).await {
            Ok(Ok(list)) => said(list.items, &key),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Consents::Unknown {
                forbidden: true,
                why: format!(
                    "Paramedic's service account may not list remediationapprovals.{GROUP} in namespace {}; give it \
                     that right: {}",
                    key.namespace, status.message
                ),
            },
            Ok(Err(error)) => Consents::Unknown { forbidden: false, why: error.to_string() },
            Err(_) => Consents::Unknown { forbidden: false, why: "the API did not answer in time".to_owned() },
        }
    }

    async fn workloads(&self, spec: &RemediationSpec, status: &RemediationStatus, count: bool) -> Option<Workloads> {
        let namespace = namespace_of(spec, status).filter(|_| count)?;
        let ask = async |place: Option<&str>| match timeout(LOOK_TIMEOUT, self.census.workloads(place)).await {
            Ok(counted) => counted,
            Err(_) => Err("the API did not answer in time".to_owned()),
        };
        let (in_namespace, in_all) = tokio::join!(ask(Some(&namespace)), ask(None));
        Some(Workloads { in_namespace, in_all })
    }

    /// How the remediations stand that outrank this one: from the API itself, as a watch may not have brought one yet.
    async fn siblings(&self, spec: &RemediationSpec) -> Vec<SiblingNow> {
        let asked = spec.outranked_by.iter().map(|sibling| async move {
            let api: Api<DeserializeGuard<Remediation>> = Api::namespaced(self.client.clone(), &sibling.namespace);
            let found = match timeout(LOOK_TIMEOUT, api.get_opt(&sibling.name)).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => return SiblingNow::Unknown(error.to_string()),
                Err(_) => return SiblingNow::Unknown("the API did not answer in time".to_owned()),
            };
            match found {
                None => SiblingNow::Absent,
                Some(DeserializeGuard(Err(invalid))) => {
                    SiblingNow::Unknown(format!("it cannot be read: {}", invalid.error))
                }
                Some(DeserializeGuard(Ok(record))) => SiblingNow::There {
                    priority: record.spec.priority,
                    dry_run: record.spec.mode == Mode::DryRun,
                    phase: record.status.map(|status| status.phase).unwrap_or_default(),
                },
            }
        });
        join_all(asked).await
    }

    /// The reason of a pause that is in force for this record: asked again right before its action, which was decided on
    /// when the pauses were `seen`.
    ///
    /// The answer is never older than that, and as a rule as new as any: it comes from what the API server has in memory.
    /// One from its store would wait up to 100 ms for news of it (`progressRequestPeriod` of the apiserver's watch cache),
    /// in which somebody may pause as well.
    pub async fn paused(&self, record: &Remediation, seen: &PausesSeen) -> Result<Option<String>, PauseUnknown> {
        let status = record.status.clone().unwrap_or_default();
        self.pause(&record.spec, &status, seen).await.map(|(pause, _)| pause)
    }

    async fn pause(
        &self,
        spec: &RemediationSpec,
        status: &RemediationStatus,
        seen: &PausesSeen,
    ) -> Result<(Option<String>, PausesSeen), PauseUnknown> {
        let mut namespaces = vec![self.own_namespace.clone()];
        namespaces.extend(namespace_of(spec, status).filter(|namespace| *namespace != self.own_namespace));
        let lists = namespaces.iter().map(|namespace| async move {
            let api: Api<DeserializeGuard<Pause>> = Api::namespaced(self.client.clone(), namespace);
            let params = match seen.0.get(namespace) {
                Some(version) => ListParams::default().at(version).matching(VersionMatch::NotOlderThan),
                None => ListParams::default(),
            };
            match timeout(LOOK_TIMEOUT, api.list(&params)).await {
                Ok(Ok(list)) => Ok((namespace, list)),
                Ok(Err(error)) => Err(not_listed(namespace, &error)),
                Err(_) => Err("the API did not answer in time".to_owned().into()),
            }
        });
        let lists = join_all(lists).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let version = |(namespace, list): &(&String, ObjectList<_>)| {
            Some(((*namespace).clone(), list.metadata.resource_version.clone()?))
        };
        let seen = PausesSeen(lists.iter().filter_map(version).collect());
        let lists: Vec<_> = lists.into_iter().map(|(namespace, list)| (namespace, list.items)).collect();
        Ok((in_force(&lists, &self.own_namespace, self.clock.now())?, seen))
    }

    /// Whether the record's alert fires.
    pub async fn alert(&self, spec: &RemediationSpec, status: &RemediationStatus) -> Evidence {
        match self.ask(spec).await {
            Some(answers) => answers.alert(spec, self.clock.now()),
            None => evidence::told(spec, status, self.evidence_max_age, self.clock.now()),
        }
    }

    /// The object to act on: what the alert names, or, where an earlier step has acted already and the next one is for
    /// the whole subject, the subject.
    async fn target(&self, spec: &RemediationSpec, status: &RemediationStatus) -> Result<Resolved, Unresolved> {
        let resolver = Resolver::new(self.client.clone());
        let step = usize::try_from(status.step).ok().and_then(|step| spec.steps.get(step));
        let for_subject = matches!(step.and_then(Step::action), Some(Action::RolloutRestart(_)));
        let found = async {
            match &status.subject {
                Some(subject) if for_subject && !status.journal.is_empty() => {
                    resolver.resolve_subject(subject, &spec.namespaces, &self.protected).await
                }
                _ => {
                    let lookup = Lookup {
                        labels: &spec.alert.labels,
                        target: spec.target,
                        namespaces: &spec.namespaces,
                        protected: &self.protected,
                    };
                    resolver.resolve(lookup).await
                }
            }
        };
        match timeout(LOOK_TIMEOUT, found).await {
            Ok(found) => found,
            Err(_) => Err(Unresolved::Api("the API did not answer in time".to_owned())),
        }
    }

    /// What came of an action that was done.
    pub async fn recovery(&self, record: &Remediation) -> Seen {
        let status = record.status.clone().unwrap_or_default();
        let spec = &record.spec;
        let step = usize::try_from(status.step).ok().and_then(|step| spec.steps.get(step));
        let query = step.and_then(|step| step.verify.query.as_ref());
        let nobody = Monitors::default();
        let monitors = self.monitors.get(&spec.source).unwrap_or(&nobody);
        let (living, answers, query) = tokio::join!(
            self.subject(&status),
            self.ask(spec),
            OptionFuture::from(query.map(|query| ask::query(monitors, spec, query))),
        );
        let quiet_for = answers.as_ref().and_then(|answers| answers.quiet_for(spec));
        let (health, living) = match living {
            Ok(found) => found,
            Err(why) => {
                let (health, evidence) = (Health::Unknown(why.clone()), Evidence::Unknown(why));
                return Seen { health, evidence, query, quiet_for };
            }
        };
        let (acted_at, now) = (acted_at(record), self.clock.now());
        let evidence = match answers {
            Some(answers) => answers.subject(spec, &living, acted_at, now),
            None => evidence::told_after(spec, &status, &living, acted_at),
        };
        Seen { health, evidence, query, quiet_for }
    }

    /// The subject's health and the names of what lives of it. A target that should be gone, and is not, is not health.
    async fn subject(&self, status: &RemediationStatus) -> Result<(Health, LivingSubject), String> {
        let Some(subject) = &status.subject else { return Err("the record names no subject".to_owned()) };
        let resolver = Resolver::new(self.client.clone());
        let look = async {
            let workload = resolver.workload(&subject.kind, &subject.namespace, &subject.name).await?;
            let pods = resolver.pods(&workload).await?;
            Ok::<_, Unresolved>((workload, pods))
        };
        let (workload, pods) = match timeout(LOOK_TIMEOUT, look).await {
            Err(_) => return Err("the API did not answer in time".to_owned()),
            Ok(Err(why)) => return Err(why.to_string()),
            Ok(Ok(found)) => found,
        };
        if workload.object.uid != subject.uid {
            return Err(format!("another object has the name of {subject}"));
        }
        let health = health(status, &workload.state, &pods);
        let living =
            LivingSubject { namespace: subject.namespace.clone(), name: subject.name.clone(), pods: pods.names };
        Ok((health, living))
    }

    /// Asks everybody who stands for the record's source about its alert; `None` where there is nobody to ask.
    async fn ask(&self, spec: &RemediationSpec) -> Option<Answers> {
        let answers = Answers::of(self.monitors.get(&spec.source)?, spec).await;
        (!answers.is_empty()).then_some(answers)
    }
}

/// What these say to a record's plans. One that cannot be read may be a denial, so it is named instead.
fn said(approvals: Vec<DeserializeGuard<RemediationApproval>>, key: &ObjectKey) -> Consents {
    let mut consents = Vec::new();
    for DeserializeGuard(approval) in approvals {
        match approval {
            Ok(approval) => consents.extend(Consent::of(approval).filter(|consent| consent.remediation == key.name)),
            Err(invalid) => {
                let name = invalid.metadata.name.as_deref().unwrap_or_default();
                let why = format!(
                    "RemediationApproval {}/{name} cannot be read: {}; delete it",
                    key.namespace, invalid.error
                );
                return Consents::Unknown { forbidden: false, why };
            }
        }
    }
    Consents::Said(consents)
}

/// The namespace of a record's subject, as far as it is known.
pub(super) fn namespace_of(spec: &RemediationSpec, status: &RemediationStatus) -> Option<String> {
    let known = status.subject.as_ref().map(|subject| subject.namespace.clone());
    known.or_else(|| crate::target::named(&spec.alert.labels, spec.target.kind).ok().map(|named| named.namespace))
}

/// Why the pauses of a namespace are not known.
fn not_listed(namespace: &str, error: &kube::Error) -> PauseUnknown {
    match error {
        kube::Error::Api(status) if status.code == 403 => PauseUnknown {
            forbidden: true,
            why: format!(
                "Paramedic's service account may not list pauses.{} in namespace {namespace}; give it that right: {}",
                crate::api::GROUP,
                status.message
            ),
        },
        error => error.to_string().into(),
    }
}

/// The pause among these that is in force. One that cannot be read may be in force too, so it is an error that names it.
fn in_force(
    lists: &[(&String, Vec<DeserializeGuard<Pause>>)],
    own_namespace: &str,
    now: Timestamp,
) -> Result<Option<String>, String> {
    let pauses = || lists.iter().flat_map(|(namespace, pauses)| pauses.iter().map(move |pause| (*namespace, &pause.0)));
    let readable = pauses().filter_map(|(namespace, pause)| Some((namespace, pause.as_ref().ok()?)));
    let in_force = readable.into_iter().find(|(namespace, pause)| {
        let own = namespace.as_str() == own_namespace;
        // In our own namespace only a pause for the cluster concerns others.
        let concerns = if own && lists.len() > 1 { pause.spec.scope == PauseScope::Cluster } else { true };
        concerns && pause.spec.expires_at.is_none_or(|expires_at| expires_at > now)
    });
    if let Some((namespace, pause)) = in_force {
        let name = pause.metadata.name.as_deref().unwrap_or_default();
        let until = pause.spec.expires_at.map(|at| format!(", until {at}")).unwrap_or_default();
        return Ok(Some(format!("Pause {namespace}/{name}: {}{until}", pause.spec.reason)));
    }
    let unreadable = pauses().find_map(|(namespace, pause)| Some((namespace, pause.as_ref().err()?)));
    match unreadable {
        None => Ok(None),
        Some((namespace, invalid)) => {
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            Err(format!("Pause {namespace}/{name} cannot be read: {}; correct or delete it", invalid.error))
        }
    }
}

/// A workload's status may lag, and a StatefulSet's counts pods that are on their way out as ready; so the pods
/// themselves have to agree, and a pod that was ended has to be gone.
fn health(status: &RemediationStatus, state: &WorkloadState, pods: &Pods) -> Health {
    let ended = status.journal.last().map(|entry| &entry.target).filter(|target| target.kind == "Pod");
    if let Some(target) = ended.filter(|target| pods.ending.contains(&target.uid) || pods.ready.contains(&target.uid)) {
        return Health::Unhealthy(format!("{target} is not gone yet"));
    }
    let ready = u32::try_from(pods.ready.len()).unwrap_or(u32::MAX);
    if ready < state.desired {
        return Health::Unhealthy(format!("{ready} of {} pods are ready", state.desired));
    }
    state.health()
}

/// When the last action was done.
pub(super) fn acted_at(record: &Remediation) -> Timestamp {
    let entry = record.status.as_ref().and_then(|status| status.journal.last());
    entry.map_or(record.spec.alert.received_at, |entry| entry.ended_at.unwrap_or(entry.started_at))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    use super::*;
    use crate::{
        api::{ActionOutcome, JournalEntry, ObjectRef},
        target::Rollout,
    };

    fn three_ready() -> WorkloadState {
        WorkloadState {
            desired: 3,
            ready: 3,
            updated: None,
            observed: true,
            total: Some(3),
            rollout: Rollout::OneByOne,
            unavailable: 1,
            selector: LabelSelector::default(),
        }
    }

    fn ended(uid: &str) -> RemediationStatus {
        let target = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: "shop".to_owned(),
            name: "db-0".to_owned(),
            uid: uid.to_owned(),
        };
        let entry = JournalEntry {
            step: 0,
            action: "restartPod".to_owned(),
            target,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Some(Timestamp::UNIX_EPOCH),
            outcome: ActionOutcome::Done,
            message: None,
            approved_by: None,
        };
        RemediationStatus { journal: vec![entry], ..RemediationStatus::default() }
    }

    fn pods(ready: &[&str], ending: &[&str]) -> Pods {
        let owned = |uids: &[&str]| uids.iter().map(|uid| (*uid).to_owned()).collect();
        Pods { ready: owned(ready), names: Vec::new(), ending: owned(ending) }
    }

    #[test]
    fn a_statefulset_that_still_counts_the_ended_pod_as_ready_is_not_healthy_yet() {
        let on_its_way_out = health(&ended("old"), &three_ready(), &pods(&["a", "b"], &["old"]));
        assert_eq!(on_its_way_out, Health::Unhealthy("Pod shop/db-0 is not gone yet".to_owned()));
        let not_replaced = health(&ended("old"), &three_ready(), &pods(&["a", "b"], &[]));
        assert_eq!(not_replaced, Health::Unhealthy("2 of 3 pods are ready".to_owned()));
        assert_eq!(health(&ended("old"), &three_ready(), &pods(&["a", "b", "new"], &[])), Health::Healthy);
    }

    fn pause(name: &str, spec: &serde_json::Value) -> DeserializeGuard<Pause> {
        let pause = serde_json::json!({
            "apiVersion": "paramedic.dev/v1alpha1", "kind": "Pause", "metadata": { "name": name }, "spec": spec,
        });
        serde_json::from_value(pause).unwrap()
    }

    #[test]
    fn a_right_that_is_missing_is_named_and_a_server_that_fails_is_not_one() {
        let answered = |code: u16| -> kube::Error {
            let status = serde_json::json!({ "code": code, "message": "pauses is forbidden", "reason": "" });
            kube::Error::Api(serde_json::from_value(status).unwrap())
        };
        let forbidden = not_listed("shop", &answered(403));
        assert!(forbidden.forbidden);
        assert_eq!(
            forbidden.why,
            "Paramedic's service account may not list pauses.paramedic.dev in namespace shop; give it that right: \
             pauses is forbidden"
        );
        assert!(!not_listed("shop", &answered(500)).forbidden);
    }

    #[test]
    fn a_pause_that_cannot_be_read_stops_things_and_is_named() {
        let (own, shop) = ("paramedic".to_owned(), "shop".to_owned());
        let said = |ours: Vec<DeserializeGuard<Pause>>, theirs: Vec<DeserializeGuard<Pause>>| {
            in_force(&[(&own, ours), (&shop, theirs)], &own, Timestamp::UNIX_EPOCH)
        };
        let good = || pause("release", &serde_json::json!({ "reason": "a release" }));
        let broken = || pause("typo", &serde_json::json!({ "reason": "a freeze", "expiresAt": "tomorrow" }));
        assert_eq!(said(vec![good()], vec![]), Ok(None), "our own namespace only");
        assert_eq!(said(vec![], vec![good()]), Ok(Some("Pause shop/release: a release".to_owned())));
        for (ours, theirs, name) in [(vec![broken()], vec![], "paramedic/typo"), (vec![], vec![broken()], "shop/typo")]
        {
            let why = said(ours, theirs).unwrap_err();
            assert!(why.starts_with(&format!("Pause {name} cannot be read: ")), "{why}");
        }
        let both = said(vec![broken()], vec![good()]);
        assert_eq!(both, Ok(Some("Pause shop/release: a release".to_owned())), "one that is in force speaks first");
    }
}
