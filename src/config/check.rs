//! What single values cannot tell about themselves. Pure.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use axum::http::HeaderName;

use super::{Access, AuditTo, Config, SourceConfig, UNAUTHENTICATED};
use crate::{
    api::{Above, PositiveDuration},
    policy::{are_namespaces, is_namespace},
};

/// Settings that cannot work, alone or together; each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Open to everybody, and nobody said so.
    #[error(
        "listen is {0}, which others can reach, and there are no sources: anybody could trigger repairs. Add `sources`, \
         listen on 127.0.0.1, or say allowUnauthenticated: true (--allow-unauthenticated)"
    )]
    OpenToAll(SocketAddr),
    /// People's tokens in the clear, and nobody said so.
    #[error(
        "api.listen is {0}, which others can reach, and there is no api.tls: people's tokens would go over the network in the \
         clear. Add `api.tls`, listen on 127.0.0.1, or say api.allowPlaintext: true where something before it has TLS"
    )]
    PlaintextTokens(SocketAddr),
    /// TLS, and nowhere to serve it.
    #[error("api.tls is set, but api.listen is not, so that nothing is served; set it, or leave out api.tls")]
    ApiNowhere,
    /// Two sources of one name, or a reserved or empty one.
    #[error("sources[{index}].name: `{name}` {why}")]
    SourceName {
        /// Its place in the list.
        index: usize,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No credential, or two.
    #[error("source `{0}` needs exactly one of tokenFile, basicAuth and hmac")]
    Credential(String),
    /// A header that no request can have.
    #[error("source `{source_name}`: hmac.{field}: `{header}` is no name of a header")]
    Header {
        /// The source.
        source_name: String,
        /// `header` or `timestampHeader`.
        field: &'static str,
        /// What was written.
        header: String,
    },
    /// A list that allows nothing, a name that cannot be, or `*` among others.
    #[error("source `{0}`: namespaces must list namespaces by name, or be [\"*\"] alone")]
    SourceNamespaces(String),
    /// A list that allows nothing.
    #[error("source `{0}`: receivers is empty, so that nothing it sends would be taken; leave it out to allow all")]
    SourceReceivers(String),
    /// An Alertmanager or a Prometheus stands for a source that there is none of.
    #[error("{list}[{index}].source: there is no source `{source_name}`; there are: {known}")]
    NoSuchSource {
        /// The list.
        list: &'static str,
        /// Its place in the list.
        index: usize,
        /// What it names.
        source_name: String,
        /// What there is.
        known: String,
    },
    /// Not an address that can be asked.
    #[error("{list}[{index}].url: `{url}` is not an http or https address")]
    Url {
        /// The list.
        list: &'static str,
        /// Its place in the list.
        index: usize,
        /// What was written.
        url: String,
    },
    /// A receiver whose webhooks would be refused.
    #[error(
        "alertmanagers[{index}].receiver: source `{source_name}` may not post as `{receiver}`; it may as: {allowed}"
    )]
    Receiver {
        /// Its place in the list.
        index: usize,
        /// The receiver.
        receiver: String,
        /// The source that it stands for.
        source_name: String,
        /// What that allows.
        allowed: String,
    },
    /// Two ways to log in.
    #[error("{list}[{index}] has basicAuth and tokenFile; a request can carry one of them")]
    TwoCredentials {
        /// The list.
        list: &'static str,
        /// Its place in the list.
        index: usize,
    },
    /// Not checked, and checked against something.
    #[error("{list}[{index}] has caFile and insecureSkipVerify: true, which never looks at it; leave one of them out")]
    Unverified {
        /// The list.
        list: &'static str,
        /// Its place in the list.
        index: usize,
    },
    /// An action could outlive the Lease.
    #[error(
        "leader: actionTimeout ({action}) + renewEvery ({renew}) must be less than leaseDuration ({lease}), or an action \
         could still be under way when another replica takes over"
    )]
    Lease {
        /// `actionTimeout`
        action: PositiveDuration,
        /// `renewEvery`
        renew: PositiveDuration,
        /// `leaseDuration`
        lease: PositiveDuration,
    },
    /// Records would be gone before their alerts' next episodes could be told from them.
    #[error("engine.retention ({0}) must be at least 1h: an alert that still fires is told from its last record")]
    Retention(PositiveDuration),
    /// A default that no policy could have.
    #[error("limits.defaults is above limits.ceilings: {0}")]
    Defaults(Above),
    /// A schedule that cannot be meant.
    #[error("limits.schedule.{0}")]
    Schedule(String),
    /// Zero where nothing would ever happen.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// No name of a namespace where one is needed.
    #[error(
        "namespace: `{0}` is no name that a namespace can have (lower-case letters, digits and `-`, 63 characters at most), \
         so there can be no Lease in it"
    )]
    OwnNamespace(String),
    /// What would protect nothing.
    #[error(
        "protectedNamespaces: `{0}` is no name that a namespace can have, and would protect none; list each by its name. To \
         keep Paramedic from doing anything anywhere, create a Pause of the scope Cluster"
    )]
    ProtectedNamespace(String),
    /// An address with what does not belong to it.
    #[error("{list}[{index}].url {why}")]
    UrlParts {
        /// The list.
        list: &'static str,
        /// Its place in the list.
        index: usize,
        /// What is too much. Never the address itself: it may hold a password.
        why: &'static str,
    },
    /// Not an address that a collector can have.
    #[error("traces.endpoint {0}")]
    Collector(&'static str),
    /// No ratio.
    #[error("traces.sampleRatio: {0} is no number from 0 to 1")]
    SampleRatio(String),
    /// A name that is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
}

