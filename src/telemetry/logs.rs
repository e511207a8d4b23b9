//! Log lines, as text or JSON, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::config::{Log, LogFormat};

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("log.filter `{filter}`: {why}; write it as RUST_LOG, for example `info,paramedic::server=debug`")]
    Filter {
        /// As written.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something else in this process logs already.
    #[error("logging was set up before")]
    Twice,
}

/// Logs from here on. Refuses a filter that cannot be read, and to be called twice.
pub fn install(log: &Log) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .parse(&log.filter)
        .map_err(|error| LogError::Filter { filter: log.filter.clone(), why: error.to_string() })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let log = Log { filter: "paramedic=loud".to_owned(), ..Log::default() };
        let error = install(&log).unwrap_err().to_string();
        assert!(error.contains("`paramedic=loud`"), "{error}");
    }
}
