//! What a client asks before it asks for objects: the version, health, and which resources there are.

use serde_json::{Value, json};

use super::{kinds::KindInfo, openapi, people::People};

/// The release that the simulated API server answers like.
pub const RELEASE: &str = "v1.34.4";

/// What aggregated discovery is called in a request's `Accept`, and in the answer's type.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// An answer that is not about objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its type.
    pub content_type: &'static str,
    /// The answer.
    pub body: Vec<u8>,
}

impl Page {
    pub(super) fn json(value: &Value) -> Self {
        Self { content_type: "application/json", body: value.to_string().into_bytes() }
    }

    fn text(text: &str) -> Self {
        Self { content_type: "text/plain; charset=utf-8", body: text.as_bytes().to_vec() }
    }
}

/// The answer to a GET of that path, given what the client accepts; `None` where the path is not one of discovery.
pub fn page(kinds: &[KindInfo], path: &str, accept: &str) -> Option<Page> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let served = Served(kinds);
    match parts.as_slice() {
        [] => Some(Page::json(&json!({"paths": served.paths()}))),
        ["healthz" | "livez" | "readyz"] | ["healthz" | "livez" | "readyz", "ping"] => Some(Page::text("ok")),
        ["version"] => Some(Page::json(&version())),
        ["openapi", "v3", rest @ ..] => openapi::page(kinds, rest),
        ["api"] if aggregated(accept) => Some(served.aggregated(str::is_empty)),
        ["apis"] if aggregated(accept) => Some(served.aggregated(|group| !group.is_empty())),
        ["api"] => Some(Page::json(&json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        }))),
        ["apis"] => Some(Page::json(&json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": served.groups().iter().filter(|group| !group.is_empty()).map(|group| served.group(group))
                .collect::<Vec<_>>(),
        }))),
        ["api", version] => served.resources("", version),
        ["apis", group] => {
            let known = served.groups().contains(group);
            known.then(|| {
                let mut group = served.group(group);
                group["kind"] = json!("APIGroup");
                group["apiVersion"] = json!("v1");
                Page::json(&group)
            })
        }
        ["apis", group, version] => served.resources(group, version),
        _ => None,
    }
}

/// Whether the client would rather have all resources at once, as kubectl does.
fn aggregated(accept: &str) -> bool {
    accept.split(',').any(|accepted| {
        let mut parameters = accepted.split(';').map(str::trim);
        parameters.next() == Some("application/json") && {
            let parameters: Vec<&str> = parameters.collect();
            ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"].iter().all(|asked| parameters.contains(asked))
        }
    })
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": format!("{RELEASE}+paramedic-sim"),
        "gitCommit": crate::COMMIT, "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "", "platform": "",
        "emulationMajor": "1", "emulationMinor": "34", "minCompatibilityMajor": "1", "minCompatibilityMinor": "33",
    })
}

/// A resource that is not held: it answers what is asked, and forgets it.
struct Asked {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
}

/// What `kubectl auth can-i` and `kubectl auth whoami` create, and who wants to know the same of others.
const ASKED: &[Asked] = &[
    Asked {
        group: "authorization.k8s.io",
        version: "v1",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        kind: "SelfSubjectAccessReview",
    },
    Asked {
        group: "authentication.k8s.io",
        version: "v1",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        kind: "SelfSubjectReview",
    },
    Asked {
        group: "authentication.k8s.io",
        version: "v1",
        plural: "tokenreviews",
        singular: "tokenreview",
        kind: "TokenReview",
    },
    Asked {
        group: "authorization.k8s.io",
        version: "v1",
        plural: "subjectaccessreviews",
        singular: "subjectaccessreview",
        kind: "SubjectAccessReview",
    },
];

/// Who everybody is here that has the kubeconfig.
const EVERYBODY: &str = "kubernetes-admin";

