//! The outermost shape of a type and of a payload, for the text of a decode error: what was expected, what came.
//!
//! Only the error path comes here. A type is asked by deserialising it from a recorder that writes down its first
//! request and fails; a payload is asked by looking at its first level.

use std::fmt::{self, Display, Write};

use rmp_serde::MSGPACK_EXT_STRUCT_NAME;
use serde::de::{
    self, Deserialize, DeserializeOwned, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::placeholder::KEY;

/// How many names of fields, variants or keys an error text shows.
const MOST_NAMES: usize = 12;
/// How much of one name it shows.
const LONGEST_NAME: usize = 40;
const ATTACHMENT: &str = "a libchan attachment";

/// `text`, cut to about `most` bytes: a peer's payload must not fill a log.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}..", &text[..end])
}

/// `{ a, b, c }` with the separator asked for.
fn listed<S: AsRef<str>>(names: &[S], separator: &str) -> String {
    if names.is_empty() {
        return "{ }".to_owned();
    }
    let mut text = "{ ".to_owned();
    for (i, name) in names.iter().take(MOST_NAMES).enumerate() {
        let lead = if i == 0 { "" } else { separator };
        // Writing to a String cannot fail.
        let _ = write!(text, "{lead}{}", shortened(name.as_ref(), LONGEST_NAME));
    }
    if names.len() > MOST_NAMES {
        text.push_str(separator);
        text.push_str("..");
    }
    text + " }"
}

/// The shape `T` asks for first, or `None` if it failed before it asked.
pub(super) fn of_type<T: DeserializeOwned>() -> Option<String> {
    let mut seen = None;
    // It always fails: the recorder has nothing to give.
    let _ = T::deserialize(Recorder { seen: &mut seen });
    seen
}

/// A deserializer that only listens.
struct Recorder<'a> {
    seen: &'a mut Option<String>,
}

/// The recorder's refusal.
#[derive(Debug)]
struct Heard;

impl Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked for its shape")
    }
}

impl std::error::Error for Heard {}

impl de::Error for Heard {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

impl Recorder<'_> {
    fn hear<V>(self, shape: impl Into<String>) -> Result<V, Heard> {
        *self.seen = Some(shape.into());
        Err(Heard)
    }
}

macro_rules! hears {
    ($($method:ident $shape:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Heard> {
            self.hear($shape)
        }
    )*};
}

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Heard;

    hears! {
        deserialize_any "any value";
        deserialize_ignored_any "any value";
        deserialize_bool "a boolean";
        deserialize_i8 "a number";
        deserialize_i16 "a number";
        deserialize_i32 "a number";
        deserialize_i64 "a number";
        deserialize_i128 "a number";
        deserialize_u8 "a number";
        deserialize_u16 "a number";
        deserialize_u32 "a number";
        deserialize_u64 "a number";
        deserialize_u128 "a number";
        deserialize_f32 "a number";
        deserialize_f64 "a number";
        deserialize_char "a character";
        deserialize_str "a string";
        deserialize_string "a string";
        deserialize_identifier "a string";
        deserialize_bytes "bytes";
        deserialize_byte_buf "bytes";
        deserialize_unit "nothing";
        deserialize_seq "a sequence";
        deserialize_map "a map";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Heard> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Heard> {
        if name == MSGPACK_EXT_STRUCT_NAME {
            return self.hear(ATTACHMENT);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, _: V) -> Result<V::Value, Heard> {
        self.hear(name)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, _: V) -> Result<V::Value, Heard> {
        self.hear(format!("a tuple of {len}"))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        _: V,
    ) -> Result<V::Value, Heard> {
        self.hear(format!("{name} of {len}"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Heard> {
        if name == KEY {
            return self.hear(ATTACHMENT);
        }
        self.hear(format!("{name} {}", listed(fields, ", ")))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Heard> {
        self.hear(format!("{name} {}", listed(variants, " | ")))
    }
}

/// The first level of a payload. It deserialises from anything self-describing and never fails: what could be read
/// before a payload breaks off is kept.
#[derive(Default)]
pub(super) struct Outline(Option<String>);

impl Outline {
    pub(super) fn into_text(self) -> Option<String> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut outline = Self::default();
        let _ = deserializer.deserialize_any(Look(&mut outline.0));
        Ok(outline)
    }
}

struct Look<'a>(&'a mut Option<String>);

impl Look<'_> {
    fn see<E>(self, shape: impl Into<String>) -> Result<(), E> {
        *self.0 = Some(shape.into());
        Ok(())
    }
}

macro_rules! sees {
    ($($method:ident($type:ty) $shape:literal;)*) => {$(
        fn $method<E: de::Error>(self, _: $type) -> Result<(), E> {
            self.see($shape)
        }
    )*};
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    sees! {
        visit_bool(bool) "a boolean";
        visit_i64(i64) "a number";
        visit_i128(i128) "a number";
        visit_u64(u64) "a number";
        visit_u128(u128) "a number";
        visit_f64(f64) "a number";
        visit_str(&str) "a string";
        visit_bytes(&[u8]) "bytes";
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.see("nothing")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.see("nothing")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        // Only msgpack answers so, for an extension value.
        self.see(ATTACHMENT)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        // The text first, so that it stays if an element is broken. An array of millions is not counted for it.
        *self.0 = Some("a sequence".to_owned());
        let mut count = 0_usize;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
            if count > 1000 {
                return Ok(());
            }
        }
        self.see(format!("a sequence of {count}"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = Vec::new();
        loop {
            *self.0 = Some(match &*keys {
                [only] if only == KEY => ATTACHMENT.to_owned(),
                keys => format!("a map {}", listed(keys, ", ")),
            });
            if keys.len() > MOST_NAMES {
                return Ok(());
            }
            let Some(Key(key)) = map.next_key()? else { return Ok(()) };
            keys.push(key);
            // A key whose value is broken is still worth a mention.
            *self.0 = Some(format!("a map {}", listed(&keys, ", ")));
            map.next_value::<IgnoredAny>()?;
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        // Only CBOR answers so.
        self.see("a tagged value")
    }
}

/// A map's key as text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
        Ok(Key(shortened(key, LONGEST_NAME)))
    }

    fn visit_bool<E: de::Error>(self, key: bool) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_i64<E: de::Error>(self, key: i64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_u64<E: de::Error>(self, key: u64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Key, E> {
        Ok(Key("bytes".to_owned()))
    }
}
