//! Runs the stories: a few at a time, those that disturb the others alone and afterwards, and a table at the end.

use std::{
    fmt::Write,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::FutureExt;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;

use crate::{
    story::Story,
    world::{World, switched_on},
};

/// How long a story may take that says nothing else.
const LIMIT: Duration = Duration::from_mins(7);

type Telling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A story that can be told.
pub struct Entry {
    name: String,
    tell: Box<dyn Fn(Story) -> Telling + Send + Sync>,
    namespace: Option<&'static str>,
    alone: bool,
    full: bool,
    limit: Duration,
    needs: Option<Need>,
}

/// What not every cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Rig,
    Alertmanager,
}

/// Whether what a negative story is about is there. Its twin differs in that alone, and acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is there: nothing may be done.
    Present,
    /// It is not: the same alert leads to an action.
    Absent,
}

impl Cause {
    /// Whether it is there.
    pub fn is_present(self) -> bool {
        self == Self::Present
    }
}

/// A story.
pub fn story<F, T>(name: &str, tell: F) -> Entry
where
    F: Fn(Story) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let tell = Box::new(move |story| tell(story).boxed());
    Entry { name: name.to_owned(), tell, namespace: None, alone: false, full: false, limit: LIMIT, needs: None }
}

/// A story in which nothing is done, and its twin.
pub fn twins<F, T>(name: &str, tell: F) -> [Entry; 2]
where
    F: Fn(Story, Cause) -> T + Send + Sync + Copy + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    [
        story(&format!("{name}::holds_it_back"), move |story| tell(story, Cause::Present)),
        story(&format!("{name}::its_twin_acts"), move |story| tell(story, Cause::Absent)),
    ]
}

impl Entry {
    /// In a namespace of that name, and not one of its own.
    pub fn in_namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// After the others, as it disturbs them.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Not one of the core stories.
    pub fn only_in_full(mut self) -> Self {
        self.full = true;
        self
    }

    /// It may take so long.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Needs the machine itself.
    pub fn on_the_rig(mut self) -> Self {
        self.needs = Some(Need::Rig);
        self
    }

    /// Needs an Alertmanager that can be asked: by webhooks alone, an alert that goes on is heard of once a minute.
    pub fn with_alertmanager(mut self) -> Self {
        self.needs = Some(Need::Alertmanager);
        self
    }

    /// Why it cannot be told in that cluster.
    fn impossible_in(&self, world: &World) -> Option<&'static str> {
        match self.needs? {
            Need::Rig => world.rig.is_none().then_some("needs the cluster of tests/cluster"),
            Need::Alertmanager => world.alertmanager.is_none().then_some("needs an Alertmanager"),
        }
    }
}

struct Row {
    name: String,
    result: &'static str,
    took: Duration,
    figures: String,
}

struct Run {
    runtime: Runtime,
    world: &'static World,
    rows: Mutex<Vec<Row>>,
}

/// Runs all that the arguments select; gives whether all went well.
pub fn run(entries: Vec<Entry>) -> bool {
    let mut arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("a runtime can be made");
    if arguments.list {
        let trials = entries.into_iter().map(|entry| Trial::test(entry.name, || Ok(()))).collect();
        return !libtest_mimic::run(&arguments, trials).has_failed();
    }
    let begun = Instant::now();
    let world = runtime.block_on(async {
        let mut world = World::connect().await.unwrap_or_else(|error| panic!("{error}"));
        world.set_up().await;
        Box::leak(Box::new(world)) as &'static World
    });
    println!("set-up: {:.1} s", begun.elapsed().as_secs_f64());
    let run = Arc::new(Run { runtime, world, rows: Mutex::default() });
    let (alone, together): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.alone);
    let mut failed = false;
    arguments.test_threads = arguments.test_threads.or(Some(3));
    failed |= libtest_mimic::run(&arguments, trials(together, &run, &arguments)).has_failed();
    arguments.test_threads = Some(1);
    failed |= libtest_mimic::run(&arguments, trials(alone, &run, &arguments)).has_failed();
    print!("{}", table(&run.rows.lock().expect("not poisoned")));
    let kept = run.runtime.block_on(world.kept());
    if failed && !kept.is_empty() {
        println!("kept to be looked at: namespaces {}", kept.join(", "));
    }
    !failed
}

fn trials(entries: Vec<Entry>, run: &Arc<Run>, arguments: &Arguments) -> Vec<Trial> {
    let full = switched_on("E2E_FULL");
    let make = |entry: Entry| {
        let (name, ignored) = (entry.name.clone(), entry.full && !full);
        let for_trial = Arc::clone(run);
        let trial = Trial::ignorable_test(name.clone(), move || for_trial.tell(&entry)).with_ignored_flag(ignored);
        if arguments.is_ignored(&trial) && !arguments.is_filtered_out(&trial) {
            run.note(name, "only in full", Duration::ZERO, String::new());
        }
        trial
    };
    entries.into_iter().map(make).collect()
}

impl Run {
    fn note(&self, name: String, result: &'static str, took: Duration, figures: String) {
        self.rows.lock().expect("not poisoned").push(Row { name, result, took, figures });
    }

    fn tell(&self, entry: &Entry) -> Result<Completion, Failed> {
        if let Some(why) = entry.impossible_in(self.world) {
            self.note(entry.name.clone(), "skipped", Duration::ZERO, why.to_owned());
            return Ok(Completion::ignored_with(why));
        }
        let begun = Instant::now();
        let (told, figures) = self.runtime.block_on(self.told(entry));
        let result = if told.is_ok() { "ok" } else { "FAILED" };
        self.note(entry.name.clone(), result, begun.elapsed(), figures);
        told.map(|()| Completion::Completed)
    }

    async fn told(&self, entry: &Entry) -> (Result<(), Failed>, String) {
        let own = format!("e2e-{:08x}", fastrand::u32(..));
        let namespace = entry.namespace.unwrap_or(&own);
        let telling = AssertUnwindSafe(async {
            let story = Story::in_namespace(self.world, namespace).await;
            let telling = AssertUnwindSafe(tokio::time::timeout(entry.limit, (entry.tell)(story.clone())));
            let outcome = telling.catch_unwind().await;
            let problem = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(_)) => Some(format!("not over after {} s", entry.limit.as_secs())),
                Err(panic) => Some(said(&*panic)),
            };
            let mut report = None;
            if let Some(problem) = problem {
                report = Some(format!("{problem}\n{}", story.dump().await));
            }
            story.end(report.is_none()).await;
            (report, story.figures())
        });
        match telling.catch_unwind().await {
            Ok((None, figures)) => (Ok(()), figures),
            Ok((Some(report), figures)) => (Err(Failed::from(report)), figures),
            Err(panic) => (Err(Failed::from(said(&*panic))), String::new()),
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("\n{:width$}  {:12}  {:>8}  figures\n", "story", "result", "seconds");
    for Row { name, result, took, figures } in rows {
        let _ = writeln!(text, "{name:width$}  {result:12}  {:8.1}  {figures}", took.as_secs_f64());
    }
    text
}
