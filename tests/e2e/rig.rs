//! The cluster of `tests/cluster`, where the machine itself can be touched: processes, the audit log, the API server.

use std::{
    collections::BTreeMap,
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// What the environment says about the cluster: variables of the process, then those that the rig left.
pub struct Settings {
    rig: Option<PathBuf>,
    left: BTreeMap<String, String>,
}

impl Settings {
    /// Reads them. The rig's count only where `KUBECONFIG` is the rig's or nothing.
    pub fn read() -> Self {
        let scripts = env::var_os("PARAMEDIC_RIG")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster"), PathBuf::from);
        let left = fs::read_to_string(scripts.join(".state/env")).map(|text| parse(&text)).unwrap_or_default();
        let same = match (env::var("KUBECONFIG"), left.get("KUBECONFIG")) {
            (Ok(given), Some(rigs)) => fs::canonicalize(given).ok() == fs::canonicalize(rigs).ok(),
            (Err(_), Some(_)) => true,
            (_, None) => false,
        };
        if same { Self { rig: Some(scripts), left } } else { Self { rig: None, left: BTreeMap::new() } }
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<String> {
        env::var(name).ok().filter(|value| !value.is_empty()).or_else(|| self.left.get(name).cloned())
    }

    /// The rig, where the cluster is one.
    pub fn rig(&self) -> Option<Rig> {
        Some(Rig {
            scripts: self.rig.clone()?,
            host_ip: self.get("HOST_IP")?.parse().ok()?,
            audit_log: self.get("AUDIT_LOG")?.into(),
            state: self.get("RIG_STATE")?.into(),
        })
    }
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())).collect()
}

/// The cluster of `tests/cluster`.
pub struct Rig {
    scripts: PathBuf,
    /// The machine's address, as the API server and the pods see it.
    pub host_ip: IpAddr,
    /// The API server's audit log.
    pub audit_log: PathBuf,
    /// Where its configuration is.
    state: PathBuf,
}

impl Rig {
    /// Runs one of the rig's commands to its end.
    pub fn run(&self, command: &str, arguments: &[&str]) {
        let program = self.scripts.join(command);
        let output = Command::new(&program).args(arguments).output().expect("the rig's scripts can be run");
        assert!(
            output.status.success(),
            "{} {arguments:?}: {}\n{}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Stops the API server; it is started again when the guard goes, whatever happens to the story.
    pub fn stop_apiserver(&self) -> Stopped<'_> {
        self.run("apiserver", &["stop"]);
        Stopped { rig: self, back: ("apiserver", &["start"]) }
    }

    /// Lets the API server hang: connections to it stay, and nothing is answered. It goes on when the guard goes.
    pub fn pause_apiserver(&self) -> Stopped<'_> {
        self.run("apiserver", &["pause"]);
        Stopped { rig: self, back: ("apiserver", &["resume"]) }
    }

    /// Alertmanager posts to a port that nobody listens on; to Paramedic again when the guard goes.
    pub fn deaf_alertmanager(&self) -> Stopped<'_> {
        let folder = self.state.join("alertmanager");
        let usual = fs::read_to_string(folder.join("default.yml")).expect("the rig has written a configuration");
        let deaf = usual.replace(":8080/webhook", ":1/webhook");
        assert_ne!(usual, deaf, "the usual configuration posts to Paramedic");
        let file = folder.join("deaf.yml");
        fs::write(&file, deaf).expect("the rig's folder can be written to");
        self.run("alertmanager", &["reload", &file.to_string_lossy()]);
        Stopped { rig: self, back: ("alertmanager", &["reload"]) }
    }

    /// An Alertmanager runs that can say what is muted (0.28 on); Debian's, which cannot, again when the guard goes.
    pub fn newer_alertmanager(&self) -> Stopped<'_> {
        self.run("alertmanager", &["use", "module"]);
        Stopped { rig: self, back: ("alertmanager", &["use", "debian"]) }
    }

    /// `kill -9` for the program in a pod's container: on the rig its process is one of this machine's.
    pub fn kill_9(pod_uid: &str, program: &str) {
        let pids = processes(pod_uid, program);
        assert!(!pids.is_empty(), "no process `{program}` of the pod with UID {pod_uid} on this machine");
        for pid in pids {
            let status = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("there is a kill");
            assert!(status.success(), "kill -9 {pid}: {status}");
        }
    }
}

/// Something of the rig is away, or another, as long as it lives.
pub struct Stopped<'a> {
    rig: &'a Rig,
    /// The command that takes it back, and its arguments.
    back: (&'static str, &'static [&'static str]),
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.rig.run(self.back.0, self.back.1);
    }
}

/// The processes of that name in a pod's control groups. Process numbers come round again, so both are looked at.
fn processes(pod_uid: &str, program: &str) -> Vec<u32> {
    let names = [format!("pod{pod_uid}"), format!("pod{}", pod_uid.replace('-', "_"))];
    let all = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("comm").trim() == program && names.iter().any(|name| read("cgroup").contains(name.as_str()))
    })
    .collect()
}
