//! `paramedic serve`: the stages of the start and of the end, in order.

pub mod cluster;
mod policies;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{OK, PROBLEMS, USAGE, stdin};
use crate::{
    audit::{Audit, AuditError, Event},
    clients::{Alertmanager, ClientError, Collector, Endpoint, Monitors, Polling, Prometheus},
    clock::Clock,
    config::{self, Config, ConfigError, Overrides},
    people::http,
    policy::PolicyStore,
    protections::Protections,
    replica::{self, Ended, Parts, Tasks},
    server::{
        self, Bound, Handle, ServerError,
        health::Readiness,
        intake::Intake,
        sources::{Source, SourceError, Sources, warn_of_short_secrets},
        throttle::Throttle,
        tls::{Tls, TlsError},
    },
    telemetry::{
        Metrics, Traces,
        logs::{self, LogError},
        traces,
    },
    yaml::FileProblem,
};

/// Options of `serve`. Each goes before the environment, which goes before the file.
#[derive(Debug, clap::Args)]
#[command(after_long_help = VARIABLES.as_str())]
pub struct Args {
    /// The configuration file. Default: paramedic.yaml, where it is there.
    #[arg(long, value_name = "FILE", env = "PARAMEDIC_CONFIG")]
    config: Option<PathBuf>,
    /// Where the webhook and the health checks are served.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where /metrics is served.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// A file of policies, or a directory of such files; may be given several times.
    #[arg(long, value_name = "FILE|DIR")]
    policies: Vec<PathBuf>,
    /// Take alerts from anybody who can reach the port, even where that is not loopback.
    #[arg(long)]
    allow_unauthenticated: bool,
    /// The cluster to work on. Default: as kubectl finds it, else the pod's service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// End, as at SIGTERM, when standard input does: a pipe that whoever started this holds open.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// Every setting's variable with its default, for `--help`.
static VARIABLES: LazyLock<String> = LazyLock::new(|| {
    let lines = config::settings().into_iter().map(|(path, default)| {
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        format!("  {:<40} {:<28} {default}", config::variable(&path), path.join("."))
    });
    let heading = "Variables, with the setting in the configuration file that each stands for, and its default:\n";
    heading.to_owned() + &lines.collect::<Vec<_>>().join("\n")
});

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing can be logged.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// There is no audit log, and nothing is done without the one that is configured.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// There is no cluster.
    #[error(transparent)]
    Cluster(#[from] cluster::ClusterError),
    /// An Alertmanager or a Prometheus cannot be asked, or a collector told, with these settings.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A credential cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// TLS is configured and cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Policies in files are wrong.
    #[error("policies: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\npolicies: "))]
    Policies(Vec<FileProblem>),
    /// A port cannot be had.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A part of it ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The process cannot have what it needs of the operating system.
    #[error("the operating system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the subcommand; gives the exit code.
pub fn run(args: &Args) -> u8 {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(ServeError::from).and_then(|runtime| {
        let ended = runtime.block_on(serve(args));
        // What still reads a file or parses a body was given its time by the drain.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => OK,
        Err(error) => {
            eprintln!("paramedic serve: {error}");
            if matches!(error, ServeError::Config(_) | ServeError::Logs(_)) { USAGE } else { PROBLEMS }
        }
    }
}

async fn serve(args: &Args) -> Result<(), ServeError> {
    // Taken first, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let abandoned = stdin::closed_if(args.until_stdin_closes);

    let config = Arc::new(configuration(args)?);
    logs::install(&config.log)?;
    tracing::info!(version = crate::VERSION, commit = crate::COMMIT, identity = config.identity, "starting");

    let metrics = Arc::new(Metrics::new());
    let clock = Clock::system();
    let audit = match &config.audit.to {
        Some(to) => Audit::open(to, &config.identity, clock.clone(), Arc::clone(&metrics))?,
        None => Audit::default(),
    };
    let sources = Arc::new(Sources::load(&config.sources)?);
    warn_of_short_secrets(&config.sources);
    let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
    let people_tls = config.api.tls.as_ref().map(|tls| Tls::load_of(PEOPLE_TLS, tls)).transpose()?.map(Arc::new);
    let policies = Arc::new(PolicyStore::new(config.limits.clone()));
    policies::load(&config.policies, &policies, &metrics).map_err(ServeError::Policies)?;
    let intake_port = Bound::intake(&config).await?;
    let metrics_port = Bound::metrics(&config).await?;
    let people_port = Bound::people(&config).await?;
    let found = cluster::find(args.kubeconfig.as_deref()).await?;
    let people = match people_port {
        Some(port) => Some(People { port, nobodys: cluster::nobodys(found.clone(), &metrics)?, tls: people_tls }),
        None => None,
    };
    let clients = cluster::clients(found, &metrics)?;
    // It has tasks of its own: the last of all, as the others tell of spans until they end.
    let mut telling = Tasks::new(CancellationToken::new());
    let traces = start_traces(&config, &clock, &metrics, &mut telling)?;
    let parts = Parts {
        config: Arc::clone(&config),
        clock,
        clients,
        monitors: Arc::new(monitors(&config)?),
        policies,
        metrics,
        audit,
        traces,
        readiness: Readiness::default(),
        protections: Protections::default(),
    };
    let gate = Gate { sources, throttle: Arc::default(), tls };

    let mut tasks = Tasks::new(CancellationToken::new());
    start_watches(&parts, &gate, people.as_ref(), &mut tasks);
    let intake = replica::start(&parts, &mut tasks);
    // The servers end later than the rest: metrics tell of the drain, and requests under way are answered.
    let mut servers = Tasks::new(CancellationToken::new());
    let throttle = Arc::clone(&gate.throttle);
    let mut handles = start_servers(&parts, gate, intake, intake_port, metrics_port, &mut servers);
    if let Some(people) = people {
        handles.people = Some(people.start(&parts, throttle, &mut servers));
    }

    let ended = tokio::select! {
        biased;
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        () = abandoned => None,
        ended = tasks.first_end() => Some(ended),
        ended = servers.first_end() => Some(ended),
        ended = telling.first_end() => Some(ended),
    };

    tracing::info!("shutting down");
    parts.readiness.shut_down();
    tokio::select! {
        biased;
        () = drain(tasks, servers, telling, &handles, config.shutdown_deadline.get()) => {}
        _ = terminate.recv() => tracing::warn!("a second signal: what is under way is cut off"),
        _ = interrupt.recv() => tracing::warn!("a second signal: what is under way is cut off"),
    }
    if let Err(why) = parts.audit.confirm(Event::Stopped).await {
        tracing::warn!(%why, "the audit log does not say that this process ended");
    }
    match ended {
        None => Ok(()),
        Some(ended) => Err(ended.into()),
    }
}

fn configuration(args: &Args) -> Result<Config, ConfigError> {
    let overrides = Overrides {
        listen: args.listen,
        metrics_listen: args.metrics_listen,
        allow_unauthenticated: args.allow_unauthenticated.then_some(true),
        policies: (!args.policies.is_empty()).then(|| args.policies.clone()),
    };
    let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables: BTreeMap<String, String> = std::env::vars_os().filter_map(readable).collect();
    config::load(args.config.as_deref(), &variables, &overrides)
}

/// Who may send alerts.
struct Gate {
    sources: Arc<Sources>,
    throttle: Arc<Throttle>,
    tls: Option<Arc<Tls>>,
}

/// What reading the certificate of the API for people again is called.
const PEOPLE_TLS: &str = "reading the certificate of the API for people again";

/// The API for people.
struct People {
    port: Bound,
    /// Asks the API server without Paramedic's credentials.
    nobodys: Client,
    tls: Option<Arc<Tls>>,
}

impl People {
    /// Serves it; gives the handle that tells it to stop.
    fn start(self, parts: &Parts, throttle: Arc<Throttle>, servers: &mut Tasks) -> Handle<SocketAddr> {
        let Self { port, nobodys, tls } = self;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!("API for people on {scheme}://{}/api/v1", port.address());
        let config = &parts.config;
        let router = http::router(http::Settings {
            reviewer: parts.clients.once.clone(),
            nobodys,
            own_namespace: config.namespace.clone(),
            certificates: config.api.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()),
            throttle,
            metrics: Arc::clone(&parts.metrics),
            clock: parts.clock.clone(),
        });
        let handle = Handle::new();
        servers.try_spawn("server of the API for people", port.serve(router, handle.clone(), tls));
        handle
    }
}

/// Who can be asked about alerts, by the source that they stand for.
pub fn monitors(config: &Config) -> Result<BTreeMap<String, Monitors>, ClientError> {
    let mut by_source: BTreeMap<String, Monitors> = BTreeMap::new();
    for settings in &config.alertmanagers {
        let endpoint = Endpoint::new(&settings.url, settings.timeout.get(), settings.access())?;
        let peer = Alertmanager::new(endpoint, settings.resend_interval.get());
        let source = Source::configured(&config.sources, &settings.source);
        let receivers = settings.receiver.clone().map(|name| vec![name]).or_else(|| source?.receivers);
        let peer = if let Some(receivers) = receivers {
            peer.polled(Polling { receivers, every: settings.poll_interval.get() })
        } else {
            let url = &settings.url;
            tracing::info!(url, "not polled for what its webhooks may lose: set `receiver` to the receiver's name");
            peer
        };
        by_source.entry(settings.source.clone()).or_default().alertmanagers.push(peer);
    }
    for settings in &config.prometheus {
        let endpoint = Endpoint::new(&settings.url, settings.timeout.get(), settings.access())?;
        by_source.entry(settings.source.clone()).or_default().prometheus.push(Prometheus::new(endpoint));
    }
    Ok(by_source)
}

/// Where spans are told of, and what sends them on.
fn start_traces(
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    telling: &mut Tasks,
) -> Result<Traces, ServeError> {
    let Some(collector) = Collector::configured(&config.traces, &config.namespace, &config.identity)? else {
        return Ok(Traces::default());
    };
    tracing::info!(ratio = config.traces.sample_ratio, "traces go to {}", collector.url());
    let (traces, told) = traces::traces(config.traces.sample_ratio, Arc::clone(metrics), clock.clone());
    telling.spawn("traces", collector.run(told, Arc::clone(metrics), telling.stop()));
    Ok(traces)
}

/// What is looked at again and again.
fn start_watches(parts: &Parts, gate: &Gate, people: Option<&People>, tasks: &mut Tasks) {
    let (metrics, stop) = (|| Arc::clone(&parts.metrics), tasks.stop());
    tasks.spawn("credentials", Arc::clone(&gate.sources).watch(metrics(), stop.clone()));
    tasks.spawn("throttle", Arc::clone(&gate.throttle).sweep(metrics(), stop.clone()));
    if let Some(tls) = &gate.tls {
        tasks.spawn("certificate", Arc::clone(tls).watch(metrics(), stop.clone()));
    }
    if let Some(tls) = people.and_then(|people| people.tls.as_ref()) {
        tasks.spawn("certificate of the API for people", Arc::clone(tls).watch(metrics(), stop.clone()));
    }
    let files = parts.config.policies.clone();
    tasks.spawn(
        "policy files",
        policies::watch(files, Arc::clone(&parts.policies), metrics(), parts.audit.clone(), stop.clone()),
    );
    let client = parts.clients.once.clone();
    tasks.spawn("API server", cluster::watch(client, parts.readiness.clone(), metrics(), stop));
}

/// The handles that tell the servers to stop.
struct Handles {
    intake: Handle<SocketAddr>,
    metrics: Handle<SocketAddr>,
    people: Option<Handle<SocketAddr>>,
}

fn start_servers(
    parts: &Parts,
    gate: Gate,
    intake: impl Intake,
    intake_port: Bound,
    metrics_port: Bound,
    servers: &mut Tasks,
) -> Handles {
    let handles = Handles { intake: Handle::new(), metrics: Handle::new(), people: None };
    let scheme = if gate.tls.is_some() { "https" } else { "http" };
    tracing::info!("webhook on {scheme}://{}/webhook, metrics on {}", intake_port.address(), metrics_port.address());
    let router = server::intake_router(
        intake,
        &parts.config,
        gate.sources,
        gate.throttle,
        parts.readiness.clone(),
        Arc::clone(&parts.metrics),
        parts.audit.clone(),
    );
    servers.try_spawn("webhook server", intake_port.serve(router, handles.intake.clone(), gate.tls));
    let router = server::metrics_router(Arc::clone(&parts.metrics), parts.readiness.clone());
    servers.try_spawn("metrics server", metrics_port.serve(router, handles.metrics.clone(), None));
    handles
}

/// How long the last traces may take on their way out: a collector that is down keeps nobody up.
const LAST_TRACES: Duration = Duration::from_secs(2);

/// Ends everything within the deadline: no new requests, those under way and the tasks to their end, metrics, and traces
/// last.
async fn drain(tasks: Tasks, servers: Tasks, telling: Tasks, handles: &Handles, deadline: Duration) {
    let end = tokio::time::Instant::now() + deadline;
    handles.intake.graceful_shutdown(Some(deadline));
    if let Some(people) = &handles.people {
        people.graceful_shutdown(Some(deadline));
    }
    tasks.drain(deadline).await;
    let left = end.saturating_duration_since(tokio::time::Instant::now());
    handles.metrics.graceful_shutdown(Some(left.min(Duration::from_secs(1))));
    servers.drain(left + Duration::from_secs(1)).await;
    let left = end.saturating_duration_since(tokio::time::Instant::now());
    telling.drain(left.min(LAST_TRACES)).await;
}
