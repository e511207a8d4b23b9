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
    /// Be content where there is no policy at all: without it that is a problem, as a wrong path would never be noticed.
    #[arg(long)]
    allow_empty: bool,
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
    if !problems.is_empty() || !rejected.is_empty() {
        return PROBLEMS;
    }
    if set.is_empty() && !args.allow_empty {
        let paths: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
        println!(
            "{}: no policy in it; in a folder, files that end in .yaml, .yml or .json are read (--allow-empty, if there may be none)",
            paths.join(", ")
        );
        return PROBLEMS;
    }
    eprintln!("{}, no problems", counted(set.len()));
    OK
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
        assert_eq!(run(&Args { paths: vec!["/nowhere/at/all".into()], allow_empty: false }), USAGE);
    }

    #[test]
    fn where_there_is_no_policy_that_is_a_problem_unless_there_may_be_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.txt"), "kind: RemediationPolicy").unwrap();
        for path in [folder.path().to_owned(), "/dev/null".into()] {
            let run = |allow_empty| run(&Args { paths: vec![path.clone()], allow_empty });
            assert_eq!((run(false), run(true)), (PROBLEMS, OK), "{}", path.display());
        }
    }
}
