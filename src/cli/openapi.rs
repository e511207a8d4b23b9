//! `paramedic openapi`

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{OK, USAGE};
use crate::people::http::openapi;

/// Options of `openapi`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write it to this file instead of printing.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    match write(args.out.as_deref()) {
        Ok(()) => OK,
        Err(error) => {
            let place =
                args.out.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
            eprintln!("paramedic openapi: {place}: {error}");
            USAGE
        }
    }
}

fn write(path: Option<&Path>) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&openapi::document()).map_err(io::Error::other)? + "\n";
    match path {
        Some(path) => fs::write(path, text),
        None => io::stdout().lock().write_all(text.as_bytes()),
    }
}
