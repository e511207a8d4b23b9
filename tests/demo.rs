//! `paramedic demo` as a person runs it: every scenario to its end, and what is left when it is stopped in the middle.
#![allow(clippy::unwrap_used, reason = "what cannot be started or read fails its test")]

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A demonstration that runs, with a directory for temporary files of its own.
struct Demo {
    process: Child,
    tmp: TempDir,
    began: Instant,
    what: String,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_paramedic")).arg("demo").args(args), args)
    }

    fn start_as(command: &mut Command, args: &[&str]) -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let out = File::create(tmp.path().join("out")).unwrap();
        fs::create_dir(tmp.path().join("tmp")).unwrap();
        let process = command
            .env("TMPDIR", tmp.path().join("tmp"))
            .stdin(Stdio::null())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn()
            .unwrap();
        Self { process, tmp, began: Instant::now(), what: args.join(" ") }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.tmp.path().join("out")).unwrap()
    }

    /// What it left among the temporary files.
    fn left(&self) -> Vec<String> {
        let files = fs::read_dir(self.tmp.path().join("tmp")).unwrap();
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    fn wait_for(&mut self, text: &str, within: u64) {
        self.wait(within, text, |demo| demo.output().contains(text));
    }

    fn wait(&mut self, within: u64, what: &str, mut is: impl FnMut(&mut Self) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(within);
        while !is(self) {
            assert!(Instant::now() < give_up, "{}: in vain for {what}:\n{}", self.what, self.output());
            sleep(Duration::from_millis(50));
        }
    }

    fn end(&mut self, within: u64) -> ExitStatus {
        let mut status = None;
        self.wait(within, "its end", |demo| {
            status = demo.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// It is over, and nothing of it is left.
    fn is_gone(&mut self, children: &[u32]) {
        assert_eq!(self.left(), [""; 0], "{}", self.what);
        self.wait(10, "the end of all children", |_| children.iter().all(|pid| is_over(*pid)));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processes whose ancestor that one is.
fn descendants(of: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(ancestor) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == ancestor).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Whether the process has ended; one that nobody has waited for yet has.
fn is_over(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    state.is_none_or(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

/// Plays a scenario to its end; gives what it told.
fn plays(args: &[&str]) -> String {
    let mut demo = Demo::start(args);
    demo.wait(2, "the first line", |demo| !demo.output().is_empty());
    assert!(demo.began.elapsed() < Duration::from_secs(1), "{}: the first line came late", demo.what);
    demo.wait_for("is ready for alerts", 30);
    let children = descendants(demo.process.id());
    assert!(children.len() >= 4, "three applications and a replica, at least: {children:?}");
    let status = demo.end(60);
    let (took, output) = (demo.began.elapsed(), demo.output());
    assert_eq!(status.code(), Some(0), "{}:\n{output}", demo.what);
    assert!(took < Duration::from_mins(1), "{} took {took:?}", demo.what);
    assert!(!output.contains('\u{1b}'), "{}: escape codes in a file:\n{output}", demo.what);
    assert!(output.contains("What happened"), "{output}");
    demo.is_gone(&children);
    output
}

#[test]
fn every_scenario_comes_to_a_good_end_and_leaves_nothing() {
    let scenarios: [(&str, &[&str]); 5] = [
        ("leak", &["SubjectLocked", "Cooldown", "evict Pod", "verified for"]),
        ("crash-loop", &["CrashLoopBackOff", "evict Pod", "verified for"]),
        ("two-alertmanagers", &["alertmanager-0 tells", "alertmanager-1 tells", "records: 1; evictions: 1"]),
        ("api-server-down", &["503, so it comes again", "the Kubernetes API is back", "verified for"]),
        ("leader-killed", &["kill -9", "holds the lease", "verified for"]),
    ];
    // The real ones, where this machine has them.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let real = has("prometheus") && (has("alertmanager") || has("prometheus-alertmanager"));
    let real = real.then(|| thread::spawn(|| plays(&["--prometheus"])));
    let playing = scenarios.map(|(name, told)| (told, thread::spawn(move || plays(&["--scenario", name]))));
    for (told, playing) in playing {
        let output = playing.join().unwrap();
        let missing: Vec<_> = told.iter().filter(|text| !output.contains(**text)).collect();
        assert!(missing.is_empty(), "{missing:?} in\n{output}");
    }
    if let Some(real) = real {
        let output = real.join().unwrap();
        assert!(output.contains("the real one") && output.contains("is firing"), "{output}");
    }
}

#[test]
fn what_is_kept_stays_until_it_is_told_to_end_which_is_a_good_end() {
    let mut demo = Demo::start(&["--scenario", "crash-loop", "--keep"]);
    demo.wait_for("Send an alert of your own", 60);
    let output = demo.output();
    let kubeconfig = output.lines().find_map(|line| line.trim().strip_prefix("export KUBECONFIG=")).unwrap();
    assert!(Path::new(kubeconfig).is_file(), "{kubeconfig}");
    sleep(Duration::from_millis(500));
    let children = descendants(demo.process.id());
    assert!(children.len() >= 4, "{children:?}");
    demo.signal("INT");
    assert_eq!(demo.end(10).code(), Some(0), "{}", demo.output());
    demo.is_gone(&children);
}

#[test]
fn a_replica_that_ends_is_an_error_that_names_its_log_and_leaves_it() {
    let mut demo = Demo::start(&[]);
    demo.wait_for("leaks", 40);
    let children = descendants(demo.process.id());
    let serves =
        |pid: &&u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("serve"));
    let replica = children.iter().find(serves).unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "KILL", &replica]).status().unwrap().success());
    assert_eq!(demo.end(20).code(), Some(1), "{}", demo.output());
    let output = demo.output();
    assert!(output.contains("paramedic-0 ended by itself"), "{output}");
    let log = output.lines().find_map(|line| line.split_once("its log: ")).unwrap().1;
    assert!(Path::new(log).is_file(), "{log}");
    demo.wait(10, "the end of all children", |_| children.iter().all(|pid| is_over(*pid)));
}

#[test]
fn a_replica_that_ends_while_it_stays_up_is_told_and_an_error_too() {
    let mut demo = Demo::start(&["--scenario", "crash-loop", "--keep"]);
    demo.wait_for("Send an alert of your own", 60);
    let children = descendants(demo.process.id());
    let serves =
        |pid: &&u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("serve"));
    let replica = children.iter().find(serves).unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "KILL", &replica]).status().unwrap().success());
    assert_eq!(demo.end(20).code(), Some(1), "{}", demo.output());
    let output = demo.output();
    let told = output.lines().filter(|line| line.contains("paramedic-0 ended by itself, with signal: 9")).count();
    assert!(told >= 1, "{output}");
    demo.wait(10, "the end of all children", |_| children.iter().all(|pid| is_over(*pid)));
}

