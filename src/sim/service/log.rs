//! The log of a pod's container, at once or as it grows.

use std::{convert::Infallible, time::Duration};

use axum::body::{Body, Bytes};
use futures::{Stream, stream};
use serde_json::Value;

use super::answer::Answer;
use crate::sim::{
    Cluster,
    controllers::ContainerId,
    request::{Query, Request},
    status::Status,
    verbs::{meta, word},
};

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How much of the end of what was sent is looked for in a log whose beginning was cut off.
const OVERLAP: usize = 256;

/// Answers with a log.
///
/// Refuses: a pod that is not there (404), a container that is none of the pod's, or has not begun (400).
pub(super) fn read(cluster: &Cluster, request: &Request) -> Result<Answer, Status> {
    let query = &request.query;
    let name = request.name.as_deref().unwrap_or_default();
    let id = container(cluster, request, name)?;
    let previous = query.get("previous") == Some("true");
    let limit = Limit::read(query)?;
    let Some(log) = cluster.log(&id, previous) else {
        let why = if previous {
            format!("previous terminated container \"{}\" in pod \"{name}\" not found", id.container)
        } else {
            format!("container \"{}\" in pod \"{name}\" is waiting to start: ContainerCreating", id.container)
        };
        return Err(Status::bad_request(why));
    };
    if query.get("follow") == Some("true") && !previous {
        return Ok(Answer::Stream(Body::from_stream(follow(cluster.clone(), id, log, limit)), "text/plain"));
    }
    Ok(Answer::Text(limit.cut(&log).to_owned(), 200))
}

/// Which container is meant: the only one, or the one that the query names.
fn container(cluster: &Cluster, request: &Request, name: &str) -> Result<ContainerId, Status> {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let pod = cluster.with(|state| state.object(request.kind, namespace, name).cloned());
    let Some(pod) = pod else { return Err(Status::not_found(request.kind.resource(), name)) };
    let names = |list: &str| -> Vec<String> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.map(|container| word(container, &["name"]).to_owned()).collect()
    };
    let main = names("containers");
    let wanted = request.query.get("container");
    let container = match (wanted, main.as_slice()) {
        (Some(wanted), main) if main.iter().chain(&names("initContainers")).any(|name| name == wanted) => {
            wanted.to_owned()
        }
        (Some(wanted), _) => {
            return Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")));
        }
        (None, [only]) => only.clone(),
        (None, several) => {
            return Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                several.join(" ")
            )));
        }
    };
    Ok(ContainerId { pod: meta(&pod, "uid").to_owned(), container })
}

/// How much of a log is wanted.
#[derive(Clone, Copy, Default)]
struct Limit {
    lines: Option<usize>,
    bytes: Option<usize>,
}

impl Limit {
    fn read(query: &Query) -> Result<Self, Status> {
        let size = |name: &str| -> Result<Option<usize>, Status> {
            Ok(query.number(name)?.and_then(|number| usize::try_from(number).ok()))
        };
        Ok(Self { lines: size("tailLines")?, bytes: size("limitBytes")? })
    }

    fn cut<'a>(&self, log: &'a str) -> &'a str {
        let mut log = log;
        if let Some(lines) = self.lines {
            let body = log.strip_suffix('\n').unwrap_or(log);
            let start = match lines {
                0 => log.len(),
                lines => body.rmatch_indices('\n').nth(lines - 1).map_or(0, |(at, _)| at + 1),
            };
            log = &log[start..];
        }
        if let Some(bytes) = self.bytes {
            log = &log[..log.floor_char_boundary(bytes)];
        }
        log
    }
}

/// What is new in a log since it was that text.
fn new<'a>(sent: &str, log: &'a str) -> &'a str {
    if let Some(new) = log.strip_prefix(sent) {
        return new;
    }
    // As many of its last lines as are there still.
    let from = sent.ceil_char_boundary(sent.len().saturating_sub(OVERLAP));
    let lines = std::iter::once(from).chain(sent[from..].match_indices('\n').map(|(at, _)| from + at + 1));
    let mut ends = lines.map(|at| &sent[at..]).filter(|end| !end.is_empty());
    ends.find_map(|end| log.find(end).map(|at| &log[at + end.len()..])).unwrap_or(log)
}

/// A log as it grows, until its pod is gone or its container has ended.
fn follow(
    cluster: Cluster,
    id: ContainerId,
    log: String,
    limit: Limit,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let first = Bytes::from(limit.cut(&log).to_owned());
    let rest = stream::unfold((cluster, id, log), |(cluster, id, sent)| async move {
        loop {
            let over = !runs(&cluster, &id);
            let log = cluster.log(&id, false)?;
            let added = new(&sent, &log);
            if !added.is_empty() {
                let bytes = Bytes::from(added.to_owned());
                return Some((Ok(bytes), (cluster, id, log)));
            }
            if over {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    futures::StreamExt::chain(stream::iter([Ok(first)]), rest)
}

/// Whether a container is there and has not ended.
fn runs(cluster: &Cluster, id: &ContainerId) -> bool {
    let Some(kind) = crate::sim::kinds::of_kind("", "Pod") else { return false };
    cluster.with(|state| {
        let mut pods = state.objects(kind, None);
        let Some(pod) = pods.find(|pod| meta(pod, "uid") == id.pod) else { return false };
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        statuses.into_iter().any(|status: &Value| {
            word(status, &["name"]) == id.container && status["state"].get("terminated").is_none()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_end_can_be_asked_for() {
        let cut = |lines, bytes, log| Limit { lines, bytes }.cut(log);
        assert_eq!(cut(Some(2), None, "a\nb\nc\n"), "b\nc\n");
        assert_eq!(cut(Some(2), None, "a\nb\nc"), "b\nc");
        assert_eq!(cut(Some(9), None, "a\nb\n"), "a\nb\n");
        assert_eq!(cut(Some(0), None, "a\n"), "");
        assert_eq!(cut(None, Some(3), "aü"), "aü");
        assert_eq!(cut(None, Some(2), "aü"), "a");
    }

    #[test]
    fn what_is_new_is_found_where_the_beginning_was_cut_off() {
        assert_eq!(new("a\nb\n", "a\nb\nc\n"), "c\n");
        assert_eq!(new("a\nb\nc\n", "b\nc\nd\n"), "d\n", "only its end is kept");
        assert_eq!(new("a\n", "x\n"), "x\n", "the container was started again");
    }
}
