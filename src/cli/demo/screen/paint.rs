//! Text of a given width. Pure.

use console::{measure_text_width, style, truncate_str};

/// The marks of a sparkline, from low to high.
const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a bar, and of a sparkline.
const BAR: usize = 20;
const SPARK: usize = 16;
/// One in so many samples is drawn in a sparkline.
const EACH: usize = 4;
const MIB: u64 = 1024 * 1024;

/// A pod's memory over time, and how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Bytes, the newest last.
    pub memory: Vec<u64>,
    /// What is too much.
    pub threshold: u64,
    /// How it is, in a word or two.
    pub state: String,
}

impl Row {
    /// The row as a terminal of this width shows it.
    pub fn paint(&self, width: usize) -> String {
        let now = self.memory.last().copied().unwrap_or_default();
        let top = self.threshold.saturating_mul(4) / 3;
        let too_much = now > self.threshold;
        // The newest last, and those before it at the same distance from it each time.
        let mut recent: Vec<u64> = self.memory.iter().rev().step_by(EACH).take(SPARK).copied().collect();
        recent.reverse();
        let spark = sparkline(&recent, top);
        let bar = bar(now, self.threshold, top);
        let painted = |text: String| if too_much { style(text).red() } else { style(text).green() };
        let figure = format!("{:>4} MiB", now / MIB);
        let wide = width >= 44 + BAR + SPARK;
        let row = if wide {
            format!("  {:<26} {} {} {figure}  {}", self.name, painted(spark), painted(bar), self.state)
        } else {
            // The end of the name is what tells it from its siblings.
            let name = self.name.rsplit('-').next().unwrap_or_default();
            format!("  …{name:<6} {} {figure}  {}", painted(spark), self.state)
        };
        truncate_str(&row, width.saturating_sub(1), "…").into_owned()
    }
}

fn sparkline(values: &[u64], top: u64) -> String {
    let mark = |value: u64| {
        let step = value.saturating_mul(8).checked_div(top).unwrap_or_default().min(7);
        usize::try_from(step).ok().and_then(|step| MARKS.get(step)).copied().unwrap_or(' ')
    };
    format!("{:>SPARK$}", values.iter().map(|value| mark(*value)).collect::<String>())
}

/// A bar up to `top`, with a mark where it is too much.
fn bar(value: u64, threshold: u64, top: u64) -> String {
    let column = |value: u64| {
        let columns = value.saturating_mul(BAR as u64).checked_div(top).unwrap_or_default();
        usize::try_from(columns).unwrap_or(BAR).min(BAR)
    };
    let (filled, mark) = (column(value), column(threshold));
    (0..BAR)
        .map(|at| {
            if at < filled {
                '█'
            } else if at == mark {
                '┊'
            } else {
                '·'
            }
        })
        .collect()
}

/// The text in rows of at most `width`, broken between words, and in words that are longer; without a width, one row.
pub fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.map(|width| width.max(20)) else { return vec![text.to_owned()] };
    let mut rows: Vec<String> = Vec::new();
    for word in text.split(' ') {
        if let Some(row) = rows.last_mut()
            && measure_text_width(row) + 1 + measure_text_width(word) <= width
        {
            row.push(' ');
            row.push_str(word);
            continue;
        }
        let letters: Vec<char> = word.chars().collect();
        rows.extend(letters.chunks(width).map(String::from_iter));
        if letters.is_empty() {
            rows.push(String::new());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_never_lost() {
        let text = "does nothing yet: SubjectLocked: another one is running on it";
        let rows = wrap(text, Some(24));
        assert!(rows.iter().all(|row| row.len() <= 24), "{rows:?}");
        assert_eq!(rows.join(" "), text);
        assert_eq!(wrap(text, None), [text]);
        let rows = wrap(&format!("a {} b", "x".repeat(70)), Some(30));
        assert_eq!(rows.iter().map(String::len).collect::<Vec<_>>(), [1, 30, 30, 12], "{rows:?}");
    }

    #[test]
    fn a_row_is_as_wide_as_the_terminal_at_most() {
        let row = Row {
            name: "demo-app-5f7d8c9b6d-x2x7k".to_owned(),
            memory: (0..100).map(|step| step * 4 * MIB).collect(),
            threshold: 300 * MIB,
            state: "ready".to_owned(),
        };
        for width in [20, 40, 60, 80, 120, 200] {
            let painted = row.paint(width);
            assert!(measure_text_width(&painted) < width, "{width}: {painted}");
            assert!(width < 60 || painted.contains("396 MiB"), "{width}: {painted}");
        }
        assert!(row.paint(120).contains("demo-app-5f7d8c9b6d-x2x7k"));
        assert!(row.paint(60).contains("x2x7k"));
    }

    #[test]
    fn bars_grow_and_show_where_it_is_too_much() {
        assert_eq!(bar(0, 300, 400), "···············┊····");
        assert_eq!(bar(200, 300, 400), "██████████·····┊····");
        assert_eq!(bar(400, 300, 400), "████████████████████");
        assert_eq!(sparkline(&[0, 100, 400, 1000], 400).trim_start(), "▁▃██");
    }
}
