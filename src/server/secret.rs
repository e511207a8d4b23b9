//! Secrets: read from files, and kept as digests alone.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::{HmacConfig, SourceConfig};

/// A secret shorter than this can be guessed; it is taken, with a warning.
const SHORT_SECRET: usize = 16;

/// What is kept of a secret.
pub(super) type SecretDigest = [u8; 32];

/// A secret that holds.
#[derive(Clone)]
pub(super) struct Known {
    /// What tells it from another one.
    pub digest: SecretDigest,
    /// What signatures are checked with, where it signs.
    pub key: Option<Hmac<Sha256>>,
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

/// Where a source's secret comes from.
#[derive(Clone, Debug)]
pub(super) enum Secret {
    Tokens(PathBuf),
    Password { username: String, file: PathBuf },
    Signs(HmacConfig),
}

impl Secret {
    /// The file that holds it.
    pub fn file(&self) -> &Path {
        match self {
            Self::Tokens(file) | Self::Password { file, .. } => file,
            Self::Signs(hmac) => &hmac.secret_file,
        }
    }

    /// Reads the file; gives each secret that it holds, none where it is empty.
    pub fn read(&self) -> io::Result<Vec<Known>> {
        let content = std::fs::read_to_string(self.file())?;
        let lines = content.lines().map(str::trim).filter(|line| !line.is_empty());
        let bare = |digest| Known { digest, key: None };
        Ok(match self {
            Self::Tokens(_) => lines.map(token_digest).map(bare).collect(),
            Self::Signs(_) => lines.map(signing).collect(),
            Self::Password { username, .. } => {
                let password = content.trim_end_matches(['\r', '\n']);
                let digest = (!password.is_empty()).then(|| password_digest(username, password));
                digest.into_iter().map(bare).collect()
            }
        })
    }
}

/// Warns of secrets that are easy to guess. Once, at the start.
pub fn warn_of_short_secrets(configured: &[SourceConfig]) {
    for source in configured {
        let password = source.basic_auth.as_ref().map(|basic| &basic.password_file);
        let signing = source.hmac.as_ref().map(|hmac| &hmac.secret_file);
        let Some(file) = source.token_file.as_ref().or(password).or(signing) else { continue };
        let Ok(content) = std::fs::read_to_string(file) else { continue };
        if content.lines().map(str::trim).any(|secret| !secret.is_empty() && secret.len() < SHORT_SECRET) {
            tracing::warn!(
                source = source.name,
                "its secret is shorter than {SHORT_SECRET} characters and can be guessed; take `openssl rand -hex 32`"
            );
        }
    }
}

fn signing(secret: &str) -> Known {
    let digest = Sha256::new().chain_update(b"hmac\0").chain_update(secret).finalize().into();
    // A key of any length is one.
    Known { digest, key: Hmac::new_from_slice(secret.as_bytes()).ok() }
}

/// Whether one of the secrets signed this: `time`, where one is signed too, and the body.
pub(super) fn signed_by(known: &[Known], signature: &[u8], time: Option<&str>, body: &[u8]) -> bool {
    let mut signed = Choice::from(0);
    for key in known.iter().filter_map(|known| known.key.clone()) {
        let mut mac = key;
        if let Some(time) = time {
            mac.update(time.as_bytes());
            mac.update(b":");
        }
        mac.update(body);
        signed |= mac.finalize().into_bytes().as_slice().ct_eq(signature);
    }
    signed.into()
}

/// A signature as it is written.
pub(super) fn signature(written: &str) -> Option<[u8; 32]> {
    let digits = written.trim().as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn token_digest(token: &str) -> SecretDigest {
    Sha256::new().chain_update(b"bearer\0").chain_update(token).finalize().into()
}

fn password_digest(username: &str, password: &str) -> SecretDigest {
    // A user name has no colon (RFC 7617), so what comes before the first one can only be it.
    Sha256::new()
        .chain_update(b"basic\0")
        .chain_update(username)
        .chain_update(b":")
        .chain_update(password)
        .finalize()
        .into()
}

/// The digest of what a header presents.
pub(super) fn presented(authorization: &str) -> Option<SecretDigest> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(token_digest(rest))
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        Some(password_digest(username, password))
    } else {
        None
    }
}
