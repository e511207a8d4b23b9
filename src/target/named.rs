//! Which object an alert's labels name. Pure.

use crate::{alert::Labels, api::TargetKind};

/// A namespace and a name out of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Whether the name came from an `exported_` label: then it is certainly not the exporter's own.
    pub exported: bool,
}

/// Why labels name no object of the kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// No label for the name.
    #[error("the alert has neither `exported_{0}` nor `{0}` among its labels, so it names no object")]
    NoName(&'static str),
    /// No namespace.
    #[error("the alert has neither `exported_namespace` nor `namespace` among its labels")]
    NoNamespace,
    /// `exported_namespace` is there, so the plain `pod` is the exporter's.
    #[error(
        "the alert's `pod` is its exporter's: the series' own labels are the `exported_` ones, and there is no \
         `exported_pod`"
    )]
    Exporter,
}

/// The object of that kind that the labels name.
///
/// Where Prometheus does not honour a series' own labels, they are renamed: `exported_pod` is the object, `pod` the
/// exporter. So each `exported_` label goes before the plain one; and a plain `pod` beside an `exported_namespace` is
/// the exporter's, as a series with a pod of its own would have had it exported too.
pub fn named(labels: &Labels, kind: TargetKind) -> Result<Named, Unnamed> {
    let label = kind.label();
    let exported_name = labels.get(&format!("exported_{label}"));
    let exported_namespace = labels.get("exported_namespace");
    let name = exported_name.or_else(|| labels.get(label)).ok_or(Unnamed::NoName(label))?;
    if kind == TargetKind::Pod && exported_name.is_none() && exported_namespace.is_some() {
        return Err(Unnamed::Exporter);
    }
    let namespace = exported_namespace.or_else(|| labels.get("namespace")).ok_or(Unnamed::NoNamespace)?;
    Ok(Named { namespace: namespace.to_owned(), name: name.to_owned(), exported: exported_name.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn the_usual_labels_name_the_object() {
        let named = named(&labels(&[("namespace", "shop"), ("pod", "cart-1")]), TargetKind::Pod).unwrap();
        assert_eq!((named.namespace.as_str(), named.name.as_str(), named.exported), ("shop", "cart-1", false));
    }

    #[test]
    fn exported_labels_go_before_the_exporters_own() {
        let alert = labels(&[
            ("namespace", "monitoring"),
            ("pod", "kube-state-metrics-0"),
            ("exported_namespace", "shop"),
            ("exported_pod", "cart-1"),
        ]);
        let named = named(&alert, TargetKind::Pod).unwrap();
        assert_eq!((named.namespace.as_str(), named.name.as_str(), named.exported), ("shop", "cart-1", true));
    }

    #[test]
    fn the_exporters_pod_is_not_taken_where_only_the_namespace_was_renamed() {
        let alert = labels(&[
            ("namespace", "monitoring"),
            ("pod", "kube-state-metrics-0"),
            ("exported_namespace", "shop"),
            ("deployment", "cart"),
        ]);
        assert_eq!(named(&alert, TargetKind::Pod), Err(Unnamed::Exporter));
        let deployment = named(&alert, TargetKind::Deployment).unwrap();
        assert_eq!((deployment.namespace.as_str(), deployment.name.as_str()), ("shop", "cart"));
    }

    #[test]
    fn an_alert_that_names_nothing_is_refused() {
        assert_eq!(named(&labels(&[("namespace", "shop")]), TargetKind::Pod), Err(Unnamed::NoName("pod")));
        assert_eq!(named(&labels(&[("pod", "cart-1")]), TargetKind::Pod), Err(Unnamed::NoNamespace));
        let empty = labels(&[("namespace", ""), ("pod", "cart-1")]);
        assert_eq!(named(&empty, TargetKind::Pod), Err(Unnamed::NoNamespace), "an empty label is an absent one");
    }

    /// Over public alert rules, where they are at hand: what surely has the labels is named, and no exporter is.
    #[test]
    fn public_alert_rules_name_what_their_labels_say() {
        let shared = std::env::var_os("PARAMEDIC_SHARED").map_or_else(|| "../shared".into(), std::path::PathBuf::from);
        let path = shared.join("data/alert-rules.jsonl");
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("{} is absent; nothing was checked", path.display());
            return;
        };
        let kinds = [TargetKind::Pod, TargetKind::Deployment, TargetKind::StatefulSet, TargetKind::DaemonSet];
        let mut named_at_all = 0;
        for line in text.lines() {
            let rule: serde_json::Value = serde_json::from_str(line).unwrap();
            let present: Vec<&str> =
                rule["inferred_labels"].as_array().into_iter().flatten().filter_map(|label| label.as_str()).collect();
            let alert: Labels = present.iter().map(|label| (*label, format!("a-{label}"))).collect();
            for kind in kinds {
                let has = |label: &str| present.contains(&label);
                let exported = format!("exported_{}", kind.label());
                let expected = (has(&exported) || has(kind.label())) && (has("namespace") || has("exported_namespace"));
                match named(&alert, kind) {
                    Ok(found) => {
                        assert!(expected, "{line}");
                        let label = if has(&exported) { exported.as_str() } else { kind.label() };
                        assert_eq!(found.name, format!("a-{label}"), "{line}");
                        named_at_all += 1;
                    }
                    Err(Unnamed::Exporter) => assert!(has("exported_namespace") && !has("exported_pod"), "{line}"),
                    Err(_) => assert!(!expected, "{line}"),
                }
            }
        }
        assert!(text.lines().count() > 1000 && named_at_all > 20, "only {named_at_all}: were the rules read?");
    }
}