const MIN_RETENTION: Duration = Duration::from_hours(1);

/// Everything that is wrong, in the order of the fields.
pub fn contradictions(config: &Config) -> Vec<Contradiction> {
    let mut found = Vec::new();
    if config.sources.is_empty() && !config.listen.ip().is_loopback() && !config.allow_unauthenticated {
        found.push(Contradiction::OpenToAll(config.listen));
    }
    match (config.api.listen, &config.api.tls) {
        (Some(listen), None) if !listen.ip().is_loopback() && !config.api.allow_plaintext => {
            found.push(Contradiction::PlaintextTokens(listen));
        }
        (None, Some(_)) => found.push(Contradiction::ApiNowhere),
        _ => {}
    }
    sources(&config.sources, &mut found);
    monitors(config, &mut found);
    receivers(config, &mut found);
    let leader = config.leader;
    if leader.action_timeout.get().saturating_add(leader.renew_every.get()) >= leader.lease_duration.get() {
        found.push(Contradiction::Lease {
            action: leader.action_timeout,
            renew: leader.renew_every,
            lease: leader.lease_duration,
        });
    }
    if config.engine.max_concurrent == 0 {
        found.push(Contradiction::Zero("engine.maxConcurrent"));
    }
    if config.engine.open_per_policy == 0 {
        found.push(Contradiction::Zero("engine.openPerPolicy"));
    }
    if config.engine.retention.get() < MIN_RETENTION {
        found.push(Contradiction::Retention(config.engine.retention));
    }
    found.extend(config.limits.contradictions().into_iter().map(Contradiction::Defaults));
    found.extend(config.limits.schedule.problem().map(Contradiction::Schedule));
    if config.namespace.is_empty() {
        found.push(Contradiction::Empty("namespace"));
    } else if !is_namespace(&config.namespace) {
        found.push(Contradiction::OwnNamespace(config.namespace.clone()));
    }
    // Its own is one of them, and was looked at.
    let protected = config.protected_namespaces.iter().filter(|name| **name != config.namespace && !is_namespace(name));
    found.extend(protected.cloned().map(Contradiction::ProtectedNamespace));
    if config.identity.is_empty() {
        found.push(Contradiction::Empty("identity"));
    }
    if let Some(AuditTo::File(file)) = &config.audit.to
        && file.as_os_str().is_empty()
    {
        found.push(Contradiction::Empty("audit.to.file"));
    }
    config.traces.check(&mut found);
    found
}

