//! A query in a policy: PromQL, into which labels of the alert are put. Pure; only Prometheus can tell whether it is right.

use std::fmt::{self, Write as _};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::alert::Labels;

/// The longest query that is taken, in bytes.
const LONGEST: usize = 4096;

/// PromQL with places for labels: `{{ $labels.NAME }}`, inside a string.
///
/// What an alert says is put there escaped, so that no label's value can end the string that it stands in; in the pattern of
/// `=~` and `!~`, so that it matches itself alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Query {
    text: String,
    parts: Vec<Part>,
    says_no: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Label { name: String, in_pattern: bool },
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It says nothing.
    #[error("the query is empty")]
    Empty,
    /// It is too long.
    #[error("the query has {0} bytes; it may have {LONGEST}")]
    TooLong(usize),
    /// A string does not end.
    #[error("a string in the query begins with {0} and does not end")]
    OpenString(char),
    /// Something opens that does not close, or the other way round.
    #[error("`{0}` in the query has no counterpart")]
    Unbalanced(char),
    /// What stands in braces is no label of the alert.
    #[error("`{0}` cannot be put into the query; write {{{{ $labels.NAME }}}} for a label of the alert")]
    Placeholder(String),
    /// A label outside of a string could be any PromQL.
    #[error(
        "{{{{ $labels.{0} }}}} stands outside of a string in double or single quotes; what an alert says can be put there only"
    )]
    Outside(String),
}

/// Why a query cannot be asked about an alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the alert has no label `{0}`, which the query asks for")]
pub struct NoSuchLabel(pub String);

impl Query {
    /// The query for an alert with these labels.
    pub fn about(&self, labels: &Labels) -> Result<String, NoSuchLabel> {
        let mut promql = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Text(text) => promql.push_str(text),
                Part::Label { name, in_pattern } => {
                    let value = labels.get(name).ok_or_else(|| NoSuchLabel(name.clone()))?;
                    let value = if *in_pattern { regex::escape(value) } else { value.to_owned() };
                    promql.push_str(&escaped(&value));
                }
            }
        }
        Ok(promql)
    }

    /// Whether it compares with `bool`: then it gives 0 where it does not hold, rather than nothing.
    pub const fn says_no(&self) -> bool {
        self.says_no
    }
}

/// A value as it stands in a PromQL string, in double quotes or in single ones.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => text.push_str(r"\\"),
            '\n' => text.push_str(r"\n"),
            // Behind a backslash only the quote that the string is in may stand; as numbers either may.
            '"' => text.push_str(r"\x22"),
            '\'' => text.push_str(r"\x27"),
            '`' => text.push_str(r"\x60"),
            control if control.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(text, r"\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text
}

impl std::str::FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err(QueryError::Empty);
        }
        if text.len() > LONGEST {
            return Err(QueryError::TooLong(text.len()));
        }
        let mut scanner =
            Scanner { rest: text, parts: Vec::new(), so_far: String::new(), open: Vec::new(), says_no: false };
        scanner.scan()?;
        let Scanner { parts, says_no, .. } = scanner;
        Ok(Self { text: text.to_owned(), parts, says_no })
    }
}

/// Goes through a query, and knows strings, comments and brackets, and no more of PromQL.
struct Scanner<'a> {
    rest: &'a str,
    parts: Vec<Part>,
    /// What is to become the next part.
    so_far: String,
    open: Vec<char>,
    says_no: bool,
}

impl Scanner<'_> {
    fn scan(&mut self) -> Result<(), QueryError> {
        // What stands before, without blanks: it tells a pattern's string, and `bool`, which follows a comparison.
        let mut before = String::new();
        while let Some(character) = self.take() {
            match character {
                '"' | '\'' | '`' => {
                    self.string(character, before.ends_with("=~") || before.ends_with("!~"))?;
                    before.clear();
                }
                '#' => self.comment(),
                '{' if self.rest.starts_with('{') => return Err(self.outside()),
                '(' | '[' | '{' => {
                    self.open.push(character);
                    before.clear();
                }
                ')' | ']' | '}' => {
                    let opening = match character {
                        ')' => '(',
                        ']' => '[',
                        _ => '{',
                    };
                    if self.open.pop() != Some(opening) {
                        return Err(QueryError::Unbalanced(character));
                    }
                    before.clear();
                }
                blank if blank.is_whitespace() => {}
                letter if letter.is_alphanumeric() || matches!(letter, '_' | ':' | '.') => {
                    let word = self.word(letter);
                    self.says_no |= word.eq_ignore_ascii_case("bool") && before.ends_with(['=', '<', '>']);
                    before = word;
                }
                other => before.push(other),
            }
        }
        if let Some(opening) = self.open.pop() {
            return Err(QueryError::Unbalanced(opening));
        }
        self.end_text();
        Ok(())
    }

    fn take(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        self.so_far.push(character);
        Some(character)
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while self.rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.')) {
            word.extend(self.take());
        }
        word
    }

    fn comment(&mut self) {
        while let Some(character) = self.take() {
            if character == '\n' {
                return;
            }
        }
    }

    /// The rest of a string, to its end.
    fn string(&mut self, quote: char, is_pattern: bool) -> Result<(), QueryError> {
        loop {
            if self.rest.starts_with("{{") {
                let name = self.placeholder()?;
                if quote == '`' {
                    return Err(QueryError::Outside(name));
                }
                self.end_text();
                self.parts.push(Part::Label { name, in_pattern: is_pattern });
                continue;
            }
            match self.take() {
                None => return Err(QueryError::OpenString(quote)),
                Some('\n') if quote != '`' => return Err(QueryError::OpenString(quote)),
                Some('\\') if quote != '`' => {
                    self.take();
                }
                Some(end) if end == quote => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// Takes `{{ $labels.NAME }}`; gives the name.
    fn placeholder(&mut self) -> Result<String, QueryError> {
        let end = self.rest.find("}}").map_or(self.rest.len(), |at| at + 2);
        let (whole, rest) = self.rest.split_at(end);
        let inner = whole.trim_start_matches("{{").trim_end_matches("}}").trim();
        let is_name = |name: &&str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let name = inner.strip_prefix("$labels.").filter(is_name);
        let name = name.ok_or_else(|| QueryError::Placeholder(whole.to_owned()))?.to_owned();
        self.rest = rest;
        Ok(name)
    }

    /// What is wrong with two braces outside of a string, of which one was taken.
    fn outside(&self) -> QueryError {
        let inner = self.rest.trim_start_matches('{').split("}}").next().unwrap_or_default().trim();
        match inner.strip_prefix("$labels.") {
            Some(name) => QueryError::Outside(name.to_owned()),
            None => QueryError::Placeholder(format!("{{{{ {inner} }}}}")),
        }
    }

    fn end_text(&mut self) {
        if !self.so_far.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.so_far)));
        }
    }
}

impl TryFrom<String> for Query {
    type Error = QueryError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Query> for String {
    fn from(query: Query) -> Self {
        query.text
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Query {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Query".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": LONGEST })
    }
}

#[cfg(test)]
mod tests;
