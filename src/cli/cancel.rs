//! `paramedic cancel`: asks the leader to end a remediation, and says what became of it.

use std::time::Duration;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use tokio::time::{Instant, sleep};

use super::{
    connect::{ClusterArgs, NamespaceArgs},
    exit::{self, OK, OperatorError, asking},
    output::OutputArgs,
};
use crate::{
    api::{ObjectKey, Phase, Remediation},
    people::deeds::{cancellation, phase},
};

/// How long it is waited for that the leader has ended it, and how often that is looked at.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Options of `cancel`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The remediation, as NAME or NAMESPACE/NAME.
    #[arg(value_name = "REMEDIATION")]
    name: String,
    /// Why; it is in the record afterwards.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    exit::run("cancel", cancel(args))
}

async fn cancel(args: &Args) -> Result<u8, OperatorError> {
    if args.reason.trim().is_empty() {
        return Err(OperatorError::Usage("--reason is empty; whoever reads the record wants to know why".to_owned()));
    }
    let cluster = args.cluster.connect().await?;
    let key = args.namespace.key(&args.name, &cluster)?;
    let api: Api<Remediation> = cluster.api(Some(&key.namespace));
    let record = get(&api, &key).await?;
    if let Some(status) = record.status.as_ref().filter(|status| status.phase.is_terminal()) {
        let phase = status.phase.as_str();
        return Err(OperatorError::NotSo(format!("remediation {key} has ended already: it is {phase}")));
    }
    let patch = cancellation(&record, &args.reason);
    let patched = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    let mut record = patched.map_err(asking(format!("patch remediation {key}")))?;
    let give_up = Instant::now() + ENDED_WITHIN;
    while !phase(&record).is_terminal() && Instant::now() < give_up {
        sleep(LOOK_EVERY).await;
        record = get(&api, &key).await?;
    }
    record.metadata.managed_fields = None;
    args.output.print(&record, |_| text(&key, &record))?;
    Ok(OK)
}

async fn get(api: &Api<Remediation>, key: &ObjectKey) -> Result<Remediation, OperatorError> {
    let found = api.get_opt(&key.name).await.map_err(asking(format!("get remediation {key}")))?;
    found.ok_or_else(|| {
        OperatorError::NotSo(format!("there is no remediation {key}; `paramedic status` lists those that are open"))
    })
}

fn text(key: &ObjectKey, record: &Remediation) -> String {
    let status = record.status.clone().unwrap_or_default();
    // The phase says it already.
    let message = status.message.map(|message| format!(": {}", message.trim_start_matches("cancelled: ")));
    let message = message.unwrap_or_default();
    match status.phase {
        phase if phase.is_terminal() => format!("Remediation {key} is {}{message}.\n", phase.as_str()),
        Phase::Acting => format!(
            "Remediation {key} is to be cancelled, but its action is under way; it ends once it is known what came of that.\n"
        ),
        phase => format!(
            "Remediation {key} is to be cancelled; the leader has not ended it yet, it is {}. `paramedic status` says \
             whether anybody leads.\n",
            phase.as_str()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::fixtures::{a_record, key};

    #[test]
    fn it_says_what_became_of_it() {
        let said = |phase| text(&key("one"), &a_record().named("one").in_phase(phase, 0).object());
        let mut ended = a_record().named("one").in_phase(Phase::Cancelled, 0);
        ended.status.message = Some("cancelled: done by hand".to_owned());
        let said =
            [Phase::Cancelled, Phase::Acting, Phase::Waiting].map(said).concat() + &text(&key("one"), &ended.object());
        insta::assert_snapshot!(said, @r"
        Remediation shop/one is Cancelled.
        Remediation shop/one is to be cancelled, but its action is under way; it ends once it is known what came of that.
        Remediation shop/one is to be cancelled; the leader has not ended it yet, it is Waiting. `paramedic status` says whether anybody leads.
        Remediation shop/one is Cancelled: done by hand.
        ");
    }
}
