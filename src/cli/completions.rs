//! `paramedic completions`

use std::io::{self, Write};

use clap_complete::Shell;

use super::exit::{OK, USAGE};

/// Options of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "For bash:  paramedic completions bash > ~/.local/share/bash-completion/completions/paramedic
For zsh:   paramedic completions zsh > \"${fpath[1]}/_paramedic\"
For fish:  paramedic completions fish > ~/.config/fish/completions/paramedic.fish")]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for that shell; gives the exit code.
pub fn run(args: &Args, mut command: clap::Command) -> u8 {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "paramedic", &mut script);
    match io::stdout().lock().write_all(&script) {
        Ok(()) => OK,
        Err(error) => {
            eprintln!("paramedic completions: standard output: {error}");
            USAGE
        }
    }
}
