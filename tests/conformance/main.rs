//! One suite of small programs over raw HTTP, told to the simulated cluster and to a real API server. What a real one
//! answered is committed in `recorded`, so that the simulation is held to it where there is no cluster.
//!
//! `suite` says what a case is and runs it in one place, `talk` is what a case says and hears, `view` and `symbols` make
//! of an answer what can be compared, `recorded` reads and writes the recording, `run` compares. README.md says more.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a case that cannot go on differs")]
#![allow(clippy::disallowed_methods, reason = "a real API server has its own clock")]

mod cases;
mod objects;
mod place;
mod recorded;
mod run;
mod suite;
mod symbols;
mod talk;
mod view;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nobody has installed another one");
    if run::run(cases::all()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
