//! Who sends: a credential identifies a source, and the source bounds what its alerts may lead to.
//!
//! Takes an `Authorization` header; gives the [`Source`]. Only digests of secrets are kept, and every one of them is
//! compared in constant time, so that neither the content nor the length of a secret shows in how long an answer takes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio_util::sync::CancellationToken;

pub use super::secret::warn_of_short_secrets;
use super::secret::{Known, Secret, presented, signature, signed_by};
use crate::{
    config::{HmacConfig, SourceConfig, UNAUTHENTICATED},
    policy::ALL_NAMESPACES,
    telemetry::Metrics,
    triage::SourceScope,
};

/// How often the files are read again. Mounts of Secrets swap symbolic links, which watches of a file miss.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How far the clock of whoever signs may be off, and how long a signed request may be under way.
const OFF: SignedDuration = SignedDuration::from_mins(5);

/// What a credential stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// The namespaces that its alerts may lead to.
    pub namespaces: Vec<String>,
    /// The receivers that it may post as; `None` is all.
    pub receivers: Option<Vec<String>>,
}

impl Source {
    /// The source of that name in the configuration; without any sources that is [`UNAUTHENTICATED`].
    pub fn configured(sources: &[SourceConfig], name: &str) -> Option<Self> {
        if sources.is_empty() && name == UNAUTHENTICATED {
            let (name, namespaces) = (UNAUTHENTICATED.to_owned(), vec![ALL_NAMESPACES.to_owned()]);
            return Some(Self { name, namespaces, receivers: None });
        }
        let found = sources.iter().find(|source| source.name == name)?;
        let SourceConfig { name, namespaces, receivers, .. } = found.clone();
        Some(Self { name, namespaces, receivers })
    }

    /// Whether it may post as this receiver.
    pub fn allows_receiver(&self, receiver: &str) -> bool {
        self.receivers.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == receiver))
    }

    /// What triage needs of it.
    pub fn scope(&self) -> SourceScope<'_> {
        SourceScope { name: &self.name, namespaces: &self.namespaces }
    }
}

/// Why a source's credential cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("source `{name}`: {} cannot be read: {why}; is the Secret mounted there?", file.display())]
    Unreadable {
        /// The source.
        name: String,
        /// The file.
        file: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The file holds nothing.
    #[error("source `{name}`: {} is empty; put its secret there", file.display())]
    Empty {
        /// The source.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// Nobody could tell two sources apart.
    #[error(
        "source `{name}` has the same secret as `{other}`; give each its own, or alerts would be taken for the other's"
    )]
    SameSecret {
        /// The source.
        name: String,
        /// The other.
        other: String,
    },
    /// No token, password or signature is configured; the configuration refuses that before.
    #[error("source `{name}` has no credential; set tokenFile, basicAuth or hmac")]
    NoCredential {
        /// The source.
        name: String,
    },
}

#[derive(Debug)]
struct Entry {
    source: Arc<Source>,
    secret: Secret,
}

/// The sources, and the credentials that hold now.
#[derive(Debug)]
pub struct Sources {
    entries: Vec<Entry>,
    /// Per entry, its secrets.
    accepted: ArcSwap<Vec<Vec<Known>>>,
    /// The source of everything, while none is configured.
    open: Option<Arc<Source>>,
}

impl Sources {
    /// Reads every credential. One that cannot be read, or that two sources share, is an error.
    pub fn load(configured: &[SourceConfig]) -> Result<Self, SourceError> {
        let entries = configured.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let accepted = entries.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if let Some((at, other)) = clash(&accepted) {
            return Err(same_secret(&entries, at, other));
        }
        let open =
            configured.is_empty().then(|| Source::configured(configured, UNAUTHENTICATED)).flatten().map(Arc::new);
        Ok(Self { entries, accepted: ArcSwap::from_pointee(accepted), open })
    }

    /// The source that an `Authorization` header's value stands for. Without configured sources, everybody is
    /// [`UNAUTHENTICATED`].
    pub fn authenticate(&self, authorization: Option<&str>) -> Option<Arc<Source>> {
        if let Some(open) = &self.open {
            return Some(Arc::clone(open));
        }
        let presented = presented(authorization?)?;
        let accepted = self.accepted.load();
        // No early end: the time must not tell which entry was compared last.
        let mut found = u64::MAX;
        for (index, known) in accepted.iter().enumerate() {
            for Known { digest, .. } in known {
                let equal: Choice = digest.ct_eq(&presented);
                found.conditional_assign(&u64::try_from(index).unwrap_or(u64::MAX), equal);
            }
        }
        let entry = usize::try_from(found).ok().and_then(|index| self.entries.get(index))?;
        Some(Arc::clone(&entry.source))
    }

