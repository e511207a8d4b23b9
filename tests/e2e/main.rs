//! The end-to-end stories: Paramedic in a real cluster, from its own image and manifests, seen only from outside.
//!
//! README.md says how to run them. `harness` runs them, `world`, `rig`, `replicas`, `audit` and `gate` are what they
//! reach into, `workloads`, `policies`, `alerts`, `people`, `http_api` and `records` what they are written with, `stories` the stories.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "stories happen in real time")]

mod alertmanager;
mod alerts;
mod audit;
mod gate;
mod gauges;
mod harness;
mod http_api;
mod people;
mod pods;
mod policies;
mod records;
mod replicas;
mod rig;
mod setup;
mod stories;
mod story;
mod wait;
mod workloads;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nobody has installed another one");
    if harness::run(stories::all()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
