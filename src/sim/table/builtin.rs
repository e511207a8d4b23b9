//! The columns of the built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, pod, words};
use crate::sim::kinds::KindInfo;

const fn text(name: &'static str) -> Column {
    Column { name, of: "string", wide: false }
}

const fn number(name: &'static str) -> Column {
    Column { name, of: "integer", wide: false }
}

const fn wide(name: &'static str) -> Column {
    Column { name, of: "string", wide: true }
}

/// An object, and what time it is.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub object: &'a Value,
    pub now: Timestamp,
}

impl<'a> Seen<'a> {
    pub fn at(self, pointer: &str) -> Option<&'a Value> {
        self.object.pointer(pointer).filter(|value| !value.is_null())
    }

    pub fn text(self, pointer: &str) -> &'a str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn or_none(self, pointer: &str) -> String {
        words::or_none(self.text(pointer).to_owned())
    }

    pub fn number(self, pointer: &str) -> i64 {
        self.at(pointer).and_then(Value::as_i64).unwrap_or_default()
    }

    pub fn list(self, pointer: &str) -> &'a [Value] {
        self.at(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn size(self, pointer: &str) -> usize {
        match self.at(pointer) {
            Some(Value::Object(fields)) => fields.len(),
            Some(Value::Array(items)) => items.len(),
            _ => 0,
        }
    }

    pub fn time(self, pointer: &str) -> Option<Timestamp> {
        self.text(pointer).parse().ok()
    }

    pub fn since(self, pointer: &str) -> Option<String> {
        self.time(pointer).map(|time| words::age(time, self.now))
    }

    pub fn name(self) -> Value {
        Value::from(self.text("/metadata/name"))
    }

    pub fn age(self) -> Value {
        Value::from(self.since("/metadata/creationTimestamp").unwrap_or_else(|| "<unknown>".to_owned()))
    }

    /// Whether that condition is true.
    pub fn is(self, condition: &str) -> bool {
        self.condition(condition).is_some_and(|condition| condition["status"] == "True")
    }

    fn condition(self, of: &str) -> Option<&'a Value> {
        self.list("/status/conditions").iter().find(|condition| condition["type"] == of)
    }

    pub fn deleted(self) -> bool {
        self.at("/metadata/deletionTimestamp").is_some()
    }

    /// Names and images of the containers of a pod's spec.
    fn containers(self, pointer: &str) -> [Value; 2] {
        let all = |field: &str| {
            let containers = self.list(&format!("{pointer}/containers")).iter();
            Value::from(containers.map(|one| one[field].as_str().unwrap_or_default()).collect::<Vec<_>>().join(","))
        };
        [all("name"), all("image")]
    }

    fn template(self) -> [Value; 2] {
        self.containers("/spec/template/spec")
    }
}

