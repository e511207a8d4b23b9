//! An HTTP API that is asked or told: where it is, whom it believes to be there, and how it logs in. Within a time and a
//! length; what its files say holds from the next request on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::BoxFuture;
use reqwest::{
    Certificate, Client, Identity, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use sha2::{Digest, Sha256};

use crate::{
    config::{Access, BasicAuth, ClientCertificate},
    telemetry::{Outage, chain},
};

/// The longest answer that is read: some tens of thousands of alerts.
const LONGEST_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It could not be reached, refused, or answered what is no answer.
    #[error("{url} did not answer: {}", chain(source.as_ref()))]
    NoAnswer {
        /// Who was asked.
        url: String,
        /// Why.
        source: Cause,
    },
    /// It answered that it would not, or could not.
    #[error("{url} answered {status}{}", .said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Refused {
        /// Who was asked.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// What it said.
        said: Option<String>,
    },
    /// A file that the settings name cannot be used.
    #[error("{url}: {} cannot be read: {source}", path.display())]
    File {
        /// Who was to be asked.
        url: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings make no client.
    #[error("{url} cannot be asked with these settings: {}", chain(source.as_ref()))]
    Settings {
        /// Who was to be asked.
        url: String,
        /// Why.
        source: Cause,
    },
}

/// What kept somebody from answering.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An API that is no process of its own: for the simulation. Given what would be asked for by GET, it gives the body of a
/// 200, or why there is none.
pub trait InProcess: Send + Sync {
    /// Answers. Whoever asks bounds the time.
    fn get(&self, url: Url) -> BoxFuture<'_, Result<Vec<u8>, Cause>>;

    /// Takes what is posted. One that nobody posts to refuses it.
    fn post(&self, url: Url, body: Vec<u8>) -> BoxFuture<'_, Result<(), Cause>> {
        let refused = format!("it takes no POST of {} bytes to {url}", body.len());
        Box::pin(async move { Err(refused.into()) })
    }
}

/// One API. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    url: String,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Http(Arc<Http>),
    InProcess { api: Arc<dyn InProcess>, timeout: Duration },
}

struct Http {
    access: Access,
    timeout: Duration,
    loaded: ArcSwap<Loaded>,
    outage: Outage,
}

/// A client, and a digest of the files that it was made of.
struct Loaded {
    client: Client,
    of: [u8; 32],
}

/// What the files say.
#[derive(Default)]
struct Files {
    authority: Option<Vec<u8>>,
    certificate: Option<(Vec<u8>, Vec<u8>)>,
    secret: Option<Vec<u8>>,
    headers: Option<Vec<u8>>,
}

impl Endpoint {
    /// The API at this URL, with the prefix of its routes if it has one.
    ///
    /// `timeout` bounds each request. Every file that `access` names has to be there now; later each is read again at
    /// every request, and where what it says cannot be used, the last good one holds.
    pub fn new(url: &str, timeout: Duration, access: Access) -> Result<Self, ClientError> {
        let url = url.trim_end_matches('/').to_owned();
        let unreadable = |(path, source)| ClientError::File { url: url.clone(), path, source };
        let files = Files::read(&access).map_err(unreadable)?;
        let client =
            files.client(&access, timeout).map_err(|source| ClientError::Settings { url: url.clone(), source })?;
        let loaded = ArcSwap::from_pointee(Loaded { client, of: files.digest() });
        let outage = Outage::of("reading the credentials for what is asked or told by HTTP");
        Ok(Self { url, way: Way::Http(Arc::new(Http { access, timeout, loaded, outage })) })
    }

    /// An API in this process, that goes by this URL.
    pub fn in_process(url: &str, api: Arc<dyn InProcess>, timeout: Duration) -> Self {
        Self { url: url.to_owned(), way: Way::InProcess { api, timeout } }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it answers to a GET of this path with these parameters, whatever the status.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let no_answer = |source| ClientError::NoAnswer { url: self.url.clone(), source };
        let mut url = Url::parse(&format!("{}{path}", self.url)).map_err(|error| no_answer(error.into()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        match &self.way {
            Way::Http(http) => http.get(&self.url, url).await.map_err(no_answer),
            Way::InProcess { api, timeout } => {
                let answer =
                    tokio::time::timeout(*timeout, api.get(url)).await.map_err(|late| no_answer(late.into()))?;
                Ok((StatusCode::OK, answer.map_err(no_answer)?))
            }
        }
    }

    /// Posts this as JSON. An answer that does not say that it went well is an error.
    pub async fn post<T: serde::Serialize + ?Sized>(&self, path: &str, what: &T) -> Result<(), ClientError> {
        let body = serde_json::to_vec(what)
            .map_err(|error| ClientError::NoAnswer { url: self.url.clone(), source: error.into() })?;
        self.send(path, "application/json", body).await.map(drop)
    }

    /// Posts bytes of that type; gives what is answered. An answer that does not say that it went well is an error.
    pub async fn send(&self, path: &str, content_type: &'static str, body: Vec<u8>) -> Result<Vec<u8>, ClientError> {
        let no_answer = |source| ClientError::NoAnswer { url: self.url.clone(), source };
        let url = Url::parse(&format!("{}{path}", self.url)).map_err(|error| no_answer(error.into()))?;
        match &self.way {
            Way::Http(http) => {
                let (status, said) = http.post(&self.url, url, content_type, body).await.map_err(no_answer)?;
                if status.is_success() {
                    return Ok(said);
                }
                let said: String = String::from_utf8_lossy(&said).trim().chars().take(200).collect();
                let said = Some(said).filter(|said| !said.is_empty());
                Err(ClientError::Refused { url: self.url.clone(), status, said })
            }
            Way::InProcess { api, timeout } => {
                let taken =
                    tokio::time::timeout(*timeout, api.post(url, body)).await.map_err(|late| no_answer(late.into()))?;
                taken.map(|()| Vec::new()).map_err(no_answer)
            }
        }
    }

    /// The same as JSON, where the status says that it went well.
    pub async fn json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let (status, body) = self.get(path, query).await?;
        if !status.is_success() {
            return Err(ClientError::Refused { url: self.url.clone(), status, said: None });
        }
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::NoAnswer { url: self.url.clone(), source: error.into() })
    }
}