    /// Whether these headers have a signature, so that the body tells who sends.
    pub fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(&entry.secret, Secret::Signs(hmac) if written(hmac, headers).is_some()))
    }

    /// The source that signed this body. A time that is signed too must not be more than [`OFF`] from now.
    pub fn who_signed(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Option<Arc<Source>> {
        let accepted = self.accepted.load();
        let mut found = None;
        for (entry, known) in self.entries.iter().zip(accepted.iter()) {
            let Secret::Signs(hmac) = &entry.secret else { continue };
            let Some(signature) = written(hmac, headers) else { continue };
            let time = match &hmac.timestamp_header {
                None => None,
                Some(header) => match text(headers, header).filter(|time| is_recent(time, now)) {
                    Some(time) => Some(time),
                    None => continue,
                },
            };
            if signed_by(known, &signature, time, body) {
                found = Some(Arc::clone(&entry.source));
            }
        }
        found
    }

    /// Whether nobody has to say who he is.
    pub const fn are_open(&self) -> bool {
        self.open.is_some()
    }

    /// The source of this name: what an Alertmanager that is asked stands for.
    pub fn by_name(&self, name: &str) -> Option<Arc<Source>> {
        let configured = self.entries.iter().map(|entry| &entry.source);
        configured.chain(&self.open).find(|source| source.name == name).cloned()
    }

    /// Reads every file again. A source whose file cannot be read, or whose new secret is another's, keeps its last good
    /// one, and is named in the answer.
    pub fn reload(&self) -> Vec<(Arc<Source>, SourceError)> {
        let before = self.accepted.load_full();
        let mut problems = Vec::new();
        let mut now: Vec<Vec<Known>> = Vec::with_capacity(self.entries.len());
        for (entry, old) in self.entries.iter().zip(before.iter()) {
            now.push(read(entry).unwrap_or_else(|problem| {
                problems.push((Arc::clone(&entry.source), problem));
                old.clone()
            }));
        }
        // The old ones are all different: each round puts one more of them back, so this ends.
        while let Some((at, other)) = clash(&now) {
            let changed = if now[at] == before[at] { other } else { at };
            let unchanged = if changed == at { other } else { at };
            let problem = same_secret(&self.entries, changed, unchanged);
            problems.push((Arc::clone(&self.entries[changed].source), problem));
            now[changed].clone_from(&before[changed]);
        }
        if now != *before {
            self.accepted.store(Arc::new(now));
        }
        problems
    }

    /// Keeps reading the files until `stop`. What fails is counted each time, and logged when it is new.
    pub async fn watch(self: Arc<Self>, metrics: Arc<Metrics>, stop: CancellationToken) {
        let mut said = Vec::new();
        while stop.run_until_cancelled(tokio::time::sleep(RELOAD_EVERY)).await.is_some() {
            let sources = Arc::clone(&self);
            let Ok(problems) = tokio::task::spawn_blocking(move || sources.reload()).await else { continue };
            let mut now = Vec::with_capacity(problems.len());
            for (source, problem) in problems {
                metrics.credentials_reload_failure(&source.name);
                let problem = problem.to_string();
                if !said.contains(&problem) {
                    tracing::error!(source = source.name, "{problem}; the last good credential holds");
                }
                now.push(problem);
            }
            if now.is_empty() && !said.is_empty() {
                tracing::info!("every credential can be read again");
            }
            said = now;
        }
    }
}

fn entry(config: &SourceConfig) -> Result<Entry, SourceError> {
    let secret = match (&config.token_file, &config.basic_auth, &config.hmac) {
        (Some(file), None, None) => Secret::Tokens(file.clone()),
        (None, Some(basic), None) => {
            Secret::Password { username: basic.username.clone(), file: basic.password_file.clone() }
        }
        (None, None, Some(hmac)) => Secret::Signs(hmac.clone()),
        _ => return Err(SourceError::NoCredential { name: config.name.clone() }),
    };
    let source = Source {
        name: config.name.clone(),
        namespaces: config.namespaces.clone(),
        receivers: config.receivers.clone(),
    };
    Ok(Entry { source: Arc::new(source), secret })
}

