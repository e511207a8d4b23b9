//! Quantities as Kubernetes writes them: `500m`, `1.5Gi`, `2e3`.

use serde_json::Value;

/// A quantity, in billionths; what is smaller is rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    nano: i128,
    form: Form,
}

/// How it is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Decimal,
    Exponent,
}

const NANO: i128 = 1_000_000_000;
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

impl Quantity {
    /// That of a field, which may be a number as well.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// Whether it is more than another one.
    pub(crate) const fn is_above(self, other: Self) -> bool {
        self.nano > other.nano
    }

    /// Reads one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, suffix) = rest.split_at(end);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && part.is_empty() || part.contains('.') {
            return None;
        }
        let (factor, power, form) = scale(suffix)?;
        // Digit by digit, so that a part of a thousandth is not lost on the way.
        let figure: i128 = format!("0{whole}{part}").parse().ok()?;
        let exponent = 9 + power - i32::try_from(part.len()).ok()?;
        let product = figure.checked_mul(factor)?;
        let nano = if exponent >= 0 {
            product.checked_mul(10_i128.checked_pow(u32::try_from(exponent).ok()?)?)?
        } else {
            let divisor = 10_i128.checked_pow(u32::try_from(-exponent).ok()?)?;
            (product + divisor - 1) / divisor
        };
        Some(Self { nano: sign * nano, form })
    }

    /// As the API server writes it: without a fraction, with the largest suffix that goes.
    pub(crate) fn canonical(self) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        if self.form == Form::Binary && self.nano % NANO == 0 && self.nano.abs() >= 1024 * NANO {
            let whole = self.nano / NANO;
            let suffix = BINARY.iter().rev().find(|(_, bits)| whole % (1 << bits) == 0);
            return match suffix {
                Some((suffix, bits)) => format!("{}{suffix}", whole >> bits),
                None => whole.to_string(),
            };
        }
        let suffix = DECIMAL.iter().rev().find(|(_, power)| {
            10_i128.checked_pow(power.unsigned_abs() + 9).is_some_and(|unit| {
                if *power >= 0 {
                    self.nano % unit == 0
                } else {
                    self.nano % 10_i128.pow((9 + power).unsigned_abs()) == 0
                }
            })
        });
        let Some((suffix, power)) = suffix else { return self.nano.to_string() };
        let figure = self.nano / 10_i128.pow((9 + power).unsigned_abs());
        match self.form {
            Form::Exponent if *power != 0 => format!("{figure}e{power}"),
            _ => format!("{figure}{suffix}"),
        }
    }
}

/// What a suffix multiplies by: a factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32, Form)> {
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((1 << bits, 0, Form::Binary));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((1, *power, Form::Decimal));
    }
    let power = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-18..=18).contains(&power).then_some((1, power, Form::Exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_the_api_server_does() {
        for (text, canonical) in [
            ("0.5", "500m"),
            ("1", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512", "512"),
            ("2000", "2k"),
            ("1e3", "1e3"),
            ("0", "0"),
            ("128974848", "128974848"),
            ("100u", "100u"),
            ("-1", "-1"),
        ] {
            assert_eq!(Quantity::parse(text).map(Quantity::canonical).as_deref(), Some(canonical), "{text}");
        }
        for text in ["", "much", "1.2.3", "1Gii", "Gi", "--1"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn quantities_are_compared_whatever_their_suffix() {
        let of = |text| Quantity::parse(text).unwrap().nano;
        assert!(of("2Gi") > of("1.9Gi"));
        assert!(of("1G") < of("1Gi"));
        assert_eq!(of("1000m"), of("1"));
    }
}