impl Http {
    async fn get(&self, asked: &str, url: Url) -> Result<(StatusCode, Vec<u8>), Cause> {
        self.reload(asked).await;
        let client = self.loaded.load().client.clone();
        read(client.get(url).send().await?).await
    }

    async fn post(
        &self,
        asked: &str,
        url: Url,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>), Cause> {
        self.reload(asked).await;
        let client = self.loaded.load().client.clone();
        read(client.post(url).header(CONTENT_TYPE, content_type).body(body).send().await?).await
    }

    /// Takes what the files say now. Mounts of Secrets swap symbolic links, so their content is compared, not their times.
    async fn reload(&self, asked: &str) {
        if !self.access.has_files() {
            return;
        }
        let access = self.access.clone();
        let problem = match tokio::task::spawn_blocking(move || Files::read(&access)).await {
            Err(error) => error.to_string(),
            Ok(Err((path, error))) => format!("{}: {error}", path.display()),
            Ok(Ok(files)) if files.digest() == self.loaded.load().of => return self.outage.works(),
            Ok(Ok(files)) => match files.client(&self.access, self.timeout) {
                Err(error) => chain(error.as_ref()),
                Ok(client) => {
                    tracing::info!(url = asked, "its credentials and certificates were read again");
                    self.loaded.store(Arc::new(Loaded { client, of: files.digest() }));
                    return self.outage.works();
                }
            },
        };
        self.outage.failed(&format!("{asked}: {problem}; the last good ones hold"));
    }
}

/// An answer's status and body, which is not longer than it may be.
async fn read(mut answer: reqwest::Response) -> Result<(StatusCode, Vec<u8>), Cause> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(format!("its answer is longer than {LONGEST_ANSWER} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok((answer.status(), body))
}

impl Files {
    fn read(access: &Access) -> Result<Self, (PathBuf, io::Error)> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| (path.to_owned(), error));
        let secret = match &access.basic_auth {
            Some(BasicAuth { password_file, .. }) => Some(password_file),
            None => access.token_file.as_ref(),
        };
        let pair =
            |ClientCertificate { cert_file, key_file }: &ClientCertificate| Ok((read(cert_file)?, read(key_file)?));
        let files = Self {
            authority: access.ca_file.as_deref().map(read).transpose()?,
            certificate: access.client_certificate.as_ref().map(pair).transpose()?,
            secret: secret.map(|path| read(path)).transpose()?,
            headers: access.headers_file.as_deref().map(read).transpose()?,
        };
        if files.secret.as_ref().is_some_and(|secret| secret.trim_ascii().is_empty()) {
            let path = secret.cloned().unwrap_or_default();
            return Err((path, io::Error::new(io::ErrorKind::InvalidData, "it is empty")));
        }
        Ok(files)
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let (certificate, key) = self.certificate.clone().unzip();
        let files = [&self.authority, &certificate, &key, &self.secret, &self.headers];
        for file in files.map(Option::as_ref) {
            let file = file.map_or(&[][..], Vec::as_slice);
            digest.update(file.len().to_be_bytes());
            digest.update(file);
        }
        digest.finalize().into()
    }

    fn client(&self, access: &Access, timeout: Duration) -> Result<Client, Cause> {
        let mut builder = Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = &self.authority {
            let certificates = Certificate::from_pem_bundle(pem)?;
            if certificates.is_empty() {
                return Err("caFile holds no certificate".into());
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let Some((certificate, key)) = &self.certificate {
            builder = builder.identity(Identity::from_pem(&[key.as_slice(), b"\n", certificate].concat())?);
        }
        if access.insecure_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let mut headers = self.headers()?;
        if let Some(secret) = &self.secret {
            let secret = str::from_utf8(secret)?;
            let value = match &access.basic_auth {
                // A newline at a password's end is not part of it; a blank may be.
                Some(BasicAuth { username, .. }) => {
                    let pair = format!("{username}:{}", secret.trim_end_matches(['\r', '\n']));
                    format!("Basic {}", BASE64_STANDARD.encode(pair))
                }
                None => format!("Bearer {}", secret.trim()),
            };
            let mut value = HeaderValue::from_str(&value)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(builder.default_headers(headers).build()?)
    }

    /// What the file of headers says, one a line.
    fn headers(&self) -> Result<HeaderMap, Cause> {
        let Some(text) = &self.headers else { return Ok(HeaderMap::new()) };
        let lines = str::from_utf8(text)?.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let header = |(number, line): (usize, &str)| {
            // What is wrong may be a secret, and is not shown.
            let wrong = || Cause::from(format!("headersFile: line {} is not NAME: VALUE", number + 1));
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok((HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?, value))
        };
        lines.map(header).collect()
    }
}

#[cfg(test)]
mod tests;
