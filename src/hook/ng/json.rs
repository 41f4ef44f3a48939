//! JSON to and from the values of bencode (NG reference 1.2): booleans are 0 and 1, null is
//! absent, a number without a 64-bit integer value is kept as its text.
//!
//! JSON cannot carry bytes that are not UTF-8; in replies they are replaced.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserializer, Serialize, Serializer};

use crate::wire::bencode::{Dict, MAX_DEPTH, MAX_ITEMS, Value};

/// Why text is not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// Not JSON.
    Syntax,
    /// JSON, but too deep, too large, or null.
    Shape,
}

/// Decodes a whole document.
pub(super) fn decode(text: &[u8]) -> Result<Value<'_>, Error> {
    let limits = Limits::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Seed {
        limits: &limits,
        depth: 0,
    }
    .deserialize(&mut deserializer);
    if limits.exceeded.get() {
        return Err(Error::Shape);
    }
    let value = value.map_err(|_| Error::Syntax)?;
    deserializer.end().map_err(|_| Error::Syntax)?;
    value.ok_or(Error::Shape)
}

/// Appends a dictionary.
pub(super) fn encode_into(dict: &Dict<'_>, out: &mut Vec<u8>) {
    let at = out.len();
    if serde_json::to_writer(&mut *out, &DictWriter(dict)).is_err() {
        // Writing to memory does not fail; an empty object is still a valid message.
        out.truncate(at);
        out.extend_from_slice(b"{}");
    }
}

#[derive(Default)]
struct Limits {
    items: Cell<usize>,
    exceeded: Cell<bool>,
}

/// Reads one value, or nothing for null.
#[derive(Clone, Copy)]
struct Seed<'l> {
    limits: &'l Limits,
    depth: usize,
}

impl Seed<'_> {
    /// For what is inside of a container.
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            self.limits.exceeded.set(true);
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self {
            limits: self.limits,
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Option<Value<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let items = self.limits.items.get() + 1;
        self.limits.items.set(items);
        if items > MAX_ITEMS {
            self.limits.exceeded.set(true);
            return Err(serde::de::Error::custom("too many items"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(i64::from(value))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(value).map_or_else(
            |_| Value::from(value.to_string()),
            Value::Int,
        )))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value.to_string())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Some(Value::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.extend(item);
        }
        Ok(Some(Value::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut dict = Dict::new();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            if let Some(value) = map.next_value_seed(inner)? {
                dict.push_raw(key, value);
            }
        }
        Ok(Some(Value::Dict(dict)))
    }
}

/// Borrows a key where it is written without escapes.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value.as_bytes()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.as_bytes().to_vec()))
    }
}

struct Writer<'v>(&'v Value<'v>);

impl Serialize for Writer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Str(bytes) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
            Value::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&Writer(item))?;
                }
                seq.end()
            }
            Value::Dict(dict) => DictWriter(dict).serialize(serializer),
        }
    }
}

struct DictWriter<'v>(&'v Dict<'v>);

impl Serialize for DictWriter<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0.iter() {
            map.serialize_entry(&String::from_utf8_lossy(key), &Writer(value))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(dict: &Dict<'_>) -> String {
        let mut out = Vec::new();
        encode_into(dict, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shapes_and_types() {
        let text = br#"{"s":"a\r\nb","i":-3,"t":true,"f":false,"n":null,"x":1.5,
            "big":18446744073709551615,"l":["a",null,2],"d":{"k":"v"},"s":"again"}"#;
        let value = decode(text).unwrap();
        let dict = value.as_dict().unwrap();
        let expected = Dict::new()
            .with("s", "a\r\nb")
            .with("i", -3)
            .with("t", 1)
            .with("f", 0)
            .with("x", "1.5")
            .with("big", "18446744073709551615")
            .with("l", vec![Value::from("a"), Value::Int(2)])
            .with("d", Dict::new().with("k", "v"))
            .with("s", "again");
        assert_eq!(dict, &expected);
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let value = decode(br#"{"key":"value"}"#).unwrap();
        let (key, value) = value.as_dict().unwrap().iter().next().unwrap();
        assert_eq!(key, b"key");
        assert!(matches!(value, Value::Str(Cow::Borrowed(b"value"))));
    }

    #[test]
    fn writes_compactly() {
        let dict = Dict::new()
            .with("sdp", "v=0\r\n")
            .with("l", Value::list([1, 2]))
            .with("bytes", &b"a\xff"[..])
            .with("result", "ok");
        assert_eq!(
            encode(&dict),
            "{\"sdp\":\"v=0\\r\\n\",\"l\":[1,2],\"bytes\":\"a\u{fffd}\",\"result\":\"ok\"}"
        );
    }

    #[test]
    fn hostile_documents() {
        for bad in [
            &b"{"[..],
            b"{\"a\":\"\xff\"}",
            b"{\"a\" 1}",
            b"{1:2}",
            b"{} x",
        ] {
            assert_eq!(decode(bad), Err(Error::Syntax), "{bad:?}");
        }
        assert_eq!(decode(b"null"), Err(Error::Shape));
        assert_eq!(decode(&b"[".repeat(60_000)), Err(Error::Shape));
        let wide = format!("[{}0]", "0,".repeat(30_000));
        assert_eq!(decode(wide.as_bytes()), Err(Error::Shape));
    }
}
