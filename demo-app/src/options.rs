//! The command line, and the illnesses that it can ask for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::BoolishValueParser;

use crate::burn::{self, BurnError};
use crate::patient::Patient;

/// An application that leaks memory, and falls ill in other ways, on request.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
#[expect(clippy::struct_excessive_bools, reason = "illnesses are independent of each other, and each is a flag")]
pub struct Options {
    /// Address and port to answer on; port 0 takes a free one.
    #[arg(long, env = "DEMO_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Leak memory.
    #[arg(long, env = "DEMO_LEAK", value_parser = BoolishValueParser::new())]
    pub leak: bool,

    /// MiB to leak in a second.
    #[arg(long, env = "DEMO_LEAK_RATE_MIB", default_value_t = 50, value_name = "MIB")]
    pub leak_rate_mib: u32,

    /// MiB after which the leak stops growing, and is held.
    #[arg(long, env = "DEMO_LEAK_LIMIT_MIB", default_value_t = 400, value_name = "MIB")]
    pub leak_limit_mib: u32,

    /// Answer nothing, probes included.
    #[arg(long, env = "DEMO_HANG", value_parser = BoolishValueParser::new())]
    pub hang: bool,

    /// Let the readiness probe fail.
    #[arg(long, env = "DEMO_FAIL_READINESS", value_parser = BoolishValueParser::new())]
    pub fail_readiness: bool,

    /// Let the liveness probe fail.
    #[arg(long, env = "DEMO_FAIL_LIVENESS", value_parser = BoolishValueParser::new())]
    pub fail_liveness: bool,

    /// Keep this many threads busy.
    #[arg(long, env = "DEMO_BURN_THREADS", default_value_t = 0, value_name = "N")]
    pub burn_threads: usize,

    /// Seconds for which the threads are kept busy.
    #[arg(long, env = "DEMO_BURN_SECONDS", default_value_t = burn::DEFAULT_SECONDS, value_name = "SECONDS")]
    pub burn_seconds: u64,

    /// End with this code.
    #[arg(long, env = "DEMO_EXIT_CODE", value_name = "CODE")]
    pub exit_code: Option<u8>,

    /// A directory of its own, as a pod's emptyDir is: `POST /corrupt` breaks it.
    #[arg(long, env = "DEMO_SCRATCH", value_name = "DIR")]
    pub scratch: Option<PathBuf>,

    /// Seconds after the start at which the illnesses of the other flags set in.
    #[arg(long, env = "DEMO_AFTER_SECONDS", default_value_t = 0, value_name = "SECONDS")]
    pub after_seconds: u64,
}

/// The file in the scratch directory that nothing can be started over.
pub(crate) const BROKEN_FILE: &str = "broken";

impl Options {
    /// The file that makes a start impossible, where it is there.
    pub(crate) fn broken_scratch(&self) -> Option<PathBuf> {
        self.scratch.as_ref().map(|scratch| scratch.join(BROKEN_FILE)).filter(|file| file.exists())
    }

    /// Brings on every illness that the flags name.
    pub(crate) fn apply(&self, patient: &Patient) -> Result<(), BurnError> {
        if self.leak {
            patient.leak().start(None, None);
        }
        if self.fail_readiness {
            patient.set_ready(false);
        }
        if self.fail_liveness {
            patient.set_live(false);
        }
        if self.hang {
            patient.hang(None);
        }
        if let Some(code) = self.exit_code {
            patient.request_exit(code);
        }
        // Last, because it is the only one that can fail.
        if self.burn_threads > 0 {
            patient.burner.start(self.burn_threads, Duration::from_secs(self.burn_seconds))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["demo-app"], arguments].concat()).unwrap()
    }

    #[test]
    fn healthy_unless_told_otherwise() {
        let patient = Patient::new(50, 400);
        parse(&[]).apply(&patient).unwrap();
        let report = patient.report();
        assert!(report.ready && report.live && !report.hung && !report.leak.active);
        assert_eq!(report.burning_threads, 0);
    }

    #[test]
    fn flags_bring_on_what_they_name() {
        let patient = Patient::new(50, 400);
        parse(&["--leak", "--fail-readiness", "--fail-liveness", "--hang"]).apply(&patient).unwrap();
        let report = patient.report();
        assert!(!report.ready && !report.live && report.hung && report.leak.active);
    }

    #[test]
    fn too_many_threads_are_refused() {
        let patient = Patient::new(50, 400);
        assert!(parse(&["--burn-threads", "1000"]).apply(&patient).is_err());
        assert_eq!(patient.report().burning_threads, 0);
    }
}
