//! `paramedic crd`

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::{OK, USAGE};
use crate::api;

/// Options of `crd`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one file a kind, `paramedic.dev_<plural>.yaml`, into this directory instead of printing.
    #[arg(long, value_name = "DIR", alias = "dir")]
    out: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum CrdError {
    #[error("{name} cannot be written as YAML: {why}")]
    Yaml { name: String, why: serde_saphyr::ser::Error },
    #[error("{}: {why}", path.display())]
    Write { path: PathBuf, why: io::Error },
    #[error("standard output: {0}")]
    Print(io::Error),
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    match write(args) {
        Ok(()) => OK,
        Err(error) => {
            eprintln!("paramedic crd: {error}");
            USAGE
        }
    }
}

fn write(args: &Args) -> Result<(), CrdError> {
    let Some(dir) = &args.out else {
        let mut out = io::stdout().lock();
        for crd in api::crds() {
            write!(out, "---\n{}", yaml(&crd)?).map_err(CrdError::Print)?;
        }
        return Ok(());
    };
    fs::create_dir_all(dir).map_err(|why| CrdError::Write { path: dir.clone(), why })?;
    for crd in api::crds() {
        let path = dir.join(file_name(&crd));
        fs::write(&path, yaml(&crd)?).map_err(|why| CrdError::Write { path, why })?;
    }
    Ok(())
}

/// The name of a kind's file.
fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

fn yaml(crd: &CustomResourceDefinition) -> Result<String, CrdError> {
    let name = || crd.metadata.name.clone().unwrap_or_default();
    let text = serde_saphyr::to_string(crd).map_err(|why| CrdError::Yaml { name: name(), why })?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_types_say() {
        for crd in api::crds() {
            let back: CustomResourceDefinition = serde_saphyr::from_str(&yaml(&crd).unwrap()).unwrap();
            assert_eq!(back, crd, "{}", file_name(&crd));
        }
    }

    #[test]
    fn files_are_named_by_group_and_plural() {
        let names: Vec<String> = api::crds().iter().map(file_name).collect();
        assert!(names.contains(&"paramedic.dev_remediationpolicies.yaml".to_owned()), "{names:?}");
    }
}
