//! Starts `demo-app`; see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use demo_app::Options;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    demo_app::start(&Options::parse(), std::future::pending()).await
}