type Cells = fn(Seen<'_>) -> Vec<Value>;

const NAME: Column = text("Name");
const AGE: Column = text("Age");
const CONTAINERS: Column = wide("Containers");
const IMAGES: Column = wide("Images");
const SELECTOR: Column = wide("Selector");

/// Each kind, its columns, and what is in them.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &[Column], Cells)] = &[
    ("", "Pod", &[
        NAME, text("Ready"), text("Status"), text("Restarts"), AGE, wide("IP"), wide("Node"), wide("Nominated Node"),
        wide("Readiness Gates"),
    ], pod::cells),
    ("", "Node", &[
        NAME, text("Status"), text("Roles"), AGE, text("Version"), wide("Internal-IP"), wide("External-IP"), wide("OS-Image"),
        wide("Kernel-Version"), wide("Container-Runtime"),
    ], node),
    ("", "Namespace", &[NAME, text("Status"), AGE], |seen| {
        vec![seen.name(), seen.text("/status/phase").into(), seen.age()]
    }),
    ("", "Service", &[
        NAME, text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), AGE, SELECTOR,
    ], service),
    ("", "ConfigMap", &[NAME, text("Data"), AGE], |seen| {
        vec![seen.name(), (seen.size("/data") + seen.size("/binaryData")).into(), seen.age()]
    }),
    ("", "Secret", &[NAME, text("Type"), text("Data"), AGE], |seen| {
        vec![seen.name(), seen.text("/type").into(), seen.size("/data").into(), seen.age()]
    }),
    ("", "ServiceAccount", &[NAME, text("Secrets"), AGE], |seen| {
        vec![seen.name(), seen.size("/secrets").into(), seen.age()]
    }),
    ("", "PersistentVolumeClaim", &[
        NAME, text("Status"), text("Volume"), text("Capacity"), text("Access Modes"), text("StorageClass"),
        text("VolumeAttributesClass"), AGE, wide("VolumeMode"),
    ], claim),
    ("", "Event", EVENT, event),
    ("events.k8s.io", "Event", EVENT, event),
    ("apps", "Deployment", &[
        NAME, text("Ready"), text("Up-to-date"), text("Available"), AGE, CONTAINERS, IMAGES, SELECTOR,
    ], |seen| {
        let cells = vec![
            seen.name(), ready(seen), seen.number("/status/updatedReplicas").into(),
            seen.number("/status/availableReplicas").into(), seen.age(),
        ];
        [cells, seen.template().to_vec(), vec![selector(seen)]].concat()
    }),
    ("apps", "ReplicaSet", &[
        NAME, number("Desired"), number("Current"), number("Ready"), AGE, CONTAINERS, IMAGES, SELECTOR,
    ], |seen| {
        let numbers = ["/spec/replicas", "/status/replicas", "/status/readyReplicas"].map(|at| seen.number(at).into());
        [vec![seen.name()], numbers.to_vec(), vec![seen.age()], seen.template().to_vec(), vec![selector(seen)]].concat()
    }),
    ("apps", "StatefulSet", &[NAME, text("Ready"), AGE, CONTAINERS, IMAGES], |seen| {
        [vec![seen.name(), ready(seen), seen.age()], seen.template().to_vec()].concat()
    }),
    ("apps", "DaemonSet", &[
        NAME, number("Desired"), number("Current"), number("Ready"), number("Up-to-date"), number("Available"),
        text("Node Selector"), AGE, CONTAINERS, IMAGES, SELECTOR,
    ], |seen| {
        let numbers = [
            "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
        ];
        let numbers = numbers.map(|name| seen.number(&format!("/status/{name}")).into());
        let nodes = words::labels(seen.at("/spec/template/spec/nodeSelector"));
        let rest = vec![nodes.into(), seen.age()];
        [vec![seen.name()], numbers.to_vec(), rest, seen.template().to_vec(), vec![selector(seen)]].concat()
    }),
    ("apps", "ControllerRevision", &[NAME, text("Controller"), text("Revision"), AGE], |seen| {
        let owner = seen.list("/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
        let owner = owner.map_or_else(|| "<none>".to_owned(), |owner| {
            let text = |field: &str| owner[field].as_str().unwrap_or_default();
            let group = text("apiVersion").split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
            format!("{}{group}/{}", text("kind").to_lowercase(), text("name"))
        });
        vec![seen.name(), owner.into(), seen.number("/revision").into(), seen.age()]
    }),
    ("batch", "Job", &[
        NAME, text("Status"), text("Completions"), text("Duration"), AGE, CONTAINERS, IMAGES, SELECTOR,
    ], job),
    ("batch", "CronJob", &[
        NAME, text("Schedule"), text("Timezone"), Column { name: "Suspend", of: "boolean", wide: false }, number("Active"),
        text("Last Schedule"), AGE, CONTAINERS, IMAGES, SELECTOR,
    ], cron_job),
    ("policy", "PodDisruptionBudget", &[
        NAME, text("Min Available"), text("Max Unavailable"), number("Allowed Disruptions"), AGE,
    ], |seen| {
        let or_not = |at: &str| match seen.at(at) {
            Some(Value::String(text)) => text.clone(),
            Some(number) => number.to_string(),
            None => "N/A".to_owned(),
        };
        vec![
            seen.name(), or_not("/spec/minAvailable").into(), or_not("/spec/maxUnavailable").into(),
            seen.number("/status/disruptionsAllowed").into(), seen.age(),
        ]
    }),
    ("coordination.k8s.io", "Lease", &[NAME, text("Holder"), AGE], |seen| {
        vec![seen.name(), seen.text("/spec/holderIdentity").into(), seen.age()]
    }),
];

