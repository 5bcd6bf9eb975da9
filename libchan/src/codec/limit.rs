//! Limits for codecs whose crates have none: a deserializer around another that counts levels and disbelieves lengths.
//!
//! It passes everything on and carries its numbers down by value, so the optimiser leaves little of it.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// How deep the sequences, maps and enums of one payload may nest. A payload is the peer's choice and decoding is
/// recursive: without a limit a few kilobytes would overflow the stack. It is serde_json's number.
pub const MAX_DEPTH: usize = 128;

/// Anything of serde's reading side, with what it may still do.
pub(super) struct Limited<'b, X> {
    inner: X,
    budget: Budget<'b>,
}

#[derive(Copy, Clone)]
struct Budget<'b> {
    /// Levels still allowed.
    levels: usize,
    /// Elements still allowed, over the whole payload: each takes a byte of it at least. Without this, postcard would
    /// read 2^64 units out of ten bytes.
    elements: &'b Cell<usize>,
    /// Whether the next length is the payload's claim, and not the type's own number of fields.
    claimed: bool,
}

impl Budget<'_> {
    #[inline]
    fn descend<E: Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(E::custom("nested too deeply")),
        }
    }

    /// Refuses a claimed length before anything is allocated for it.
    #[inline]
    fn check<E: Error>(self, claim: Option<usize>) -> Result<(), E> {
        match claim {
            Some(length) if self.claimed && length > self.elements.get() => Err(Self::too_many()),
            _ => Ok(()),
        }
    }

    /// Pays for an element that came; the end of a sequence is free.
    #[inline]
    fn spend<T, E: Error>(self, element: Option<T>) -> Result<Option<T>, E> {
        if self.claimed && element.is_some() {
            self.elements.set(self.elements.get().checked_sub(1).ok_or_else(Self::too_many)?);
        }
        Ok(element)
    }

    #[cold]
    fn too_many<E: Error>() -> E {
        E::custom("more elements than the payload has room for")
    }
}

impl<'b, D> Limited<'b, D> {
    /// Around the deserializer of a payload that can have so many elements: its length, if each takes a byte at least.
    #[inline]
    pub(super) fn new(inner: D, elements: &'b Cell<usize>) -> Self {
        // Twice, because an enum and an option count beside what is in them.
        Self { inner, budget: Budget { levels: 2 * MAX_DEPTH, elements, claimed: false } }
    }
}

/// Requests: the visitor goes in wrapped. `$claimed`: the length of what follows comes from the payload.
macro_rules! requests {
    ($($method:ident($($name:ident: $type:ty),*) $claimed:literal;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let budget = Budget { claimed: $claimed, ..self.budget };
            self.inner.$method($($name,)* Limited { inner: visitor, budget })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Limited<'_, D> {
    type Error = D::Error;

    requests! {
        deserialize_any() true;
        deserialize_bool() false;
        deserialize_i8() false;
        deserialize_i16() false;
        deserialize_i32() false;
        deserialize_i64() false;
        deserialize_i128() false;
        deserialize_u8() false;
        deserialize_u16() false;
        deserialize_u32() false;
        deserialize_u64() false;
        deserialize_u128() false;
        deserialize_f32() false;
        deserialize_f64() false;
        deserialize_char() false;
        deserialize_str() false;
        deserialize_string() false;
        deserialize_bytes() true;
        deserialize_byte_buf() true;
        deserialize_option() false;
        deserialize_unit() false;
        deserialize_unit_struct(name: &'static str) false;
        deserialize_newtype_struct(name: &'static str) false;
        deserialize_seq() true;
        deserialize_tuple(len: usize) false;
        deserialize_tuple_struct(name: &'static str, len: usize) false;
        deserialize_map() true;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) false;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) false;
        deserialize_identifier() false;
        deserialize_ignored_any() true;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Answers without anything inside.
macro_rules! leaves {
    ($($method:ident: $type:ty;)*) => {$(
        #[inline]
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Limited<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    leaves! {
        visit_bool: bool;
        visit_i8: i8;
        visit_i16: i16;
        visit_i32: i32;
        visit_i64: i64;
        visit_i128: i128;
        visit_u8: u8;
        visit_u16: u16;
        visit_u32: u32;
        visit_u64: u64;
        visit_u128: u128;
        visit_f32: f32;
        visit_f64: f64;
        visit_char: char;
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_string: String;
        visit_bytes: &[u8];
        visit_borrowed_bytes: &'de [u8];
        visit_byte_buf: Vec<u8>;
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Limited { inner, budget: self.budget.descend()? })
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        // No level: a newtype takes no bytes, so a payload cannot repeat it.
        self.inner.visit_newtype_struct(Limited { inner, budget: self.budget })
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.budget.check(inner.size_hint())?;
        self.inner.visit_seq(Limited { inner, budget: self.budget.descend()? })
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.budget.check(inner.size_hint())?;
        self.inner.visit_map(Limited { inner, budget: self.budget.descend()? })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Limited { inner, budget: self.budget.descend()? })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Limited<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Limited { inner, budget: self.budget })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, inner: S) -> Result<Option<S::Value>, A::Error> {
        let element = self.inner.next_element_seed(Limited { inner, budget: self.budget })?;
        self.budget.spend(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, inner: K) -> Result<Option<K::Value>, A::Error> {
        let key = self.inner.next_key_seed(Limited { inner, budget: self.budget })?;
        self.budget.spend(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, inner: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Limited { inner, budget: self.budget })
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Limited<'b, A> {
    type Error = A::Error;
    type Variant = Limited<'b, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, inner: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let budget = self.budget;
        let (name, variant) = self.inner.variant_seed(Limited { inner, budget })?;
        Ok((name, Limited { inner: variant, budget }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, inner: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Limited { inner, budget: self.budget })
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, inner: V) -> Result<V::Value, A::Error> {
        let budget = Budget { claimed: false, ..self.budget };
        self.inner.tuple_variant(len, Limited { inner, budget })
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        inner: V,
    ) -> Result<V::Value, A::Error> {
        let budget = Budget { claimed: false, ..self.budget };
        self.inner.struct_variant(fields, Limited { inner, budget })
    }
}
