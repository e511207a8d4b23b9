//! `paramedic why`: how a remediation came to be where it is, from its record alone.

mod reasons;
mod report;
mod text;

use kube::Api;

use self::report::Report;
use super::{
    connect::{ClusterArgs, NamespaceArgs},
    exit::{self, OK, OperatorError, asking},
    output::OutputArgs,
};
use crate::{api::Remediation, clock::Clock};

/// Options of `why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The remediation, as NAME or NAMESPACE/NAME.
    #[arg(value_name = "REMEDIATION")]
    name: String,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    exit::run("why", why(args))
}

async fn why(args: &Args) -> Result<u8, OperatorError> {
    let cluster = args.cluster.connect().await?;
    let key = args.namespace.key(&args.name, &cluster)?;
    let api: Api<Remediation> = cluster.api(Some(&key.namespace));
    let record = api.get_opt(&key.name).await.map_err(asking(format!("get remediation {key}")))?;
    let record = record.ok_or_else(|| {
        OperatorError::NotSo(format!(
            "there is no remediation {key}; `paramedic status` lists those that there are. Records are removed when their \
             retention is over"
        ))
    })?;
    let report = Report::of(&record, Clock::system().now());
    args.output.print(&report, |wide| text::of(&report, wide))?;
    Ok(OK)
}
