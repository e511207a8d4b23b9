//! Alertmanager's matcher syntax: `name="value"`, `!=`, `=~`, `!~`.

use std::{fmt, str::FromStr, sync::Arc};

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use winnow::{
    ModalResult, Parser,
    ascii::{escaped, multispace0},
    combinator::{alt, delimited, eof, terminated},
    token::take_while,
};

use super::Labels;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

/// One matcher over an alert's labels, written as in Alertmanager's configuration.
///
/// A label that an alert does not have counts as empty, so `team!="red"` matches an alert without a team.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher {
    /// The label it looks at.
    pub name: String,
    /// How it compares.
    pub op: MatchOp,
    /// What it compares with: the text, or the pattern without its anchors.
    pub value: String,
    /// Absent where the pattern is but an alternation of words, as most are: a thousand compiled ones are tens of megabytes.
    regex: Option<Arc<Regex>>,
    source: String,
}

/// Why a text is not a matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// Not of the form `name OP "value"`.
    #[error("`{0}` is not a matcher; write it as Alertmanager does, for example alertname=\"HighMemory\"")]
    Syntax(String),
    /// The pattern is no regular expression.
    #[error("`{pattern}` is not a regular expression: {why}")]
    Regex {
        /// The pattern as written.
        pattern: String,
        /// What the compiler of the pattern says.
        why: String,
    },
}

impl Matcher {
    /// `name="value"`, with the value escaped as Alertmanager's syntax wants it.
    pub fn equal(name: &str, value: &str) -> Self {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        Self {
            name: name.to_owned(),
            op: MatchOp::Equal,
            value: value.to_owned(),
            regex: None,
            source: format!("{name}=\"{escaped}\""),
        }
    }

    /// Whether it matches these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        let actual = labels.0.get(&self.name).map_or("", String::as_str);
        match self.op {
            MatchOp::Equal => actual == self.value,
            MatchOp::NotEqual => actual != self.value,
            MatchOp::Regex => self.pattern_matches(actual),
            MatchOp::NotRegex => !self.pattern_matches(actual),
        }
    }

    fn pattern_matches(&self, actual: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(actual),
            None => words(&self.value).any(|word| word == actual),
        }
    }

    /// The values that the label may have for this matcher to match, where they can be listed: the value of `=`, or the
    /// branches of an alternation of plain words. What an index can use.
    pub fn literal_values(&self) -> Option<Vec<&str>> {
        match self.op {
            MatchOp::Equal => Some(vec![self.value.as_str()]),
            MatchOp::Regex if self.regex.is_none() => Some(words(&self.value).collect()),
            MatchOp::NotEqual | MatchOp::Regex | MatchOp::NotRegex => None,
        }
    }
}

impl FromStr for Matcher {
    type Err = MatcherError;

    fn from_str(source: &str) -> Result<Self, Self::Err> {
        let (name, op, value) = grammar(source).ok_or_else(|| MatcherError::Syntax(source.to_owned()))?;
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex if !is_words(&value) => {
                let regex = Regex::new(&format!("^(?s:{value})$"))
                    .map_err(|error| MatcherError::Regex { pattern: value.clone(), why: last_line(&error) })?;
                Some(Arc::new(regex))
            }
            _ => None,
        };
        Ok(Self { name, op, value, regex, source: source.trim().to_owned() })
    }
}

/// Whether a pattern is an alternation of plain words: `critical|warning`.
fn is_words(pattern: &str) -> bool {
    words(pattern).all(|word| {
        !word.is_empty() && !word.contains(['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$'])
    })
}

fn words(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('|')
}

/// regex draws the pattern over several lines; its last line says what is wrong.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or(&text).trim_start_matches("error: ").to_owned()
}

fn grammar(source: &str) -> Option<(String, MatchOp, String)> {
    let op = alt((
        "=~".value(MatchOp::Regex),
        "!~".value(MatchOp::NotRegex),
        "!=".value(MatchOp::NotEqual),
        "=".value(MatchOp::Equal),
    ));
    let name = delimited(multispace0, alt((quoted, bare_name)), multispace0);
    let value = delimited(multispace0, alt((quoted, bare_value)), multispace0);
    terminated((name, op, value), eof).parse(source).ok()
}

fn quoted(input: &mut &str) -> ModalResult<String> {
    let escape = alt(("\\".value("\\"), "\"".value("\""), "n".value("\n")));
    let text = escaped(take_while(1.., |c: char| c != '"' && c != '\\'), '\\', escape);
    delimited('"', text, '"').parse_next(input)
}

fn bare_name(input: &mut &str) -> ModalResult<String> {
    take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':').map(str::to_owned).parse_next(input)
}

