//! `paramedic status`: what an on-call person wants to know first. Reads only, and asks the Kubernetes API alone.

mod text;

use super::{
    connect::ClusterArgs,
    exit::{self, OK, OperatorError, PROBLEMS},
    output::OutputArgs,
};
use crate::{
    clock::Clock,
    people::status::{Report, WhereOld, facts},
};

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the records, pauses and policies of this namespace. Default: of all.
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces", help_heading = "Cluster")]
    namespace: Option<String>,
    /// Of all namespaces, which is the default.
    #[arg(short = 'A', long, help_heading = "Cluster")]
    all_namespaces: bool,
    /// How many of those that ended last are shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    last: usize,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the subcommand; the exit code is 1 where nobody leads, or something that is there is not in force.
pub fn run(args: &Args) -> u8 {
    exit::run("status", status(args))
}

async fn status(args: &Args) -> Result<u8, OperatorError> {
    let cluster = args.cluster.connect().await?;
    let clock = Clock::system();
    let facts = facts(&cluster, args.namespace.as_deref(), &clock, WhereOld::LookAgain).await?;
    let report = Report::of(&facts, args.last, clock.now());
    args.output.print(&report, |wide| text::of(&report, wide))?;
    Ok(if report.problems.is_empty() { OK } else { PROBLEMS })
}

#[cfg(test)]
mod tests;
