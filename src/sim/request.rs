//! What a request asks for: method, path and query, as the API server's own reading of them.

use std::collections::BTreeMap;

use super::{
    kinds::{self, KindInfo},
    status::Status,
};

/// A request for objects.
#[derive(Debug)]
pub(crate) struct Request {
    pub verb: Verb,
    pub kind: &'static KindInfo,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
    pub query: Query,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// The parameters of a query; of one that is there twice, the first counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.entry(decoded(name, true)).or_default().push(decoded(value, true));
        }
        Self(all)
    }

    /// A parameter; an empty one is as good as none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a parameter is there and not false.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.0.get(name).and_then(|values| values.first()).map(String::as_str);
        !matches!(value, None | Some("false" | "0"))
    }

    /// A parameter that is a number.
    ///
    /// Refuses with 400 what is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
            })
            .transpose()
    }
}

/// Percent-decoding; in a query, `+` is a space.
fn decoded(text: &str, query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    rest = tail;
                } else {
                    bytes.push(b'%');
                }
            }
            (b'+', _) if query => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Request {
    /// Reads a request for objects; `None` for a path that leads to no resource's group and version.
    ///
    /// Refuses what the API server refuses before it looks at the objects: an unknown resource with 404, a method that a
    /// resource does not have with 405.
    pub fn read(method: &str, path: &str, query: &str) -> Option<Result<Self, Status>> {
        let parts: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(|part| decoded(part, false)).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        if rest.is_empty() {
            return None;
        }
        Some(Self::within(method, group, version, rest, Query::parse(query)))
    }

    fn within(method: &str, group: &str, version: &str, rest: &[&str], query: Query) -> Result<Self, Status> {
        let find = |plural: &str| kinds::find(group, version, plural).ok_or_else(|| missing(group, version, plural));
        let (kind, namespace, rest) = match rest {
            // Below a namespace, unless it is one of the namespace's own subresources.
            ["namespaces", _, "status" | "finalize"] if group.is_empty() => (find("namespaces")?, None, &rest[1..]),
            ["namespaces", namespace, plural, rest @ ..] => {
                let kind = find(plural)?;
                if !kind.namespaced {
                    return Err(nowhere(kind));
                }
                (kind, Some((*namespace).to_owned()), rest)
            }
            [plural, rest @ ..] => {
                let kind = find(plural)?;
                if kind.namespaced && !rest.is_empty() {
                    return Err(nowhere(kind));
                }
                (kind, None, rest)
            }
            [] => return Err(Status::no_such_resource()),
        };
        let (name, subresource) = match rest {
            [] => (None, None),
            [name] => (Some((*name).to_owned()), None),
            [name, subresource] => (Some((*name).to_owned()), Some((*subresource).to_owned())),
            _ => return Err(Status::no_such_resource()),
        };
        if let Some(subresource) = &subresource
            && !kind.has(subresource)
        {
            return Err(match (kind.kind.as_str(), subresource.as_str()) {
                ("Pod", "binding" | "exec" | "attach" | "portforward" | "proxy" | "ephemeralcontainers" | "resize")
                | ("Service" | "Node", "proxy")
                | ("ServiceAccount", "token") => Status::not_implemented(&format!("{}/{subresource}", kind.plural)),
                _ if kind.is_custom() => Status::not_found(kind.resource(), name.as_deref().unwrap_or_default()),
                _ => Status::no_such_resource(),
            });
        }
        let verb = verb(method, name.as_deref(), subresource.as_deref(), &query)?;
        let request = Self { verb, kind, namespace, name, subresource, query };
        request.permitted()?;
        Ok(request)
    }

    /// Whether the resource has the method at all.
    fn permitted(&self) -> Result<(), Status> {
        use Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};
        let of_none = self.kind.namespaced && self.namespace.is_none();
        let good = match self.subresource.as_deref() {
            Some("eviction") => self.verb == Create,
            Some("log") => self.verb == Get,
            Some("finalize") => self.verb == Update,
            Some(_) => matches!(self.verb, Get | Update | Patch),
            None => {
                let word = match self.verb {
                    Get => "get",
                    List => "list",
                    Watch => "watch",
                    Create => "create",
                    Update => "update",
                    Patch => "patch",
                    Delete => "delete",
                    DeleteCollection => "deletecollection",
                };
                // A custom object's name may be in the path of its creation as well.
                let named = self.name.is_none() == matches!(self.verb, List | Create | DeleteCollection)
                    || self.verb == Watch
                    || (self.verb == Create && self.kind.is_custom());
                self.kind.verbs.contains(&word) && named && (!of_none || matches!(self.verb, List | Watch))
            }
        };
        if good { Ok(()) } else { Err(self.refusal()) }
    }

    fn refusal(&self) -> Status {
        if self.kind.is_custom() && self.subresource.is_none() {
            if self.kind.namespaced && self.namespace.is_none() {
                return Status::no_such_path();
            }
            if self.name.is_none() && matches!(self.verb, Verb::Update | Verb::Patch) {
                return Status::bad_request("name is required");
            }
            let action = match self.verb {
                Verb::Create => "create",
                Verb::Update => "update",
                Verb::Patch => "patch",
                Verb::Delete => "delete",
                Verb::DeleteCollection => "deletecollection",
                _ => "get",
            };
            return Status::method_not_allowed(self.kind.resource(), action);
        }
        // Of what a real API server has here and this one has not, it says so.
        if self.kind.kind == "CustomResourceDefinition" {
            return Status::not_implemented("custom resource definitions but its own, nor changes to these");
        }
        Status::no_such_method()
    }
}