#[test]
fn a_signal_at_any_time_leaves_nothing() {
    let stopped =
        [("INT", None), ("TERM", None), ("HUP", Some("leaks")), ("INT", Some("leaks")), ("TERM", Some("fires for"))];
    let stopping = stopped.map(|(signal, after)| {
        thread::spawn(move || {
            let mut demo = Demo::start(&[]);
            match after {
                None => demo.wait(2, "its start", |demo| !demo.left().is_empty()),
                Some(line) => demo.wait_for(line, 40),
            }
            let children = descendants(demo.process.id());
            demo.signal(signal);
            let code = demo.end(10).code();
            assert!(matches!(code, Some(129 | 130 | 143)), "{code:?}: {}", demo.output());
            demo.is_gone(&children);
        })
    });
    for stopped in stopping {
        stopped.join().unwrap();
    }
}

#[test]
fn children_do_not_outlive_a_demonstration_that_is_killed() {
    let mut demo = Demo::start(&[]);
    demo.wait_for("leaks", 40);
    let children = descendants(demo.process.id());
    assert!(children.len() >= 4, "{children:?}");
    demo.process.kill().unwrap();
    demo.process.wait().unwrap();
    demo.wait(5, "the end of all children", |_| children.iter().all(|pid| is_over(*pid)));
}

#[test]
fn a_port_that_is_taken_is_named() {
    // Somebody has it now: this test, or whoever had it before.
    let held = TcpListener::bind("127.0.0.1:9093");
    let mut demo = Demo::start(&[]);
    demo.wait_for("port 9093 is taken; Alertmanager is on", 30);
    demo.signal("TERM");
    demo.end(10);
    drop(held);
}

#[test]
fn a_terminal_that_wants_no_colours_gets_none() {
    // A terminal of util-linux's making; where there is none, nothing can be said.
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        return;
    }
    let live = format!("timeout -s INT 4 {} demo", env!("CARGO_BIN_EXE_paramedic"));
    let shown = |name: &str, value: &str| {
        let mut command = Command::new("script");
        command.args(["-qec", &live, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR").env(name, value);
        let mut demo = Demo::start_as(&mut command, &[name]);
        demo.end(20);
        demo.output()
    };
    assert!(shown("COLUMNS", "80").contains('\u{1b}'), "a terminal is drawn on");
    assert!(!shown("NO_COLOR", "1").contains('\u{1b}'));
    assert!(!shown("TERM", "dumb").contains('\u{1b}'));
}

#[test]
fn scenarios_are_listed_and_what_does_not_go_together_is_wrong_usage() {
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_paramedic")).arg("demo").args(args).output().unwrap();
    let listed = run(&["--scenario", "list"]);
    assert_eq!(listed.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&listed.stdout).contains("leader-killed"));
    assert_eq!(run(&["--scenario", "crash-loop", "--prometheus"]).status.code(), Some(2));
    let nowhere = Command::new(env!("CARGO_BIN_EXE_paramedic"))
        .args(["demo", "--prometheus"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(said.contains("prometheus on PATH"), "{said}");
}
