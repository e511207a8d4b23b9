//! The identity of an alert: a hash of its labels.

use std::{fmt, num::ParseIntError, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Labels;

/// An alert's fingerprint, 16 hexadecimal digits.
///
/// FNV-1a, 64 bits, over `name 0xff value 0xff` of the labels in order, as `LabelSet.Fingerprint` in
/// prometheus/common computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Computes the fingerprint of a label set.
    ///
    /// What a sender claims is not used: Grafana hashes differently, and whoever may post an alert could otherwise
    /// choose the name of its record.
    pub fn of(labels: &Labels) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = OFFSET;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        for (name, value) in &labels.0 {
            name.bytes().for_each(&mut add);
            add(0xff);
            value.bytes().for_each(&mut add);
            add(0xff);
        }
        Self(hash)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseIntError;

    fn from_str(digits: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(digits, 16).map(Self)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = ParseIntError;

    fn try_from(digits: String) -> Result<Self, Self::Error> {
        digits.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl JsonSchema for Fingerprint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fingerprint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_label_set_is_the_offset_basis() {
        assert_eq!(Fingerprint::of(&Labels::default()).to_string(), "cbf29ce484222325");
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let one: Labels = [("a", "1"), ("b", "2")].into_iter().collect();
        let two: Labels = [("b", "2"), ("a", "1")].into_iter().collect();
        assert_eq!(Fingerprint::of(&one), Fingerprint::of(&two));
    }

    #[test]
    fn a_value_cannot_slip_into_a_name() {
        let one: Labels = [("ab", "c")].into_iter().collect();
        let two: Labels = [("a", "bc")].into_iter().collect();
        assert_ne!(Fingerprint::of(&one), Fingerprint::of(&two));
    }
}
