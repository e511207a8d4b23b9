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
