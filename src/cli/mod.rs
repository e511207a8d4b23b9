//! The command line: one file a subcommand.

mod answer;
mod audit;
mod cancel;
mod check;
mod completions;
mod connect;
mod crd;
mod demo;
mod demo_app;
mod exit;
mod explain;
mod leash;
mod openapi;
mod output;
mod pause;
mod rbac;
mod resume;
pub mod serve;
mod status;
mod stdin;
mod why;

use std::{process::ExitCode, sync::LazyLock};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::exit::{OK, PROBLEMS, USAGE};
use crate::api::Decision;

/// Repairs what Alertmanager reports, through the Kubernetes API: within limits, on record, and verified.
#[derive(Debug, Parser)]
#[command(name = "paramedic", version = LONG_VERSION.as_str(), arg_required_else_help = true, after_help = exit::CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes alerts and repairs, until SIGTERM or SIGINT.
    Serve(serve::Args),
    /// Shows Paramedic at work on this machine, in under a minute, without anything else.
    Demo(demo::Args),
    /// Says what is wrong with policies in files, without a cluster.
    Check(check::Args),
    /// Says how it stands: who leads, what is paused, what is being repaired, what was.
    Status(status::Args),
    /// Stops new actions in a namespace, or everywhere, until it is resumed or the time is over.
    Pause(pause::Args),
    /// Takes pauses away.
    Resume(resume::Args),
    /// Ends one remediation.
    Cancel(cancel::Args),
    /// Shows the plan of a remediation that awaits an answer, and approves that very plan.
    Approve(answer::Args),
    /// The same, and denies it.
    Deny(answer::Args),
    /// Says what would be done about an alert, and why: which policies match, what each check says. Changes nothing.
    Explain(explain::Args),
    /// Says why a remediation is where it is: each check, and the input that would have changed it.
    Why(why::Args),
    /// Says whether an audit log is whole.
    Audit(audit::Args),
    /// Prints the custom resource definitions.
    Crd(crd::Args),
    /// Prints the description of the HTTP API for people, as `OpenAPI`.
    Openapi(openapi::Args),
    /// Prints what makes a shell complete this program's arguments.
    Completions(completions::Args),
    /// Prints the rights that policies in files need, and no others.
    Rbac(rbac::Args),
    /// The application that `demo` lets fall ill.
    #[command(hide = true)]
    DemoApp(demo_app::Args),
    /// Runs a program until standard input is closed.
    #[command(hide = true)]
    Leash(leash::Args),
}

static LONG_VERSION: LazyLock<String> = LazyLock::new(|| format!("{} (commit {})", crate::VERSION, crate::COMMIT));

/// The command line; the exit codes are in the help of every subcommand that has nothing else to say there.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|subcommand| {
        let silent = subcommand.get_after_help().is_none() && subcommand.get_after_long_help().is_none();
        if silent { subcommand.after_help(exit::CODES) } else { subcommand }
    })
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    // Before anything else: whatever opens a TLS connection first would otherwise choose for itself, or panic.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("paramedic: a TLS provider was installed before");
    }
    let parsed = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    let code = match parsed.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Pause(args) => pause::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Cancel(args) => cancel::run(&args),
        Command::Approve(args) => answer::run(&args, Decision::Approve),
        Command::Deny(args) => answer::run(&args, Decision::Deny),
        Command::Explain(args) => explain::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Crd(args) => crd::run(&args),
        Command::Openapi(args) => openapi::run(&args),
        Command::Completions(args) => completions::run(&args, command()),
        Command::Rbac(args) => rbac::run(&args),
        Command::Leash(args) => leash::run(&args),
        Command::DemoApp(args) => return demo_app::run(&args),
    };
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_subcommand_says_what_its_exit_codes_mean_or_has_more_to_say() {
        for subcommand in command().get_subcommands() {
            assert!(subcommand.get_after_help().or(subcommand.get_after_long_help()).is_some(), "{subcommand}");
        }
    }

    #[test]
    fn the_version_names_the_commit() {
        assert!(LONG_VERSION.contains("commit"));
    }
}
