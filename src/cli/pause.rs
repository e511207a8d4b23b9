//! `paramedic pause`: makes a `Pause`, and says what it holds and how to take it away again.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp, Unit};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};

use super::{
    connect::{ClusterArgs, NamespaceArgs},
    exit::{self, OK, OperatorError, asking},
    output::{OutputArgs, age, counted},
};
use crate::{
    api::{ObjectKey, Pause, PauseScope, PositiveDuration, Remediation},
    clock::Clock,
    people::{Cluster, deeds},
    replica::LEASE,
};

/// Options of `pause`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Why. It is shown wherever the pause holds something back.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Ends by itself after that: 30m, 2h. Default: stays until somebody resumes.
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
    lasts: Option<PositiveDuration>,
    /// Ends by itself at that time: 2026-11-21T06:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Everything in the cluster, and not one namespace.
    #[arg(short = 'A', long, visible_alias = "all-namespaces", conflicts_with = "namespace")]
    all: bool,
    /// The name of the pause. Default: made up.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    exit::run("pause", pause(args))
}

async fn pause(args: &Args) -> Result<u8, OperatorError> {
    let now = Clock::system().now();
    let expires_at = expiry(args, now)?;
    if args.reason.trim().is_empty() {
        return Err(OperatorError::Usage("--reason is empty; whoever is held back wants to know why".to_owned()));
    }
    let cluster = args.cluster.connect().await?;
    if args.all {
        is_installed(&cluster).await?;
    }
    let namespace = if args.all { &cluster.own_namespace } else { args.namespace.of(&cluster) };
    let scope = if args.all { PauseScope::Cluster } else { PauseScope::Namespace };
    let pause = deeds::pause(namespace, args.name.clone(), scope, &args.reason, expires_at);
    let api: Api<Pause> = cluster.api(Some(namespace));
    let what = format!("create a pause in namespace {namespace}");
    let mut made = api.create(&PostParams::default(), &pause).await.map_err(asking(what))?;
    made.metadata.managed_fields = None;
    // What is under way goes on; whom that surprises should be told now. Not to be able to say so is no failure.
    let within = (!args.all).then_some(namespace);
    let running = cluster.list::<Remediation>(within).await.map(|records| running(&records.objects)).ok();
    args.output.print(&made, |_| text(&made, running.as_deref(), now))?;
    Ok(OK)
}

/// When it ends, refused where that is over already.
fn expiry(args: &Args, now: Timestamp) -> Result<Option<Timestamp>, OperatorError> {
    let at = match args.lasts {
        Some(lasts) => Some(now.checked_add(lasts.signed()).map_err(|error| OperatorError::Usage(error.to_string()))?),
        None => args.until,
    };
    match at {
        Some(at) if at <= now => Err(OperatorError::Usage(format!("--until {at} is over already; it is {now}"))),
        at => Ok(at.map(|at| at.round(Unit::Second).unwrap_or(at))),
    }
}

/// A pause for the cluster holds only where Paramedic looks for it: in its own namespace.
async fn is_installed(cluster: &Cluster) -> Result<(), OperatorError> {
    let own = &cluster.own_namespace;
    let leases: Api<Lease> = cluster.api(Some(own));
    match leases.get_opt(LEASE).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(OperatorError::NotSo(format!(
            "there is no lease {LEASE} in namespace {own}, so Paramedic is not there, and a pause there would hold nothing; \
             say with --paramedic-namespace where it is. No pause was made"
        ))),
        Err(error) => {
            eprintln!("paramedic pause: whether Paramedic is in namespace {own} cannot be told: {error}");
            Ok(())
        }
    }
}

/// The records whose action is under way or being verified.
fn running(records: &[Remediation]) -> Vec<ObjectKey> {
    let running = |record: &&Remediation| record.status.as_ref().is_some_and(|status| status.phase.is_running());
    records.iter().filter(running).map(ObjectKey::of).collect()
}

fn to_second(duration: SignedDuration) -> SignedDuration {
    duration.round(Unit::Second).unwrap_or(duration)
}

/// What was done, what it does not do, and how to undo it.
fn text(pause: &Pause, running: Option<&[ObjectKey]>, now: Timestamp) -> String {
    let key = ObjectKey::of(pause);
    let holds = match pause.spec.scope {
        PauseScope::Cluster => "in the whole cluster".to_owned(),
        PauseScope::Namespace => format!("in namespace {}", key.namespace),
    };
    let until = pause.spec.expires_at.map_or_else(
        || "until somebody resumes".to_owned(),
        |at| format!("for {}, until {at}", age(to_second(at.duration_since(now)))),
    );
    let mut text = format!("Paused: nothing new is done {holds}, {until}.\n");
    if let Some(running) = running.filter(|running| !running.is_empty()) {
        let names = running.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let what = counted(running.len(), "remediation is", "remediations are");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what} under way and goes on: {names}. `paramedic cancel NAME --reason …` ends one.");
    }
    let _ = writeln!(text, "To undo:  paramedic resume {key}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::PauseSpec,
        remediation::fixtures::{a_record, at},
    };

    fn made(scope: PauseScope, expires_at: Option<Timestamp>) -> Pause {
        let mut pause = Pause::new("freeze", PauseSpec { scope, reason: "a release".to_owned(), expires_at });
        pause.metadata.namespace = Some("shop".to_owned());
        pause
    }

    #[test]
    fn it_says_what_is_held_for_how_long_and_how_to_undo_it() {
        let records = [a_record().named("one").verifying(0).object(), a_record().named("two").object()];
        insta::assert_snapshot!(text(&made(PauseScope::Namespace, Some(at(3600))), Some(&running(&records)), at(0)), @r"
        Paused: nothing new is done in namespace shop, for 60m, until 2026-03-01T13:00:00Z.
        1 remediation is under way and goes on: shop/one. `paramedic cancel NAME --reason …` ends one.
        To undo:  paramedic resume shop/freeze
        ");
        insta::assert_snapshot!(text(&made(PauseScope::Cluster, None), Some(&[]), at(0)), @r"
        Paused: nothing new is done in the whole cluster, until somebody resumes.
        To undo:  paramedic resume shop/freeze
        ");
    }
}
