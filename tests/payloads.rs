//! Bodies that real senders sent are all read. They are no part of this repository: `PARAMEDIC_SHARED`, or `../shared`,
//! holds them where the project has them. Where they are missing the tests show as ignored, and why.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Failed, Trial};
use paramedic::alert::Notification;
use serde_json::Value;

/// Captured from Alertmanager: their fingerprints are those of their labels.
const CAPTURED: [&str; 4] = [
    "ksm_deployment_resolved.json",
    "noaggr_high_pod_memory_firing.json",
    "am_receiver_escaped_route_matcher.json",
    "am_simple_0_24_firing.json",
];

type Test = fn(&Path) -> Result<(), Failed>;

const TESTS: [(&str, Test); 3] = [
    ("every_body_is_read_and_every_alert_in_it", every_body_is_read_and_every_alert_in_it),
    (
        "the_fingerprints_of_captured_bodies_are_those_of_their_labels",
        the_fingerprints_of_captured_bodies_are_those_of_their_labels,
    ),
    ("an_escaped_receiver_is_read_as_it_is_configured", an_escaped_receiver_is_read_as_it_is_configured),
];

fn main() -> ExitCode {
    let payloads = payloads();
    let missing = !payloads.exists();
    if missing {
        eprintln!("ignored: {} does not exist; PARAMEDIC_SHARED says where it is", payloads.display());
    }
    let trial = |(name, test): (&str, Test)| {
        let payloads = payloads.clone();
        Trial::test(name, move || test(&payloads)).with_ignored_flag(missing)
    };
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, TESTS.into_iter().map(trial).collect()).exit_code()
}

fn payloads() -> PathBuf {
    let shared = env::var_os("PARAMEDIC_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    shared.join("data/payloads")
}

fn every_body_is_read_and_every_alert_in_it(payloads: &Path) -> Result<(), Failed> {
    let mut bodies = 0;
    for entry in fs::read_dir(payloads)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let in_file = |error: &dyn std::fmt::Display| Failed::from(format!("{}: {error}", path.display()));
        let notification = Notification::parse(&fs::read(&path)?).map_err(|error| in_file(&error))?;
        if notification.alerts.is_empty() {
            return Err(in_file(&"no alerts"));
        }
        for alert in notification.alerts {
            alert.map_err(|error| in_file(&error))?;
        }
        bodies += 1;
    }
    if bodies == 0 { Err("there is no body at all".into()) } else { Ok(()) }
}

fn the_fingerprints_of_captured_bodies_are_those_of_their_labels(payloads: &Path) -> Result<(), Failed> {
    for name in CAPTURED {
        let body = fs::read(payloads.join(name))?;
        let claimed: Value = serde_json::from_slice(&body)?;
        let notification = Notification::parse(&body)?;
        for (alert, claimed) in notification.alerts.iter().zip(claimed["alerts"].as_array().unwrap()) {
            let alert = alert.as_ref().unwrap();
            assert_eq!(alert.fingerprint.to_string(), claimed["fingerprint"].as_str().unwrap(), "{name}");
        }
    }
    Ok(())
}

fn an_escaped_receiver_is_read_as_it_is_configured(payloads: &Path) -> Result<(), Failed> {
    let body = fs::read(payloads.join("ksm_deployment_resolved.json"))?;
    assert_eq!(Notification::parse(&body)?.receiver, "web.hook");
    Ok(())
}
