//! `paramedic explain`: what these policies would do about that alert, and why. Reads only; what it says is the answer of the
//! very functions that the server asks.

mod input;
mod live;
mod report;
mod text;

use std::{collections::BTreeMap, io::Read as _, path::PathBuf};

use jiff::Timestamp;

use self::report::{Answer, Report};
pub use self::text::step;
use super::{
    connect::ClusterArgs,
    exit::{self, OK, OperatorError, PROBLEMS},
    output::OutputArgs,
};
use crate::{
    alert::{Alert, AlertState},
    api::ObjectKey,
    clock::Clock,
    config::{self, Config, Overrides, UNAUTHENTICATED},
    policy::{self, ALL_NAMESPACES, Policy, PolicySet},
    remediation::RecordIndex,
    triage::{Decision, Delivery, Match, Rules, SourceScope, answering, triage},
};

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The alert as JSON: one alert, a webhook's body, or a list from Alertmanager's or Prometheus' API. `-`: from
    /// standard input.
    #[arg(value_name = "ALERT.json")]
    file: PathBuf,
    /// Policies from files, and directories of such files, instead of the cluster's; asks no cluster, but with --live.
    #[arg(long, value_name = "FILE|DIR")]
    policies: Vec<PathBuf>,
    /// With --policies: ask the cluster what stands against acting, as if they were in force there.
    #[arg(long, requires = "policies")]
    live: bool,
    /// The server's configuration: its sources, its Alertmanagers (which are asked), its protected namespaces.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The source that sent it. Default: the only one of the configuration.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Every policy that does not match, and not the nearest ones alone.
    #[arg(long)]
    all_policies: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    exit::run("explain", explain(args))
}

async fn explain(args: &Args) -> Result<u8, OperatorError> {
    let clock = Clock::system();
    let config = configuration(args)?;
    let source = Source::of(args.source.as_deref(), &config)?;
    let alerts = alerts(args, clock.now())?;
    let (files, problems) = policy::check(&args.policies);
    for problem in &problems {
        eprintln!("paramedic explain: {problem}");
    }
    let offline = !args.policies.is_empty() && !args.live;
    let (set, live) = if offline {
        (in_force(files), None)
    } else {
        let cluster = args.cluster.connect().await?;
        let policies = if args.live { files } else { live::policies(&cluster).await? };
        (in_force(policies), Some(live::Scenery::of(cluster, &config, clock.clone()).await?))
    };
    let mut reports = Vec::new();
    for alert in &alerts {
        let mut answers = answers(alert, &source, &set, live.as_ref(), &config, clock.now()).await;
        let unanswered = || Answer::Nothing { why: "it was not looked at".to_owned() };
        reports.push(Report::of(alert, &source.name, set.iter().map(AsRef::as_ref), |policy| {
            answers.remove(&policy.reference.uid).unwrap_or_else(unanswered)
        }));
    }
    let texts = |wide| reports.iter().map(|report| text::of(report, args.all_policies, wide)).collect::<Vec<_>>();
    args.output.print(&reports, |wide| texts(wide).join("\n"))?;
    Ok(if problems.is_empty() { OK } else { PROBLEMS })
}

fn configuration(args: &Args) -> Result<Config, OperatorError> {
    let mut config = match &args.config {
        None => Config { namespace: args.cluster.paramedic_namespace.clone(), ..Config::default() },
        Some(file) => config::load(Some(file), &BTreeMap::new(), &Overrides::default())
            .map_err(|error| OperatorError::Usage(error.to_string()))?,
    };
    // As the server adds it for itself.
    config.protected_namespaces.insert(config.namespace.clone());
    Ok(config)
}

fn alerts(args: &Args, now: Timestamp) -> Result<Vec<Alert>, OperatorError> {
    let name = args.file.display();
    let text = if args.file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&args.file)
    };
    let text = text.map_err(|error| OperatorError::Usage(format!("{name} cannot be read: {error}")))?;
    input::alerts(&text, now).map_err(|error| OperatorError::Usage(format!("{name}: {error}")))
}

