//! `paramedic leash`: runs another program on a leash, since that one does not know of any: it is killed when standard
//! input is closed.

use std::{
    ffi::OsString,
    process::{Command, Stdio},
    time::Duration,
};

use super::{OK, PROBLEMS, USAGE, stdin};

/// How often the program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Options of `leash`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs the program to its end, or to that of standard input; gives its exit code.
pub fn run(args: &Args) -> u8 {
    let Some((program, arguments)) = args.command.split_first() else { return USAGE };
    let ended = || -> std::io::Result<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).spawn()?;
        let ended = runtime.block_on(async {
            let ending = async {
                loop {
                    if let Some(status) = child.try_wait()? {
                        return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(PROBLEMS));
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            tokio::select! {
                () = stdin::closed() => None,
                ended = ending => Some(ended),
            }
        });
        if let Some(ended) = ended {
            return ended;
        }
        child.kill()?;
        child.wait()?;
        Ok(OK)
    };
    ended().unwrap_or_else(|error| {
        eprintln!("paramedic leash: {error}");
        PROBLEMS
    })
}
