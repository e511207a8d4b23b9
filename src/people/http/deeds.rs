//! What people have done: answers to plans, cancelling, pausing and resuming.

use axum::{Extension, Json, http::StatusCode};
use jiff::{Timestamp, Unit};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Caller, Given, Problem, Right, Who, is_name, namespace,
    problem::ProblemDetails,
    reads::{InPath, named},
};
use crate::{
    api::{
        ApprovalPolicy, Decision, ObjectKey, Pause, PauseScope, PolicyKind, PositiveDuration, Remediation,
        RemediationApproval,
    },
    people::deeds::{self, Asked, cancellation, phase},
};

/// An answer to a plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Answer {
    /// The plan that was looked at: `status.planHash` of the remediation. It is answered as long as it is still that one.
    #[schemars(length(min = 64, max = 64))]
    plan_hash: String,
    /// Why, for people; it is on record with the answer.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    reason: Option<String>,
}

/// Why a remediation is to end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancellation {
    /// Why; it is in the record afterwards.
    #[schemars(length(min = 1, max = 1024))]
    reason: String,
}

/// A pause that is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewPause {
    /// The namespace in which nothing new is done. Of one for the whole cluster: Paramedic's own.
    namespace: String,
    /// `Namespace`, the default, or `Cluster`: everything.
    #[serde(default)]
    scope: PauseScope,
    /// Why; shown wherever it holds something back.
    #[schemars(length(min = 1, max = 1024))]
    reason: String,
    /// Its name. Default: made up.
    #[serde(default)]
    name: Option<String>,
    /// When it ends by itself. Default: stays until somebody resumes.
    #[serde(default)]
    expires_at: Option<Timestamp>,
    /// After what time it ends by itself: `30m`, `2h`. Not together with `expiresAt`.
    #[serde(default, rename = "for")]
    lasts: Option<PositiveDuration>,
}

/// The longest reason, as the custom resources have it.
const LONGEST_REASON: usize = 1024;

