//! Bodies that real senders sent are all read. They are no part of this repository: `PARAMEDIC_SHARED`, or `../shared`,
//! holds them where the project has them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use paramedic::alert::Notification;
use serde_json::Value;

/// Captured from Alertmanager: their fingerprints are those of their labels.
const CAPTURED: [&str; 4] = [
    "ksm_deployment_resolved.json",
    "noaggr_high_pod_memory_firing.json",
    "am_receiver_escaped_route_matcher.json",
    "am_simple_0_24_firing.json",
];

fn payloads() -> Option<PathBuf> {
    let shared = env::var_os("PARAMEDIC_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let payloads = shared.join("data/payloads");
    if !payloads.exists() {
        println!("{} does not exist, nothing is read; PARAMEDIC_SHARED says where it is", payloads.display());
        return None;
    }
    Some(payloads)
}

#[test]
fn every_body_is_read_and_every_alert_in_it() {
    let Some(payloads) = payloads() else { return };
    let mut bodies = 0;
    for entry in fs::read_dir(payloads).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let notification = Notification::parse(&fs::read(&path).unwrap());
        let notification = notification.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!notification.alerts.is_empty(), "{}", path.display());
        for alert in notification.alerts {
            alert.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        bodies += 1;
    }
    assert!(bodies > 0, "there is no body at all");
}

#[test]
fn the_fingerprints_of_captured_bodies_are_those_of_their_labels() {
    let Some(payloads) = payloads() else { return };
    for name in CAPTURED {
        let body = fs::read(payloads.join(name)).unwrap();
        let claimed: Value = serde_json::from_slice(&body).unwrap();
        let notification = Notification::parse(&body).unwrap();
        for (alert, claimed) in notification.alerts.iter().zip(claimed["alerts"].as_array().unwrap()) {
            let alert = alert.as_ref().unwrap();
            assert_eq!(alert.fingerprint.to_string(), claimed["fingerprint"].as_str().unwrap(), "{name}");
        }
    }
}

#[test]
fn an_escaped_receiver_is_read_as_it_is_configured() {
    let Some(payloads) = payloads() else { return };
    let body = fs::read(payloads.join("ksm_deployment_resolved.json")).unwrap();
    assert_eq!(Notification::parse(&body).unwrap().receiver, "web.hook");
}
