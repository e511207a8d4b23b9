//! The audit log, which the overlay sends to standard output.

use paramedic::audit::Chain;
use serde_json::Value;

use crate::{
    harness::{Entry, story},
    story::Story,
    wait::{PATIENCE, until},
};

pub fn stories() -> Vec<Entry> {
    vec![story("audit_log::each_action_has_its_line_before_it_and_every_chain_is_whole", whole)]
}

/// The events of all replicas about a record, in the order of their times, once every chain was found to be whole.
async fn events(story: &Story, record: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for (pod, log) in story.world.logs(None).await {
        let mut chain = Chain::whole().with_restarts();
        // The last line may be on its way.
        let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        for line in lines.filter(|line| line.starts_with(r#"{"seq":"#)) {
            chain.check(line.as_bytes()).unwrap_or_else(|why| panic!("the audit log of {pod}: {why}: {line}"));
            let event: Value = serde_json::from_str(line).expect("a line is JSON");
            events.extend(Some(event).filter(|event| event["remediation"] == record));
        }
        assert!(chain.lines() > 0, "{pod} has no audit log");
    }
    events.sort_by_key(|event| event["time"].as_str().unwrap_or_default().to_owned());
    events
}

async fn whole(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Audited").up().await;
    let alert = story.alert("Audited").about(&pod).fire().await;
    let record = story.record(&alert, &policy).acts().await;
    let name = format!("{}/{}", story.namespace, record.metadata.name.expect("a record has a name"));
    let names = until(PATIENCE, "the action's end is in the audit log", || async {
        let told = events(&story, &name).await;
        let names: Vec<_> = told.iter().filter_map(|event| event["event"].as_str().map(str::to_owned)).collect();
        if names.iter().any(|name| name == "ActionEnded") { Ok(told) } else { Err(format!("{names:?}")) }
    })
    .await;
    let place = |event: &str| names.iter().position(|told| told["event"] == event);
    let (recorded, begins, ended) = (place("Recorded"), place("ActionBegins"), place("ActionEnded"));
    assert!(recorded.is_some() && begins > recorded && ended > begins, "{names:#?}");
    let begins = &names[begins.expect("it is there")];
    assert_eq!(begins["target"]["uid"], pod.uid.as_str(), "{begins}");
    alert.resolve().await;
}
