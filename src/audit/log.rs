//! The handle that everybody has, and the thread that writes.
//!
//! A queue of a fixed length is between them, so that a disk that hangs holds up no thread of the runtime. When it is
//! full, intake is told so and answers 503, nothing is done any more, and what else is told is counted as lost, in a line
//! of its own once the log works again. While a line cannot be written it is tried again every second.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use super::{
    AuditError, Event, Position,
    sink::{LogFile, Sink},
};
use crate::{clock::Clock, config::AuditTo, telemetry::Metrics};

/// So many events wait to be written.
const QUEUE: usize = 1_024;
/// How long whoever must not go on without a line waits for it.
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// How often a line that could not be written is tried again, and a file is looked for that was moved away.
const EVERY: Duration = Duration::from_secs(1);

/// Tells the audit log. Cheap to clone; the default is no log, which everything is told to for nothing.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Handle>>);

/// Why an event is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The last line could not be written.
    #[error("the audit log cannot be written: {0}")]
    Failing(String),
    /// More waits to be written than may.
    #[error("the audit log is too slow: {QUEUE} events wait to be written")]
    Full,
    /// No answer in time.
    #[error("the audit log did not take a line within {} s", CONFIRM_WITHIN.as_secs())]
    Slow,
}

struct Handle {
    queue: SyncSender<Message>,
    problem: watch::Receiver<Option<String>>,
    lost: Arc<AtomicU64>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

struct Message {
    time: Timestamp,
    event: Event,
    /// Whoever waits for the line.
    answer: Option<oneshot::Sender<Result<(), Refused>>>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audit").field(&self.0.is_some()).finish()
    }
}

impl Audit {
    /// Opens the log, goes on with the chain of a file that is there, and writes its first line. `replica` is who
    /// writes. Refuses a file whose end is not what was written, and one that another process writes to.
    pub fn open(to: &AuditTo, replica: &str, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, AuditError> {
        let (sink, at, torn) = match to {
            AuditTo::Stdout => (Sink::stdout()?, Position::START, None),
            AuditTo::File(path) => {
                let (file, at, torn) = LogFile::open(path)?;
                (Sink::File(file), at, torn)
            }
        };
        let mut first = Vec::new();
        if let Some(torn) = torn {
            tracing::warn!(bytes = torn.bytes, "the audit log's last line was not whole and was taken out");
            first.push(Event::TornLine { bytes: torn.bytes, text: torn.text });
        }
        first.push(Event::Started { version: crate::VERSION, commit: crate::COMMIT });
        Self::begin(sink, at, replica, &first, clock, metrics)
    }

    fn begin(
        sink: Sink,
        at: Position,
        replica: &str,
        first: &[Event],
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AuditError> {
        let (queue, messages) = sync_channel(QUEUE);
        let (state, problem) = watch::channel(None);
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer {
            sink,
            at,
            replica: replica.to_owned(),
            messages,
            state,
            lost: Arc::clone(&lost),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        };
        let now = clock.now();
        for event in first {
            writer.write(now, event, true)?;
        }
        metrics.audit_failing(false);
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run()).map_err(AuditError::Thread)?;
        Ok(Self(Some(Arc::new(Handle { queue, problem, lost, clock, metrics }))))
    }

    /// Whether there is one.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether anything may be done: the last line was written.
    pub fn ready(&self) -> Result<(), Refused> {
        let Some(handle) = &self.0 else { return Ok(()) };
        handle.problem.borrow().clone().map_or(Ok(()), |why| Err(Refused::Failing(why)))
    }

    /// Tells something; never waits. Refused: it will not be in the log.
    pub fn tell(&self, event: Event) -> Result<(), Refused> {
        let Some(handle) = &self.0 else { return Ok(()) };
        handle.send(event, None)
    }

    /// Tells something that has happened already, whatever the log does; where it is full, the event is counted as lost.
    pub fn note(&self, event: Event) {
        let Some(handle) = &self.0 else { return };
        if handle.send(event, None).is_err() {
            handle.lost.fetch_add(1, Ordering::Relaxed);
            handle.metrics.audit_lost();
        }
    }

    /// Tells something, and waits until it is written and would outlive the machine. Refused: what it announces must not
    /// be done.
    pub async fn confirm(&self, event: Event) -> Result<(), Refused> {
        let Some(handle) = &self.0 else { return Ok(()) };
        self.ready()?;
        let (answer, written) = oneshot::channel();
        handle.send(event, Some(answer))?;
        match tokio::time::timeout(CONFIRM_WITHIN, written).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err(Refused::Failing("its writer has ended".to_owned())),
            Err(_) => Err(Refused::Slow),
        }
    }