/// Those that can be in force together; says which cannot.
fn in_force(policies: Vec<Policy>) -> PolicySet {
    let (set, rejected) = PolicySet::build(policies);
    for (reference, problem) in rejected {
        eprintln!("paramedic explain: policy {reference} is not in force: {problem}");
    }
    set
}

/// The source that an alert is taken to come from.
struct Source {
    name: String,
    namespaces: Vec<String>,
}

impl Source {
    fn of(name: Option<&str>, config: &Config) -> Result<Self, OperatorError> {
        let known = || config.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match (name, &config.sources[..]) {
            (None, []) => None,
            (None, [only]) => Some(only),
            (None, _) => {
                return Err(OperatorError::Usage(format!(
                    "the configuration has several sources; say with --source which of {} sent the alert",
                    known()
                )));
            }
            // Without a configuration a source is no more than a name: that of the records it made.
            (Some(name), []) => {
                return Ok(Self { name: name.to_owned(), namespaces: vec![ALL_NAMESPACES.to_owned()] });
            }
            (Some(name), sources) => {
                let Some(source) = sources.iter().find(|source| source.name == name) else {
                    let message = format!("the configuration has no source `{name}`; it has {}", known());
                    return Err(OperatorError::Usage(message));
                };
                Some(source)
            }
        };
        Ok(found.map_or_else(
            || Self { name: UNAUTHENTICATED.to_owned(), namespaces: vec![ALL_NAMESPACES.to_owned()] },
            |source| Self { name: source.name.clone(), namespaces: source.namespaces.clone() },
        ))
    }
}

/// What the engine would do with an alert, by the UID of each policy that matches it.
async fn answers(
    alert: &Alert,
    source: &Source,
    set: &PolicySet,
    live: Option<&live::Scenery>,
    config: &Config,
    now: Timestamp,
) -> BTreeMap<String, Answer> {
    let all = |why: &str| {
        let matching = set.matching(&alert.labels);
        matching.map(|policy| (policy.reference.uid.clone(), Answer::Nothing { why: why.to_owned() })).collect()
    };
    if alert.state == AlertState::Resolved {
        return all("the alert is resolved; that ends records, and begins none");
    }
    let scope = SourceScope { name: &source.name, namespaces: &source.namespaces };
    let rules = Rules {
        own_namespace: &config.namespace,
        open_per_policy: config.engine.open_per_policy,
        delivery: Delivery::Webhook,
    };
    let empty = RecordIndex::default();
    let known = live.map_or(&empty, |live| &live.index);
    let matches = match triage(alert, scope, set, known, rules, now) {
        Decision::OwnAlert => return all("Paramedic raised it itself, and does not answer itself"),
        Decision::Matches(matches) => matches,
    };
    let mut answers: BTreeMap<String, Answer> = all("the policy is disabled");
    // One match a policy, in this order.
    for (policy, matched) in answering(set, &alert.labels).into_iter().zip(matches) {
        answers.insert(policy.reference.uid.clone(), answer(matched, policy, source, live).await);
    }
    answers
}

async fn answer(matched: Match, policy: &Policy, source: &Source, live: Option<&live::Scenery>) -> Answer {
    let nothing = |why: String| Answer::Nothing { why };
    match (matched, live) {
        (Match::OverCap(_), _) => {
            nothing("the policy has as many open records as it may; the sender is told to come again".to_owned())
        }
        (Match::NotPermitted(_), _) => {
            nothing(format!("source {} may not touch any namespace of the policy", source.name))
        }
        (Match::Create(record), None) => Answer::Record { record: ObjectKey::of(record.as_ref()).to_string() },
        (Match::Create(record), Some(live)) => live.decided(&record, false, policy).await,
        (Match::Known { key, .. }, live) => match live.and_then(|live| Some((live, live.record(&key)?))) {
            Some((live, record)) => live.known(record, policy).await,
            None => nothing(format!("{key} speaks for it already")),
        },
    }
}
