//! The figures as Markdown, with what they were measured on.

use std::{fmt, fs, path::Path, process::Command, time::Duration};

use anyhow::Context;
use kube::Client;
use paramedic::clock::Clock;

use crate::{
    calls::SEQUENTIAL,
    eviction::{BURST, Latencies},
    load::{Rate, SIZES},
    soak::Soak,
};

/// After its first line, and before the next `END`, the figures stand in a page.
pub const BENCH: &str = "<!-- bench output -->";
/// The same, of the storms.
pub const SOAK: &str = "<!-- soak output -->";
const END: &str = "<!-- end -->";

/// What was measured.
pub struct Report {
    about: String,
    /// How long each body is.
    pub body_bytes: Vec<usize>,
    /// Of each server, the rate of each body.
    pub rates: Vec<(&'static str, Vec<Rate>)>,
    /// The times to the eviction.
    pub latencies: Latencies,
    /// Resident memory in bytes, and when.
    pub memory: Vec<(String, u64)>,
}

impl Report {
    /// Nothing yet, on this machine and this cluster.
    pub async fn about(client: &Client, paramedic: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            about: about(client, paramedic).await?,
            body_bytes: Vec::new(),
            rates: Vec::new(),
            latencies: Latencies::default(),
            memory: Vec::new(),
        })
    }

    fn write_rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| alerts a body | bytes a body |")?;
        for (name, _) in &self.rates {
            write!(f, " {name} |")?;
        }
        writeln!(f, "\n| ---: | ---: |{}", " ---: |".repeat(self.rates.len()))?;
        for (row, (alerts, bytes)) in SIZES.iter().zip(&self.body_bytes).enumerate() {
            write!(f, "| {} | {} |", thousands(*alerts), thousands(*bytes))?;
            for (_, rates) in &self.rates {
                let rate = rates.get(row).map_or(0.0, |rate| rate.alerts);
                write!(f, " {} |", thousands(rounded(rate)))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// What it is measured on.
pub async fn about(client: &Client, paramedic: &Path) -> anyhow::Result<String> {
    let kubernetes = client.apiserver_version().await.context("the API server does not answer")?.git_version;
    let cores = std::thread::available_parallelism()?;
    let about = [
        format!("{cores} cores of {}", cpu().unwrap_or_else(|| "an unknown processor".to_owned())),
        format!("Linux {}", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()),
        format!("Kubernetes {kubernetes}"),
        said(Command::new("wrk").arg("-v")).replace("debian/", ""),
        said(Command::new("rustc").arg("--version")),
        said(Command::new(paramedic).arg("--version")),
        format!("commit {}", said(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]))),
        Clock::system().now().strftime("%Y-%m-%d").to_string(),
    ];
    Ok(about.join("; "))
}

/// What the storms left.
pub struct SoakReport {
    /// What it was measured on.
    pub about: String,
    /// What was seen.
    pub soak: Soak,
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let soak = &self.soak;
        let (first, last) = soak.first_and_last_quarter();
        writeln!(f, "Measured on {}.\n", self.about)?;
        let minutes = soak.storms_for.as_secs() / 60;
        writeln!(
            f,
            "| {} storms in {minutes} min, {} records at the end | resident memory |",
            soak.storms,
            thousands(soak.stored)
        )?;
        writeln!(f, "| --- | ---: |")?;
        for (when, bytes) in
            [("idle", soak.idle), ("most of the first quarter", first), ("most of the last quarter", last)]
        {
            writeln!(f, "| {when} | {} MiB |", bytes >> 20)?;
        }
        Ok(())
    }
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(model.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// The first words of what a program says, without the rest of its line in brackets.
fn said(command: &mut Command) -> String {
    // wrk's version comes with an exit code of 1.
    let text = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split([' ']).take_while(|word| !word.starts_with(['(', '['])).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Measured on {}.\n", self.about)?;
        if !self.body_bytes.is_empty() {
            self.write_rates(f)?;
        }
        let Latencies { answered, evicted, by_calls, deleted, burst_evicted, burst_bare } = &self.latencies;
        let the_calls = format!("its {SEQUENTIAL} calls one after another, bare → the eviction is seen");
        writeln!(f, "\n| {} times each | p50 | p99 |\n| --- | ---: | ---: |", evicted.len())?;
        let ways = [
            ("POST → 200, the alert is on record", answered),
            ("POST → the eviction is seen", evicted),
            (&the_calls, by_calls),
            ("bare DELETE → the deletion is seen", deleted),
        ];
        for (way, times) in ways {
            let [p50, p99] = [50, 99].map(|percent| percentile(times, percent).as_secs_f64() * 1e3);
            writeln!(f, "| {way} | {p50:.1} ms | {p99:.1} ms |")?;
        }
        writeln!(
            f,
            "\n| {BURST} at once, the middle one of {} | until the last pod's end is seen |",
            burst_evicted.len()
        )?;
        writeln!(f, "| --- | ---: |")?;
        let ways = [("one POST with an alert for each", burst_evicted), ("as many bare evictions", burst_bare)];
        for (way, times) in ways {
            writeln!(f, "| {way} | {:.0} ms |", percentile(times, 50).as_secs_f64() * 1e3)?;
        }
        writeln!(f, "\n| Paramedic, with | resident memory |\n| --- | ---: |")?;
        for (when, bytes) in &self.memory {
            writeln!(f, "| {when} | {} MiB |", bytes >> 20)?;
        }
        Ok(())
    }
}

/// The smallest time that so many percent are not above.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Three digits of a rate mean something; more would only look exact.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is neither negative nor so large")]
fn rounded(rate: f64) -> usize {
    let number = rate as usize;
    let unit = 10_usize.pow(number.checked_ilog10().unwrap_or_default().saturating_sub(2));
    (number + unit / 2) / unit * unit
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Puts the figures after their marker in a page, in place of those that stand there; a page without the marker gets it at
/// its end.
pub fn write(file: &Path, begin: &str, figures: &str) -> anyhow::Result<()> {
    let page = fs::read_to_string(file).unwrap_or_else(|_| "# Performance\n".to_owned());
    let (before, rest) = page.split_once(begin).unwrap_or((&page, ""));
    let after = rest.split_once(END).map_or("\n", |(_, after)| after);
    fs::write(file, format!("{before}{begin}\n{figures}{END}{after}"))
        .with_context(|| format!("{} cannot be written", file.display()))
}
