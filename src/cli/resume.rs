//! `paramedic resume`: deletes pauses, and says what is held by others still.

use std::fmt::Write as _;

use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde::Serialize;

use super::{
    connect::{ClusterArgs, NamespaceArgs},
    exit::{self, OK, OperatorError, asking},
    output::{OutputArgs, counted},
};
use crate::{
    api::{ObjectKey, Pause, PauseScope},
    clock::Clock,
    people::Cluster,
};

/// Options of `resume`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["names", "all"])))]
pub struct Args {
    /// Pauses, as NAME or NAMESPACE/NAME; `paramedic status` lists them.
    #[arg(value_name = "PAUSE")]
    names: Vec<String>,
    /// Every pause of the namespace; with -A, every pause there is.
    #[arg(long)]
    all: bool,
    /// In all namespaces.
    #[arg(short = 'A', long, requires = "all", conflicts_with = "namespace", help_heading = "Cluster")]
    all_namespaces: bool,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What was deleted, and what is left.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resumed {
    /// The pauses that were deleted, as `namespace/name`.
    deleted: Vec<String>,
    /// The pauses in force that hold the same namespaces still.
    still_paused_by: Vec<Holding>,
}

/// A pause that is left.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Holding {
    pause: String,
    scope: PauseScope,
    reason: String,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    exit::run("resume", resume(args))
}

async fn resume(args: &Args) -> Result<u8, OperatorError> {
    let cluster = args.cluster.connect().await?;
    let pauses = if args.all {
        let namespace = (!args.all_namespaces).then(|| args.namespace.of(&cluster));
        let pauses = cluster.list::<Pause>(namespace).await?;
        // One that cannot be read is in force as far as anybody knows, and can be deleted like the others.
        let keys = pauses.objects.iter().map(|pause| (ObjectKey::of(pause), pause.uid()));
        keys.chain(pauses.unreadable.into_iter().map(|(key, _)| (key, None))).collect()
    } else {
        let keys = args.names.iter().map(|name| Ok((args.namespace.key(name, &cluster)?, None)));
        keys.collect::<Result<Vec<_>, OperatorError>>()?
    };
    if pauses.is_empty() {
        return Err(OperatorError::NotSo(
            "there is no pause; `paramedic status` says what holds things back".to_owned(),
        ));
    }
    for (key, uid) in &pauses {
        delete(&cluster, key, uid.clone()).await?;
    }
    let deleted: Vec<ObjectKey> = pauses.into_iter().map(|(key, _)| key).collect();
    let left = left(&cluster, &deleted).await;
    let resumed = Resumed {
        deleted: deleted.iter().map(ToString::to_string).collect(),
        still_paused_by: holding(&left, &deleted, &cluster.own_namespace, Clock::system().now()),
    };
    args.output.print(&resumed, |_| text(&resumed))?;
    Ok(OK)
}

async fn delete(cluster: &Cluster, key: &ObjectKey, uid: Option<String>) -> Result<(), OperatorError> {
    let api: Api<Pause> = cluster.api(Some(&key.namespace));
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    match api.delete(&key.name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Err(OperatorError::NotSo(format!("there is no pause {key}; `paramedic status` lists those that there are")))
        }
        Err(error) => Err(asking(format!("delete pause {key}"))(error)),
    }
}

/// The pauses that may hold the same namespaces. What may not be listed is left out: the deletion was what was asked for.
async fn left(cluster: &Cluster, deleted: &[ObjectKey]) -> Vec<Pause> {
    let mut namespaces: Vec<&str> = deleted.iter().map(|key| key.namespace.as_str()).collect();
    namespaces.push(&cluster.own_namespace);
    namespaces.sort_unstable();
    namespaces.dedup();
    let mut left = Vec::new();
    for namespace in namespaces {
        if let Ok(pauses) = cluster.list::<Pause>(Some(namespace)).await {
            left.extend(pauses.objects);
        }
    }
    left
}

fn holding(left: &[Pause], deleted: &[ObjectKey], own_namespace: &str, now: Timestamp) -> Vec<Holding> {
    let in_force = |pause: &&Pause| pause.spec.expires_at.is_none_or(|at| at > now);
    let others = |pause: &&Pause| !deleted.contains(&ObjectKey::of(*pause));
    let own = |pause: &Pause| pause.namespace().as_deref() == Some(own_namespace);
    // One of Paramedic's own namespace holds others only if it says so.
    let holds = |pause: &&Pause| !own(pause) || pause.spec.scope == PauseScope::Cluster;
    let holding = |pause: &Pause| Holding {
        pause: ObjectKey::of(pause).to_string(),
        scope: if own(pause) { pause.spec.scope } else { PauseScope::Namespace },
        reason: pause.spec.reason.clone(),
    };
    left.iter().filter(in_force).filter(others).filter(holds).map(holding).collect()
}

fn text(resumed: &Resumed) -> String {
    let pauses = counted(resumed.deleted.len(), "pause is", "pauses are");
    let mut text = format!("Resumed: {pauses} gone: {}.\n", resumed.deleted.join(", "));
    for left in &resumed.still_paused_by {
        let what = if left.scope == PauseScope::Cluster { "everything is" } else { "its namespace is" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "But {what} paused by {} still: {}", left.pause, left.reason);
    }
    if resumed.still_paused_by.is_empty() {
        text.push_str("What waited for it is looked at again within 15 s.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::PauseSpec, remediation::fixtures::at};

    fn pause(namespace: &str, name: &str, scope: PauseScope, ends: i64) -> Pause {
        let spec = PauseSpec { scope, reason: format!("because of {name}"), expires_at: Some(at(ends)) };
        let mut pause = Pause::new(name, spec);
        pause.metadata.namespace = Some(namespace.to_owned());
        pause
    }

    #[test]
    fn what_still_holds_the_same_namespace_is_named() {
        let deleted = [ObjectKey { namespace: "shop".to_owned(), name: "mine".to_owned() }];
        let left = [
            pause("shop", "mine", PauseScope::Namespace, 60),
            pause("shop", "theirs", PauseScope::Namespace, 60),
            pause("shop", "over", PauseScope::Namespace, -60),
            pause("paramedic", "ours", PauseScope::Namespace, 60),
            pause("paramedic", "all", PauseScope::Cluster, 60),
        ];
        let still_paused_by = holding(&left, &deleted, "paramedic", at(0));
        let resumed = Resumed { deleted: vec!["shop/mine".to_owned()], still_paused_by };
        insta::assert_snapshot!(text(&resumed), @r"
        Resumed: 1 pause is gone: shop/mine.
        But its namespace is paused by shop/theirs still: because of theirs
        But everything is paused by paramedic/all still: because of all
        ");
        let resumed = Resumed { still_paused_by: Vec::new(), ..resumed };
        insta::assert_snapshot!(text(&resumed), @r"
        Resumed: 1 pause is gone: shop/mine.
        What waited for it is looked at again within 15 s.
        ");
    }
}