/// A kind that is there, but not at that path.
fn nowhere(kind: &KindInfo) -> Status {
    if kind.is_custom() { Status::no_such_path() } else { Status::no_such_resource() }
}

fn missing(group: &str, version: &str, plural: &str) -> Status {
    if kinds::all().iter().any(|kind| kind.is_custom() && kind.group == group) {
        return Status::no_such_path();
    }
    let unserved = [
        ("", "componentstatuses"),
        ("", "endpoints"),
        ("", "limitranges"),
        ("", "persistentvolumes"),
        ("", "podtemplates"),
        ("", "replicationcontrollers"),
        ("", "resourcequotas"),
        ("", "bindings"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("certificates.k8s.io", "certificatesigningrequests"),
        ("discovery.k8s.io", "endpointslices"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "networkpolicies"),
        ("node.k8s.io", "runtimeclasses"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "roles"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("apiregistration.k8s.io", "apiservices"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
    ];
    if (version == "v1" || version == "v2") && unserved.contains(&(group, plural)) {
        return Status::not_implemented(plural);
    }
    Status::no_such_resource()
}

fn verb(method: &str, name: Option<&str>, subresource: Option<&str>, query: &Query) -> Result<Verb, Status> {
    Ok(match (method, name) {
        ("GET" | "HEAD", _) if subresource.is_none() && query.flag("watch") => Verb::Watch,
        ("GET" | "HEAD", Some(_)) => Verb::Get,
        ("GET" | "HEAD", None) => Verb::List,
        ("POST", _) => Verb::Create,
        ("PUT", _) => Verb::Update,
        ("PATCH", _) => Verb::Patch,
        ("DELETE", Some(_)) => Verb::Delete,
        ("DELETE", None) => Verb::DeleteCollection,
        _ => return Err(Status::no_such_method()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> Result<Request, Status> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Request::read(method, path, query).unwrap()
    }

    #[test]
    fn a_path_says_what_is_asked_for() {
        let request = read("GET", "/apis/apps/v1/namespaces/shop/deployments/web/scale").unwrap();
        assert_eq!((request.verb, request.kind.kind.as_str()), (Verb::Get, "Deployment"));
        assert_eq!(request.namespace.as_deref(), Some("shop"));
        assert_eq!((request.name.as_deref(), request.subresource.as_deref()), (Some("web"), Some("scale")));
        let request = read("GET", "/api/v1/namespaces/shop").unwrap();
        assert_eq!((request.kind.kind.as_str(), request.name.as_deref()), ("Namespace", Some("shop")));
        let request = read("GET", "/api/v1/pods?watch=true&labelSelector=a%3Db+c").unwrap();
        assert_eq!((request.verb, request.query.get("labelSelector")), (Verb::Watch, Some("a=b c")));
        assert_eq!(read("DELETE", "/api/v1/namespaces/a/pods").unwrap().verb, Verb::DeleteCollection);
        assert!(Request::read("GET", "/version", "").is_none());
    }

    #[test]
    fn what_there_is_not_is_404_405_or_501() {
        let code = |method, path| read(method, path).unwrap_err().code;
        assert_eq!(code("GET", "/api/v1/namespaces/a/cats"), 404);
        assert_eq!(code("GET", "/api/v1/namespaces/a/nodes"), 404);
        assert_eq!(code("GET", "/api/v1/namespaces/a/configmaps/b/scale"), 404);
        assert_eq!(code("POST", "/api/v1/namespaces/a/pods/b"), 405);
        assert_eq!(code("DELETE", "/api/v1/pods"), 405);
        assert_eq!(code("OPTIONS", "/api/v1/pods"), 405);
        assert_eq!(code("GET", "/api/v1/namespaces/a/endpoints"), 501);
        assert_eq!(code("POST", "/api/v1/namespaces/a/pods/b/exec"), 501);
    }
}