/// Approves the plan that a remediation awaits an answer to.
///
/// Needs what kubectl would: to get the remediation, to create remediationapprovals in its namespace, and the verb
/// `approve` on its policy.
#[utoipa::path(
    post,
    path = "/api/v1/remediations/{namespace}/{name}/approve",
    operation_id = "approveRemediation",
    params(
        ("namespace" = String, Path, description = "The remediation's namespace"),
        ("name" = String, Path, description = "The remediation's name"),
    ),
    request_body = Answer,
    responses(
        (status = 201, description = "The answer, as it is on record", body = RemediationApproval),
        (status = 409, description = "It awaits no answer, or the plan is another one now", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn approve(
    Extension(caller): Who,
    path: InPath,
    Given(answer): Given<Answer>,
) -> Result<(StatusCode, Json<RemediationApproval>), Problem> {
    answered(&caller, &named(path)?, Decision::Approve, answer).await
}

/// Denies it: the remediation ends, and nothing is done. Needs the same rights.
#[utoipa::path(
    post,
    path = "/api/v1/remediations/{namespace}/{name}/deny",
    operation_id = "denyRemediation",
    params(
        ("namespace" = String, Path, description = "The remediation's namespace"),
        ("name" = String, Path, description = "The remediation's name"),
    ),
    request_body = Answer,
    responses(
        (status = 201, description = "The answer, as it is on record", body = RemediationApproval),
        (status = 409, description = "It awaits no answer, or the plan is another one now", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn deny(
    Extension(caller): Who,
    path: InPath,
    Given(answer): Given<Answer>,
) -> Result<(StatusCode, Json<RemediationApproval>), Problem> {
    answered(&caller, &named(path)?, Decision::Deny, answer).await
}

async fn answered(
    caller: &Caller,
    key: &ObjectKey,
    decision: Decision,
    answer: Answer,
) -> Result<(StatusCode, Json<RemediationApproval>), Problem> {
    if let Some(reason) = &answer.reason {
        reads_well(reason, false)?;
    }
    let record = get(caller, key).await?;
    let policy = ApprovalPolicy::from(&record.spec.policy);
    let within = Some(key.namespace.as_str());
    let rights = [
        Right { verb: "approve", name: Some(&policy.name), ..of(&policy) },
        Right { verb: "create", resource: "remediationapprovals", namespace: within, name: None },
    ];
    caller.may(&rights).await?;
    let asked = Asked::of(key, &record).map_err(|phase| Problem::AwaitsNoAnswer { key: key.clone(), phase })?;
    if answer.plan_hash != asked.hash {
        return Err(Problem::PlanChanged { key: key.clone() });
    }
    let approval = asked.answered(decision, &caller.user.name, answer.reason);
    let what = format!("create a remediationapproval in namespace {}", key.namespace);
    let made = caller.api(&key.namespace).create(&PostParams::default(), &approval).await;
    let mut made: RemediationApproval = made.map_err(caller.wanting(what))?;
    made.metadata.managed_fields = None;
    tracing::info!(remediation = %key, user = caller.user.name, ?decision, "an answer came by the API for people");
    Ok((StatusCode::CREATED, Json(made)))
}

/// Asks the leader to end a remediation. It does so within seconds; of one whose action is under way, when it is known what
/// came of that.
///
/// Needs what kubectl would: to get and to patch the remediation, and the verb `cancel` on it or on its policy.
#[utoipa::path(
    post,
    path = "/api/v1/remediations/{namespace}/{name}/cancel",
    operation_id = "cancelRemediation",
    params(
        ("namespace" = String, Path, description = "The remediation's namespace"),
        ("name" = String, Path, description = "The remediation's name"),
    ),
    request_body = Cancellation,
    responses(
        (status = 202, description = "The remediation, which is to end", body = Remediation),
        (status = 409, description = "It has ended already", body = ProblemDetails,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(
    Extension(caller): Who,
    path: InPath,
    Given(Cancellation { reason }): Given<Cancellation>,
) -> Result<(StatusCode, Json<Remediation>), Problem> {
    let key = named(path)?;
    reads_well(&reason, true)?;
    let record = get(&caller, &key).await?;
    let policy = ApprovalPolicy::from(&record.spec.policy);
    let one = |verb| Right { verb, resource: "remediations", namespace: Some(&key.namespace), name: Some(&key.name) };
    caller.may(&[one("patch")]).await?;
    let on_policy = Right { verb: "cancel", name: Some(&policy.name), ..of(&policy) };
    caller.may_one_of(&[on_policy, one("cancel")]).await?;
    if phase(&record).is_terminal() {
        return Err(Problem::Ended { phase: phase(&record), key });
    }
    let change = Patch::Merge(cancellation(&record, &reason));
    let patched = caller.api(&key.namespace).patch(&key.name, &PatchParams::default(), &change).await;
    let mut record: Remediation = patched.map_err(caller.wanting(format!("patch remediation {key}")))?;
    record.metadata.managed_fields = None;
    tracing::info!(remediation = %key, user = caller.user.name, "cancelled by the API for people");
    Ok((StatusCode::ACCEPTED, Json(record)))
}

/// Pauses a namespace, or everything: nothing new is done there. What is under way goes on.
#[utoipa::path(
    post,
    path = "/api/v1/pauses",
    operation_id = "pause",
    request_body = NewPause,
    responses((status = 201, description = "The pause", body = Pause)),
)]
pub(super) async fn pause(
    Extension(caller): Who,
    Given(new): Given<NewPause>,
) -> Result<(StatusCode, Json<Pause>), Problem> {
    let settings = &caller.desk.settings;
    let expires_at = expiry(&new, settings.clock.now())?;
    let NewPause { namespace: within, scope, reason, name, .. } = new;
    namespace(&within)?;
    reads_well(&reason, true)?;
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(Problem::Malformed("name: no object can have that name".to_owned()));
    }
    if scope == PauseScope::Cluster && within != settings.own_namespace {
        return Err(Problem::Malformed(format!(
            "a pause for the whole cluster is in Paramedic's own namespace: {}",
            settings.own_namespace
        )));
    }
    let right = Right { verb: "create", resource: "pauses", namespace: Some(&within), name: None };
    caller.may(&[right]).await?;
    let pause = deeds::pause(&within, name, scope, &reason, expires_at);
    let made = caller.api(&within).create(&PostParams::default(), &pause).await;
    let mut made: Pause = made.map_err(caller.wanting(format!("create a pause in namespace {within}")))?;
    made.metadata.managed_fields = None;
    let key = ObjectKey::of(&made);
    tracing::info!(pause = %key, user = caller.user.name, "paused by the API for people");
    Ok((StatusCode::CREATED, Json(made)))
}

/// Resumes: deletes a pause. What waited for it is looked at again within seconds.
#[utoipa::path(
    delete,
    path = "/api/v1/pauses/{namespace}/{name}",
    operation_id = "resume",
    params(
        ("namespace" = String, Path, description = "The pause's namespace"),
        ("name" = String, Path, description = "The pause's name"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is none", body = ProblemDetails, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(Extension(caller): Who, path: InPath) -> Result<StatusCode, Problem> {
    let key = named(path)?;
    let right = Right { verb: "delete", resource: "pauses", namespace: Some(&key.namespace), name: Some(&key.name) };
    caller.may(&[right]).await?;
    let deleted = caller.api::<Pause>(&key.namespace).delete(&key.name, &DeleteParams::default()).await;
    deleted.map_err(caller.wanting(format!("delete pause {key}")))?;
    tracing::info!(pause = %key, user = caller.user.name, "resumed by the API for people");
    Ok(StatusCode::NO_CONTENT)
}

/// The record, as this person sees it.
async fn get(caller: &Caller, key: &ObjectKey) -> Result<Remediation, Problem> {
    let right = Right { verb: "get", resource: "remediations", namespace: Some(&key.namespace), name: Some(&key.name) };
    caller.may(&[right]).await?;
    caller.api(&key.namespace).get(&key.name).await.map_err(caller.wanting(format!("get remediation {key}")))
}

/// The resource of a policy, to be completed with a verb and its name.
fn of(policy: &ApprovalPolicy) -> Right<'_> {
    let resource = match policy.kind {
        PolicyKind::RemediationPolicy => "remediationpolicies",
        PolicyKind::ClusterRemediationPolicy => "clusterremediationpolicies",
    };
    Right { verb: "get", resource, namespace: policy.namespace.as_deref(), name: None }
}

/// Refuses a reason that the custom resources would refuse, and one that says nothing where it has to.
fn reads_well(reason: &str, has_to: bool) -> Result<(), Problem> {
    if has_to && reason.trim().is_empty() {
        return Err(Problem::Malformed("reason is empty; whoever reads it wants to know why".to_owned()));
    }
    if reason.chars().count() > LONGEST_REASON {
        return Err(Problem::Malformed(format!("reason is longer than {LONGEST_REASON} characters")));
    }
    Ok(())
}

/// When a pause ends by itself; refused where that is over already, or said twice.
fn expiry(new: &NewPause, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let at = match (new.lasts, new.expires_at) {
        (Some(_), Some(_)) => return Err(Problem::Malformed("say expiresAt or for, not both".to_owned())),
        (Some(lasts), None) => {
            Some(now.checked_add(lasts.signed()).map_err(|error| Problem::Malformed(format!("for: {error}")))?)
        }
        (None, at) => at,
    };
    match at {
        Some(at) if at <= now => Err(Problem::Malformed(format!("expiresAt {at} is over already; it is {now}"))),
        at => Ok(at.map(|at| at.round(Unit::Second).unwrap_or(at))),
    }
}
