use std::{
    io,
    sync::{Mutex, atomic::AtomicBool},
};

use super::*;
use crate::audit::Chain;

/// A disk that can be full, or hang.
#[derive(Clone, Default)]
struct Disk {
    text: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
}

impl io::Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.hangs.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk {
    fn audit(&self) -> Audit {
        let first = Event::Started { version: "1", commit: "c" };
        let metrics = Arc::new(Metrics::new());
        let sink = Sink::stream(self.clone());
        Audit::begin(sink, Position::START, "one", &[first], Clock::system(), metrics).unwrap()
    }

    /// The events' names, once the chain is found to be whole.
    fn told(&self) -> Vec<String> {
        let text = self.text.lock().unwrap().clone();
        let mut chain = Chain::whole();
        let lines = text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap());
        let name = |line: &[u8]| {
            chain.check(line).unwrap();
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            line["event"].as_str().unwrap().to_owned()
        };
        lines.map(name).collect()
    }
}

fn removed() -> Event {
    Event::Removed { remediation: "shop/a".to_owned() }
}

#[tokio::test]
async fn what_is_confirmed_is_written_after_all_that_was_told_before() {
    let disk = Disk::default();
    let audit = disk.audit();
    audit.tell(Event::LeadershipWon).unwrap();
    audit.note(removed());
    audit.confirm(Event::LeadershipLost).await.unwrap();
    assert_eq!(disk.told(), ["Started", "LeadershipWon", "Removed", "LeadershipLost"]);
}

#[tokio::test]
async fn a_full_disk_refuses_what_must_be_confirmed_and_keeps_what_has_happened() {
    let disk = Disk::default();
    let audit = disk.audit();
    disk.full.store(true, Ordering::SeqCst);
    assert!(matches!(audit.confirm(Event::LeadershipWon).await, Err(Refused::Failing(_))));
    let problem = audit.changed(None).await;
    assert!(problem.as_ref().unwrap().contains("standard output"), "{problem:?}");
    assert!(audit.ready().is_err());
    audit.note(removed());
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(audit.changed(problem.as_deref()).await, None);
    audit.ready().unwrap();
    audit.confirm(Event::LeadershipLost).await.unwrap();
    let told = disk.told();
    assert!(!told.contains(&"LeadershipWon".to_owned()), "what was refused is not told: {told:?}");
    assert!(told.contains(&"Removed".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_disk_that_is_full_while_nothing_happens_is_found_to_work_again() {
    let disk = Disk::default();
    let audit = disk.audit();
    disk.full.store(true, Ordering::SeqCst);
    audit.confirm(Event::LeadershipWon).await.unwrap_err();
    tokio::time::sleep(EVERY + EVERY / 2).await;
    audit.ready().unwrap_err();
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(audit.changed(Some(&disk_full())).await, None);
    assert_eq!(disk.told(), ["Started", "Resumed"]);
}

fn disk_full() -> String {
    AuditError::Stdout(io::Error::from(io::ErrorKind::StorageFull)).to_string()
}

#[tokio::test]
async fn a_disk_that_hangs_holds_nobody_up_and_what_is_lost_is_counted() {
    let disk = Disk::default();
    let audit = disk.audit();
    disk.hangs.store(true, Ordering::SeqCst);
    while audit.tell(Event::LeadershipWon).is_ok() {}
    assert_eq!(audit.tell(Event::LeadershipWon), Err(Refused::Full));
    audit.note(removed());
    audit.note(removed());
    assert_eq!(audit.confirm(Event::LeadershipLost).await, Err(Refused::Full));
    disk.hangs.store(false, Ordering::SeqCst);
    while audit.confirm(Event::LeadershipLost).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = String::from_utf8(disk.text.lock().unwrap().clone()).unwrap();
    assert_eq!(disk.told().iter().filter(|event| *event == "Lost").count(), 1);
    assert!(text.contains(r#""event":"Lost","events":2"#), "two were noted in vain");
}

#[tokio::test]
async fn whoever_gave_up_waiting_has_no_line() {
    let disk = Disk::default();
    let audit = disk.audit();
    disk.hangs.store(true, Ordering::SeqCst);
    audit.tell(removed()).unwrap();
    assert_eq!(audit.confirm(Event::LeadershipWon).await, Err(Refused::Slow));
    disk.hangs.store(false, Ordering::SeqCst);
    audit.confirm(Event::LeadershipLost).await.unwrap();
    assert_eq!(disk.told(), ["Started", "Removed", "LeadershipLost"]);
}

#[tokio::test]
async fn without_a_log_everything_is_taken() {
    let audit = Audit::default();
    assert!(!audit.is_on());
    audit.ready().unwrap();
    audit.tell(Event::LeadershipWon).unwrap();
    audit.confirm(Event::LeadershipWon).await.unwrap();
}

#[tokio::test]
async fn a_file_is_gone_on_with_after_a_restart_and_after_it_was_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let to = AuditTo::File(path.clone());
    let open = || Audit::open(&to, "one", Clock::system(), Arc::new(Metrics::new()));
    let audit = open().unwrap();
    audit.confirm(Event::LeadershipWon).await.unwrap();
    std::fs::rename(&path, folder.path().join("audit.jsonl.1")).unwrap();
    audit.confirm(Event::LeadershipLost).await.unwrap();
    drop(audit);
    let again = loop {
        // The writer's thread ends, and lets go of the file, when it finds that nobody can tell it anything.
        match open() {
            Ok(audit) => break audit,
            Err(AuditError::Locked(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    };
    again.confirm(Event::Stopped).await.unwrap();
    let mut chain = Chain::whole();
    let mut told = Vec::new();
    for name in ["audit.jsonl.1", "audit.jsonl"] {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        for line in text.lines() {
            chain.check(line.as_bytes()).unwrap();
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            told.push(line["event"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(told, ["Started", "LeadershipWon", "Continued", "LeadershipLost", "Started", "Stopped"]);
}
