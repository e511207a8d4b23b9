//! `paramedic check`

use std::path::PathBuf;

use super::{OK, PROBLEMS, USAGE};
use crate::policy;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of policies, and directories of such files.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

/// Runs the subcommand: one line a problem, as `file:line:column: field: message`; gives the exit code.
pub fn run(args: &Args) -> u8 {
    if let Some(missing) = args.paths.iter().find(|path| !path.exists()) {
        eprintln!("paramedic check: {} does not exist", missing.display());
        return USAGE;
    }
    let (policies, problems) = policy::check(&args.paths);
    for problem in &problems {
        println!("{problem}");
    }
    // Each is right by itself; whether they can be in force together is another question.
    let (set, rejected) = policy::PolicySet::build(policies);
    for (reference, problem) in &rejected {
        println!("{reference}: {problem}");
    }
    if problems.is_empty() && rejected.is_empty() {
        eprintln!("{}, no problems", counted(set.len()));
        OK
    } else {
        PROBLEMS
    }
}

fn counted(policies: usize) -> String {
    if policies == 1 { "1 policy".to_owned() } else { format!("{policies} policies") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_policy_is_one_policy() {
        assert_eq!([0, 1, 2].map(counted), ["0 policies", "1 policy", "2 policies"]);
    }

    #[test]
    fn a_path_that_is_not_there_is_wrong_usage() {
        assert_eq!(run(&Args { paths: vec!["/nowhere/at/all".into()] }), USAGE);
    }
}
