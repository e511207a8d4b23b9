//! Runs the cases, and compares: the simulation with the recording, and with a real API server where there is one.

use std::{
    collections::BTreeSet,
    env, panic,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use kube::Client;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::{
    place::{Place, connect},
    recorded::{self, Recording},
    suite::Case,
};

/// Names the kubeconfig of a real cluster. Not KUBECONFIG: that may lead to a cluster that nobody wants cases on.
const KUBECONFIG: &str = "CONFORMANCE_KUBECONFIG";

struct Run {
    runtime: Runtime,
    real: Option<Client>,
    record: bool,
    recording: Mutex<Recording>,
    equal: Mutex<usize>,
}

/// Runs all that the arguments select; gives whether all is equal.
pub fn run(cases: Vec<Case>) -> bool {
    let (ours, theirs): (Vec<String>, Vec<String>) = env::args().partition(|argument| argument == "--record");
    let mut arguments = Arguments::from_iter(theirs);
    let record = !ours.is_empty();
    let runtime = Runtime::new().expect("a runtime can be made");
    let kubeconfig = env::var_os(KUBECONFIG).filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut recording = recorded::read();
    let real = kubeconfig.map(|path| {
        let (client, version) = runtime.block_on(connect(&path)).unwrap_or_else(|error| panic!("{error}"));
        println!("conformance: the simulation, Kubernetes {version}, and the recording of {}", recording.version);
        if record {
            recording.version = version;
        }
        client
    });
    assert!(real.is_some() || !record, "a recording is of a real cluster: name its kubeconfig in {KUBECONFIG}");
    if real.is_some() {
        arguments.test_threads = arguments.test_threads.or(Some(12));
    }

    let order: Vec<(String, String)> = cases.iter().map(|case| (case.theme.to_owned(), case.name.to_owned())).collect();
    let names: BTreeSet<String> = cases.iter().map(Case::full_name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    if record {
        recording.transcripts.retain(|key, _| order.contains(key));
    }
    let left: Vec<_> = recording.transcripts.keys().filter(|key| !order.contains(key)).collect();
    assert!(left.is_empty(), "recorded, but not in the suite: {left:?}");

    let (recording, equal) = (Mutex::new(recording), Mutex::new(0));
    let run = Arc::new(Run { runtime, real, record, recording, equal });
    let trial = |case: Case| {
        let run = Arc::clone(&run);
        Trial::test(case.full_name(), move || run.compare(&case))
    };
    let all = cases.len();
    // A case that panics has its message in the comparison.
    panic::set_hook(Box::new(|_| {}));
    let conclusion = libtest_mimic::run(&arguments, cases.into_iter().map(trial).collect());
    drop(panic::take_hook());
    if arguments.list {
        return true;
    }
    if record {
        recorded::write(&run.recording.lock().expect("not poisoned"), &order);
    }
    let (told, equal) = (conclusion.num_passed + conclusion.num_failed, *run.equal.lock().expect("not poisoned"));
    let told = if told == all as u64 { format!("{all} cases") } else { format!("{told} of {all} cases") };
    println!("conformance: {told}, {equal} equal");
    !conclusion.has_failed()
}

impl Run {
    fn compare(&self, case: &Case) -> Result<(), Failed> {
        let key = (case.theme.to_owned(), case.name.to_owned());
        let mut wrong = Vec::new();
        let real = self.real.as_ref().map(|client| self.runtime.block_on(case.told(Place::real(client))));
        if let Some(real) = &real {
            if let Some(why) = &real.stopped {
                return Err(Failed::from(format!("the real API server: {why}\n{}", real.text)));
            }
            let mut recording = self.recording.lock().expect("not poisoned");
            if self.record {
                recording.transcripts.insert(key.clone(), real.text.clone());
            }
        }
        let recorded = self.recording.lock().expect("not poisoned").transcripts.get(&key).cloned();
        let Some(recorded) = recorded else { return Err(Failed::from("not recorded: make conformance-record")) };
        if let Some(real) = real.as_ref().filter(|real| real.text != recorded) {
            wrong.push(difference("recorded", &recorded, "the real API server", &real.text));
        }
        let simulated = self.runtime.block_on(async { case.told(Place::simulated()).await });
        if simulated.text != recorded {
            wrong.push(difference("recorded", &recorded, "the simulation", &simulated.text));
        }
        if wrong.is_empty() {
            *self.equal.lock().expect("not poisoned") += 1;
            Ok(())
        } else {
            Err(Failed::from(wrong.join("\n")))
        }
    }
}

fn difference(one: &str, old: &str, other: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    format!("--- {one}\n+++ {other}\n{}", diff.unified_diff().context_radius(6))
}
