//! The directory of one demonstration: configurations, logs, scratch. It is gone afterwards, unless it is of use.

use std::{io, path::Path};

use tempfile::TempDir;

/// It. Removed when this is dropped, unless it was kept.
#[derive(Debug)]
pub struct Directory {
    held: TempDir,
}

impl Directory {
    /// A new one, where temporary files belong, that only its owner can read.
    pub fn new() -> io::Result<Self> {
        Ok(Self { held: tempfile::Builder::new().prefix("paramedic-demo-").tempdir()? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.held.path()
    }

    /// From here on it stays.
    pub fn keep(&mut self) {
        self.held.disable_cleanup(true);
    }
}