fn sources(sources: &[SourceConfig], found: &mut Vec<Contradiction>) {
    let mut names = BTreeSet::new();
    for (index, source) in sources.iter().enumerate() {
        let name = source.name.clone();
        let why = if name.is_empty() {
            Some("is no name")
        } else if name == UNAUTHENTICATED {
            Some("is reserved for alerts that nobody vouches for")
        } else if !names.insert(&source.name) {
            Some("is the name of another source already")
        } else {
            None
        };
        if let Some(why) = why {
            found.push(Contradiction::SourceName { index, name: name.clone(), why });
        }
        let credentials = [source.token_file.is_some(), source.basic_auth.is_some(), source.hmac.is_some()];
        if credentials.into_iter().filter(|there| *there).count() != 1 {
            found.push(Contradiction::Credential(name.clone()));
        }
        if let Some(hmac) = &source.hmac {
            let headers = [("header", Some(&hmac.header)), ("timestampHeader", hmac.timestamp_header.as_ref())];
            for (field, header) in headers {
                if let Some(header) = header.filter(|header| HeaderName::from_bytes(header.as_bytes()).is_err()) {
                    let (source_name, header) = (name.clone(), header.clone());
                    found.push(Contradiction::Header { source_name, field, header });
                }
            }
        }
        if !are_namespaces(&source.namespaces) {
            found.push(Contradiction::SourceNamespaces(name.clone()));
        }
        if source.receivers.as_ref().is_some_and(Vec::is_empty) {
            found.push(Contradiction::SourceReceivers(name));
        }
    }
}

fn monitors(config: &Config, found: &mut Vec<Contradiction>) {
    let alertmanagers = config.alertmanagers.iter().enumerate();
    let prometheus = config.prometheus.iter().enumerate();
    let monitors = alertmanagers
        .map(|(index, one)| ("alertmanagers", index, &one.url, &one.source, one.access()))
        .chain(prometheus.map(|(index, one)| ("prometheus", index, &one.url, &one.source, one.access())));
    let mut known: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    if known.is_empty() {
        known.push(UNAUTHENTICATED);
    }
    for (list, index, url, source, with) in monitors {
        let http = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !url.parse().is_ok_and(|url| http(&url)) {
            found.push(Contradiction::Url { list, index, url: url.clone() });
        }
        address(list, index, url, found);
        access(list, index, &with, found);
        if !known.contains(&source.as_str()) {
            let (source_name, known) = (source.clone(), known.join(", "));
            found.push(Contradiction::NoSuchSource { list, index, source_name, known });
        }
    }
}

/// What is read for a receiver may lead to no more than what that one may post.
fn receivers(config: &Config, found: &mut Vec<Contradiction>) {
    for (index, alertmanager) in config.alertmanagers.iter().enumerate() {
        let source = config.sources.iter().find(|source| source.name == alertmanager.source);
        if let Some(allowed) = source.and_then(|source| source.receivers.as_ref())
            && let Some(receiver) = alertmanager.receiver.as_ref().filter(|receiver| !allowed.contains(receiver))
        {
            let (receiver, source_name) = (receiver.clone(), alertmanager.source.clone());
            found.push(Contradiction::Receiver { index, receiver, source_name, allowed: allowed.join(", ") });
        }
    }
}

/// What an address may not have beside a host, a port and the prefix of the routes.
fn address(list: &'static str, index: usize, url: &str, found: &mut Vec<Contradiction>) {
    let Ok(url) = url.parse::<reqwest::Url>() else { return };
    let path = url.path().trim_end_matches('/');
    let why = if !url.username().is_empty() || url.password().is_some() {
        "holds a user or a password, which logs would show; use basicAuth, whose password is in a file"
    } else if url.query().is_some() || url.fragment().is_some() {
        "has a query or a fragment, behind which no route can be asked; leave it off"
    } else if ["/api/v1", "/api/v2", "/api/v1/alerts", "/api/v2/alerts"].iter().any(|route| path.ends_with(route)) {
        "ends in a route of its API, to which Paramedic would add the route again; leave it off"
    } else {
        return;
    };
    found.push(Contradiction::UrlParts { list, index, why });
}

