//! The API over HTTP on this machine, for kubectl and curl.
//!
//! Whoever calls must know the token of the kubeconfig, or that of one of the [`People`]: a page in a browser can reach this port too. kubectl sends tokens over TLS
//! only, so each server makes itself a certificate. It can also be away for a while, in either of the ways in which a real one
//! is.

use std::{
    convert::Infallible,
    fs::OpenOptions,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hyper_util::rt::TokioTimer;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{people::People, request, status::Status};

/// How the API is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// Nobody listens: connections are refused.
    Refused,
    /// Every request is answered 503.
    Unavailable,
}

/// The API, served. It ends with the token that it was started with; [`Server::stopped`] waits for that.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    token: String,
    certificate: String,
    tls: RustlsConfig,
    up: Router,
    running: Mutex<Option<Running>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Running {
    handle: Handle<SocketAddr>,
    task: JoinHandle<()>,
}

/// Serves `service` on `listener` until `stop`; connections under way are cut then.
///
/// Refuses a listener that others than this machine can reach.
pub fn serve<S>(service: S, listener: TcpListener, stop: CancellationToken) -> io::Result<Server>
where
    S: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    serve_to(service, People::default(), listener, stop)
}

/// The same, to people with tokens of their own too, each of whom may what they were granted.
pub fn serve_to<S>(service: S, people: People, listener: TcpListener, stop: CancellationToken) -> io::Result<Server>
where
    S: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let message = format!("{address} can be reached from other machines; the simulated API is for this one only");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let token = random_token()?;
    let up = Router::new()
        .fallback_service(service)
        .layer(middleware::from_fn_with_state((token.clone(), people), authenticate));
    let (tls, certificate) = certified(address)?;
    let running = Mutex::new(Some(start(listener, up.clone(), tls.clone(), stop.clone())));
    Ok(Server { address, token, certificate, tls, up, running, stop })
}

impl Server {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What whoever calls must send as a bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The certificate that it proves itself with, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A kubeconfig with which kubectl reaches it.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(self.address, &self.token, &self.certificate)
    }

    /// Takes the API away: connections are cut, watches too. What is held stays.
    pub async fn pause(&self, down: Down) -> io::Result<()> {
        let away =
            |_: Request| async { answer(&Status::new(503, "ServiceUnavailable", "the simulated API server is down")) };
        match down {
            Down::Refused => self.change(None).await,
            Down::Unavailable => self.change(Some(Router::new().fallback(away))).await,
        }
    }

    /// Brings it back, at the same address.
    pub async fn resume(&self) -> io::Result<()> {
        self.change(Some(self.up.clone())).await
    }

    async fn change(&self, to: Option<Router>) -> io::Result<()> {
        let mut running = self.running.lock().await;
        end(running.take()).await;
        if let Some(router) = to
            && !self.stop.is_cancelled()
        {
            let listener = TcpListener::bind(self.address).await?;
            *running = Some(start(listener, router, self.tls.clone(), self.stop.clone()));
        }
        drop(running);
        Ok(())
    }

    /// Waits until it was stopped and no connection is left.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
        end(self.running.lock().await.take()).await;
    }
}

async fn end(running: Option<Running>) {
    let Some(Running { handle, task }) = running else { return };
    handle.shutdown();
    // It panicked or it ended: either way it is over.
    let _ = task.await;
}

fn start(listener: TcpListener, router: Router, tls: RustlsConfig, stop: CancellationToken) -> Running {
    let handle = Handle::new();
    let mut server = axum_server::Server::<SocketAddr>::from_listener(listener).http1_only().handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new());
    let server = server.acceptor(RustlsAcceptor::new(tls));
    let control = handle.clone();
    let task = tokio::spawn(async move {
        let serving = server.serve(router.into_make_service());
        let stopped = async {
            stop.cancelled().await;
            control.shutdown();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            result = serving => if let Err(error) = result {
                tracing::error!(%error, "the simulated API's port ended");
            },
            () = stopped => {}
        }
    });
    Running { handle, task }
}

/// Lets pass who sends the token, who only asks how the server is, and of the others who may.
async fn authenticate(State((token, people)): State<(String, People)>, request: Request, next: Next) -> Response {
    let open = matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz" | "/version");
    let given = bearer(request.headers()).unwrap_or_default();
    if open || bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
        return next.run(request).await;
    }
    let Some(person) = people.with_token(given) else {
        return answer(&Status::new(401, "Unauthorized", "Unauthorized"));
    };
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let permitted = match request::Request::read(request.method().as_str(), path, query) {
        Some(Ok(asked)) => person.permit(&asked),
        // Reviews of oneself are answered for everybody alike, which would be wrong here.
        None | Some(Err(_)) => Err(Status::not_implemented("this path to people with tokens of their own")),
    };
    match permitted {
        Ok(()) => next.run(request).await,
        Err(refusal) => answer(&refusal),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn answer(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, [(header::CONTENT_TYPE, "application/json")], status.to_value().to_string()).into_response()
}

