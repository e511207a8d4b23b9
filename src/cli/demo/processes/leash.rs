//! A child process on a leash: its standard input is a pipe that only this process holds. It ends when that is closed,
//! which the kernel does when this process ends, however it does; and it is killed when its handle is dropped.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How often a child is looked at while its end is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running child, or one whose end nobody has asked for yet.
#[derive(Debug)]
pub struct Leashed {
    child: Child,
    log: PathBuf,
}

impl Leashed {
    /// Starts this very program with other arguments. They must make it heed its standard input.
    pub fn own<S: AsRef<OsStr>>(
        args: impl IntoIterator<Item = S>,
        env: impl IntoIterator<Item = (String, String)>,
        log: &Path,
    ) -> io::Result<Self> {
        let mut command = Command::new(own_program()?);
        command.arg0("paramedic").args(args);
        Self::start(command, env, log)
    }

    /// Starts a program. It gets no environment but this, writes into `log`, and is a process group of its own, so that
    /// Ctrl-C reaches it through its leash alone.
    pub fn start(
        mut command: Command,
        env: impl IntoIterator<Item = (String, String)>,
        log: &Path,
    ) -> io::Result<Self> {
        let out: File = OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .env_clear()
            .envs(env)
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it writes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // An error means that there is no such child any more.
        self.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::default()))
    }

    /// Tells it to end.
    pub fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        // It may have ended already; there is nothing else to be done about it.
        let _ = self.child.kill();
    }

    /// Waits for its end, and kills it where that does not come by `deadline`.
    pub fn end_by(&mut self, deadline: Instant) {
        self.let_go();
        while self.ended().is_none() {
            if Instant::now() >= deadline {
                self.kill();
                // It cannot refuse this.
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// The running program, also where its file has been replaced since.
fn own_program() -> io::Result<PathBuf> {
    let linux = Path::new("/proc/self/exe");
    if linux.exists() { Ok(linux.to_owned()) } else { std::env::current_exe() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn wait(child: &mut Leashed) -> ExitStatus {
        let give_up = soon();
        loop {
            if let Some(status) = child.ended() {
                return status;
            }
            assert!(Instant::now() < give_up, "it did not end");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    #[test]
    fn it_ends_when_it_is_let_go_and_its_words_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let env = [("WORD".to_owned(), "kept".to_owned())];
        let mut child = Leashed::start(shell("echo $WORD; read line; exit 4"), env, &log).unwrap();
        assert_eq!(child.ended(), None);
        child.let_go();
        assert_eq!(wait(&mut child).code(), Some(4));
        assert_eq!(std::fs::read_to_string(child.log()).unwrap(), "kept\n");
    }

    #[test]
    fn who_does_not_heed_the_leash_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Leashed::start(shell("exec sleep 600"), [], &dir.path().join("log")).unwrap();
        child.end_by(Instant::now() + Duration::from_millis(100));
        assert_eq!(wait(&mut child).code(), None, "by a signal");
    }

    #[test]
    fn a_dropped_handle_leaves_no_process() {
        let dir = tempfile::tempdir().unwrap();
        let child = Leashed::start(shell("exec sleep 600"), [], &dir.path().join("log")).unwrap();
        let pid = child.pid();
        drop(child);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