fn access(list: &'static str, index: usize, access: &Access, found: &mut Vec<Contradiction>) {
    if access.basic_auth.is_some() && access.token_file.is_some() {
        found.push(Contradiction::TwoCredentials { list, index });
    }
    if access.ca_file.is_some() && access.insecure_skip_verify {
        found.push(Contradiction::Unverified { list, index });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(yaml: &str) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        contradictions(&config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert_eq!(contradictions(&Config::default()), []);
    }

    #[test]
    fn open_to_all_needs_consent_in_so_many_words() {
        let open = "listen: 0.0.0.0:8080";
        assert!(wrong(open)[0].contains("allowUnauthenticated"), "{:?}", wrong(open));
        assert_eq!(wrong("{listen: '0.0.0.0:8080', allowUnauthenticated: true}"), [""; 0]);
        assert_eq!(wrong("{listen: '0.0.0.0:8080', sources: [{name: a, tokenFile: /t}]}"), [""; 0]);
        assert_eq!(wrong("listen: '[::1]:8080'"), [""; 0]);
    }

    #[test]
    fn peoples_tokens_in_the_clear_need_consent_in_so_many_words() {
        let open = "api: {listen: '0.0.0.0:8443'}";
        assert!(wrong(open)[0].contains("api.allowPlaintext"), "{:?}", wrong(open));
        for good in [
            "api: {listen: '0.0.0.0:8443', allowPlaintext: true}",
            "api: {listen: '0.0.0.0:8443', tls: {certFile: /c, keyFile: /k}}",
            "api: {listen: '127.0.0.1:8443'}",
        ] {
            assert_eq!(wrong(good), [""; 0], "{good}");
        }
        let nowhere = "api: {tls: {certFile: /c, keyFile: /k}}";
        assert!(wrong(nowhere)[0].contains("api.listen is not"), "{:?}", wrong(nowhere));
    }

    #[test]
    fn sources_have_names_of_their_own_and_one_credential_each() {
        let problems = wrong(
            "sources: [{name: a, tokenFile: /t}, {name: a, tokenFile: /u}, {name: b}, {name: unauthenticated, tokenFile: /v},
               {name: c, tokenFile: /w, namespaces: ['*', shop], receivers: []}]",
        );
        assert_eq!(problems.len(), 5, "{problems:#?}");
        assert!(problems[1].contains("`b` needs exactly one"), "{problems:#?}");
    }

    #[test]
    fn an_alertmanager_stands_for_a_source_that_exists() {
        assert_eq!(wrong("alertmanagers: [{url: 'http://am:9093', source: unauthenticated}]"), [""; 0]);
        let problems =
            wrong("{sources: [{name: prod, tokenFile: /t}], alertmanagers: [{url: 'am:9093', source: prd}]}");
        assert!(problems[0].contains("not an http"), "{problems:?}");
        assert!(problems[1].contains("no source `prd`; there are: prod"), "{problems:?}");
        assert_eq!(wrong("prometheus: [{url: 'http://prometheus:9090', source: unauthenticated}]"), [""; 0]);
        let problems = wrong("prometheus: [{url: 'prometheus:9090', source: prod}]");
        assert_eq!(problems[0], "prometheus[0].url: `prometheus:9090` is not an http or https address");
        assert!(problems[1].starts_with("prometheus[0].source: there is no source `prod`"), "{problems:?}");
    }

    #[test]
    fn what_is_read_for_a_receiver_is_what_it_may_post() {
        let read = |receivers: &str| {
            let alertmanager = "alertmanagers: [{url: 'http://am:9093', source: prod, receiver: paramedic}]";
            wrong(&format!("{{sources: [{{name: prod, tokenFile: /t{receivers}}}], {alertmanager}}}"))
        };
        assert_eq!(read(""), [""; 0]);
        assert_eq!(read(", receivers: [team, paramedic]"), [""; 0]);
        let refused = "alertmanagers[0].receiver: source `prod` may not post as `paramedic`; it may as: team, pager";
        assert_eq!(read(", receivers: [team, pager]"), [refused]);
    }

    #[test]
    fn a_peer_is_logged_in_to_in_one_way_and_believed_in_one_way() {
        let peer = |access: &str| {
            wrong(&format!("alertmanagers: [{{url: 'https://am:9093', source: unauthenticated, {access}}}]"))
        };
        assert_eq!(peer("basicAuth: {username: a, passwordFile: /p}, caFile: /ca"), [""; 0]);
        assert_eq!(peer("tokenFile: /t, clientCertificate: {certFile: /c, keyFile: /k}"), [""; 0]);
        let twice = peer("basicAuth: {username: a, passwordFile: /p}, tokenFile: /t");
        assert_eq!(twice, ["alertmanagers[0] has basicAuth and tokenFile; a request can carry one of them"]);
        let never = peer("caFile: /ca, insecureSkipVerify: true");
        assert!(never[0].contains("which never looks at it"), "{never:?}");
    }

    #[test]
    fn a_signature_is_a_credential_and_is_in_a_header() {
        assert_eq!(wrong("sources: [{name: g, hmac: {secretFile: /s, timestampHeader: X-Time}}]"), [""; 0]);
        let both = wrong("sources: [{name: g, tokenFile: /t, hmac: {secretFile: /s, header: 'no header'}}]");
        assert!(both[0].contains("exactly one of"), "{both:?}");
        assert!(both[1].contains("hmac.header: `no header`"), "{both:?}");
    }

    #[test]
    fn an_address_has_no_route_no_query_and_no_password() {
        let at = |url: &str| wrong(&format!("alertmanagers: [{{url: '{url}', source: unauthenticated}}]"));
        for good in ["http://am:9093", "https://am.example.com/alertmanager/", "http://am/api/prefix"] {
            assert_eq!(at(good), [""; 0], "{good}");
        }
        for (bad, why) in [
            ("http://am:9093/api/v2", "ends in a route of its API"),
            ("http://am:9093/prefix/api/v2/", "ends in a route of its API"),
            ("http://am:9093/api/v2/alerts", "ends in a route of its API"),
            ("http://am:9093?a=b", "a query"),
            ("http://paramedic:s3cret@am:9093", "basicAuth"),
        ] {
            let problems = at(bad);
            assert!(
                problems.len() == 1 && problems[0].contains(why) && !problems[0].contains("s3cret"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn what_is_no_namespace_protects_none_and_holds_no_lease() {
        for pattern in ["*", "kube-*", "Kube-System", ""] {
            let problems = wrong(&format!("protectedNamespaces: ['{pattern}', monitoring]"));
            assert!(problems.len() == 1 && problems[0].contains("list each by its name"), "{pattern}: {problems:?}");
        }
        assert_eq!(wrong("protectedNamespaces: [kube-system]"), [""; 0]);
        let problems = wrong("{namespace: Not A Ns, protectedNamespaces: [Not A Ns]}");
        assert!(problems.len() == 1 && problems[0].starts_with("namespace: `Not A Ns`"), "{problems:?}");
        let source =
            |namespaces: &str| wrong(&format!("sources: [{{name: a, tokenFile: /t, namespaces: [{namespaces}]}}]"));
        assert_eq!(source("shop, till"), [""; 0]);
        assert!(source("'shop-*'")[0].contains("by name"), "{:?}", source("'shop-*'"));
    }

    #[test]
    fn an_action_cannot_outlive_the_lease() {
        let problems = wrong("leader: {actionTimeout: 13s}");
        assert!(problems[0].contains("actionTimeout (13s) + renewEvery (2s)"), "{problems:?}");
    }

    #[test]
    fn defaults_are_within_the_ceilings_and_schedules_can_be_meant() {
        let problems = wrong(
            "limits: {defaults: {concurrency: 3}, ceilings: {concurrency: 2},
                      schedule: {only: [{from: '08:00', to: '08:00'}]}}",
        );
        assert_eq!(problems.len(), 2, "{problems:#?}");
        assert!(problems[0].contains("limits.concurrency: 3 is more than"), "{problems:#?}");
        assert!(problems[1].starts_with("limits.schedule.only[0]"), "{problems:#?}");
    }

    #[test]
    fn records_outlive_the_pause_between_two_episodes() {
        assert!(wrong("engine: {retention: 59m, maxConcurrent: 0}").len() == 2);
        assert_eq!(wrong("engine: {retention: 1h}"), [""; 0]);
    }
}
