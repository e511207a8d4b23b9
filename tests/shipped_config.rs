//! The configuration that k8s/ ships is one.

use std::{collections::BTreeMap, path::Path};

use paramedic::config::{Overrides, load};

#[test]
fn the_shipped_configuration_is_accepted() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/base/paramedic.yaml");
    let pod = BTreeMap::from([
        ("POD_NAMESPACE".to_owned(), "paramedic".to_owned()),
        ("POD_NAME".to_owned(), "paramedic-0".to_owned()),
        // What Kubernetes adds for the Service that k8s/ ships.
        ("PARAMEDIC_PORT".to_owned(), "tcp://10.0.0.1:8080".to_owned()),
        ("PARAMEDIC_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned()),
    ]);
    let config = load(Some(&file), &pod, &Overrides::default()).unwrap();
    assert_eq!(config.identity, "paramedic-0");
    assert!(!config.sources.is_empty(), "what listens for others asks for a credential");
}

/// What `k8s/components/people` adds to the Deployment's environment.
#[test]
fn the_component_for_people_is_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("k8s/components/people/kustomization.yaml")).unwrap();
    let variable = |line: &str| {
        let (name, value) = line.trim().strip_prefix("value: {name: PARAMEDIC_")?.split_once(", value: ")?;
        Some((format!("PARAMEDIC_{name}"), value.trim_end_matches('}').trim_matches('"').to_owned()))
    };
    let variables: BTreeMap<String, String> = text.lines().filter_map(variable).collect();
    assert_eq!(variables.len(), 3, "{variables:?}");
    let config = load(Some(&root.join("k8s/base/paramedic.yaml")), &variables, &Overrides::default()).unwrap();
    assert_eq!(config.api.listen.map(|listen| listen.port()), Some(8443));
    let tls = config.api.tls.unwrap();
    let mounted = Path::new("/etc/paramedic-secrets/people");
    assert_eq!((tls.cert_file, tls.key_file), (mounted.join("tls.crt"), mounted.join("tls.key")));
}

/// The feature `chaos` lets a test take a protection away: nothing that people run may know how.
#[test]
fn no_build_that_is_shipped_can_take_a_protection_away() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let manifest = text("Cargo.toml");
    let features = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(!features.contains("default"), "no feature is on by itself: {features}");
    for file in ["Dockerfile", ".ci/run", "Makefile", "tests/cluster/image"] {
        for line in text(file).lines().filter(|line| line.contains("--release")) {
            assert!(!line.contains("chaos") && !line.contains("--all-features"), "{file}: {line}");
        }
    }
}

#[test]
fn every_target_that_the_manifest_names_has_its_path_there_for_the_dockerfile_to_make_it() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let targets: Vec<&str> = manifest.split("\n[[").skip(1).map(|from| from.split("\n[").next().unwrap()).collect();
    assert!(targets.len() > 3, "{targets:?}");
    for target in targets {
        assert!(target.lines().any(|line| line.starts_with("path = \"")), "[[{target}");
    }
}