/// A certificate for that address that nobody else trusts, as what TLS needs, and in PEM.
fn certified(address: SocketAddr) -> io::Result<(RustlsConfig, String)> {
    let made = rcgen::generate_simple_self_signed([address.ip().to_string()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(io::Error::other)?;
    Ok((RustlsConfig::from_config(Arc::new(config)), made.cert.pem()))
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0_u8; 24];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| io::Error::other("this machine gives no random numbers"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// A kubeconfig for the API at that address.
pub fn kubeconfig(address: SocketAddr, token: &str, certificate: &str) -> String {
    let name = "paramedic-sim";
    // JSON is YAML, but people look into this file.
    [
        "apiVersion: v1".to_owned(),
        "kind: Config".to_owned(),
        format!("current-context: {name}"),
        format!("clusters:\n- name: {name}\n  cluster:\n    server: https://{address}"),
        format!("    certificate-authority-data: {}", BASE64_STANDARD.encode(certificate)),
        format!("users:\n- name: {name}\n  user:\n    token: {}", json!(token)),
        format!(
            "contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\n    namespace: default\n"
        ),
    ]
    .join("\n")
}

/// Writes a kubeconfig that only its owner can read; a file that is there is replaced.
pub fn write_kubeconfig(path: &Path, kubeconfig: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    match std::fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(kubeconfig.as_bytes())?;
    drop(file);
    std::fs::rename(beside, path)
}

/// Takes a port of this machine: `port`, else one that the system picks.
pub async fn listen(port: Option<u16>) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tower::service_fn;

    use super::*;

    async fn served(stop: CancellationToken) -> Server {
        let service = service_fn(|request: Request| async move { Ok(request.uri().path().to_owned()) });
        serve(service, listen(None).await.unwrap(), stop).unwrap()
    }

    async fn get(server: &Server, path: &str, token: Option<&str>) -> Result<(u16, String), reqwest::Error> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificate = reqwest::Certificate::from_pem(server.certificate().as_bytes())?;
        let client = reqwest::Client::builder().tls_certs_only([certificate]).build()?;
        let mut request = client.get(format!("https://{}{path}", server.address()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    #[tokio::test]
    async fn only_who_knows_the_token_gets_past_the_health() {
        let server = served(CancellationToken::new()).await;
        assert_eq!(get(&server, "/api", Some(server.token())).await.unwrap(), (200, "/api".to_owned()));
        assert_eq!(get(&server, "/api", None).await.unwrap().0, 401);
        assert_eq!(get(&server, "/api", Some("wrong")).await.unwrap().0, 401);
        assert_eq!(get(&server, "/healthz", None).await.unwrap().0, 200);
    }

    #[tokio::test]
    async fn it_can_be_away_in_two_ways_and_comes_back_at_the_same_address() {
        let stop = CancellationToken::new();
        let server = served(stop.clone()).await;
        server.pause(Down::Refused).await.unwrap();
        assert!(get(&server, "/api", None).await.unwrap_err().is_connect());
        server.pause(Down::Unavailable).await.unwrap();
        assert_eq!(get(&server, "/api", Some(server.token())).await.unwrap().0, 503);
        server.resume().await.unwrap();
        assert_eq!(get(&server, "/api", Some(server.token())).await.unwrap().0, 200);
        stop.cancel();
        server.stopped().await;
        assert!(get(&server, "/api", None).await.unwrap_err().is_connect());
    }

    #[tokio::test]
    async fn the_kubeconfig_is_one_and_only_its_owner_reads_it() {
        let folder = std::env::temp_dir().join(format!("paramedic-kubeconfig-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config");
        let text = kubeconfig("127.0.0.1:1".parse().unwrap(), "0123", "certificate");
        write_kubeconfig(&path, &text).unwrap();
        write_kubeconfig(&path, &text).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = kube::config::Kubeconfig::read_from(&path).unwrap();
        assert_eq!(read.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("https://127.0.0.1:1"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let service = service_fn(|_: Request| async { Ok(()) });
        assert!(serve(service, listener, CancellationToken::new()).is_err());
    }
}
