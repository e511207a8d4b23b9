//! The log of a pod's container, as whatever runs it has it.

use std::{convert::Infallible, time::Duration};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use serde_json::Value;

use super::answer::Answer;
use crate::sim::{
    Cluster,
    controllers::ContainerId,
    kinds::KindInfo,
    request::{Query, Request},
    status::Status,
    verbs::meta,
};

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Reads, or follows, a log.
///
/// Refuses: a pod that is not there (404), a container that it does not have, that has not started or has no run before
/// this one (400), and times, which are not known (501).
pub(super) fn read(cluster: &Cluster, request: &Request) -> Result<Answer, Status> {
    let (namespace, name) =
        (request.namespace.as_deref().unwrap_or_default(), request.name.as_deref().unwrap_or_default());
    let query = &request.query;
    if ["sinceSeconds", "sinceTime"].iter().any(|name| query.get(name).is_some()) || query.flag("timestamps") {
        return Err(Status::not_implemented("times in the logs of pods"));
    }
    let found = cluster.with(|state| state.object(request.kind, namespace, name).cloned());
    let pod = found.ok_or_else(|| Status::not_found(request.kind.resource(), name))?;
    let container = container(&pod, query.get("container"))?;
    let status = status_of(&pod, &container);
    let previous = query.flag("previous");
    let id = ContainerId { pod: meta(&pod, "uid").to_owned(), container: container.clone() };
    if previous && status.is_none_or(|status| status["lastState"]["terminated"].is_null()) {
        let why = format!("previous terminated container {container:?} in pod {name:?} not found");
        return Err(Status::bad_request(why));
    }
    let waits = status.map(|status| &status["state"]["waiting"]).filter(|waits| waits.is_object());
    let reason = waits.map_or("ContainerCreating", |waits| waits["reason"].as_str().unwrap_or("ContainerCreating"));
    let ran = status.is_some_and(|status| !status["lastState"]["terminated"].is_null());
    if !previous && (status.is_none() || waits.is_some()) && !ran {
        return Err(Status::bad_request(format!(
            "container {container:?} in pod {name:?} is waiting to start: {reason}"
        )));
    }
    let log = cluster.log(&id, previous).unwrap_or_default();
    let sent = log.len();
    let text = shown(log, query)?;
    if !query.flag("follow") || previous {
        return Ok(Answer::Text(text, 200));
    }
    let (cluster, path) = (cluster.clone(), [namespace.to_owned(), name.to_owned()]);
    let follow =
        Follow { cluster, kind: request.kind, path, id, run: run_of(status), sent, first: Some(text), over: false };
    let lines = stream::unfold(follow, |mut follow| async move { Some((follow.next().await?, follow)) });
    Ok(Answer::Stream(Body::from_stream(lines.map(Ok::<_, Infallible>)), "text/plain; charset=utf-8"))
}

/// The container that is meant: the one that is named, the pod's default, or its only one.
fn container(pod: &Value, named: Option<&str>) -> Result<String, Status> {
    let of = |list: &str| pod["spec"][list].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
    let name = meta(pod, "name");
    if let Some(named) = named {
        let known = of("containers").chain(of("initContainers")).any(|known| known == named);
        let refused = || Status::bad_request(format!("container {named} is not valid for pod {name}"));
        return known.then(|| named.to_owned()).ok_or_else(refused);
    }
    let all: Vec<&str> = of("containers").collect();
    match all.as_slice() {
        [only] => Ok((*only).to_owned()),
        several => {
            let all = several.join(" ");
            let why = format!("a container name must be specified for pod {name}, choose one of: [{all}]");
            Err(Status::bad_request(why))
        }
    }
}

fn status_of<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let of = |list: &str| pod["status"][list].as_array().into_iter().flatten();
    of("containerStatuses").chain(of("initContainerStatuses")).find(|status| status["name"] == container)
}

/// Which of its runs a container is in.
fn run_of(status: Option<&Value>) -> i64 {
    status.and_then(|status| status["restartCount"].as_i64()).unwrap_or_default()
}

/// As much of a log as is asked for.
fn shown(mut log: String, query: &Query) -> Result<String, Status> {
    if let Some(lines) = query.number("tailLines")?.and_then(|lines| usize::try_from(lines).ok()) {
        let end = log.strip_suffix('\n').unwrap_or(&log);
        let begin = match lines {
            0 => log.len(),
            lines => end.rmatch_indices('\n').nth(lines - 1).map_or(0, |(at, _)| at + 1),
        };
        log.drain(..begin);
    }
    if let Some(most) = query.number("limitBytes")?.and_then(|most| usize::try_from(most).ok()) {
        log.truncate(log.floor_char_boundary(most));
    }
    Ok(log)
}

/// A log that is followed until the container's run ends.
struct Follow {
    cluster: Cluster,
    kind: &'static KindInfo,
    path: [String; 2],
    id: ContainerId,
    run: i64,
    sent: usize,
    first: Option<String>,
    over: bool,
}

impl Follow {
    /// What was written since; nothing when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(Bytes::from(first));
        }
        while !self.over {
            tokio::time::sleep(LOOK).await;
            let [namespace, name] = &self.path;
            let pod = self.cluster.with(|state| state.object(self.kind, namespace, name).cloned());
            let status = pod.as_ref().and_then(|pod| status_of(pod, &self.id.container));
            let same = pod.as_ref().is_some_and(|pod| meta(pod, "uid") == self.id.pod) && run_of(status) == self.run;
            self.over = !same || status.is_none_or(|status| !status["state"]["running"].is_object());
            // What it wrote at its end is the log of the run before, once it runs again.
            let log = self.cluster.log(&self.id, run_of(status) > self.run).unwrap_or_default();
            if let Some(new) = log.get(self.sent..).filter(|new| !new.is_empty()) {
                self.sent = log.len();
                return Some(Bytes::copy_from_slice(new.as_bytes()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_a_log_is_counted_in_lines() {
        let tail = |query: &str| shown("a\nb\nc\n".to_owned(), &Query::parse(query)).unwrap();
        assert_eq!(tail(""), "a\nb\nc\n");
        assert_eq!(tail("tailLines=2"), "b\nc\n");
        assert_eq!(tail("tailLines=0"), "");
        assert_eq!(tail("tailLines=9&limitBytes=3"), "a\nb");
    }

    #[test]
    fn a_container_must_be_one_of_the_pods() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(container(&pod, Some("b")).unwrap(), "b");
        assert!(container(&pod, None).unwrap_err().message.contains("choose one of: [a b]"));
        assert_eq!(container(&pod, Some("c")).unwrap_err().code, 400);
    }
}
