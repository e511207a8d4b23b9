//! Starts what is measured, each as a process of its own, and ends it.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::cluster;

/// How long a server may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder for what the processes read and write; gone with this value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("paramedic-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file; gives its path.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// Makes a folder; gives its path.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} was not removed: {error}", self.0.display());
        }
    }
}

/// A process that ends with this value.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).spawn();
        child.map(Self).with_context(|| format!("{} cannot be started", Path::new(&program).display()))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Waits for its end; gives whether it ended well.
    pub async fn end(&mut self) -> anyhow::Result<bool> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.success());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended by itself; either way it is waited for, so that none is left a zombie.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server that only parses.
pub struct ParseOnly {
    /// Where it takes alerts.
    pub webhook: String,
    _process: Process,
}

pub async fn start_parse_only(scratch: &Scratch) -> anyhow::Result<ParseOnly> {
    let port = free_port()?;
    let log = scratch.path("parse-only.log");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--parse-only", &port.to_string()]).stderr(File::create(&log)?);
    let mut process = Process::spawn(&mut command)?;
    let webhook = format!("http://127.0.0.1:{port}/webhook");
    // A GET is refused, which is an answer.
    until(&mut process, &log, async || get(&webhook).await.is_ok()).await?;
    Ok(ParseOnly { webhook, _process: process })
}

/// Paramedic, with `serve` as its users run it: no authentication on loopback, and every setting that nothing here needs
/// to be different at its default.
pub struct Paramedic {
    /// Where it takes alerts.
    pub webhook: String,
    metrics: String,
    process: Process,
    log: PathBuf,
}

impl Paramedic {
    /// Starts it; returns when it is ready.
    pub async fn start(program: &Path, kubeconfig: &Path, policies: &Path, scratch: &Scratch) -> anyhow::Result<Self> {
        let (port, metrics_port) = (free_port()?, free_port()?);
        let config = format!(
            "listen: 127.0.0.1:{port}\nmetricsListen: 127.0.0.1:{metrics_port}\nnamespace: {}\npolicies: ['{}']\n\
             engine: {{maxConcurrent: 1000, openPerPolicy: 10000}}\nlimits: {{storm: {{least: 10000}}}}\n",
            cluster::OWN,
            policies.display()
        );
        let config = scratch.write("paramedic.yaml", &config)?;
        let log = scratch.path("paramedic.log");
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(config).arg("--kubeconfig").arg(kubeconfig);
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("PARAMEDIC_") || name.starts_with("POD_") || name == "RUST_LOG" {
                command.env_remove(&variable);
            }
        }
        command.stderr(File::create(&log)?);
        let mut process = Process::spawn(&mut command)?;
        let ready = format!("http://127.0.0.1:{port}/readyz");
        until(&mut process, &log, async || get(&ready).await.is_ok_and(|(code, _)| code == 200)).await?;
        Ok(Self {
            webhook: format!("http://127.0.0.1:{port}/webhook"),
            metrics: format!("http://127.0.0.1:{metrics_port}/metrics"),
            process,
            log,
        })
    }

    /// Waits until it is the leader.
    pub async fn leads(&self) -> anyhow::Result<()> {
        let end = tokio::time::Instant::now() + PATIENCE * 2;
        while self.metric("paramedic_leader").await?.values().sum::<f64>() < 1.0 {
            if tokio::time::Instant::now() > end {
                bail!("Paramedic does not become the leader:\n{}", tail(&self.log));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The values of a metric, by its labels as they are written.
    pub async fn metric(&self, name: &str) -> anyhow::Result<std::collections::BTreeMap<String, f64>> {
        let (code, text) = get(&self.metrics).await?;
        anyhow::ensure!(code == 200, "/metrics answered {code}");
        let of_name = text.lines().filter_map(|line| line.strip_prefix(name)).filter_map(|line| {
            let (labels, value) = line.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then_some(())?;
            Some((labels.to_owned(), value.parse().ok()?))
        });
        Ok(of_name.collect())
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in its status")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// Ends it as Kubernetes would, so that its Lease is free at once.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let signalled = Command::new("kill").arg(self.process.id().to_string()).status()?;
        anyhow::ensure!(signalled.success(), "Paramedic had ended before:\n{}", tail(&self.log));
        match tokio::time::timeout(PATIENCE, self.process.end()).await {
            Ok(Ok(true)) => Ok(()),
            _ => bail!("Paramedic did not end well:\n{}", tail(&self.log)),
        }
    }
}

async fn until(process: &mut Process, log: &Path, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !ready().await {
        if process.has_ended()? || tokio::time::Instant::now() > end {
            bail!("it does not get ready:\n{}", tail(log));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn get(url: &str) -> reqwest::Result<(u16, String)> {
    let answer = reqwest::get(url).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// The end of a log, for messages.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
