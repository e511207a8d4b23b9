//! What people look at.

use axum::{
    Extension, Json,
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
    core::{ClusterResourceScope, NamespaceResourceScope},
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{
    Caller, Problem, Right, Who, key, namespace,
    openapi::{ClusterRemediationPolicyList, PauseList, RemediationList, RemediationPolicyList},
    problem::ProblemDetails,
};
use crate::{
    api::{ClusterRemediationPolicy, Pause, Phase, Remediation, RemediationPolicy},
    people::status::{Report, WhereOld, facts},
};

/// Objects a page, where nothing else is asked for, and at most.
const PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 500;

/// One page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// The objects.
    items: Vec<DynamicObject>,
    /// What to ask for the next page with; absent on the last one.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    continue_token: Option<String>,
}

/// Which objects.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those of this namespace. Default: of all, which needs the right to list them in the whole cluster.
    namespace: Option<String>,
    /// How many are looked at for a page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `continue` of the page before.
    #[serde(rename = "continue")]
    continue_token: Option<String>,
}

/// Which remediations. A page has those of the `limit` looked at that fit, so it may have fewer, or none; there are more as
/// long as it has a `continue`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichRemediations {
    /// Only those of this namespace. Default: of all, which needs the right to list them in the whole cluster.
    namespace: Option<String>,
    /// Only those in this phase, such as `AwaitingApproval`.
    #[param(value_type = Option<String>)]
    phase: Option<Phase>,
    /// Only those of the policy of this name.
    policy: Option<String>,
    /// How many are looked at for a page, 1 to 500. Default: 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `continue` of the page before.
    #[serde(rename = "continue")]
    continue_token: Option<String>,
}

/// Which status.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichStatus {
    /// Only the records, pauses and policies of this namespace. Default: of all.
    namespace: Option<String>,
    /// How many of those that ended last are told of, at most 100. Default: 5.
    last: Option<usize>,
}

/// What a path names.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Named {
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
}

/// A query, or what is wrong with it.
type Asked<T> = Result<Query<T>, QueryRejection>;
/// A path, or what is wrong with it.
pub(super) type InPath = Result<Path<Named>, PathRejection>;

fn query<T>(asked: Asked<T>) -> Result<T, Problem> {
    asked.map(|Query(query)| query).map_err(|rejection| Problem::Malformed(rejection.body_text()))
}

/// The object that a path names.
pub(super) fn named(path: InPath) -> Result<crate::api::ObjectKey, Problem> {
    let Path(Named { namespace, name }) = path.map_err(|rejection| Problem::Malformed(rejection.body_text()))?;
    key(namespace, name)
}

impl Which {
    fn params(&self) -> Result<ListParams, Problem> {
        if let Some(name) = &self.namespace {
            namespace(name)?;
        }
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(Problem::Malformed(format!("limit must be 1 to {LONGEST_PAGE}")));
        }
        let params = ListParams::default().limit(limit);
        Ok(match &self.continue_token {
            Some(token) => params.continue_token(token),
            None => params,
        })
    }
}

/// How it stands: who leads, what is paused, what is being repaired, what was, which policies are not in force.
///
/// Needs what `paramedic status` needs: to list remediations, pauses and policies, and to get the Lease in Paramedic's
/// namespace.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    operation_id = "getStatus",
    params(WhichStatus),
    responses((status = 200, description = "How it stands", body = Report)),
)]
pub(super) async fn status(Extension(caller): Who, asked: Asked<WhichStatus>) -> Result<Json<Report>, Problem> {
    const MOST: usize = 100;
    let asked = query(asked)?;
    let within = asked.namespace.as_deref();
    if let Some(name) = within {
        namespace(name)?;
    }
    let list = |resource, namespace| Right { verb: "list", resource, namespace, name: None };
    let rights = [
        list("remediations", within),
        list("pauses", within),
        list("remediationpolicies", within),
        list("clusterremediationpolicies", None),
    ];
    caller.may(&rights).await?;
    let clock = &caller.desk.settings.clock;
    let facts = facts(&caller.cluster(), within, clock, WhereOld::BelieveIt).await;
    let facts = facts.map_err(|error| Problem::of_operator(error, &caller.user.name))?;
    Ok(Json(Report::of(&facts, asked.last.unwrap_or(5).min(MOST), clock.now())))
}

/// Lists remediations.
#[utoipa::path(
    get,
    path = "/api/v1/remediations",
    operation_id = "listRemediations",
    params(WhichRemediations),
    responses((status = 200, description = "A page of them", body = RemediationList)),
)]
pub(super) async fn list_remediations(
    Extension(caller): Who,
    asked: Asked<WhichRemediations>,
) -> Result<Json<Page>, Problem> {
    let WhichRemediations { namespace, phase, policy, limit, continue_token } = query(asked)?;
    let mut page = list::<Remediation>(&caller, Which { namespace, limit, continue_token }).await?;
    let of = |object: &DynamicObject| {
        let is_in = object.data["status"]["phase"].as_str().unwrap_or(Phase::default().as_str());
        let of_policy = object.data["spec"]["policy"]["name"].as_str();
        phase.is_none_or(|phase| phase.as_str() == is_in)
            && policy.as_deref().is_none_or(|policy| of_policy == Some(policy))
    };
    page.items.retain(of);
    Ok(Json(page))
}