const EVENT: &[Column] = &[
    text("Last Seen"),
    text("Type"),
    text("Reason"),
    text("Object"),
    wide("Subobject"),
    wide("Source"),
    text("Message"),
    wide("First Seen"),
    wide("Count"),
    wide("Name"),
];

/// Those of a kind that is not in the table.
const OTHER: &[Column] = &[NAME, Column { name: "Created At", of: "date", wide: false }];

fn find(group: &str, kind: &str) -> (&'static [Column], Cells) {
    let row = TABLE.iter().find(|row| row.0 == group && row.1 == kind);
    row.map_or((OTHER, |seen| vec![seen.name(), seen.text("/metadata/creationTimestamp").into()]), |row| (row.2, row.3))
}

/// The columns of a kind.
pub(super) fn columns(group: &str, kind: &str) -> &'static [Column] {
    find(group, kind).0
}

/// What is in them for one object.
pub(super) fn cells(kind: &KindInfo, object: &Value, now: Timestamp) -> Vec<Value> {
    find(&kind.group, &kind.kind).1(Seen { object, now })
}

/// What a row says of its object as a whole.
pub(super) fn conditions(kind: &KindInfo, object: &Value) -> Option<Value> {
    let (reason, message) = match object["status"]["phase"].as_str() {
        Some("Succeeded") => ("Succeeded", "The pod ended, and did what it was for."),
        Some("Failed") => ("Failed", "The pod ended, and did not do what it was for."),
        _ => return None,
    };
    (kind.kind == "Pod" && kind.group.is_empty())
        .then(|| json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn ready(seen: Seen<'_>) -> Value {
    Value::from(format!("{}/{}", seen.number("/status/readyReplicas"), seen.number("/spec/replicas")))
}

fn selector(seen: Seen<'_>) -> Value {
    Value::from(words::selector(seen.at("/spec/selector")))
}

fn node(seen: Seen<'_>) -> Vec<Value> {
    let ready = match seen.condition("Ready") {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = seen.at("/spec/unschedulable") == Some(&Value::Bool(true));
    let status = if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() };
    let labels = seen.at("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let roles = labels.filter_map(|(label, value)| match label.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role),
        None => (label == "kubernetes.io/role").then(|| value.as_str()).flatten(),
    });
    let mut roles: Vec<&str> = roles.filter(|role| !role.is_empty()).collect();
    roles.sort_unstable();
    roles.dedup();
    let address = |of: &str| {
        let found = seen.list("/status/addresses").iter().find(|address| address["type"] == of);
        found.map_or_else(|| "<none>".into(), |address| address["address"].clone())
    };
    let info = |name: &str| match seen.text(&format!("/status/nodeInfo/{name}")) {
        "" => Value::from("<unknown>"),
        text => Value::from(text),
    };
    vec![
        seen.name(),
        status.into(),
        words::or_none(roles.join(",")).into(),
        seen.age(),
        seen.text("/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn service(seen: Seen<'_>) -> Vec<Value> {
    let of = seen.text("/spec/type");
    let joined = |at: &str, field: &str| {
        let items = seen.list(at).iter().map(|item| if field.is_empty() { item } else { &item[field] });
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let external = joined("/spec/externalIPs", "");
    let external = match of {
        "ExternalName" => seen.text("/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let given = joined("/status/loadBalancer/ingress", "ip");
            let all: Vec<String> = [given, external].into_iter().filter(|part| !part.is_empty()).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => words::or_none(external),
    };
    let ports = seen.list("/spec/ports").iter().map(|port| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_i64() {
            Some(node) if node > 0 => format!("{}:{node}/{protocol}", port["port"]),
            _ => format!("{}/{protocol}", port["port"]),
        }
    });
    let internal = seen.list("/spec/clusterIPs").first().and_then(Value::as_str);
    vec![
        seen.name(),
        of.into(),
        internal.unwrap_or("<none>").into(),
        external.into(),
        words::or_none(ports.collect::<Vec<_>>().join(",")).into(),
        seen.age(),
        words::labels(seen.at("/spec/selector")).into(),
    ]
}

fn claim(seen: Seen<'_>) -> Vec<Value> {
    let status = if seen.deleted() { "Terminating" } else { seen.text("/status/phase") };
    let bound = !seen.text("/spec/volumeName").is_empty();
    let modes = seen.list("/status/accessModes").iter().filter_map(|mode| match mode.as_str()? {
        "ReadWriteOnce" => Some("RWO"),
        "ReadOnlyMany" => Some("ROX"),
        "ReadWriteMany" => Some("RWX"),
        "ReadWriteOncePod" => Some("RWOP"),
        _ => None,
    });
    let or_unset = |at: &str| match seen.text(at) {
        "" => Value::from("<unset>"),
        text => Value::from(text),
    };
    vec![
        seen.name(),
        status.into(),
        seen.text("/spec/volumeName").into(),
        if bound { seen.text("/status/capacity/storage") } else { "" }.into(),
        if bound { modes.collect::<Vec<_>>().join(",") } else { String::new() }.into(),
        seen.text("/spec/storageClassName").into(),
        or_unset("/spec/volumeAttributesClassName"),
        seen.age(),
        or_unset("/spec/volumeMode"),
    ]
}

/// An event in either of its two versions, whose fields have different names.
fn event(seen: Seen<'_>) -> Vec<Value> {
    let either = |one: &str, other: &str| {
        if seen.at(one).is_some() { seen.text(one).to_owned() } else { seen.text(other).to_owned() }
    };
    let since = |at: &[&str]| at.iter().find_map(|at| seen.since(at)).unwrap_or_else(|| "<unknown>".to_owned());
    let first = since(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let last = ["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp"];
    let last = last.iter().find_map(|at| seen.since(at)).unwrap_or_else(|| first.clone());
    let count = ["/series/count", "/count", "/deprecatedCount"].map(|at| seen.number(at));
    let about = |field: &str| either(&format!("/involvedObject/{field}"), &format!("/regarding/{field}"));
    let (kind, name) = (about("kind").to_lowercase(), about("name"));
    let object = if name.is_empty() { kind } else { format!("{kind}/{name}") };
    let component = [
        either("/source/component", "/deprecatedSource/component"),
        either("/reportingComponent", "/reportingController"),
    ];
    let host = [either("/source/host", "/deprecatedSource/host"), seen.text("/reportingInstance").to_owned()];
    let source = [component, host].map(|names| names.into_iter().find(|name| !name.is_empty()));
    let source: Vec<String> = source.into_iter().flatten().collect();
    vec![
        last.into(),
        seen.text("/type").into(),
        seen.text("/reason").into(),
        object.into(),
        about("fieldPath").into(),
        source.join(", ").into(),
        either("/message", "/note").trim().into(),
        first.into(),
        count.into_iter().find(|count| *count > 0).unwrap_or(1).into(),
        seen.name(),
    ]
}

fn job(seen: Seen<'_>) -> Vec<Value> {
    let done = seen.number("/status/succeeded");
    let completions = match (seen.at("/spec/completions").and_then(Value::as_i64), seen.number("/spec/parallelism")) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        (None, _) => format!("{done}/1"),
    };
    let took = seen
        .time("/status/startTime")
        .map(|start| words::duration(seen.time("/status/completionTime").unwrap_or(seen.now).duration_since(start)));
    let status = match seen {
        seen if seen.is("Complete") => "Complete",
        seen if seen.is("Failed") => "Failed",
        seen if seen.deleted() => "Terminating",
        seen if seen.is("Suspended") => "Suspended",
        seen if seen.is("FailureTarget") => "FailureTarget",
        seen if seen.is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        _ => "Running",
    };
    let cells = vec![seen.name(), status.into(), completions.into(), took.unwrap_or_default().into(), seen.age()];
    [cells, seen.template().to_vec(), vec![selector(seen)]].concat()
}

fn cron_job(seen: Seen<'_>) -> Vec<Value> {
    let suspended = seen.at("/spec/suspend") == Some(&Value::Bool(true));
    let cells = vec![
        seen.name(),
        seen.text("/spec/schedule").into(),
        seen.or_none("/spec/timeZone").into(),
        // As kubectl prints what is true or false.
        if suspended { "True" } else { "False" }.into(),
        seen.size("/status/active").into(),
        seen.since("/status/lastScheduleTime").unwrap_or_else(|| "<none>".to_owned()).into(),
        seen.age(),
    ];
    let template = seen.containers("/spec/jobTemplate/spec/template/spec").to_vec();
    [cells, template, vec![words::selector(seen.at("/spec/jobTemplate/spec/selector")).into()]].concat()
}
