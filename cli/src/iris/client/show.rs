//! How a body is shown: a value as JSON, bytes as they are, or on one line.

use std::fmt::{self, Write};

use libchan_iris::Body;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::json::{Json, hex};

/// A value as JSON on one line; bytes in it, which JSON has not, are hexadecimal text. `None`: it is plain bytes, or
/// nothing that can be read as a value.
pub(super) fn as_json(body: Body) -> Option<String> {
    if body.is_bytes() {
        return None;
    }
    body.read::<Shown>().ok().map(|shown| shown.0.to_string())
}

/// Text in which nothing steers a terminal: control characters other than line breaks and tabs, and what is no UTF-8, are
/// escaped.
pub(super) fn printable(bytes: &[u8]) -> String {
    escaped(bytes, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Text on one line: as [`printable`], with line breaks and backslashes escaped, too, so that it can be read back.
pub(super) fn on_one_line(bytes: &[u8]) -> String {
    escaped(bytes, |c| c == '\\' || c.is_control() && c != '\t')
}

fn escaped(bytes: &[u8], wants: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' if wants(c) => text.push_str("\\n"),
                '\r' if wants(c) => text.push_str("\\r"),
                '\\' if wants(c) => text.push_str("\\\\"),
                c if wants(c) => write_escape(&mut text, u32::from(c)),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| write_escape(&mut text, u32::from(*byte)));
    }
    text
}

fn write_escape(text: &mut String, code: u32) {
    // A String takes whatever is written.
    let _ = write!(text, "\\x{code:02x}");
}

/// Any value of any codec.
struct Shown(Json);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(Self)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        // JSON has no infinities: null, as in JavaScript.
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Json, E> {
        Ok(hex(value).into())
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Shown(entry)) = seq.next_element()? {
            list.push(entry);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((Shown(key), Shown(value))) = map.next_entry()? {
            let key = match key {
                Json::String(key) => key,
                other => other.to_string(),
            };
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("two keys are the same in JSON"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Binary(&'static [u8]);

    impl Serialize for Binary {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    #[test]
    fn values_are_json_and_bytes_are_not() {
        let map = BTreeMap::from([
            (1_u8, ("ü\n", Some(-2.5_f64), None::<u8>, true)),
            (2, ("", None, Some(3), false)),
        ]);
        let json = as_json(Body::of(&map).unwrap()).unwrap();
        assert_eq!(json, r#"{"1":["ü\n",-2.5,null,true],"2":["",null,3,false]}"#);
        assert_eq!(as_json(Body::bytes("[1]")), None);
        let bytes = BTreeMap::from([("b", Binary(&[0, 255]))]);
        assert_eq!(as_json(Body::of(&bytes).unwrap()).unwrap(), r#"{"b":"00ff"}"#);
        assert_eq!(as_json(Body::of(&f64::INFINITY).unwrap()).unwrap(), "null");
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(printable(b"a\tb\n\x1b[31m\xff\\ \xc2\x9b"), "a\tb\n\\x1b[31m\\xff\\ \\x9b");
        assert_eq!(on_one_line(b"a\r\n\\n\x00"), "a\\r\\n\\\\n\\x00");
    }
}
