//! A bundle's JSON as it was sent: read so that every reader would see the same in it, and its digest.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// The largest whole number that every reader of JSON holds exactly: 2^53 - 1, as RFC 7493 has it.
const MAX_EXACT: u64 = (1 << 53) - 1;

/// JSON in which no object has a name twice and no number is beyond what every reader holds exactly.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document(Value);

impl Document {
    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// When it is none, or two readers could see different things in it.
    pub(super) fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Exact>(json).map(|Exact(value)| Self(value))
    }

    /// Reads what the document says, in which every object is written as one: serde would take a list of an object's
    /// members as well, and a name for a variant as the member of an object.
    ///
    /// # Errors
    ///
    /// When it says something else, or says it in another form.
    pub(super) fn parse<T: DeserializeOwned + Serialize>(&self) -> Result<T, serde_json::Error> {
        let read: T = serde_json::from_value(self.0.clone())?;
        if has_form(&self.0, &serde_json::to_value(&read)?) {
            Ok(read)
        } else {
            Err(de::Error::custom("an object, a list or a text stands where another of them belongs"))
        }
    }

    /// The document in the form of RFC 8785, without the place that names its own digest.
    pub(super) fn canonical(mut self) -> Vec<u8> {
        if let Some(metadata) = self.0.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("digest");
        }
        serde_json_canonicalizer::to_vec(&self.0).expect("a value of JSON has a canonical form")
    }
}

/// Whether objects and lists stand where they stand in what was read.
fn has_form(sent: &Value, read: &Value) -> bool {
    match (sent, read) {
        (Value::Object(sent), Value::Object(read)) => {
            read.iter().all(|(name, read)| sent.get(name).is_none_or(|sent| has_form(sent, read)))
        }
        (Value::Array(sent), Value::Array(read)) => {
            sent.iter().zip(read).all(|(sent, read)| has_form(sent, read))
        }
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => false,
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_),
        ) => true,
    }
}

struct Exact(Value);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor).map(Self)
    }
}

struct ExactVisitor;

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value <= MAX_EXACT { Ok(value.into()) } else { Err(too_large()) }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() <= MAX_EXACT { Ok(value.into()) } else { Err(too_large()) }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).filter(|_| value.abs() <= MAX_EXACT as f64);
        number.map(Value::Number).ok_or_else(too_large)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Exact(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some((name, Exact(member))) = members.next_entry::<String, _>()? {
            if read.insert(name, member).is_some() {
                // The name is the client's, and may be of any length.
                return Err(de::Error::custom("an object has the same name twice"));
            }
        }
        Ok(Value::Object(read))
    }
}

fn too_large<E: de::Error>() -> E {
    E::custom("a number is beyond 2^53 - 1, which not every reader holds exactly")
}

#[cfg(test)]
mod tests;