/// The signature in the headers, where it is one.
fn written(hmac: &HmacConfig, headers: &HeaderMap) -> Option<[u8; 32]> {
    signature(text(headers, &hmac.header)?)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a time in seconds since 1970 is near enough to now to have been written for this request.
fn is_recent(time: &str, now: Timestamp) -> bool {
    let time = time.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.is_some_and(|time| now.duration_since(time).abs() <= OFF)
}

fn read(entry: &Entry) -> Result<Vec<Known>, SourceError> {
    let name = || entry.source.name.clone();
    let file = || entry.secret.file().to_owned();
    let digests = entry.secret.read().map_err(|why| SourceError::Unreadable { name: name(), file: file(), why })?;
    if digests.is_empty() { Err(SourceError::Empty { name: name(), file: file() }) } else { Ok(digests) }
}

/// Two entries that share a digest.
fn clash(accepted: &[Vec<Known>]) -> Option<(usize, usize)> {
    (0..accepted.len()).find_map(|at| {
        let other = (0..at).find(|other| accepted[*other].iter().any(|digest| accepted[at].contains(digest)))?;
        Some((at, other))
    })
}

fn same_secret(entries: &[Entry], at: usize, other: usize) -> SourceError {
    SourceError::SameSecret { name: entries[at].source.name.clone(), other: entries[other].source.name.clone() }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::*;
    use crate::config::BasicAuth;

    struct Files(PathBuf);

    impl Files {
        fn new(story: &str) -> Self {
            let path = std::env::temp_dir().join(format!("paramedic-{story}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn token(name: &str, file: PathBuf) -> SourceConfig {
        SourceConfig {
            name: name.to_owned(),
            token_file: Some(file),
            basic_auth: None,
            hmac: None,
            namespaces: vec!["*".to_owned()],
            receivers: None,
        }
    }

    fn name(sources: &Sources, header: &str) -> Option<String> {
        sources.authenticate(Some(header)).map(|source| source.name.clone())
    }

    #[test]
    fn a_credential_names_its_source() {
        let files = Files::new("names");
        let basic = BasicAuth { username: "am".to_owned(), password_file: files.write("p", "pass:word\n") };
        let sources = Sources::load(&[
            token("one", files.write("a", "alpha\n")),
            token("two", files.write("b", "beta\r\n\ngamma")),
            SourceConfig { token_file: None, basic_auth: Some(basic), ..token("three", PathBuf::new()) },
        ])
        .unwrap();
        assert_eq!(name(&sources, "Bearer alpha").as_deref(), Some("one"));
        assert_eq!(name(&sources, "bearer  beta").as_deref(), Some("two"));
        assert_eq!(name(&sources, "Bearer gamma").as_deref(), Some("two"), "a file may hold several tokens");
        let header = format!("Basic {}", BASE64_STANDARD.encode("am:pass:word"));
        assert_eq!(name(&sources, &header).as_deref(), Some("three"));
        for wrong in ["Bearer ", "Bearer alph", "Bearer alphaa", "Basic alpha", "alpha", "Token alpha", "Basic !", ""] {
            assert_eq!(name(&sources, wrong), None, "{wrong}");
        }
        assert_eq!(sources.authenticate(None), None);
    }

    fn signs(name: &str, file: PathBuf, timestamp_header: Option<&str>) -> SourceConfig {
        let hmac = HmacConfig {
            secret_file: file,
            header: "X-Grafana-Alerting-Signature".to_owned(),
            timestamp_header: timestamp_header.map(str::to_owned),
        };
        SourceConfig { token_file: None, hmac: Some(hmac), ..token(name, PathBuf::new()) }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_signature_names_its_source_and_is_of_that_body_alone() {
        // RFC 4231, test case 2: the key `Jefe`, and what it signs.
        const BODY: &[u8] = b"what do ya want for nothing?";
        const SIGNATURE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let files = Files::new("signatures");
        let sources = Sources::load(&[
            token("one", files.write("a", "alpha")),
            signs("grafana", files.write("b", "another\nJefe\n"), None),
        ])
        .unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let signed = headers(&[("x-grafana-alerting-signature", SIGNATURE)]);
        assert!(sources.may_be_signed(&signed) && !sources.may_be_signed(&HeaderMap::new()));
        assert_eq!(sources.who_signed(&signed, BODY, now).unwrap().name, "grafana");
        assert_eq!(sources.who_signed(&signed, b"what do ya want for something?", now), None);
        assert_eq!(sources.who_signed(&HeaderMap::new(), BODY, now), None);
        for wrong in ["", "5bdc", &SIGNATURE.replace('5', "6"), &"z".repeat(64), &format!("{SIGNATURE}00")] {
            let wrong = headers(&[("x-grafana-alerting-signature", wrong)]);
            assert_eq!(sources.who_signed(&wrong, BODY, now), None, "{wrong:?}");
        }
        assert_eq!(name(&sources, "Bearer Jefe"), None, "what signs is no token");
    }

    #[test]
    fn a_time_that_is_signed_too_bounds_how_long_a_request_holds() {
        let files = Files::new("signed-times");
        let sources = Sources::load(&[signs("grafana", files.write("s", "secret"), Some("X-Time"))]).unwrap();
        // `printf '1767225600:{}' | openssl dgst -sha256 -hmac secret`
        let signature = "469fc208e4c4ff1b70e27994de26437226270539c1ca62645faa2f5752f5f858";
        let of = |time: &str| headers(&[("x-grafana-alerting-signature", signature), ("x-time", time)]);
        let at = |seconds: i64| Timestamp::from_second(1_767_225_600 + seconds).unwrap();
        let who = |headers: &HeaderMap, now| sources.who_signed(headers, b"{}", now).map(|source| source.name.clone());
        assert_eq!(who(&of("1767225600"), at(0)).as_deref(), Some("grafana"));
        assert_eq!(who(&of("1767225600"), at(300)).as_deref(), Some("grafana"));
        assert_eq!(who(&of("1767225600"), at(301)), None, "too old");
        assert_eq!(who(&of("1767225600"), at(-301)), None, "of the future");
        assert_eq!(who(&of("1767225601"), at(0)), None, "another time than was signed");
        assert_eq!(who(&of("soon"), at(0)), None);
        assert_eq!(who(&headers(&[("x-grafana-alerting-signature", signature)]), at(0)), None, "no time");
    }

    #[test]
    fn without_sources_everybody_is_unauthenticated() {
        let sources = Sources::load(&[]).unwrap();
        assert_eq!(sources.authenticate(None).unwrap().name, UNAUTHENTICATED);
        assert!(sources.by_name(UNAUTHENTICATED).is_some());
    }

    #[test]
    fn a_start_without_a_secret_is_refused_with_source_and_file() {
        let files = Files::new("missing");
        let missing = Sources::load(&[token("prod", files.0.join("nothing"))]).unwrap_err().to_string();
        assert!(missing.contains("`prod`") && missing.contains("/nothing"), "{missing}");
        let empty = Sources::load(&[token("prod", files.write("e", " \n\n"))]).unwrap_err().to_string();
        assert!(empty.contains("is empty"), "{empty}");
        let same = [token("a", files.write("a", "alpha")), token("b", files.write("b", "alpha\n"))];
        assert!(Sources::load(&same).unwrap_err().to_string().contains("same secret as `a`"));
    }

    #[test]
    fn a_reload_takes_the_new_and_keeps_the_last_good() {
        let files = Files::new("reload");
        let (a, b) = (files.write("a", "alpha"), files.write("b", "beta"));
        let sources = Sources::load(&[token("a", a.clone()), token("b", b.clone())]).unwrap();

        files.write("a", "aleph\n");
        assert!(sources.reload().is_empty());
        assert_eq!(name(&sources, "Bearer alpha"), None);
        assert_eq!(name(&sources, "Bearer aleph").as_deref(), Some("a"));

        std::fs::remove_file(&a).unwrap();
        assert_eq!(sources.reload().len(), 1);
        assert_eq!(name(&sources, "Bearer aleph").as_deref(), Some("a"), "the last good one holds");

        files.write("a", "beta");
        let problems = sources.reload();
        assert!(problems[0].1.to_string().contains("source `a` has the same secret as `b`"), "{problems:?}");
        assert_eq!(name(&sources, "Bearer beta").as_deref(), Some("b"));

        files.write("b", "aleph");
        assert!(sources.reload().is_empty(), "two sources may swap their secrets");
        assert_eq!(name(&sources, "Bearer beta").as_deref(), Some("a"));
        assert_eq!(name(&sources, "Bearer aleph").as_deref(), Some("b"));
    }
}
