//! One span: what took place from when to when, below what, and how it ended. Bounded, whatever it tells of.

use jiff::Timestamp;

use super::TraceContext;

/// So many characters of a text are told.
const LONGEST_TEXT: usize = 256;
/// So many attributes a span or an event has at most.
const MOST_ATTRIBUTES: usize = 32;
/// So many events a span has at most.
const MOST_EVENTS: usize = 64;

/// A span that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Itself.
    pub context: TraceContext,
    /// What it is below; `None` where the trace begins with it.
    pub parent: Option<Parent>,
    /// What took place. Of few different names: what it was done to is an attribute.
    pub name: String,
    /// Who began it.
    pub kind: SpanKind,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// More about it.
    pub attributes: Attributes,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
    /// How it ended.
    pub status: SpanStatus,
}

/// What a span is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// It.
    pub context: TraceContext,
    /// Whether it is another process's.
    pub is_remote: bool,
}

/// Who began a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// The process itself.
    #[default]
    Internal,
    /// A request that it answers.
    Server,
    /// A request that it makes.
    Client,
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpanStatus {
    /// Neither well nor badly.
    #[default]
    Unset,
    /// Well.
    Well,
    /// Badly, and why.
    Badly(String),
}

/// Something that happened at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanEvent {
    /// What.
    pub name: &'static str,
    /// When.
    pub at: Timestamp,
    /// More about it.
    pub attributes: Attributes,
}

/// Names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, Value)>);

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// True or false.
    Flag(bool),
}

impl Span {
    /// One of which no more is known.
    pub fn new(context: TraceContext, parent: Option<Parent>, name: &str, began: Timestamp, ended: Timestamp) -> Self {
        Self {
            context,
            parent,
            name: name.to_owned(),
            kind: SpanKind::default(),
            began,
            // By two machines' clocks it may seem to have ended before it began.
            ended: ended.max(began),
            attributes: Attributes::default(),
            events: Vec::new(),
            status: SpanStatus::default(),
        }
    }

    /// With an attribute, where there is a value for it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl IntoValue) -> Self {
        self.attributes.add(name, value);
        self
    }

    /// Began by somebody else than the process itself.
    #[must_use]
    pub fn of_kind(self, kind: SpanKind) -> Self {
        Self { kind, ..self }
    }

    /// With what happened meanwhile.
    #[must_use]
    pub fn with_events(mut self, events: impl IntoIterator<Item = SpanEvent>) -> Self {
        self.events.extend(events);
        self.events.truncate(MOST_EVENTS);
        self
    }

    /// Ended like this.
    #[must_use]
    pub fn ending(self, status: SpanStatus) -> Self {
        Self { status, ..self }
    }
}

impl SpanStatus {
    /// Badly, for this reason.
    pub fn badly(why: impl AsRef<str>) -> Self {
        Self::Badly(shortened(why.as_ref()))
    }
}

impl Attributes {
    /// With one more, where there is a value for it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl IntoValue) -> Self {
        self.add(name, value);
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn add(&mut self, name: &str, value: impl IntoValue) {
        if let Some(value) = value.into_value()
            && self.0.len() < MOST_ATTRIBUTES
        {
            self.0.push((name.to_owned(), value));
        }
    }
}

/// What can be the value of an attribute.
pub trait IntoValue {
    /// It; `None` is no attribute.
    fn into_value(self) -> Option<Value>;
}

impl IntoValue for &str {
    fn into_value(self) -> Option<Value> {
        Some(Value::Text(shortened(self)))
    }
}

impl IntoValue for &String {
    fn into_value(self) -> Option<Value> {
        self.as_str().into_value()
    }
}

impl IntoValue for bool {
    fn into_value(self) -> Option<Value> {
        Some(Value::Flag(self))
    }
}

impl IntoValue for u32 {
    fn into_value(self) -> Option<Value> {
        Some(Value::Number(self.into()))
    }
}

impl IntoValue for usize {
    fn into_value(self) -> Option<Value> {
        Some(Value::Number(i64::try_from(self).unwrap_or(i64::MAX)))
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Option<Value> {
        self.and_then(T::into_value)
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST_TEXT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_makes_a_span_long() {
        let (begins, at) = (TraceContext::random(), Timestamp::UNIX_EPOCH);
        let mut span = Span::new(begins, None, "remediation", at, at).with("name", "é".repeat(1000).as_str());
        for number in 0..100_u32 {
            span = span.with(&format!("number.{number}"), number);
        }
        let event = SpanEvent { name: "check", at, attributes: Attributes::default() };
        let span = span.with_events(std::iter::repeat_n(event, 1000)).with("no", None::<&str>);
        assert_eq!((span.attributes.iter().count(), span.events.len()), (MOST_ATTRIBUTES, MOST_EVENTS));
        let Some((_, Value::Text(text))) = span.attributes.iter().next() else { panic!("{span:?}") };
        assert_eq!(text.chars().count(), LONGEST_TEXT + 1);
        assert_eq!(SpanStatus::badly("x".repeat(1000)), SpanStatus::Badly("x".repeat(LONGEST_TEXT) + "…"));
    }

    #[test]
    fn clocks_that_differ_make_no_span_of_negative_length() {
        let later = Timestamp::from_second(10).unwrap();
        let span = Span::new(TraceContext::random(), None, "remediation", later, Timestamp::UNIX_EPOCH);
        assert_eq!((span.began, span.ended), (later, later));
    }
}
