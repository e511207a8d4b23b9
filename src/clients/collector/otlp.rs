//! OTLP's messages, as far as spans need them: `opentelemetry/proto/{collector/trace,trace,common,resource}/v1` of the protocol's
//! version 1. Fields keep their numbers for ever; those that are not here are not sent.

use jiff::Timestamp;
use prost::{Enumeration, Message, Oneof};

use crate::telemetry::traces::{self, Attributes};

/// What is posted.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceRequest {
    /// One entry a process.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// What is answered.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceResponse {
    /// What of it was not taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<ExportTracePartialSuccess>,
}

/// What of a request was not taken.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTracePartialSuccess {
    /// So many spans.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// The spans of a process.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// The process.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// One entry a library.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// A process.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// What is known of it.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// The spans that a library made.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// The library.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// Its spans.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// What makes spans.
#[derive(Clone, PartialEq, Message)]
pub struct InstrumentationScope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A span.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// 8 bytes, or none.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// W3C's flags, and above them whether the parent is another process's.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
    /// What took place.
    #[prost(string, tag = "5")]
    pub name: String,
    /// Who began it.
    #[prost(enumeration = "SpanKind", tag = "6")]
    pub kind: i32,
    /// When it began.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// When it ended.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// More about it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// What happened meanwhile.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
    /// How it ended.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

/// Something that happened during a span.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// When.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// What.
    #[prost(string, tag = "2")]
    pub name: String,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

/// How a span ended.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// Why it ended badly.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Well or badly.
    #[prost(enumeration = "StatusCode", tag = "3")]
    pub code: i32,
}

/// A name and a value.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// One of those that it can be.
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    pub value: Option<Value>,
}

/// What a value can be.
#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    /// A text.
    #[prost(string, tag = "1")]
    String(String),
    /// True or false.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A number.
    #[prost(int64, tag = "3")]
    Int(i64),
}

/// Who began a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum SpanKind {
    /// Nobody says.
    Unspecified = 0,
    /// The process itself.
    Internal = 1,
    /// It answers a request.
    Server = 2,
    /// It makes a request.
    Client = 3,
}

/// Well or badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum StatusCode {
    /// Neither.
    Unset = 0,
    /// Well.
    Ok = 1,
    /// Badly.
    Error = 2,
}

/// The trace is recorded.
const SAMPLED: u32 = 0x01;
/// Whether the parent is another process's is known, and is so.
const REMOTE_IS_KNOWN: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

impl From<traces::Span> for Span {
    fn from(span: traces::Span) -> Self {
        let (trace_id, span_id) = span.context.bytes();
        let remote = span.parent.is_some_and(|parent| parent.is_remote);
        Self {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            parent_span_id: span.parent.map(|parent| parent.context.bytes().1.to_vec()).unwrap_or_default(),
            flags: SAMPLED | REMOTE_IS_KNOWN | if remote { IS_REMOTE } else { 0 },
            name: span.name,
            kind: match span.kind {
                traces::SpanKind::Internal => SpanKind::Internal,
                traces::SpanKind::Server => SpanKind::Server,
                traces::SpanKind::Client => SpanKind::Client,
            }
            .into(),
            start_time_unix_nano: nanoseconds(span.began),
            end_time_unix_nano: nanoseconds(span.ended),
            attributes: key_values(&span.attributes),
            events: span.events.into_iter().map(Event::from).collect(),
            status: match span.status {
                traces::SpanStatus::Unset => None,
                traces::SpanStatus::Well => Some(Status { message: String::new(), code: StatusCode::Ok.into() }),
                traces::SpanStatus::Badly(message) => Some(Status { message, code: StatusCode::Error.into() }),
            },
        }
    }
}

impl From<traces::SpanEvent> for Event {
    fn from(event: traces::SpanEvent) -> Self {
        Self {
            time_unix_nano: nanoseconds(event.at),
            name: event.name.to_owned(),
            attributes: key_values(&event.attributes),
        }
    }
}

pub(super) fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    let value = |value: &traces::Value| match value {
        traces::Value::Text(text) => Value::String(text.clone()),
        traces::Value::Number(number) => Value::Int(*number),
        traces::Value::Flag(flag) => Value::Bool(*flag),
    };
    let pair = |(name, of): (&str, &traces::Value)| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value(of)) }),
    };
    attributes.iter().map(pair).collect()
}

/// Before 1970 there were no spans.
fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}
