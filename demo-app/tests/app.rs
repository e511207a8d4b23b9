//! The binary as a container runs it: its memory, its probes, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

const MIB: u64 = 1024 * 1024;

/// A running demo-app; killed when a test is done with it, however that ends.
struct App {
    process: Child,
    address: String,
}

impl App {
    fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_demo-app"))
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().to_owned();
        Self { process, address }
    }

    /// The status code and the body, or `None` when there is no answer within `patience`.
    fn ask(&self, request: &str, patience: Duration) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(patience)).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: demo-app\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path}"), Duration::from_secs(10)).expect("no answer")
    }

    fn post(&self, path: &str) -> (u16, String) {
        self.ask(&format!("POST {path}"), Duration::from_secs(10)).expect("no answer")
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.get("/").1).unwrap()
    }

    fn resident(&self) -> u64 {
        self.report()["residentBytes"].as_u64().unwrap()
    }

    fn held(&self) -> u64 {
        self.report()["leak"]["heldBytes"].as_u64().unwrap()
    }

    fn wait_until_held(&self, bytes: u64) {
        let give_up = Instant::now() + Duration::from_secs(30);
        while self.held() < bytes {
            assert!(Instant::now() < give_up, "leaked {} of {bytes} bytes", self.held());
            sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap().success());
    }

    fn wait_for_end(&mut self, patience: Duration) -> ExitStatus {
        let give_up = Instant::now() + patience;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < give_up, "still running after {patience:?}");
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Nothing to be done about a process that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn leaks_resident_memory_up_to_its_limit_and_gives_it_back() {
    let app = App::start(&["--leak", "--leak-rate-mib", "200", "--leak-limit-mib", "64"]);
    app.wait_until_held(64 * MIB);
    let full = app.resident();
    assert!((64 * MIB..96 * MIB).contains(&full), "{full}");

    // Half a second would be another 100 MiB.
    sleep(Duration::from_millis(500));
    assert_eq!(app.held(), 64 * MIB);
    assert!(app.resident() < full + 4 * MIB);

    app.post("/leak/stop?free=true");
    assert!(app.resident() < full - 48 * MIB, "{}", app.resident());

    // A second time round: an allocator that kept what was freed would not show it as growth.
    app.post("/leak/start?limitMib=96");
    app.wait_until_held(96 * MIB);
    assert!(app.resident() >= 96 * MIB);
    app.post("/recover");
    assert!(app.resident() < full - 32 * MIB, "{}", app.resident());
}

#[test]
fn leaks_at_about_its_rate() {
    let app = App::start(&[]);
    assert_eq!(app.held(), 0);
    let start = Instant::now();
    app.post("/leak/start?rateMib=50");
    app.wait_until_held(50 * MIB);
    // The upper bound is wide because the machine that runs this may have better things to do.
    let took = start.elapsed();
    assert!((Duration::from_millis(800)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[test]
fn metrics_tell_its_memory() {
    let app = App::start(&["--leak", "--leak-rate-mib", "500", "--leak-limit-mib", "32"]);
    app.wait_until_held(32 * MIB);
    let (code, text) = app.get("/metrics");
    assert_eq!(code, 200);
    let line = text.lines().find(|line| line.starts_with("process_resident_memory_bytes ")).unwrap();
    assert!(line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() >= 32 * MIB, "{line}");
    assert!(text.contains("demo_app_leaked_bytes 33554432\n"), "{text}");
    assert!(text.contains(r#"demo_app_state{state="leaking"} 1"#), "{text}");
}

#[test]
fn probes_fail_and_recover() {
    let app = App::start(&["--fail-readiness"]);
    assert_eq!(app.get("/healthz").0, 200);
    let give_up = Instant::now() + Duration::from_secs(5);
    while app.get("/readyz").0 == 200 && Instant::now() < give_up {
        sleep(Duration::from_millis(10));
    }
    assert_eq!(app.get("/readyz").0, 503);
    app.post("/fail/liveness");
    assert_eq!(app.get("/healthz").0, 500);
    app.post("/recover");
    assert_eq!((app.get("/healthz").0, app.get("/readyz").0), (200, 200));
}

#[test]
fn burns_and_refuses_nonsense() {
    let app = App::start(&[]);
    assert_eq!(app.post("/burn?threads=1&seconds=30").0, 200);
    assert_eq!(app.report()["burningThreads"], 1);
    app.post("/recover");
    assert_eq!(app.post("/burn?threads=1000").0, 400);
    assert_eq!(app.post("/leak/start?rate=50").0, 400);
    assert_eq!(app.get("/leak/start").0, 405);
    assert_eq!(app.get("/nowhere").0, 404);
}

#[test]
fn hangs_for_everybody_and_still_ends_on_sigterm() {
    let mut app = App::start(&[]);
    assert_eq!(app.post("/hang").0, 200);
    let patience = Duration::from_millis(300);
    assert_eq!(app.ask("GET /healthz", patience), None);
    assert_eq!(app.ask("POST /recover", patience), None);
    app.signal("TERM");
    assert_eq!(app.wait_for_end(Duration::from_secs(2)).code(), Some(0));
}

#[test]
fn a_short_hang_ends_by_itself() {
    let app = App::start(&[]);
    app.post("/hang?seconds=1");
    let start = Instant::now();
    assert_eq!(app.get("/healthz").0, 200);
    assert!(start.elapsed() > Duration::from_millis(500));
}

#[test]
fn exits_with_the_code_it_is_given() {
    let mut app = App::start(&[]);
    assert_eq!(app.post("/exit?code=3").0, 200);
    assert_eq!(app.wait_for_end(Duration::from_secs(2)).code(), Some(3));

    let mut app = App::start(&["--exit-code", "7", "--after-seconds", "1"]);
    assert_eq!(app.get("/healthz").0, 200);
    assert_eq!(app.wait_for_end(Duration::from_secs(5)).code(), Some(7));
}

#[test]
fn ends_promptly_with_a_request_open() {
    let mut app = App::start(&[]);
    let mut half = TcpStream::connect(&app.address).unwrap();
    write!(half, "GET / HTTP/1.1\r\n").unwrap();
    sleep(Duration::from_millis(100));
    app.signal("TERM");
    assert_eq!(app.wait_for_end(Duration::from_secs(2)).code(), Some(0));
}

#[test]
fn a_broken_scratch_directory_outlives_a_crash_and_not_itself() {
    let scratch = std::env::temp_dir().join(format!("demo-app-scratch-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let flags = ["--scratch", scratch.to_str().unwrap()];
    let mut app = App::start(&flags);
    assert_eq!(app.post("/corrupt").0, 200);
    assert_eq!(app.wait_for_end(Duration::from_secs(2)).code(), Some(3));

    let again = || Command::new(env!("CARGO_BIN_EXE_demo-app")).args(["--listen", "127.0.0.1:0"]).args(flags).output();
    let again = again().unwrap();
    assert_eq!(again.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&again.stderr).contains("broken"), "{again:?}");

    std::fs::remove_dir_all(&scratch).unwrap();
    std::fs::create_dir_all(&scratch).unwrap();
    assert_eq!(App::start(&flags).get("/healthz").0, 200);
    std::fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn without_a_scratch_directory_there_is_nothing_to_break() {
    let app = App::start(&[]);
    assert_eq!(app.post("/corrupt").0, 409);
    assert_eq!(app.get("/healthz").0, 200);
}
