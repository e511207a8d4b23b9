//! The directory of one demonstration: configurations, logs, scratch. It is gone afterwards, unless it is of use.

use std::path::Path;

use anyhow::anyhow;
use tempfile::TempDir;

/// It. Removed when this is dropped, unless it was kept.
#[derive(Debug)]
pub struct Directory {
    held: TempDir,
}

impl Directory {
    /// A new one, where temporary files belong, that only its owner can read.
    pub fn new() -> anyhow::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    fn within(parent: &Path) -> anyhow::Result<Self> {
        let held = tempfile::Builder::new().prefix("paramedic-demo-").tempdir_in(parent);
        // Its own text names a directory that was never there.
        held.map(|held| Self { held }).map_err(|error| {
            let (parent, why) = (parent.display(), std::io::Error::from(error.kind()));
            anyhow!("no directory for its files can be made in {parent}: {why}; set TMPDIR to one with room for them")
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_can_be_none_it_is_said_where_and_what_to_do() {
        let parent = tempfile::tempdir().unwrap();
        let missing = parent.path().join("nowhere");
        let why = Directory::within(&missing).unwrap_err().to_string();
        let said = format!("can be made in {}: ", missing.display());
        assert!(why.contains(&said) && why.contains("TMPDIR") && !why.contains("paramedic-demo-"), "{why}");
        assert!(Directory::within(parent.path()).unwrap().path().is_dir());
    }
}
