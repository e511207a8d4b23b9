//! The files in k8s/crds are what the types say.

use std::{fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

#[test]
fn the_shipped_crds_are_those_of_the_types() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/crds");
    if !directory.exists() {
        println!("{} does not exist: nothing to compare", directory.display());
        return;
    }
    let mut expected = Vec::new();
    for crd in paramedic::api::crds() {
        let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let text = fs::read_to_string(directory.join(&name))
            .unwrap_or_else(|error| panic!("k8s/crds/{name}: {error}; run `make crds`"));
        let shipped: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
        assert!(shipped == crd, "k8s/crds/{name} is stale; run `make crds`");
        expected.push(name);
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let ours = name.starts_with("paramedic.dev_");
        assert!(!ours || expected.contains(&name), "k8s/crds/{name} is of a kind that is no more; delete it");
    }
}
