//! `paramedic check`

use std::{collections::BTreeMap, path::PathBuf};

use super::{OK, PROBLEMS, USAGE};
use crate::{
    api::Bounds,
    config::{self, Overrides},
    policy,
};

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of policies, and directories of such files.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// The configuration that they will be under: what they ask beyond its ceilings is a problem.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    let bounds = match &args.config {
        None => Bounds::default(),
        Some(path) => match config::load(Some(path.as_path()), &BTreeMap::new(), &Overrides::default()) {
            Ok(config) => config.limits,
            Err(error) => {
                eprintln!("paramedic check: {error}");
                return USAGE;
            }
        },
    };
    let (policies, problems) = policy::check(&args.paths);
    for problem in &problems {
        println!("{problem}");
    }
    let mut above = 0;
    for policy in &policies {
        for limit in bounds.above(&policy.spec.limits) {
            println!("{}: {limit}", policy.reference);
            above += 1;
        }
    }
    // Each is right by itself; whether they can be in force together is another question.
    let (set, rejected) = policy::PolicySet::build(policies);
    for (reference, problem) in &rejected {
        println!("{reference}: {problem}");
    }
    if !problems.is_empty() || !rejected.is_empty() || above > 0 {
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
        let nowhere = || PathBuf::from("/nowhere/at/all");
        assert_eq!(checked(vec![nowhere()], None, false), USAGE);
        assert_eq!(checked(vec!["policies".into()], Some(nowhere()), false), USAGE);
    }

    #[test]
    fn a_policy_above_the_ceilings_of_the_configuration_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let config = |name: &str, ceilings: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("limits: {{ceilings: {ceilings}}}")).unwrap();
            Some(path)
        };
        let shipped = || vec![PathBuf::from("policies")];
        assert_eq!(checked(shipped(), None, false), OK);
        assert_eq!(checked(shipped(), config("wide.yaml", "{cooldown: 1s}"), false), OK);
        assert_eq!(checked(shipped(), config("narrow.yaml", "{cooldown: 24h}"), false), PROBLEMS);
    }

    #[test]
    fn where_there_is_no_policy_that_is_a_problem_unless_there_may_be_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.txt"), "kind: RemediationPolicy").unwrap();
        for path in [folder.path().to_owned(), "/dev/null".into()] {
            let run = |allow_empty| checked(vec![path.clone()], None, allow_empty);
            assert_eq!((run(false), run(true)), (PROBLEMS, OK), "{}", path.display());
        }
    }

    fn checked(paths: Vec<PathBuf>, config: Option<PathBuf>, allow_empty: bool) -> u8 {
        run(&Args { paths, config, allow_empty })
    }
}
