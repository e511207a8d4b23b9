//! `paramedic demo`: Paramedic at work on this machine, without anything else. A Kubernetes in memory, the real server, and
//! an application whose memory really grows; the timeline tells what the cluster shows.

mod directory;
mod monitor;
mod processes;
mod scenario;
mod screen;
mod seen;
mod stage;
mod story;
mod summary;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::ValueEnum;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use self::{
    directory::Directory,
    monitor::prometheus::Programs,
    scenario::Scenario,
    screen::{Mood, Screen, Who},
    stage::{Failure, Stage, objects},
};
use super::{OK, PROBLEMS, USAGE};

/// The shipped policy as it is used here, for kubectl.
const POLICY_FILE: &str = "policy.json";
/// The signals that end it, with what a shell says of a process that one of them ended.
const SIGNALS: [(SignalKind, u8); 3] =
    [(SignalKind::hangup(), 129), (SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)];

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is shown.
    #[arg(long, value_enum, default_value_t, value_name = "SCENARIO")]
    scenario: Scenario,
    /// Stay up afterwards, for kubectl and for alerts of one's own, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// With the real prometheus and alertmanager from PATH, for the scenario `leak`.
    #[arg(long)]
    prometheus: bool,
    /// Leave the directory with configurations and logs.
    #[arg(long)]
    keep_files: bool,
}

/// How far it came.
#[derive(Default)]
struct Progress {
    stage: Option<Stage>,
    /// All was shown; only whoever looks at it holds it up.
    shown: bool,
}

/// How it ended.
enum Ending {
    Well,
    Badly(Failure),
    Signalled(u8),
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    let screen = Screen::stdout();
    if args.scenario == Scenario::List {
        list(&screen);
        return OK;
    }
    let programs = match programs(args) {
        Ok(programs) => programs,
        Err(problem) => {
            eprintln!("paramedic demo: {problem}");
            return USAGE;
        }
    };
    let text =
        "a Kubernetes in memory, the real server, and an application that falls ill: all of it local, gone afterwards";
    screen.tell(Who::Demo, Mood::Plain, text);
    let (signals, mut directory, runtime) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("paramedic demo: {error:#}");
            return PROBLEMS;
        }
    };
    let ending = runtime.block_on(perform(args, programs, &screen, directory.path().to_owned(), signals));
    // Nothing writes into the directory any more when it goes.
    runtime.shutdown_timeout(Duration::from_secs(2));
    screen.clear_rows();
    let failed = matches!(ending, Ending::Badly(_));
    if failed || args.keep_files {
        directory.keep();
        screen.text(&format!("configurations and logs are in {}", directory.path().display()));
    }
    match ending {
        Ending::Well => OK,
        Ending::Signalled(code) => code,
        Ending::Badly(failure) => {
            eprintln!("paramedic demo: {failure}");
            PROBLEMS
        }
    }
}

/// The real programs, where they are asked for.
fn programs(args: &Args) -> Result<Option<Programs>, String> {
    match args.scenario {
        _ if !args.prometheus => Ok(None),
        Scenario::Leak => Programs::find().map(Some).map_err(|error| error.to_string()),
        _ => Err("--prometheus goes with --scenario leak: the others play tricks on Alertmanager".to_owned()),
    }
}

/// Signals that are listened for, with their codes.
type Signals = Vec<(Signal, u8)>;

/// The signals first: whatever is there when one comes is taken away.
fn prepare() -> anyhow::Result<(Signals, Directory, Runtime)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the operating system grants no threads")?;
    let signals = {
        let _entered = runtime.enter();
        SIGNALS.into_iter().map(|(kind, code)| Ok((signal(kind)?, code))).collect::<std::io::Result<_>>()?
    };
    Ok((signals, Directory::new()?, runtime))
}

fn list(screen: &Screen) {
    for scenario in Scenario::value_variants() {
        let Some(value) = scenario.to_possible_value() else { continue };
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        screen.verbatim(&format!("{:<18} {help}", value.get_name()));
    }
}

/// Starts the stage, plays, and ends it: also where it is interrupted.
async fn perform(args: &Args, programs: Option<Programs>, screen: &Screen, dir: PathBuf, signals: Signals) -> Ending {
    let mut progress = Progress::default();
    let ending = tokio::select! {
        biased;
        code = signalled(signals) => {
            screen.clear_rows();
            screen.tell(Who::Demo, Mood::Plain, "told to end: everything is taken away");
            Ending::Signalled(code)
        }
        played = play(args, programs, screen, dir, &mut progress) => match played {
            Ok(()) => Ending::Well,
            Err(failure) => Ending::Badly(failure),
        },
    };
    let Progress { stage, shown } = progress;
    if let Some(stage) = stage {
        if matches!(ending, Ending::Badly(_)) {
            let logs: Vec<String> = stage.logs().iter().map(|log| log.display().to_string()).collect();
            screen.tell(Who::Demo, Mood::Bad, format!("that did not go as it should; the logs: {}", logs.join(", ")));
        }
        stage.end().await;
    }
    match ending {
        // What was to be shown was shown; the signal only said that it has been looked at for long enough.
        Ending::Signalled(_) if shown => Ending::Well,
        ending => ending,
    }
}

/// The code of the first signal that comes.
async fn signalled(signals: Signals) -> u8 {
    let waiting = signals.into_iter().map(|(mut signal, code)| {
        Box::pin(async move {
            signal.recv().await;
            code
        })
    });
    futures::future::select_all(waiting).await.0
}

async fn play(
    args: &Args,
    programs: Option<Programs>,
    screen: &Screen,
    dir: PathBuf,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let wanted = args.scenario.wanted(programs)?;
    if let Some(policy) = wanted.objects.last() {
        let text = serde_json::to_string_pretty(policy).map_err(anyhow::Error::from)?;
        let file = dir.join(POLICY_FILE);
        std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if args.scenario != Scenario::CrashLoop {
        let text = format!("policies/restart-leaking-app.yaml, changed to act, and soon: {}", objects::CHANGES);
        screen.tell(Who::Demo, Mood::Plain, text);
    }
    let stage = progress.stage.insert(Stage::start(screen.clone(), dir, wanted).await?);
    args.scenario.play(stage).await?;
    if !args.keep {
        stage.quiet();
    }
    summary::show(stage);
    summary::how_to_go_on(stage, args.scenario, args.keep);
    progress.shown = true;
    if args.keep {
        return Err(stage.last_replica_ends().await);
    }
    Ok(())
}