/// Group, version, kind and verbs of a subresource.
fn subresource<'a>(kind: &'a KindInfo, name: &str) -> (&'a str, &'a str, &'a str, &'static [&'static str]) {
    match name {
        "scale" => ("autoscaling", "v1", "Scale", &["get", "patch", "update"]),
        "eviction" => ("policy", "v1", "Eviction", &["create"]),
        "log" => (&kind.group, &kind.version, &kind.kind, &["get"]),
        "finalize" => (&kind.group, &kind.version, &kind.kind, &["update"]),
        "binding" => (&kind.group, &kind.version, "Binding", &["create"]),
        _ => (&kind.group, &kind.version, &kind.kind, &["get", "patch", "update"]),
    }
}

struct Served<'a>(&'a [KindInfo]);

impl<'a> Served<'a> {
    /// The groups, each once, in the order of the table.
    fn groups(&self) -> Vec<&'a str> {
        let mut groups: Vec<&str> = Vec::new();
        for group in self.0.iter().map(|kind| kind.group.as_str()).chain(ASKED.iter().map(|asked| asked.group)) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    fn versions(&self, group: &str) -> Vec<&'a str> {
        let mut versions: Vec<&str> = Vec::new();
        let held = self.0.iter().filter(|kind| kind.group == group).map(|kind| kind.version.as_str());
        for version in held.chain(ASKED.iter().filter(|asked| asked.group == group).map(|asked| asked.version)) {
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        versions
    }

    fn of(&self, group: &str, version: &str) -> impl Iterator<Item = &'a KindInfo> {
        self.0.iter().filter(move |kind| kind.group == group && kind.version == version)
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        for group in self.groups().into_iter().filter(|group| !group.is_empty()) {
            paths.push(format!("/apis/{group}"));
            paths.extend(self.versions(group).into_iter().map(|version| format!("/apis/{group}/{version}")));
        }
        paths.extend(["/healthz", "/livez", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
        paths.sort();
        paths
    }

    fn group(&self, group: &str) -> Value {
        let versions: Vec<Value> = self
            .versions(group)
            .into_iter()
            .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
            .collect();
        json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
    }

    fn resources(&self, group: &str, version: &str) -> Option<Page> {
        let mut resources: Vec<Value> = Vec::new();
        for kind in self.of(group, version) {
            let mut row = json!({
                "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
                "verbs": kind.verbs,
            });
            if !kind.short_names.is_empty() {
                row["shortNames"] = json!(kind.short_names);
            }
            if !kind.categories.is_empty() {
                row["categories"] = json!(kind.categories);
            }
            resources.push(row);
            for name in &kind.subresources {
                let (group, version, answers, verbs) = subresource(kind, name);
                let mut row = json!({
                    "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                    "kind": answers, "verbs": verbs,
                });
                if group != kind.group {
                    row["group"] = json!(group);
                    row["version"] = json!(version);
                }
                resources.push(row);
            }
        }
        for asked in ASKED.iter().filter(|asked| asked.group == group && asked.version == version) {
            resources.push(json!({
                "name": asked.plural, "singularName": asked.singular, "namespaced": false, "kind": asked.kind,
                "verbs": ["create"],
            }));
        }
        let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        (!resources.is_empty()).then(|| {
            Page::json(&json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
            }))
        })
    }

    fn aggregated(&self, wanted: impl Fn(&str) -> bool) -> Page {
        let items: Vec<Value> = self
            .groups()
            .into_iter()
            .filter(|group| wanted(group))
            .map(|group| {
                let versions: Vec<Value> = self
                    .versions(group)
                    .into_iter()
                    .map(|version| {
                        let held = self.of(group, version).map(described);
                        let asked = ASKED.iter().filter(|asked| asked.group == group && asked.version == version);
                        let asked = asked.map(|asked| {
                            json!({
                                "resource": asked.plural, "scope": "Cluster", "singularResource": asked.singular,
                                "responseKind": {"group": group, "version": version, "kind": asked.kind}, "verbs": ["create"],
                            })
                        });
                        json!({"version": version, "freshness": "Current", "resources": held.chain(asked).collect::<Vec<_>>()})
                    })
                    .collect();
                let mut metadata = json!({"creationTimestamp": null});
                if !group.is_empty() {
                    metadata["name"] = json!(group);
                }
                json!({"metadata": metadata, "versions": versions})
            })
            .collect();
        let list = json!({
            "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
        });
        Page { content_type: AGGREGATED, ..Page::json(&list) }
    }
}

