//! `paramedic approve` and `paramedic deny`: shows a plan that awaits an answer, and gives one to that very plan.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, api::PostParams};

use super::{
    connect::{ClusterArgs, NamespaceArgs},
    exit::{self, OK, OperatorError, asking},
    output::{OutputArgs, age},
};
use crate::{
    api::{Decision, ObjectKey, Phase, Remediation, RemediationApproval, RemediationApprovalSpec},
    clock::Clock,
    people::{Cluster, deeds::Asked},
};

/// Options of `approve` and `deny`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The remediation, as NAME or NAMESPACE/NAME.
    #[arg(value_name = "REMEDIATION")]
    name: String,
    /// Why, for people; it is on record with the answer.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Without asking whether that is meant.
    #[arg(short, long)]
    yes: bool,
    /// Only this plan: `status.planHash`. Default: the one that awaits an answer, which is shown.
    #[arg(long, value_name = "HASH")]
    plan_hash: Option<String>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args, decision: Decision) -> u8 {
    exit::run(verb(decision), answer(args, decision))
}

const fn verb(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Deny => "deny",
    }
}

async fn answer(args: &Args, decision: Decision) -> Result<u8, OperatorError> {
    let cluster = args.cluster.connect().await?;
    let key = args.namespace.key(&args.name, &cluster)?;
    let records: Api<Remediation> = cluster.api(Some(&key.namespace));
    let record = records.get_opt(&key.name).await.map_err(asking(format!("get remediation {key}")))?;
    let record = record.ok_or_else(|| {
        OperatorError::NotSo(format!("there is no remediation {key}; `paramedic status` lists those that are open"))
    })?;
    let asked = Asked::of(&key, &record).map_err(|phase| awaits_none(&key, phase))?;
    if let Some(seen) = args.plan_hash.as_deref().filter(|seen| *seen != asked.hash) {
        return Err(OperatorError::NotSo(format!(
            "the plan of {key} is another one now: its hash is {}, and not {seen}; nothing was answered",
            asked.hash
        )));
    }
    let approver = approver(&cluster).await?;
    let now = Clock::system().now();
    if !args.yes {
        eprint!("{}", shown(&asked, now));
        if !confirmed(decision, &approver)? {
            return Err(OperatorError::NotSo("nothing was answered".to_owned()));
        }
    }
    let approvals: Api<RemediationApproval> = cluster.api(Some(&key.namespace));
    let answer = asked.answered(decision, &approver, args.reason.clone());
    let what = format!("create a remediationapproval in namespace {}", key.namespace);
    let mut made = approvals.create(&PostParams::default(), &answer).await.map_err(asking(what))?;
    made.metadata.managed_fields = None;
    args.output.print(&made, |_| text(&made, &key))?;
    Ok(OK)
}

fn awaits_none(key: &ObjectKey, phase: Phase) -> OperatorError {
    let phase = phase.as_str();
    OperatorError::NotSo(format!("remediation {key} awaits no answer: it is {phase}; `paramedic why {key}` says why"))
}

/// Who asks, as the API server knows them: it takes an answer under no other name.
async fn approver(cluster: &Cluster) -> Result<String, OperatorError> {
    let reviews: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let what = "say who you are (create a selfsubjectreview)";
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.map_err(asking(what))?;
    let user = review.status.and_then(|status| status.user_info?.username);
    user.ok_or_else(|| OperatorError::NotSo("the cluster does not know who you are, so it takes no answer".to_owned()))
}

/// What is asked, in full: what the approver sees is what is done.
fn shown(asked: &Asked<'_>, now: Timestamp) -> String {
    let (spec, status) = (&asked.record.spec, asked.status);
    let mut text = format!("Remediation {} awaits an answer\n", asked.key);
    let alert = spec.alert.labels.alertname().unwrap_or("without a name");
    let began = age(now.duration_since(spec.alert.starts_at));
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  alert    {alert}, for {began}, from source {}", spec.source);
    let _ = writeln!(text, "  policy   {}", spec.policy);
    let _ = writeln!(text, "  plan     step {}: {}", status.step, status.plan.as_deref().unwrap_or_default());
    let _ = writeln!(text, "  target   {} (uid {})", asked.target, asked.target.uid);
    if let Some(subject) = status.subject.as_ref().filter(|subject| *subject != asked.target) {
        let _ = writeln!(text, "  of       {subject}");
    }
    if let Some(until) = status.until {
        let _ = writeln!(text, "  until    {until}, which is in {}", age(until.duration_since(now)));
    }
    let _ = writeln!(text, "  hash     {}", asked.hash);
    text
}

/// Asks on the terminal. Without one nobody has seen the plan, so that has to be said with `--yes`.
fn confirmed(decision: Decision, approver: &str) -> Result<bool, OperatorError> {
    if !std::io::stdin().is_terminal() {
        return Err(OperatorError::Usage(
            "standard input is no terminal, so nobody can be asked; say --yes, and --plan-hash for the plan that was seen"
                .to_owned(),
        ));
    }
    eprint!("{} that as {approver}? [y/N] ", if decision == Decision::Approve { "Approve" } else { "Deny" });
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn text(made: &RemediationApproval, key: &ObjectKey) -> String {
    let RemediationApprovalSpec { approver, decision, .. } = &made.spec;
    match decision {
        Decision::Approve => format!(
            "Approved by {approver}: every check of {key} is made again, and the plan is carried out if they pass.\n\
             To see it:  paramedic why {key}\n"
        ),
        Decision::Deny => format!("Denied by {approver}: {key} ends, and nothing is done.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::fixtures::{a_record, at, deployment, key, pod};

    fn awaiting() -> Remediation {
        let mut record = a_record().named("one").in_phase(Phase::AwaitingApproval, 0).object();
        let status = record.status.get_or_insert_default();
        status.plan = Some("evict Pod shop/cart-1 (uid uid-cart-1)".to_owned());
        status.plan_hash = Some("ab".repeat(32));
        status.target = Some(pod("cart-1"));
        status.subject = Some(deployment("cart"));
        status.until = Some(at(3600));
        record
    }

    #[test]
    fn what_is_approved_is_shown_in_full() {
        let record = awaiting();
        let key = ObjectKey::of(&record);
        insta::assert_snapshot!(shown(&Asked::of(&key, &record).unwrap(), at(60)), @r"
        Remediation shop/one awaits an answer
          alert    MemoryLeak, for 2m, from source prometheus
          policy   shop/restart-cart
          plan     step 0: evict Pod shop/cart-1 (uid uid-cart-1)
          target   Pod shop/cart-1 (uid uid-cart-1)
          of       Deployment shop/cart
          until    2026-03-01T13:00:00Z, which is in 59m
          hash     abababababababababababababababababababababababababababababababab
        ");
    }

    #[test]
    fn what_awaits_no_answer_gets_none() {
        let error = awaits_none(&key("one"), Phase::Pending).to_string();
        assert!(error.contains("shop/one awaits no answer: it is Pending; `paramedic why shop/one`"), "{error}");
    }
}