    /// Waits until the problem, or that there is none, is another one than `known`; gives it. Never ends without a log.
    pub async fn changed(&self, known: Option<&str>) -> Option<String> {
        let Some(handle) = &self.0 else { return std::future::pending().await };
        let mut problem = handle.problem.clone();
        let now = problem.wait_for(|problem| problem.as_deref() != known).await.map(|problem| problem.clone());
        match now {
            Ok(problem) => problem,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Handle {
    fn send(&self, event: Event, answer: Option<oneshot::Sender<Result<(), Refused>>>) -> Result<(), Refused> {
        let message = Message { time: self.clock.now(), event, answer };
        self.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Failing("its writer has ended".to_owned()),
        })
    }
}

/// Writes, on a thread of its own.
struct Writer {
    sink: Sink,
    at: Position,
    replica: String,
    messages: Receiver<Message>,
    state: watch::Sender<Option<String>>,
    lost: Arc<AtomicU64>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Writer {
    /// Until nobody can tell anything any more.
    fn run(mut self) {
        loop {
            match self.messages.recv_timeout(EVERY) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, message: Message) {
        let Message { time, event, answer } = message;
        let event = event.bounded();
        let Some(answer) = answer else {
            // What has happened is told, however long that takes.
            while let Err(error) = self.follow_and_write(time, &event, false) {
                self.fail(&error);
                thread::sleep(EVERY);
            }
            self.works();
            return;
        };
        // Whoever has given up does not do what the line announces.
        if answer.is_closed() {
            return;
        }
        let written = self.follow_and_write(time, &event, true);
        match &written {
            Ok(()) => self.works(),
            Err(error) => self.fail(error),
        }
        let _ = answer.send(written.map_err(|error| Refused::Failing(error.to_string())));
    }

    /// Nothing is to be written: a file that was moved away or emptied is gone on with, so that none stays empty, and
    /// whether what failed works again is tried.
    fn rest(&mut self) {
        match self.tell_of_the_log(self.clock.now()) {
            Ok(()) => self.works(),
            Err(error) => self.fail(&error),
        }
    }

    fn follow_and_write(&mut self, time: Timestamp, event: &Event, sync: bool) -> Result<(), AuditError> {
        self.tell_of_the_log(time)?;
        self.write(time, event, sync)
    }

    /// What became of the log itself since the last line.
    fn tell_of_the_log(&mut self, time: Timestamp) -> Result<(), AuditError> {
        if self.sink.follow()? {
            self.write(time, &Event::Continued, true)?;
        }
        let problem = self.state.borrow().clone();
        if let Some(problem) = problem {
            self.write(time, &Event::Resumed { problem }.bounded(), true)?;
            self.works();
        }
        let events = self.lost.swap(0, Ordering::Relaxed);
        if events == 0 {
            return Ok(());
        }
        let told = self.write(time, &Event::Lost { events }, false);
        if told.is_err() {
            self.lost.fetch_add(events, Ordering::Relaxed);
        }
        told
    }

    fn write(&mut self, time: Timestamp, event: &Event, sync: bool) -> Result<(), AuditError> {
        let (line, at) = self.at.line(time, &self.replica, event)?;
        self.sink.write(&line, sync)?;
        self.at = at;
        self.metrics.audit_line();
        Ok(())
    }

    fn fail(&self, error: &AuditError) {
        let why = error.to_string();
        let new = self.state.send_if_modified(|problem| {
            let new = problem.as_ref() != Some(&why);
            *problem = Some(why.clone());
            new
        });
        if new {
            self.metrics.audit_failing(true);
            tracing::error!("{error}; nothing is done and nothing is taken in until it can be written again");
        }
    }

    fn works(&self) {
        if self.state.send_if_modified(|problem| problem.take().is_some()) {
            self.metrics.audit_failing(false);
            tracing::info!("the audit log is written again");
        }
    }
}

#[cfg(test)]
mod tests;
