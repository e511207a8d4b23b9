//! What the cluster says about a record that would be, or is: through the same looks as the leader's. Reads only.

use std::sync::Arc;

use super::report::Answer;
use crate::{
    api::{Bounds, ClusterRemediationPolicy, Mode, ObjectKey, Phase, Remediation, RemediationPolicy},
    cli::serve::monitors,
    clock::Clock,
    config::Config,
    people::{
        OperatorError,
        cluster::{Cluster, Listed},
    },
    policy::{Policy, PolicyResource},
    protections::Protections,
    remediation::{
        Asked, Crowd, LEDGER, Ledger, Looker, Observed, PolicyNow, RecordIndex, Reviewer, World, explain, kept,
    },
    target::Census,
};

/// The policies of the cluster that are in force by themselves; says which are not.
pub async fn policies(cluster: &Cluster) -> Result<Vec<Policy>, OperatorError> {
    let mut policies = compiled(cluster.list::<RemediationPolicy>(None).await?);
    policies.extend(compiled(cluster.list_cluster::<ClusterRemediationPolicy>().await?));
    Ok(policies)
}

fn compiled<K: PolicyResource + kube::ResourceExt>(listed: Listed<K>) -> Vec<Policy> {
    for (key, why) in listed.unreadable {
        eprintln!("paramedic explain: policy {key} is not in force: it cannot be read: {why}");
    }
    let compiled = listed.objects.into_iter().filter_map(|policy| {
        let key = ObjectKey::of(&policy);
        match policy.compile() {
            Ok(policy) => Some(policy),
            Err(problem) => {
                eprintln!("paramedic explain: policy {key} is not in force: {problem}");
                None
            }
        }
    });
    compiled.collect()
}

/// What the leader would have before its eyes.
pub struct Scenery {
    /// The records, as intake knows them.
    pub index: RecordIndex,
    records: Vec<Remediation>,
    ledger: Ledger,
    shadow: Ledger,
    looker: Looker,
    max_concurrent: usize,
    bounds: Bounds,
    crowd: Crowd,
    clock: Clock,
}

impl Scenery {
    /// Reads the records; the rest is looked at when it is asked for.
    pub async fn of(cluster: Cluster, config: &Config, clock: Clock) -> Result<Self, OperatorError> {
        let monitors = monitors(config).map_err(|error| OperatorError::Usage(error.to_string()))?;
        let records = cluster.list::<Remediation>(None).await?.objects;
        let index = RecordIndex::default();
        for record in &records {
            index.put(record);
        }
        let (mut ledger, shadow) = Ledger::of(&records, clock.now());
        match kept(cluster.client.clone(), &config.namespace).await {
            Ok(kept) => ledger.recall(kept),
            Err(error) => eprintln!(
                "paramedic explain: what deleted records did does not count here, as ConfigMap {}/{LEDGER} cannot be read: \
                 {error}",
                config.namespace
            ),
        }
        let looker = Looker {
            reviewer: Reviewer::new(cluster.client.clone()),
            client: cluster.client.clone(),
            monitors: Arc::new(monitors),
            census: Census::new(cluster.client.clone()),
            own_namespace: config.namespace.clone(),
            protected: Arc::new(config.protected_namespaces.iter().cloned().collect()),
            evidence_max_age: config.evidence_max_age.get(),
            clock: clock.clone(),
        };
        let crowd = Crowd::of(&records);
        let (max_concurrent, bounds) = (config.engine.max_concurrent, config.limits.clone());
        Ok(Self { index, records, ledger, shadow, looker, max_concurrent, bounds, crowd, clock })
    }

    /// A record that is there.
    pub fn record(&self, key: &ObjectKey) -> Option<&Remediation> {
        self.records.iter().find(|record| ObjectKey::of(*record) == *key)
    }

    /// What would be decided about a record that waits for a decision; of the others, where they are.
    pub async fn known(&self, record: &Remediation, policy: &Policy) -> Answer {
        let phase = record.status.as_ref().map(|status| status.phase).unwrap_or_default();
        match phase {
            Phase::Pending | Phase::Waiting => self.decided(record, true, policy).await,
            phase => Answer::Known { record: ObjectKey::of(record).to_string(), phase },
        }
    }

    /// What the leader would decide about a record now.
    pub async fn decided(&self, record: &Remediation, is_there: bool, policy: &Policy) -> Answer {
        let key = ObjectKey::of(record);
        let status = record.status.clone().unwrap_or_default();
        let asked = Asked { consents: policy.spec.mode == Mode::RequireApproval, workloads: true };
        let (scene, evidence, _) = self.looker.scene(record, asked).await;
        let world = World {
            key: &key,
            cancel: None,
            policy: &PolicyNow::InForce(Arc::new(policy.clone().under(&self.bounds))),
            evidence: &evidence,
            audit: None,
            observed: Observed::Scene(Box::new(scene)),
            ledger: &self.ledger,
            shadow: &self.shadow,
            max_concurrent: self.max_concurrent,
            bounds: &self.bounds,
            crowd: &self.crowd,
            protections: Protections::default(),
        };
        let explained = explain(&record.spec, &status, &world, self.clock.now());
        Answer::decided(&key, is_there, &status, explained)
    }
}
