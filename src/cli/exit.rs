//! How a command ends: its exit code, and what it says where it could not do what it was asked.

use std::{fmt::Display, future::Future};

pub use crate::people::{OperatorError, asking};

/// All went well.
pub const OK: u8 = 0;
/// It ran, and what it was asked about has problems; or `serve` ended with an error.
pub const PROBLEMS: u8 = 1;
/// It could not run as asked: wrong arguments (clap's own code), or a file that cannot be read or written.
pub const USAGE: u8 = 2;
/// The cluster could not be asked, or refused.
pub const CLUSTER: u8 = 3;

/// All of them, for `--help`.
pub const CODES: &str = "Exit codes:
  0  all went well
  1  it ran, and found problems: a policy is wrong, nobody leads, what was named is not there; or the server ended
     with an error
  2  wrong usage, or a file that cannot be read or written
  3  the cluster could not be asked, or refused; nothing was changed";

impl OperatorError {
    /// The exit code that says the same to a script.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Connect(_)
            | Self::Forbidden { .. }
            | Self::NotInstalled { .. }
            | Self::Unanswered { .. }
            | Self::Refused { .. } => CLUSTER,
            Self::NotSo(_) => PROBLEMS,
            Self::Usage(_) | Self::Print(_) => USAGE,
        }
    }
}

/// Runs an operator's command to its end; says what went wrong, and gives the exit code.
pub fn run(name: &str, command: impl Future<Output = Result<u8, OperatorError>>) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return said(name, &error, CLUSTER),
    };
    match runtime.block_on(command) {
        Ok(code) => code,
        // Whoever reads has had enough, as `head` does.
        Err(OperatorError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => OK,
        Err(error) => {
            let code = error.code();
            said(name, &error, code)
        }
    }
}

fn said(name: &str, error: &impl Display, code: u8) -> u8 {
    eprintln!("paramedic {name}: {error}");
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_help() {
        for code in [OK, PROBLEMS, USAGE, CLUSTER] {
            assert!(CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
