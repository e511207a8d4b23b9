//! `paramedic audit`

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::Subcommand;

use super::{OK, PROBLEMS, USAGE};
use crate::audit::{Chain, Hash};

/// Options of `audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Finds the first line of an audit log that was changed, added, moved, or that others were removed before.
    ///
    /// Exit codes: 0 every line follows the one before it; 1 one does not, and which; 2 wrong usage, or a file cannot be
    /// read. Lines that were cut off at the end show only by --last.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The files of one chain, the oldest first; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What came before is not here any more; its last line had this hash.
    #[arg(long, value_name = "HASH")]
    after: Option<Hash>,
    /// The last line must have this hash.
    #[arg(long, value_name = "HASH")]
    last: Option<Hash>,
    /// Of a log that went to standard output: a chain begins at each start. What was cut off right before a beginning
    /// cannot be found.
    #[arg(long)]
    restarts: bool,
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    let Command::Verify(verify) = &args.command;
    match verified(verify) {
        Ok(whole) => {
            println!("{whole}");
            OK
        }
        Err(Found::Broken(what)) => {
            println!("{what}");
            PROBLEMS
        }
        Err(Found::Unreadable(what)) => {
            eprintln!("paramedic audit verify: {what}");
            USAGE
        }
    }
}

/// Why a log is not found to be whole.
enum Found {
    Broken(String),
    Unreadable(String),
}

fn verified(args: &Verify) -> Result<String, Found> {
    let mut chain = args.after.map_or(Chain::whole(), Chain::after);
    if args.restarts {
        chain = chain.with_restarts();
    }
    for file in &args.files {
        verify_file(file, &mut chain)?;
    }
    let Some(position) = chain.position() else {
        return Err(Found::Broken("there is no line in it".to_owned()));
    };
    if let Some(last) = args.last.filter(|last| *last != position.hash) {
        return Err(Found::Broken(format!(
            "its last line has the hash {}, not {last}: lines were cut off at the end, or added",
            position.hash
        )));
    }
    let lines = if chain.lines() == 1 { "1 line".to_owned() } else { format!("{} lines", chain.lines()) };
    Ok(format!(
        "{lines}, each follows the one before it; the last one is {} with the hash {}",
        position.seq, position.hash
    ))
}

fn verify_file(file: &Path, chain: &mut Chain) -> Result<(), Found> {
    let unreadable = |why: io::Error| Found::Unreadable(format!("{}: {why}", file.display()));
    let mut lines: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).map_err(unreadable)?))
    };
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        let broken = |what: &dyn std::fmt::Display| Found::Broken(format!("{}:{number}: {what}", file.display()));
        let Some(whole) = line.strip_suffix(b"\n") else {
            return Err(broken(&"it has no end: its writer was cut off, or is still writing it"));
        };
        chain.check(whole).map_err(|why| broken(&why))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::audit::{Event, Position};

    fn args(files: &[PathBuf]) -> Verify {
        Verify { files: files.to_vec(), after: None, last: None, restarts: false }
    }

    fn verify(args: Verify) -> (u8, String) {
        let said = match verified(&args) {
            Ok(said) | Err(Found::Broken(said) | Found::Unreadable(said)) => said,
        };
        (run(&Args { command: Command::Verify(args) }), said)
    }

    #[test]
    fn rotated_files_are_one_chain_and_the_first_line_that_breaks_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("a.1"), folder.path().join("a"));
        let mut at = Position::START;
        let mut lines = Vec::new();
        for _ in 0..5 {
            let (line, next) = at.line(jiff::Timestamp::UNIX_EPOCH, "one", &Event::LeadershipWon).unwrap();
            lines.push(line);
            at = next;
        }
        fs::write(&old, lines[..3].concat()).unwrap();
        fs::write(&new, lines[3..].concat()).unwrap();

        let (code, said) = verify(args(&[old.clone(), new.clone()]));
        assert_eq!(code, OK);
        assert!(said.starts_with("5 lines, ") && said.ends_with(&at.hash.to_string()), "{said}");
        assert_eq!(verify(Verify { last: Some(at.hash), ..args(&[old.clone(), new.clone()]) }).0, OK);

        let (code, said) = verify(args(std::slice::from_ref(&new)));
        assert!(code == PROBLEMS && said.contains("/a:1: ") && said.contains("--after"), "{said}");
        let (code, said) = verify(Verify { last: Some(at.hash), ..args(std::slice::from_ref(&old)) });
        assert!(code == PROBLEMS && said.contains("cut off"), "{said}");
        let (code, said) = verify(args(&[new.clone(), old.clone()]));
        assert!(code == PROBLEMS && said.contains("/a:1: "), "{said}");

        fs::write(&new, [lines[4].clone(), lines[3].clone()].concat()).unwrap();
        let (code, said) = verify(args(&[old.clone(), new.clone()]));
        assert!(code == PROBLEMS && said.contains("/a:1: it follows"), "{said}");
        fs::write(&new, &lines[3][..20]).unwrap();
        let (code, said) = verify(args(&[old, new]));
        assert!(code == PROBLEMS && said.contains("/a:1: it has no end"), "{said}");
    }

    #[test]
    fn what_cannot_be_read_is_wrong_usage_and_what_is_empty_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "").unwrap();
        assert_eq!(verify(args(&[folder.path().join("missing")])).0, USAGE);
        assert_eq!(verify(args(&[empty])), (PROBLEMS, "there is no line in it".to_owned()));
    }
}
