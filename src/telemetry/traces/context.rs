//! Where in a trace something is: W3C's Trace Context, of which the header `traceparent` is the text.
//!
//! A sender's header is the text of somebody else. Nothing of it is kept but two numbers and whether it is recorded, and
//! those only where the whole of it is as the standard says.

use std::fmt::{self, Write};

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

/// The header's name.
const HEADER: &str = "traceparent";
/// The length of a header of version 00. Of a later one, which may be longer, this much is understood.
const LENGTH: usize = 55;
/// Nobody needs a longer one.
const LONGEST: usize = 256;

/// A span that is recorded: its trace, and itself. What is not recorded has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
}

/// What a sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) context: TraceContext,
    /// Whether the sender records it.
    pub(super) sampled: bool,
}

impl TraceContext {
    /// The beginning of a trace that nobody else knows of.
    pub(super) fn random() -> Self {
        let [high, low] = [number().to_be_bytes(), number().to_be_bytes()];
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&high);
        trace[8..].copy_from_slice(&low);
        Self { trace, span: number().to_be_bytes() }
    }

    /// Another span of the same trace.
    pub(super) fn child(self) -> Self {
        Self { span: number().to_be_bytes(), ..self }
    }

    /// The span of the same trace that goes by this name below this one. Whoever knows this one knows it: another replica
    /// can hang something below it before it has ended, and one that is told twice is the same both times.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let digest = Sha256::new().chain_update(self.trace).chain_update(self.span).chain_update(name).finalize();
        let mut span = [0; 8];
        span.copy_from_slice(&digest[..8]);
        // All zero is no span.
        span[7] |= u8::from(span == [0; 8]);
        Self { span, ..self }
    }

    /// What a record holds; `None` where that is nothing that Paramedic wrote.
    pub fn on_record(text: &str) -> Option<Self> {
        parse(text).filter(|told| told.sampled).map(|told| told.context)
    }

    /// The numbers of the trace and of the span.
    pub const fn bytes(&self) -> ([u8; 16], [u8; 8]) {
        (self.trace, self.span)
    }

    /// The trace's number, as backends show it.
    pub fn trace_id(&self) -> String {
        hexadecimal(&self.trace)
    }
}

impl fmt::Display for TraceContext {
    /// As the header has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", hexadecimal(&self.trace), hexadecimal(&self.span))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the sender of a request says; `None` where that is nothing, or is not as it should be, or is there twice.
pub(super) fn told(headers: &HeaderMap) -> Option<Told> {
    let mut found = headers.get_all(HEADER).iter();
    let (one, another) = (found.next()?, found.next());
    parse(one.to_str().ok()?).filter(|_| another.is_none())
}

fn parse(text: &str) -> Option<Told> {
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let [version] = bytes(parts.next()?)?;
    let (trace, span) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
    let [flags] = bytes(parts.next()?)?;
    let fits = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let valid = fits && parts.next().is_none() && trace != [0; 16] && span != [0; 8];
    valid.then_some(Told { context: TraceContext { trace, span }, sampled: flags & 1 == 1 })
}

/// Exactly so many bytes, in lower-case digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Never zero, which is no number of a trace or a span.
fn number() -> u64 {
    fastrand::u64(1..)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (HEADER.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn a_sender_is_understood() {
        let told = told(&headers(&[GOOD.as_bytes()])).unwrap();
        assert!(told.sampled);
        assert_eq!(told.context.to_string(), GOOD);
        assert_eq!(told.context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let not_recorded = parse(&GOOD.replace("-01", "-00")).unwrap();
        assert!(!not_recorded.sampled);
        assert_eq!(TraceContext::on_record(&GOOD.replace("-01", "-00")), None);
    }

    #[test]
    fn a_later_version_is_understood_as_far_as_it_is_known() {
        assert_eq!(parse(&GOOD.replace("00-4", "01-4")).unwrap().context.to_string(), GOOD);
        assert_eq!(parse(&format!("{}-what-comes", GOOD.replace("00-4", "cc-4"))).unwrap().context.to_string(), GOOD);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_nothing() {
        for rubbish in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-000f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-0f067aa0ba902b7-01",
            "00-; rm -rf /                    -00f067aa0ba902b7-01xxx",
        ] {
            assert_eq!(parse(rubbish), None, "{rubbish}");
        }
        let long = format!("01{}-{}", &GOOD[2..], "x".repeat(LONGEST));
        assert_eq!(parse(&long), None);
        assert_eq!(told(&headers(&[GOOD.as_bytes(), GOOD.as_bytes()])), None, "two, of which one may be anybody's");
        assert_eq!(told(&headers(&[b"\xff\xfe"])), None);
        assert_eq!(told(&HeaderMap::new()), None);
    }

    #[test]
    fn a_named_span_is_the_same_for_whoever_asks() {
        let context = TraceContext::on_record(GOOD).unwrap();
        assert_eq!(context.named("action 0"), context.named("action 0"));
        assert_ne!(context.named("action 0"), context.named("action 1"));
        assert_ne!(context.named("action 0"), context.child().named("action 0"));
        assert_eq!(context.named("action 0").trace_id(), context.trace_id());
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_not_and_what_is_written_is_read(text in ".{0,80}") {
            let told = parse(&text);
            prop_assert!(told.is_none_or(|told| text.is_ascii() && text.contains(&told.context.trace_id())));
            let own = TraceContext::random();
            prop_assert_eq!(TraceContext::on_record(&own.to_string()), Some(own));
        }
    }
}
