//! `paramedic demo-app`: the application of that name, so that `demo` finds it wherever this binary is.

use std::process::ExitCode;

use super::{PROBLEMS, stdin};

/// Options of `demo-app`: its own, and the leash.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: demo_app::Options,
    /// End, as at SIGTERM, when standard input does: a pipe that whoever started this holds open.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// Runs the application until it is ended; gives its exit code.
pub fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(demo_app::start(&args.options, stdin::closed_if(args.until_stdin_closes)))
    });
    ended.unwrap_or_else(|error| {
        eprintln!("demo-app: {error:#}");
        ExitCode::from(PROBLEMS)
    })
}