/// A resource in aggregated discovery.
fn described(kind: &KindInfo) -> Value {
    let mut row = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        row["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        row["categories"] = json!(kind.categories);
    }
    if !kind.subresources.is_empty() {
        let below = kind.subresources.iter().map(|name| {
            let (group, version, answers, verbs) = subresource(kind, name);
            json!({
                "subresource": name, "responseKind": {"group": group, "version": version, "kind": answers}, "verbs": verbs,
            })
        });
        row["subresources"] = below.collect();
    }
    row
}

/// Whether reviews of what somebody may do, or of who it is, are created at that path.
pub fn is_review(path: &str) -> bool {
    ASKED.iter().any(|known| path == format!("/apis/{}/{}/{}", known.group, known.version, known.plural))
}

/// The answer to such a review. Of whoever creates it: everything, and the one whom everybody is. Of others: what is known of
/// these people.
pub fn review(path: &str, mut asked: Value, people: &People) -> Value {
    let spec = asked.get("spec").cloned().unwrap_or_default();
    asked["status"] = match path.rsplit('/').next() {
        Some("selfsubjectreviews") => {
            json!({"userInfo": {"username": EVERYBODY, "groups": ["system:masters", "system:authenticated"]}})
        }
        Some("tokenreviews") => people.token_review(&spec),
        Some("subjectaccessreviews") => people.access_review(&spec),
        _ => json!({"allowed": true, "reason": "the simulated cluster permits everything"}),
    };
    asked
}

#[cfg(test)]
mod tests {
    use super::{super::kinds, *};

    fn get(path: &str, accept: &str) -> Value {
        serde_json::from_slice(&page(kinds::all(), path, accept).unwrap().body).unwrap()
    }

    #[test]
    fn kubectl_gets_everything_at_once() {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let groups = get("/apis", accept);
        assert_eq!(groups["kind"], "APIGroupDiscoveryList");
        let apps =
            groups["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "apps").unwrap();
        let resources = apps["versions"][0]["resources"].as_array().unwrap();
        let deployments = resources.iter().find(|resource| resource["resource"] == "deployments").unwrap();
        assert_eq!(deployments["shortNames"], json!(["deploy"]));
        assert!(
            deployments["subresources"]
                .as_array()
                .unwrap()
                .iter()
                .any(|below| below["responseKind"]["kind"] == "Scale")
        );
        assert_eq!(get("/apis", "application/json")["kind"], "APIGroupList");
    }

    #[test]
    fn each_group_and_version_has_its_list() {
        let core = get("/api/v1", "");
        let names: Vec<&str> =
            core["resources"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"pods") && names.contains(&"pods/log"));
        let ours = get("/apis/paramedic.dev/v1alpha1", "");
        assert!(ours["resources"].as_array().unwrap().iter().any(|row| row["shortNames"] == json!(["rem"])));
        assert_eq!(get("/apis/apps", "")["preferredVersion"]["groupVersion"], "apps/v1");
        assert!(page(kinds::all(), "/apis/nothing.example", "").is_none());
    }

    #[test]
    fn a_review_of_access_is_granted() {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        assert!(is_review(path) && !is_review("/api/v1/pods"));
        assert_eq!(review(path, json!({"spec": {}}), &People::default())["status"]["allowed"], true);
    }

    #[test]
    fn kubectl_is_told_who_it_is() {
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        assert!(is_review(path));
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let told = review(path, asked, &People::default());
        assert_eq!(told["status"]["userInfo"]["username"], EVERYBODY);
    }
}
