//! Whether the API server would let an action be done: asked before, so that what may not be done is refused and not tried.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, timeout};

use super::world::Access;
use crate::{
    action::{Right, client_of, user},
    api::{ObjectKey, ObjectRef},
};

/// How long the API has for one answer.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a yes is believed: a right that was taken away meanwhile is refused by the API server itself. A no never is.
const BELIEVED: Duration = Duration::from_mins(1);
/// So many answers are remembered at most.
const REMEMBERED: usize = 1024;

/// By account, namespace and right: when that was allowed.
type Known = BTreeMap<(Option<ObjectKey>, String, Right), Instant>;

/// Asks. Cheap to clone; clones remember the same.
#[derive(Clone)]
pub struct Reviewer {
    client: Client,
    known: Arc<Mutex<Known>>,
}

impl Reviewer {
    /// Of a client that does not retry by itself.
    pub fn new(client: Client) -> Self {
        Self { client, known: Arc::default() }
    }

    /// Asks for each right whether it may be used on its object, all at once: in the name of the account, or in
    /// Paramedic's own.
    pub async fn review(
        &self,
        account: Option<&ObjectKey>,
        rights: BTreeMap<Right, &ObjectRef>,
    ) -> BTreeMap<Right, Access> {
        let answers =
            rights.into_iter().map(|(right, object)| async move { (right, self.one(account, object, right).await) });
        join_all(answers).await.into_iter().collect()
    }

    async fn one(&self, account: Option<&ObjectKey>, object: &ObjectRef, right: Right) -> Access {
        let key = (account.cloned(), object.namespace.clone(), right);
        let now = Instant::now();
        if self.known().get(&key).is_some_and(|at| now.duration_since(*at) < BELIEVED) {
            return Access::Allowed;
        }
        // First for the whole namespace, as that is worth remembering. A role may name single objects, too.
        match self.ask(account, object, right, None).await {
            Access::Refused(_) => self.ask(account, object, right, Some(object.name.clone())).await,
            Access::Allowed => {
                let mut known = self.known();
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(key, now);
                Access::Allowed
            }
            unknown @ Access::Unknown { .. } => unknown,
        }
    }

    async fn ask(&self, account: Option<&ObjectKey>, object: &ObjectRef, right: Right, name: Option<String>) -> Access {
        let who = account.map_or_else(|| "Paramedic's service account".to_owned(), user);
        let Some(client) = client_of(&self.client, account) else {
            return Access::Refused(format!("{who} is no name of a service account"));
        };
        let attributes = ResourceAttributes {
            group: Some(right.group.to_owned()),
            resource: Some(right.resource.to_owned()),
            subresource: Some(right.subresource.to_owned()).filter(|subresource| !subresource.is_empty()),
            verb: Some(right.verb.to_owned()),
            namespace: Some(object.namespace.clone()),
            name,
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(client);
        let advice = "`paramedic rbac` prints what its policy needs";
        match timeout(REVIEW_TIMEOUT, api.create(&PostParams::default(), &review)).await {
            Ok(Ok(review)) if review.status.as_ref().is_some_and(|status| status.allowed) => Access::Allowed,
            Ok(Ok(_)) => Access::Refused(format!("{who} may not {right} in namespace {}; {advice}", object.namespace)),
            // In another's name this is the answer to whether Paramedic may speak in it.
            Ok(Err(kube::Error::Api(status))) if status.code == 403 && account.is_some() => {
                Access::Refused(format!("Paramedic may not act in the name of {who}; {advice}: {}", status.message))
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Access::Unknown {
                forbidden: true,
                why: format!("Paramedic's service account may not ask what it may do: {}", status.message),
            },
            Ok(Err(error)) => Access::Unknown { forbidden: false, why: error.to_string() },
            Err(_) => Access::Unknown { forbidden: false, why: "the API did not answer in time".to_owned() },
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
