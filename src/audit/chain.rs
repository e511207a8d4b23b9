//! Lines that are bound to each other. Pure.
//!
//! A line is one JSON object. Its last member is `hash`: SHA-256, in lower-case hexadecimal digits, of the line's bytes
//! without that member (so of `{"seq":1,…}` for `{"seq":1,…,"hash":"…"}`). Its member `prev` is the hash of the line before
//! it, and `seq` is one more than that line's. The first line has `seq` 1 and a `prev` of zeros. So no line can be changed,
//! removed from between, added or moved without the next one, or itself, showing it. What is cut off at the end only shows
//! where the last hash is known from elsewhere.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Event;

/// What is between a line's other members and its hash, and after it.
const BEFORE: &[u8] = b",\"hash\":\"";
const AFTER: &[u8] = b"\"}";
/// The digits of a hash.
const DIGITS: usize = 64;

/// A line's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 digits of 0 to 9 and a to f, as `hash` and `prev` are written in a line")]
pub struct HashError;

impl Hash {
    /// What the first line of a chain has for its predecessor's.
    pub const NONE: Self = Self([0; 32]);

    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0; 32];
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(HashError),
        };
        if text.len() != DIGITS {
            return Err(HashError);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How far a chain has come: its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the last line; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Position {
    /// Before the first line.
    pub const START: Self = Self { seq: 0, hash: Hash::NONE };
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not a line of an audit log.
    #[error("it is no line of an audit log: {0}")]
    NoLine(String),
    /// What it says is not what it said.
    #[error("it was changed: its bytes have the hash {found}, and it says {said}")]
    Changed {
        /// The hash of its bytes.
        found: Hash,
        /// What it says.
        said: Hash,
    },
    /// It does not follow the line before it.
    #[error(
        "it follows a line with the hash {said}, and the one before it has {before}: lines were removed, added or moved"
    )]
    Gap {
        /// The hash of the line before it.
        before: Hash,
        /// What it says.
        said: Hash,
    },
    /// Its number is not the next one.
    #[error("it is line {said} of its chain where line {expected} is due: lines were removed, added or moved")]
    Number {
        /// The number that is due.
        expected: u64,
        /// What it says.
        said: u64,
    },
    /// It is not the first line of a chain, and what came before is not known.
    #[error(
        "it is line {said} of its chain, and what came before it is not here; give the older files too, or the hash of \
         their last line by --after"
    )]
    NoBeginning {
        /// What it says.
        said: u64,
    },
    /// Another chain begins.
    #[error("another chain begins here; in a log that went to standard output, --restarts allows it at each start")]
    Restart,
}

/// The members that every line has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    seq: u64,
    time: Timestamp,
    replica: &'a str,
    prev: Hash,
    #[serde(flatten)]
    event: &'a Event,
}

/// Those that bind it.
#[derive(Deserialize)]
struct Head {
    seq: u64,
    prev: Hash,
}

impl Position {
    /// The next line of the chain, with its newline, and where the chain is with it.
    pub fn line(self, time: Timestamp, replica: &str, event: &Event) -> Result<(Vec<u8>, Self), serde_json::Error> {
        let seq = self.seq.saturating_add(1);
        let mut line = serde_json::to_vec(&Line { seq, time, replica, prev: self.hash, event })?;
        let hash = Hash::of(&line);
        line.pop();
        line.extend_from_slice(BEFORE);
        line.extend_from_slice(hash.to_string().as_bytes());
        line.extend_from_slice(AFTER);
        line.push(b'\n');
        Ok((line, Self { seq, hash }))
    }
}

/// Checks lines in order.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Where it is; `None` where what came before is not known at all and the first line is believed.
    at: Option<Position>,
    /// Whether the number that is due is known, beside the hash.
    numbered: bool,
    restarts: bool,
    lines: u64,
}

impl Chain {
    /// From the first line on.
    pub const fn whole() -> Self {
        Self { at: Some(Position::START), numbered: true, restarts: false, lines: 0 }
    }

    /// From the line after the one with this hash on.
    pub const fn after(hash: Hash) -> Self {
        Self { at: Some(Position { seq: 0, hash }), numbered: false, restarts: false, lines: 0 }
    }

    /// From the first line that is given on, whichever it is: for the end of a file.
    pub const fn from_anywhere() -> Self {
        Self { at: None, numbered: false, restarts: false, lines: 0 }
    }

    /// Allows a chain to begin anew where it says so, as it does at each start of a process whose log goes to standard
    /// output. What was cut off right before such a beginning cannot be found.
    #[must_use]
    pub const fn with_restarts(self) -> Self {
        Self { restarts: true, ..self }
    }

    /// How many lines were checked.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// The last line; `None` before the first.
    pub fn position(&self) -> Option<Position> {
        self.at.filter(|_| self.lines > 0)
    }

    /// Checks the next line, which is given without its newline.
    pub fn check(&mut self, line: &[u8]) -> Result<(), Broken> {
        let (said, found, head) = read(line)?;
        if said != found {
            return Err(Broken::Changed { found, said });
        }
        let begins = head.seq == 1 && head.prev == Hash::NONE;
        match self.at {
            Some(_) if begins && self.lines > 0 && self.restarts => {}
            Some(_) if begins && self.lines > 0 => return Err(Broken::Restart),
            Some(at) if head.prev != at.hash => {
                let first = self.lines == 0 && at == Position::START;
                let said = head.seq;
                return Err(if first {
                    Broken::NoBeginning { said }
                } else {
                    Broken::Gap { before: at.hash, said: head.prev }
                });
            }
            Some(at) if self.numbered && head.seq != at.seq.saturating_add(1) => {
                return Err(Broken::Number { expected: at.seq.saturating_add(1), said: head.seq });
            }
            _ => {}
        }
        self.at = Some(Position { seq: head.seq, hash: said });
        self.numbered = true;
        self.lines = self.lines.saturating_add(1);
        Ok(())
    }
}

/// What a line says its hash is, what its bytes' is, and how it is bound.
fn read(line: &[u8]) -> Result<(Hash, Hash, Head), Broken> {
    let no_line = |why: &str| Broken::NoLine(why.to_owned());
    let end = BEFORE.len() + DIGITS + AFTER.len();
    let body = line.len().checked_sub(end).filter(|body| *body > 0).ok_or_else(|| no_line("it is too short"))?;
    let (body, tail) = line.split_at(body);
    let said = tail
        .strip_prefix(BEFORE)
        .and_then(|rest| rest.strip_suffix(AFTER))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .ok_or_else(|| no_line("it does not end with its hash"))?;
    let mut whole = body.to_vec();
    whole.push(b'}');
    let found = Hash::of(&whole);
    // A line that was changed need not be JSON any more; that it was changed says more.
    if found != said {
        return Err(Broken::Changed { found, said });
    }
    let head = serde_json::from_slice(&whole).map_err(|error| Broken::NoLine(error.to_string()))?;
    Ok((said, found, head))
}

#[cfg(test)]
mod tests;
