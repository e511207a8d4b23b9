//! Sizes as Kubernetes writes them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes above zero: `16Mi`, `500k`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

/// Kubernetes' suffixes, the longer ones first, so that `Mi` is not read as `M`.
const UNITS: [(&str, usize); 7] =
    [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("", 1)];

impl ByteSize {
    /// So many mebibytes, at least one.
    pub const fn mebi(count: usize) -> Self {
        Self(if count == 0 { 1 << 20 } else { count << 20 })
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = UNITS.iter().find_map(|(suffix, unit)| {
            let count: usize = text.strip_suffix(suffix)?.parse().ok()?;
            count.checked_mul(*unit)
        });
        parsed
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size above zero such as 16Mi or 500k"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS[..3].iter().rev().find(|(_, unit)| self.0.is_multiple_of(*unit));
        match binary {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 16Mi")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        for (text, bytes) in [("16Mi", 16 << 20), ("1Ki", 1024), ("500k", 500_000), ("7", 7), ("2G", 2_000_000_000)] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        assert_eq!(ByteSize::mebi(16).to_string(), "16Mi");
        assert_eq!(serde_json::from_str::<ByteSize>("1048576").unwrap(), ByteSize::mebi(1));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for bad in ["0", "0Mi", "-1", "Mi", "1.5Mi", "16MiB", "99999999999999999999", "9999999999999Gi"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
