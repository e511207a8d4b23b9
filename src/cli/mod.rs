//! The command line: one file a subcommand.

mod check;
mod crd;
mod demo;
mod demo_app;
mod leash;
mod rbac;
pub mod serve;
mod stdin;

use std::{process::ExitCode, sync::LazyLock};

use clap::{Parser, Subcommand};

/// All went well.
const OK: u8 = 0;
/// It ran, and what it was asked about has problems; or `serve` ended with an error.
const PROBLEMS: u8 = 1;
/// It could not run as asked: wrong arguments (clap's own code), or a file that cannot be read or written.
const USAGE: u8 = 2;

/// Repairs what Alertmanager reports, through the Kubernetes API: within limits, on record, and verified.
#[derive(Debug, Parser)]
#[command(
    name = "paramedic",
    version = LONG_VERSION.as_str(),
    arg_required_else_help = true,
    after_help = "Exit codes: 0 all went well; 1 problems were found, or the server ended with an error; 2 wrong usage, or \
                  a file that cannot be read or written."
)]
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
    /// Prints the custom resource definitions.
    Crd(crd::Args),
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

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    // Before anything else: whatever opens a TLS connection first would otherwise choose for itself, or panic.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("paramedic: a TLS provider was installed before");
    }
    let code = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Crd(args) => crd::run(&args),
        Command::Rbac(args) => rbac::run(&args),
        Command::Leash(args) => leash::run(&args),
        Command::DemoApp(args) => return demo_app::run(&args),
    };
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_version_names_the_commit() {
        assert!(LONG_VERSION.contains("commit"));
    }
}
