//! Starts `demo-app`; see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use demo_app::{Options, run};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen).await?;
    // With port 0 this line is how a test learns the port.
    println!("demo-app listens on http://{}", listener.local_addr()?);
    run(&options, listener).await
}