/// Shows one remediation: what was decided and done, and why.
#[utoipa::path(
    get,
    path = "/api/v1/remediations/{namespace}/{name}",
    operation_id = "getRemediation",
    params(
        ("namespace" = String, Path, description = "Its namespace"),
        ("name" = String, Path, description = "Its name"),
    ),
    responses(
        (status = 200, description = "The remediation", body = Remediation),
        (status = 404, description = "There is none", body = ProblemDetails, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_remediation(Extension(caller): Who, path: InPath) -> Result<Json<DynamicObject>, Problem> {
    let key = named(path)?;
    let right = Right { verb: "get", resource: "remediations", namespace: Some(&key.namespace), name: Some(&key.name) };
    caller.may(&[right]).await?;
    let kind = ApiResource::erase::<Remediation>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(caller.client.clone(), &key.namespace, &kind);
    let mut found = api.get(&key.name).await.map_err(caller.wanting(format!("get remediation {key}")))?;
    found.metadata.managed_fields = None;
    Ok(Json(found))
}

/// Lists the policies of namespaces. Those from files are in no API.
#[utoipa::path(
    get,
    path = "/api/v1/policies",
    operation_id = "listPolicies",
    params(Which),
    responses((status = 200, description = "A page of them", body = RemediationPolicyList)),
)]
pub(super) async fn list_policies(Extension(caller): Who, asked: Asked<Which>) -> Result<Json<Page>, Problem> {
    Ok(Json(list::<RemediationPolicy>(&caller, query(asked)?).await?))
}

/// Lists the policies of the whole cluster.
#[utoipa::path(
    get,
    path = "/api/v1/clusterpolicies",
    operation_id = "listClusterPolicies",
    params(
        ("limit" = Option<u32>, Query, description = "How many a page has, 1 to 500. Default: 100."),
        ("continue" = Option<String>, Query, description = "The `continue` of the page before."),
    ),
    responses((status = 200, description = "A page of them", body = ClusterRemediationPolicyList)),
)]
pub(super) async fn list_cluster_policies(Extension(caller): Who, asked: Asked<Which>) -> Result<Json<Page>, Problem> {
    let which = query(asked)?;
    if which.namespace.is_some() {
        return Err(Problem::Malformed("a cluster policy has no namespace".to_owned()));
    }
    let params = which.params()?;
    let resource = "clusterremediationpolicies";
    caller.may(&[Right { verb: "list", resource, namespace: None, name: None }]).await?;
    let api = of_cluster::<ClusterRemediationPolicy>(&caller);
    Ok(Json(page(&caller, &api, &params, format!("list {resource}")).await?))
}

/// Lists pauses, those that are over too.
#[utoipa::path(
    get,
    path = "/api/v1/pauses",
    operation_id = "listPauses",
    params(Which),
    responses((status = 200, description = "A page of them", body = PauseList)),
)]
pub(super) async fn list_pauses(Extension(caller): Who, asked: Asked<Which>) -> Result<Json<Page>, Problem> {
    Ok(Json(list::<Pause>(&caller, query(asked)?).await?))
}

/// An API of a kind that has no namespaces, whose objects need not be readable.
fn of_cluster<K>(caller: &Caller) -> Api<DynamicObject>
where
    K: kube::Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    Api::all_with(caller.client.clone(), &ApiResource::erase::<K>(&()))
}

/// A page of a kind that has namespaces. An object that this version cannot read is listed like the others.
async fn list<K>(caller: &Caller, which: Which) -> Result<Page, Problem>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let params = which.params()?;
    let kind = ApiResource::erase::<K>(&());
    let resource = K::plural(&());
    let right = Right { verb: "list", resource: &resource, namespace: which.namespace.as_deref(), name: None };
    caller.may(&[right]).await?;
    let api: Api<DynamicObject> = match &which.namespace {
        Some(namespace) => Api::namespaced_with(caller.client.clone(), namespace, &kind),
        None => Api::all_with(caller.client.clone(), &kind),
    };
    page(caller, &api, &params, right.to_string()).await
}

async fn page(caller: &Caller, api: &Api<DynamicObject>, params: &ListParams, what: String) -> Result<Page, Problem> {
    let mut listed = api.list(params).await.map_err(caller.wanting(what))?;
    for object in &mut listed.items {
        object.metadata.managed_fields = None;
    }
    Ok(Page { items: listed.items, continue_token: listed.metadata.continue_.filter(|token| !token.is_empty()) })
}
