//! What operators' commands print: tables for people, JSON and YAML for programs. Pure but for the printing.

use std::io::{self, Write};

use clap::ValueEnum;
use console::measure_text_width;
use jiff::SignedDuration;
use serde::Serialize;

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// The same with more columns.
    Wide,
    /// For programs.
    Json,
    /// For programs, and for people who like it.
    Yaml,
}

/// The flag that chooses it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct OutputArgs {
    /// How the answer is written. The fields of json and yaml stay; tables are for people, and may change.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
}

impl OutputArgs {
    /// Prints the answer: as text that is made on demand, or as the value itself.
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(bool) -> String) -> io::Result<()> {
        let text = match self.output {
            Format::Table => text(false),
            Format::Wide => text(true),
            Format::Json => serde_json::to_string_pretty(value).map_err(io::Error::other)?,
            Format::Yaml => serde_saphyr::to_string(value).map_err(io::Error::other)?,
        };
        let mut out = io::stdout().lock();
        out.write_all(text.trim_end().as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

/// Rows under headings, each column as wide as its widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    cells: Vec<String>,
    note: Option<String>,
}

impl Table {
    /// An empty table.
    pub fn new(headings: impl IntoIterator<Item = &'static str>) -> Self {
        Self { headings: headings.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; line breaks in a cell become blanks.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row { cells: cells.into_iter().map(|cell| one_line(&cell)).collect(), note: None });
    }

    /// Adds a row with a line of its own below it, for what would make a column too wide.
    pub fn row_with_note(&mut self, cells: impl IntoIterator<Item = String>, note: Option<&str>) {
        self.row(cells);
        if let Some(row) = self.rows.last_mut() {
            row.note = note.map(one_line).filter(|note| !note.is_empty());
        }
    }

    /// The lines, each after so many blanks, without blanks at their ends.
    pub fn to_text(&self, indent: usize) -> String {
        let cells = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        let lines: Vec<Row> = std::iter::once(Row { cells, note: None }).chain(self.rows.iter().cloned()).collect();
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.cells.get(column));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let mut padded = " ".repeat(indent);
            for (cell, width) in line.cells.iter().zip(&widths) {
                padded.push_str(cell);
                padded.push_str(&" ".repeat(width.saturating_sub(measure_text_width(cell)) + 2));
            }
            text.push_str(padded.trim_end());
            text.push('\n');
            if let Some(note) = &line.note {
                text.push_str(&" ".repeat(indent + 4));
                text.push_str(note);
                text.push('\n');
            }
        }
        text
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A length of time as kubectl shows ages: two units at most, and no more digits than matter.
pub fn age(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |great: i64, unit: &str, small: i64, sub: &str| {
        if small == 0 { format!("{great}{unit}") } else { format!("{great}{unit}{small}{sub}") }
    };
    match seconds {
        ..0 => format!("-{}", self::age(SignedDuration::from_secs(seconds.saturating_neg()))),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

/// `1 policy`, `3 policies`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A blank for what is not there, as kubectl writes it.
pub fn or_none(cell: Option<impl Into<String>>) -> String {
    cell.map_or_else(|| "-".to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let ages = [0, 119, 120, 125, 599, 601, 10_799, 11_520, 28_799, 86_400, 172_800, 183_600, 864_000, -5];
        let read: Vec<String> = ages.into_iter().map(|seconds| age(SignedDuration::from_secs(seconds))).collect();
        let kubectl =
            ["0s", "119s", "2m", "2m5s", "9m59s", "10m", "179m", "3h12m", "7h59m", "24h", "2d", "2d3h", "10d", "-5s"];
        assert_eq!(read, kubectl);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_also_where_that_is_not_ascii() {
        let mut table = Table::new(["NAME", "WHY"]);
        table.row(["größer".to_owned(), "two\nlines".to_owned()]);
        table.row_with_note(["b".to_owned(), String::new()], Some("a remark"));
        assert_eq!(table.to_text(2), "  NAME    WHY\n  größer  two lines\n  b\n      a remark\n");
    }
}
