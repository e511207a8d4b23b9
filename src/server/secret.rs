//! Secrets: read from files, and kept as digests alone.

use std::{
    io,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::config::SourceConfig;

/// A secret shorter than this can be guessed; it is taken, with a warning.
const SHORT_SECRET: usize = 16;

/// What is kept of a secret.
pub(super) type SecretDigest = [u8; 32];

/// Where a source's secret comes from.
#[derive(Clone, Debug)]
pub(super) enum Secret {
    Tokens(PathBuf),
    Password { username: String, file: PathBuf },
}

impl Secret {
    /// The file that holds it.
    pub fn file(&self) -> &Path {
        match self {
            Self::Tokens(file) | Self::Password { file, .. } => file,
        }
    }

    /// Reads the file; gives a digest for each secret that it holds, none where it is empty.
    pub fn read(&self) -> io::Result<Vec<SecretDigest>> {
        let content = std::fs::read_to_string(self.file())?;
        Ok(match self {
            Self::Tokens(_) => {
                content.lines().map(str::trim).filter(|token| !token.is_empty()).map(token_digest).collect()
            }
            Self::Password { username, .. } => {
                let password = content.trim_end_matches(['\r', '\n']);
                let digest = (!password.is_empty()).then(|| password_digest(username, password));
                digest.into_iter().collect()
            }
        })
    }
}

/// Warns of secrets that are easy to guess. Once, at the start.
pub fn warn_of_short_secrets(configured: &[SourceConfig]) {
    for source in configured {
        let password = source.basic_auth.as_ref().map(|basic| &basic.password_file);
        let Some(file) = source.token_file.as_ref().or(password) else { continue };
        let Ok(content) = std::fs::read_to_string(file) else { continue };
        if content.lines().map(str::trim).any(|secret| !secret.is_empty() && secret.len() < SHORT_SECRET) {
            tracing::warn!(
                source = source.name,
                "its secret is shorter than {SHORT_SECRET} characters and can be guessed; take `openssl rand -hex 32`"
            );
        }
    }
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
