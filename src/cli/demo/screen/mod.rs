//! What a person sees: lines of a timeline, and below them, on a terminal, the memory of each pod as it grows.

mod paint;

use std::{
    env,
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use console::{Style, Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

pub use paint::Row;

/// Below this width lines are told without columns.
const NARROW: usize = 80;
/// The width of the column that says who.
const WHO: usize = 12;

/// Who did what a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The demonstration itself.
    Demo,
    /// The simulated cluster and its controllers.
    Cluster,
    /// The application's processes.
    App,
    /// The rules over their memory.
    Prometheus,
    /// Whoever tells Paramedic.
    Alertmanager,
    /// The server.
    Paramedic,
}

impl Who {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Cluster => "cluster",
            Self::App => "demo-app",
            Self::Prometheus => "prometheus",
            Self::Alertmanager => "alertmanager",
            Self::Paramedic => "paramedic",
        }
    }
}

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it goes.
    Plain,
    /// Somebody decided or did something.
    Deed,
    /// Something was held back.
    Held,
    /// Something is wrong.
    Bad,
    /// Something is well again.
    Good,
}

/// One line of the timeline, without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who.
    pub who: Who,
    /// How it is meant.
    pub mood: Mood,
    /// What.
    pub text: String,
}

impl Line {
    /// A line.
    pub fn new(who: Who, mood: Mood, text: impl Into<String>) -> Self {
        Self { who, mood, text: text.into() }
    }
}

/// Where it is all shown. Cheap to clone.
#[derive(Clone)]
pub struct Screen(Arc<Inner>);

struct Inner {
    began: Instant,
    live: Option<Live>,
}

struct Live {
    term: Term,
    multi: MultiProgress,
    bars: Mutex<Vec<ProgressBar>>,
}

impl Screen {
    /// Standard output: live where that is a terminal that can do it and nobody asked for plain text.
    pub fn stdout() -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let live = std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
        console::set_colors_enabled(live);
        let live = live.then(|| Live {
            term: Term::stdout(),
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(10)),
            bars: Mutex::default(),
        });
        Self(Arc::new(Inner { began: Instant::now(), live }))
    }

    /// Whether memory is drawn as it grows; otherwise it has to be told.
    pub fn is_live(&self) -> bool {
        self.0.live.is_some()
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Tells what happened, now.
    pub fn tell(&self, who: Who, mood: Mood, text: impl Into<String>) {
        self.line(&Line::new(who, mood, text));
    }

    /// Tells a line, now.
    pub fn line(&self, line: &Line) {
        let time = format!("{:5.1}s", self.elapsed().as_secs_f64());
        let narrow = self.width().is_some_and(|width| width < NARROW);
        // Where there is little room, who does something is a part of what is told.
        let (indent, text) = if narrow {
            (time.len() + 1, format!("{}: {}", line.who.as_str(), line.text))
        } else {
            (time.len() + WHO + 4, line.text.clone())
        };
        let mut rows = paint::wrap(&text, self.width().map(|width| width.saturating_sub(indent))).into_iter();
        let paint = match line.mood {
            Mood::Plain => Style::new(),
            Mood::Deed => Style::new().bold(),
            Mood::Held => Style::new().yellow(),
            Mood::Bad => Style::new().red(),
            Mood::Good => Style::new().green(),
        };
        let first = rows.next().unwrap_or_default();
        let who =
            if narrow { String::new() } else { format!(" {}  ", style(format!("{:<WHO$}", line.who.as_str())).cyan()) };
        self.put(&format!("{} {who}{}", style(time).dim(), paint.apply_to(first)));
        for row in rows {
            self.put(&format!("{:indent$}{}", "", paint.apply_to(row)));
        }
    }

    /// Shows a text as it is, wrapped where the terminal ends.
    pub fn text(&self, text: &str) {
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            let width = self.width().map(|width| width.saturating_sub(indent));
            for row in paint::wrap(line.trim_start(), width) {
                self.put(&format!("{:indent$}{row}", ""));
            }
        }
    }

    /// Shows a heading.
    pub fn heading(&self, text: &str) {
        self.put("");
        self.put(&style(text).bold().to_string());
    }

    /// Shows a text that must stay on its line, to be copied.
    pub fn verbatim(&self, text: &str) {
        text.lines().for_each(|line| self.put(line));
    }

    /// Draws the rows below the timeline, in place of those before.
    pub fn rows(&self, rows: &[Row]) {
        let Some(live) = &self.0.live else { return };
        let width = usize::from(live.term.size().1);
        let mut bars = live.bars.lock().unwrap_or_else(PoisonError::into_inner);
        while bars.len() > rows.len() {
            if let Some(bar) = bars.pop() {
                bar.finish_and_clear();
                live.multi.remove(&bar);
            }
        }
        while bars.len() < rows.len() {
            let plain = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            bars.push(live.multi.add(ProgressBar::new(1).with_style(plain)));
        }
        for (bar, row) in bars.iter().zip(rows) {
            bar.set_message(row.paint(width));
        }
    }

    /// Leaves only the lines.
    pub fn clear_rows(&self) {
        self.rows(&[]);
    }

    /// How wide the terminal is; a file has no width.
    fn width(&self) -> Option<usize> {
        self.0.live.as_ref().map(|live| usize::from(live.term.size().1).max(40))
    }

    fn put(&self, row: &str) {
        // Whoever closed our output does not want to hear more; the demonstration goes on to its exit code.
        let _ = if let Some(live) = &self.0.live {
            live.multi.println(if row.is_empty() { " " } else { row })
        } else {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{row}").and_then(|()| out.flush())
        };
    }
}
