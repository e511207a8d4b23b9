//! Where lines go: standard output, or a file that is followed when it is moved away.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    chain::{Broken, Chain, Position},
    event::cut,
};

/// So much of the end of a file is checked before the chain goes on; `paramedic audit verify` checks all of it.
const TAIL: u64 = 1 << 20;

/// Why an audit log cannot be gone on with. Nothing is done without it.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened, read or written.
    #[error("audit log {}: {why}; is its folder there, and may this user write to it?", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// Another process writes to it.
    #[error("audit log {}: another process writes to it; give each its own file", .0.display())]
    Locked(PathBuf),
    /// Its end is not what was written.
    #[error(
        "audit log {}, line {line} from where its last {TAIL} bytes begin: {why}. Look at it with `paramedic audit verify`, keep it, and \
         move it away: a new one is begun then", file.display()
    )]
    Broken {
        /// The file.
        file: PathBuf,
        /// Which line of its end, from 1.
        line: usize,
        /// What is wrong.
        why: Broken,
    },
    /// Standard output cannot be written to.
    #[error("the audit log cannot be written to standard output: {0}")]
    Stdout(io::Error),
    /// There is no thread to write it.
    #[error("the audit log has no thread to write it: {0}")]
    Thread(io::Error),
    /// An event makes no line.
    #[error("an event makes no line of the audit log: {0}; this is a bug")]
    Event(#[from] serde_json::Error),
}

/// The end of a file that its writer was cut off in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    pub bytes: u64,
    pub text: String,
}

/// Takes whole lines.
pub(super) enum Sink {
    /// Whatever cannot be read back: standard output, mostly. `torn`: a part of a line may be in it.
    Stream {
        to: Box<dyn Write + Send>,
        torn: bool,
    },
    File(LogFile),
}

impl Sink {
    /// Standard output, to which nothing else of `serve` writes. Not the standard library's: its buffer would write again
    /// what it was told had failed.
    pub fn stdout() -> Result<Self, AuditError> {
        let own = io::stdout().as_fd().try_clone_to_owned().map_err(AuditError::Stdout)?;
        Ok(Self::stream(File::from(own)))
    }

    /// Anything that lines can be written to.
    pub fn stream(to: impl Write + Send + 'static) -> Self {
        Self::Stream { to: Box::new(to), torn: false }
    }

    /// Writes one line; `sync`: and sees to it that a machine that dies now has it. Of a line that cannot be written
    /// nothing is left in a file.
    pub fn write(&mut self, line: &[u8], sync: bool) -> Result<(), AuditError> {
        match self {
            Self::Stream { to, torn } => {
                // What is left of a line that failed is ended first, so that this one is not a part of it.
                let line = if *torn { [b"\n", line].concat() } else { line.to_vec() };
                let mut rest = line.as_slice();
                while !rest.is_empty() {
                    match to.write(rest) {
                        Ok(0) => return Err(AuditError::Stdout(io::ErrorKind::WriteZero.into())),
                        Ok(count) => {
                            rest = &rest[count..];
                            *torn = !rest.is_empty();
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(AuditError::Stdout(error)),
                    }
                }
                to.flush().map_err(AuditError::Stdout)
            }
            Self::File(file) => file.write(line, sync),
        }
    }

    /// Whether lines go into another file from now on, because the one before was moved away or emptied.
    pub fn follow(&mut self) -> Result<bool, AuditError> {
        match self {
            Self::Stream { .. } => Ok(false),
            Self::File(file) => file.follow(),
        }
    }
}

/// A file that only grows.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Where its last whole line ends.
    length: u64,
}

impl LogFile {
    /// Opens a file, or makes it, and finds where its chain is. A last line without its end is taken out.
    pub fn open(path: &Path) -> Result<(Self, Position, Option<Torn>), AuditError> {
        let failed = |why| AuditError::File { file: path.to_owned(), why };
        let mut file = append(path)?;
        if !file.metadata().map_err(failed)?.is_file() {
            let not_a_file = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(failed(not_a_file));
        }
        let (end, torn) = tail(&mut file).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let whole = u64::try_from(end.len()).is_ok_and(|bytes| bytes == length);
        let mut chain = if whole { Chain::whole() } else { Chain::from_anywhere() };
        // What follows a chain that went on from another file, or from one that was emptied, has what came before there.
        if whole && chain.clone().check(first_line(&end)).is_err() {
            chain = Chain::from_anywhere();
        }
        for (index, line) in lines(&end).enumerate() {
            chain.check(line).map_err(|why| AuditError::Broken { file: path.to_owned(), line: index + 1, why })?;
        }
        let position = chain.position().unwrap_or(Position::START);
        Ok((Self { path: path.to_owned(), file, length }, position, torn))
    }

    fn write(&mut self, line: &[u8], sync: bool) -> Result<(), AuditError> {
        let written = self.file.write_all(line).and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => {
                self.length = self.length.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
                Ok(())
            }
            Err(why) => {
                // A part of a line would make the next one part of it.
                let _ = self.file.set_len(self.length);
                Err(AuditError::File { file: self.path.clone(), why })
            }
        }
    }

    fn follow(&mut self) -> Result<bool, AuditError> {
        let failed = |why| AuditError::File { file: self.path.clone(), why };
        let held = self.file.metadata().map_err(failed)?;
        let moved = match fs::metadata(&self.path) {
            Ok(there) => (there.dev(), there.ino()) != (held.dev(), held.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(failed(error)),
        };
        if moved {
            self.file = append(&self.path)?;
            self.length = self.file.metadata().map_err(failed)?.len();
            return Ok(true);
        }
        let emptied = held.len() < self.length;
        self.length = held.len();
        Ok(emptied)
    }
}

/// Opens a file to append to it, alone.
fn append(path: &Path) -> Result<File, AuditError> {
    let failed = |why| AuditError::File { file: path.to_owned(), why };
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    // Names and messages are nobody's business but the operator's.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AuditError::Locked(path.to_owned())),
        Err(TryLockError::Error(why)) => Err(failed(why)),
    }
}

/// The whole lines at the end of a file; what follows the last newline is cut off, and given.
fn tail(file: &mut File) -> io::Result<(Vec<u8>, Option<Torn>)> {
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(begin))?;
    let mut end = Vec::new();
    file.take(TAIL).read_to_end(&mut end)?;
    let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let rest = end.split_off(whole);
    let torn = (!rest.is_empty()).then(|| {
        let mut text = String::from_utf8_lossy(&rest).into_owned();
        cut(&mut text);
        Torn { bytes: u64::try_from(rest.len()).unwrap_or(u64::MAX), text }
    });
    if torn.is_some() {
        file.set_len(begin.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX)))?;
        file.sync_data()?;
    }
    if begin > 0 {
        // The first of them need not be whole.
        let first = end.iter().position(|byte| *byte == b'\n').map_or(end.len(), |newline| newline + 1);
        end.drain(..first);
    }
    Ok((end, torn))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

fn first_line(text: &[u8]) -> &[u8] {
    lines(text).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