fn bare_value(input: &mut &str) -> ModalResult<String> {
    let outside_quotes = |c: char| !c.is_whitespace() && !"{}!=~,\\\"'`".contains(c);
    take_while(0.., outside_quotes).map(str::to_owned).parse_next(input)
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl TryFrom<String> for Matcher {
    type Error = MatcherError;

    fn try_from(source: String) -> Result<Self, Self::Error> {
        source.parse()
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.source
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl JsonSchema for Matcher {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Matcher".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 1024,
            "description": "A matcher as Alertmanager writes it: name=\"value\", !=, =~ or !~; patterns are anchored.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(source: &str) -> Matcher {
        source.parse().unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn the_four_operators_read_as_alertmanager_writes_them() {
        let alert = labels(&[("severity", "critical")]);
        assert!(matcher(r#"severity="critical""#).matches(&alert));
        assert!(!matcher(r#"severity!="critical""#).matches(&alert));
        assert!(matcher(r#"severity=~"critical|warning""#).matches(&alert));
        assert!(!matcher(r#"severity!~"crit.*""#).matches(&alert));
        assert!(matcher("severity = critical").matches(&alert), "values may be bare");
    }

    #[test]
    fn patterns_are_anchored() {
        let alert = labels(&[("pod", "cart-1")]);
        assert!(!matcher(r#"pod=~"cart""#).matches(&alert));
        assert!(!matcher(r#"pod=~"x|art-1""#).matches(&alert), "each branch of an alternation is anchored");
        assert!(matcher(r#"pod=~"cart-.""#).matches(&alert));
    }

    #[test]
    fn words_match_as_the_pattern_of_them_would() {
        for pattern in ["a|b", "kube-system|x", "a b", "#|&|~|-", "ä|ö"] {
            assert!(matcher(&format!("l=~{pattern:?}")).regex.is_none(), "{pattern}");
            let regex = Regex::new(&format!("^(?s:{pattern})$")).unwrap();
            for value in ["a", "b", "a|b", "", "a b", "kube-system", "kube", "#", "-", "ö"] {
                let alert = labels(&[("l", value)]);
                assert_eq!(matcher(&format!("l=~{pattern:?}")).matches(&alert), regex.is_match(value));
                assert_eq!(matcher(&format!("l!~{pattern:?}")).matches(&alert), !regex.is_match(value));
            }
        }
        for pattern in ["a|", "", "a.", "a+", "(a)", "[a]", "^a", "a{2}", "a$"] {
            assert!(matcher(&format!("l=~{pattern:?}")).regex.is_some(), "{pattern}");
        }
    }

    #[test]
    fn an_absent_label_is_an_empty_one() {
        assert!(matcher(r#"team!="red""#).matches(&labels(&[])));
        assert!(matcher(r#"team="""#).matches(&labels(&[])));
        assert!(!matcher(r#"team=~".+""#).matches(&labels(&[])));
    }

    #[test]
    fn escapes_and_quoted_names_are_understood() {
        let alert = labels(&[("a b", "say \"hi\"\\")]);
        assert!(matcher(r#""a b"="say \"hi\"\\""#).matches(&alert));
    }

    #[test]
    fn a_value_that_is_written_is_read_back() {
        for value in ["plain", "say \"hi\"", "back\\slash", "two\nlines", ""] {
            let written = Matcher::equal("a", value).to_string();
            assert_eq!(matcher(&written).value, value, "{written}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_refused_with_an_example() {
        for bad in ["", "alertname", "=x", "alertname=\"x", "a=\"b\" c", "a==b", "a=b,c=d", "a=~"] {
            match bad.parse::<Matcher>() {
                Err(MatcherError::Syntax(text)) => assert_eq!(text, bad),
                other => assert!(bad == "a=~", "{bad}: {other:?}"),
            }
        }
        let error = r#"a=~"(""#.parse::<Matcher>().unwrap_err().to_string();
        assert!(error.contains("unclosed group"), "{error}");
    }

    #[test]
    fn an_index_sees_through_equality_and_plain_alternations_only() {
        assert_eq!(matcher(r#"alertname="A""#).literal_values(), Some(vec!["A"]));
        assert_eq!(matcher(r#"alertname=~"A|B""#).literal_values(), Some(vec!["A", "B"]));
        assert_eq!(matcher(r#"alertname=~"A.*|B""#).literal_values(), None);
        assert_eq!(matcher(r#"alertname=~"A|""#).literal_values(), None);
        assert_eq!(matcher(r#"alertname!="A""#).literal_values(), None);
    }
}
