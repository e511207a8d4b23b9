//! The environment as a layer of the configuration: `PARAMEDIC_LEADER__RENEW_EVERY` is `leader.renewEvery`.
//!
//! figment's own provider reads the process's environment, which a test cannot set without `unsafe`, and knows no
//! camelCase; this one is given the variables.

use figment::{
    Error, Metadata, Profile, Provider,
    util::nest,
    value::{Dict, Map, Value},
};

use super::Config;

const PREFIX: &str = "PARAMEDIC_";

/// Read by the command line and by the build.
const NOT_SETTINGS: [&str; 2] = ["PARAMEDIC_CONFIG", "PARAMEDIC_COMMIT"];

/// So much alike are a name and one that is meant by it.
const MISSPELT: f64 = 0.85;

/// The variables that are settings.
pub struct EnvLayer(Vec<(String, String)>);

impl EnvLayer {
    /// Picks the settings out of all variables, and what looks like a misspelt one, which is refused when it is read.
    /// What looks like none belongs to somebody else who begins his variables like ours.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let known: Vec<String> = settings().into_iter().map(|(path, _)| path.into_iter().take(1).collect()).collect();
        let ours = |name: &str| {
            let key = key(name);
            let first = key.split('.').next().unwrap_or_default();
            known.iter().any(|field| strsim::jaro_winkler(first, field) > MISSPELT)
        };
        let mut settings: Vec<(String, String)> = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !NOT_SETTINGS.contains(name) && !is_service_link(name))
            .filter(|(name, _)| ours(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        settings.sort();
        Self(settings)
    }
}

impl Provider for EnvLayer {
    fn metadata(&self) -> Metadata {
        Metadata::named("the environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut figment = figment::Figment::new();
        for (name, value) in &self.0 {
            let Ok(value) = value.parse::<Value>();
            if let Some(dict) = nest(&key(name), value).into_dict() {
                figment = figment.merge(figment::providers::Serialized::defaults(dict));
            }
        }
        figment.data()
    }
}

/// Every setting's path and default; those of lists' elements are none of their own.
pub fn settings() -> Vec<(Vec<String>, serde_json::Value)> {
    fn walk(path: &[String], value: serde_json::Value, found: &mut Vec<(Vec<String>, serde_json::Value)>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    walk(&[path, &[name]].concat(), value, found);
                }
            }
            leaf => found.push((path.to_vec(), leaf)),
        }
    }
    let mut found = Vec::new();
    walk(&[], serde_json::to_value(Config::default()).unwrap_or_default(), &mut found);
    found
}

/// The variable of a setting, for messages.
pub fn variable(path: &[String]) -> String {
    let snake = |name: &String| {
        let mut words = String::new();
        for character in name.chars() {
            if character.is_ascii_uppercase() {
                words.push('_');
            }
            words.push(character.to_ascii_uppercase());
        }
        words
    };
    format!("{PREFIX}{}", path.iter().map(snake).collect::<Vec<_>>().join("__"))
}

fn key(variable: &str) -> String {
    let camel = |segment: &str| {
        let mut words = segment.split('_');
        let first = words.next().unwrap_or_default().to_ascii_lowercase();
        words.fold(first, |name, word| {
            let (head, tail) = word.split_at(word.len().min(1));
            name + head + &tail.to_ascii_lowercase()
        })
    };
    let segments = variable.strip_prefix(PREFIX).unwrap_or(variable).split("__");
    segments.map(camel).collect::<Vec<_>>().join(".")
}

/// Kubernetes puts the address of every Service of the namespace into the environment; of one called `paramedic` the
/// variables begin as ours do.
fn is_service_link(name: &str) -> bool {
    let port_of_a_protocol = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|number| number.parse::<u16>().is_ok())
            && words.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.match_indices("_PORT_").any(|(at, word)| port_of_a_protocol(&name[at + word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_fields() {
        assert_eq!(key("PARAMEDIC_LEADER__RENEW_EVERY"), "leader.renewEvery");
        assert_eq!(variable(&["leader".to_owned(), "renewEvery".to_owned()]), "PARAMEDIC_LEADER__RENEW_EVERY");
    }

    #[test]
    fn a_misspelt_variable_is_ours_and_a_strange_one_is_not() {
        let names = ["PARAMEDIC_LISTNE", "PARAMEDIC_LEADER__LEASE", "PARAMEDIC_RIG_CACHE", "PARAMEDIC_CLUSTER_IP"];
        let ours: Vec<String> =
            EnvLayer::of(names.map(|name| (name, ""))).0.into_iter().map(|(name, _)| name).collect();
        assert_eq!(ours, ["PARAMEDIC_LEADER__LEASE", "PARAMEDIC_LISTNE"]);
    }

    #[test]
    fn every_setting_has_a_variable() {
        for (path, _) in settings() {
            assert_eq!(key(&variable(&path)), path.join("."));
        }
    }

    #[test]
    fn the_links_of_a_service_called_paramedic_are_no_settings() {
        let links = [
            "PARAMEDIC_SERVICE_HOST",
            "PARAMEDIC_SERVICE_PORT",
            "PARAMEDIC_SERVICE_PORT_HTTP",
            "PARAMEDIC_PORT",
            "PARAMEDIC_PORT_8080_TCP",
            "PARAMEDIC_PORT_8080_TCP_ADDR",
            "PARAMEDIC_METRICS_PORT_9090_TCP_PROTO",
        ];
        assert!(links.iter().all(|link| is_service_link(link)));
        assert!(!is_service_link("PARAMEDIC_LISTEN"));
        assert!(EnvLayer::of(links.map(|link| (link, "tcp://10.0.0.1:8080"))).0.is_empty());
    }
}
