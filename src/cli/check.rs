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
    if problems.is_empty() && rejected.is_empty() && above == 0 {
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
        let nowhere = || PathBuf::from("/nowhere/at/all");
        assert_eq!(run(&Args { paths: vec![nowhere()], config: None }), USAGE);
        assert_eq!(run(&Args { paths: vec!["policies".into()], config: Some(nowhere()) }), USAGE);
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
        assert_eq!(run(&Args { paths: shipped(), config: None }), OK);
        assert_eq!(run(&Args { paths: shipped(), config: config("wide.yaml", "{cooldown: 1s}") }), OK);
        assert_eq!(run(&Args { paths: shipped(), config: config("narrow.yaml", "{cooldown: 24h}") }), PROBLEMS);
    }
}
