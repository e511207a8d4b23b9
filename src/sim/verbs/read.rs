//! Reads a body: JSON, YAML or what kubectl sends as protobuf, and which fields are there twice.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::sim::{path::Path, protobuf, status::Status};

/// The types of bodies that are read.
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// A body as a value, and the paths of fields that it has twice, of which the last counts.
///
/// Refuses what cannot be read with 400, and an unknown type with 415.
pub(crate) fn read_body(content_type: Option<&str>, body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let kind = content_type.and_then(|kind| kind.split(';').next()).map_or(JSON, str::trim);
    match kind {
        "" | JSON | "*/*" | "application/*" => read_json(body).map_err(|error| unreadable(&error, body)),
        YAML => {
            let value: Value = serde_saphyr::from_slice(body).map_err(|error| unreadable(&error, body))?;
            Ok((value, Vec::new()))
        }
        protobuf::CONTENT_TYPE => match protobuf::read(body) {
            Ok(value) => Ok((value, Vec::new())),
            Err(why) => {
                let message =
                    format!("{why}; the simulated cluster takes JSON and YAML, as `kubectl apply -f` sends it");
                Err(Status::new(415, "UnsupportedMediaType", message))
            }
        },
        _ => Err(Status { details: None, ..Status::unsupported_media_type("application/json, application/yaml") }),
    }
}

/// JSON as a value, and the paths of fields that it has twice.
pub(super) fn read_json(body: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let twice = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Node { path: Path::Root, twice: &twice }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, twice.into_inner()))
}

fn unreadable(error: &impl fmt::Display, body: &[u8]) -> Status {
    let begin = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
    Status::bad_request(format!("the object provided is unrecognized: {error} ({begin})"))
}

/// A value at a path.
struct Node<'a> {
    path: Path<'a>,
    twice: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        loop {
            let node = Node { path: Path::Item(&self.path, all.len()), twice: self.twice };
            match items.next_element_seed(node)? {
                Some(item) => all.push(item),
                None => return Ok(Value::Array(all)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let path = Path::Field(&self.path, &name);
            let value = fields.next_value_seed(Node { path, twice: self.twice }).map_err(A::Error::custom)?;
            if all.contains_key(&name) {
                self.twice.borrow_mut().push(path.to_string());
            }
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_there_twice_is_named() {
        let body = br#"{"a": {"b": 1, "b": [2, {"c": null, "c": 1.5}]}, "d": "e"}"#;
        let (value, twice) = read_body(Some("application/json; charset=utf-8"), body).unwrap();
        assert_eq!(value, json!({"a": {"b": [2, {"c": 1.5}]}, "d": "e"}));
        assert_eq!(twice, ["a.b[1].c", "a.b"]);
    }

    #[test]
    fn yaml_is_read_and_other_types_are_not() {
        let (value, _) = read_body(Some("application/yaml"), b"a: {b: 1}\n").unwrap();
        assert_eq!(value, json!({"a": {"b": 1}}));
        assert_eq!(read_body(Some("text/plain"), b"{}").unwrap_err().code, 415);
        assert_eq!(read_body(None, b"{").unwrap_err().code, 400);
        assert_eq!(read_body(None, b"{} x").unwrap_err().code, 400);
    }
}
