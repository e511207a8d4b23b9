//! Measures Paramedic from outside, as a process on a real cluster: `make bench`.
//!
//! `load` asks how many alerts a second the webhook takes, `eviction` how long after its alert a pod is evicted, `soak` what
//! becomes of the memory in hours of storms; `server` starts what is measured, `report` says what came of it. Nothing that this program starts outlives it, also
//! on Ctrl-C and on an error: processes end with their guards, and the namespaces it made are deleted.

mod calls;
mod cluster;
mod eviction;
mod load;
mod parse_only;
mod report;
mod server;
mod soak;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Parser;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use report::Report;
use server::{Paramedic, Scratch};

/// Measures a release build of Paramedic, and prints Markdown.
#[derive(Debug, Parser)]
struct Args {
    /// The release build of `paramedic`.
    #[arg(long, value_name = "FILE", default_value = "target/release/paramedic")]
    paramedic: PathBuf,
    /// The cluster. It has the custom resource definitions of k8s/crds; the namespaces bench-paramedic and bench-pods
    /// are made in it, and deleted.
    #[arg(long, value_name = "FILE", required_unless_present = "parse_only")]
    kubeconfig: Option<PathBuf>,
    /// An image with `sleep`, on the cluster's nodes.
    #[arg(long, default_value = "busybox:e2e")]
    image: String,
    /// How many evictions are measured, and as many bare deletions.
    #[arg(long, default_value_t = 100)]
    evictions: usize,
    /// How many seconds each of the three measurements of a rate takes; with 0 no rate is measured.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Instead of all that: storms for so many minutes, and what becomes of the memory.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Write the figures into this file too, between its markers.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Only serve what the webhook is compared with, on this port of loopback.
    #[arg(long, value_name = "PORT", exclusive = true)]
    parse_only: Option<u16>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(port) = args.parse_only {
        return parse_only::serve(port).await;
    }
    // Before anything else: whatever opens a TLS connection first would otherwise panic.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        bail!("a TLS provider was installed before");
    }
    let kubeconfig = args.kubeconfig.as_deref().context("no --kubeconfig")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let client = cluster::connect(kubeconfig).await?;
    let measuring = async {
        Ok(match args.soak {
            Some(minutes) => soak(&args, kubeconfig, &client, minutes).await?.to_string(),
            None => measure(&args, kubeconfig, &client).await?.to_string(),
        })
    };
    let measured = tokio::select! {
        measured = measuring => measured,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
    };
    let cleared = cluster::clear(&client).await;
    let text = measured?;
    cleared?;
    print!("{text}");
    match &args.write {
        Some(file) => report::write(file, if args.soak.is_some() { report::SOAK } else { report::BENCH }, &text),
        None => Ok(()),
    }
}

async fn measure(args: &Args, kubeconfig: &Path, client: &Client) -> anyhow::Result<Report> {
    let mut report = Report::about(client, &args.paramedic).await?;
    cluster::prepare(client).await?;
    let scratch = Scratch::new()?;
    let bodies = if args.seconds > 0 { load::bodies(&scratch)? } else { Vec::new() };
    report.body_bytes = bodies.iter().map(|body| body.bytes).collect();

    let parse_only = server::start_parse_only(&scratch).await?;
    let rates = load::rates(&parse_only.webhook, &bodies, args.seconds, &scratch).await?;
    report.rates.push(("parse only", rates));
    drop(parse_only);

    for (name, set) in load::POLICY_SETS {
        let policies = load::write_policies(&scratch, set)?;
        let paramedic = Paramedic::start(&args.paramedic, kubeconfig, &policies, &scratch).await?;
        report.memory.push((format!("{name}, idle"), paramedic.resident()?));
        let rates = load::rates(&paramedic.webhook, &bodies, args.seconds, &scratch).await?;
        load::confirm(&paramedic, &bodies, &rates).await?;
        report.rates.push((name, rates));
        report.memory.push((format!("{name}, after the load"), paramedic.resident()?));
        paramedic.stop().await?;
    }

    let policies = eviction::write_policy(&scratch)?;
    let paramedic = Paramedic::start(&args.paramedic, kubeconfig, &policies, &scratch).await?;
    paramedic.leads().await?;
    report.latencies = eviction::latencies(client, &paramedic, &args.image, args.evictions).await?;
    report.memory.push((format!("1 policy, after {} evictions", args.evictions), paramedic.resident()?));
    paramedic.stop().await?;
    Ok(report)
}

async fn soak(args: &Args, kubeconfig: &Path, client: &Client, minutes: u64) -> anyhow::Result<report::SoakReport> {
    let about = report::about(client, &args.paramedic).await?;
    cluster::prepare(client).await?;
    let scratch = Scratch::new()?;
    let policies = soak::write_policy(&scratch)?;
    let paramedic = Paramedic::start(&args.paramedic, kubeconfig, &policies, &scratch).await?;
    paramedic.leads().await?;
    let soak = soak::soak(client, &paramedic, &args.image, Duration::from_secs(minutes * 60)).await?;
    paramedic.stop().await?;
    Ok(report::SoakReport { about, soak })
}
