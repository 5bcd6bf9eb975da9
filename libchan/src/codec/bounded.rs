//! The writing side of the limit on nesting: a serializer around another that counts levels.
//!
//! A decoder refuses what nests deeper than [`MAX_DEPTH`], so the sender must not send it, and serialising is recursive:
//! a deep value would overflow the sender's stack. It passes everything on and carries its numbers down by value, so the
//! optimiser leaves little of it.

use std::fmt::Display;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::limit::MAX_DEPTH;

/// How much deeper a value may go.
#[derive(Copy, Clone)]
pub(super) struct Depth {
    /// Levels that take room on the wire: sequences, maps, enums with data.
    wire: u16,
    /// These and options, which take none: recursion needs stack for them too.
    all: u16,
}

impl Depth {
    /// What every codec's reader takes.
    pub(super) const FULL: Self = Self::of(MAX_DEPTH as u16);

    /// As many levels on the wire.
    pub(super) const fn of(wire: u16) -> Self {
        Self { wire, all: 2 * MAX_DEPTH as u16 }
    }

    /// Into as many levels that take room on the wire.
    #[inline]
    fn descend<E: Error>(self, levels: u16) -> Result<Self, E> {
        match (self.wire.checked_sub(levels), self.all.checked_sub(levels)) {
            (Some(wire), Some(all)) => Ok(Self { wire, all }),
            _ => Err(too_deep()),
        }
    }

    /// Into an option.
    #[inline]
    fn into_some<E: Error>(self) -> Result<Self, E> {
        match self.all.checked_sub(1) {
            Some(all) => Ok(Self { all, ..self }),
            None => Err(too_deep()),
        }
    }
}

#[cold]
fn too_deep<E: Error>() -> E {
    E::custom(format_args!(
        "the value nests too deeply: a message may nest {MAX_DEPTH} levels, one less in JSON, CBOR and XML; \
         make it flatter or send it in parts"
    ))
}

/// A serializer or one of its compounds, with what may still be nested. `FINITE`: the format has no NaN.
pub(super) struct Bounded<X, const FINITE: bool> {
    inner: X,
    depth: Depth,
}

/// A value that is serialised within a [`Bounded`].
pub(super) struct Within<'a, T: ?Sized, const FINITE: bool> {
    value: &'a T,
    depth: Depth,
}

impl<'a, T: ?Sized, const FINITE: bool> Within<'a, T, FINITE> {
    #[inline]
    pub(super) fn new(value: &'a T, depth: Depth) -> Self {
        Self { value, depth }
    }
}

impl<T: Serialize + ?Sized, const FINITE: bool> Serialize for Within<'_, T, FINITE> {
    #[inline]
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Bounded::<S, FINITE> { inner, depth: self.depth })
    }
}

/// Values without anything inside.
macro_rules! leaves {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        #[inline]
        fn $method(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($name),*)
        }
    )*};
}

/// Compounds: what is in them is deeper by `$levels`.
macro_rules! compounds {
    ($($method:ident($($name:ident: $type:ty),*) -> $compound:ident, $levels:literal;)*) => {$(
        #[inline]
        fn $method(self, $($name: $type),*) -> Result<Self::$compound, S::Error> {
            let depth = self.depth.descend($levels)?;
            Ok(Bounded { inner: self.inner.$method($($name),*)?, depth })
        }
    )*};
}

impl<S: Serializer, const FINITE: bool> Serializer for Bounded<S, FINITE> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Bounded<S::SerializeSeq, FINITE>;
    type SerializeTuple = Bounded<S::SerializeTuple, FINITE>;
    type SerializeTupleStruct = Bounded<S::SerializeTupleStruct, FINITE>;
    type SerializeTupleVariant = Bounded<S::SerializeTupleVariant, FINITE>;
    type SerializeMap = Bounded<S::SerializeMap, FINITE>;
    type SerializeStruct = Bounded<S::SerializeStruct, FINITE>;
    type SerializeStructVariant = Bounded<S::SerializeStructVariant, FINITE>;

    leaves! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    compounds! {
        serialize_seq(len: Option<usize>) -> SerializeSeq, 1;
        serialize_tuple(len: usize) -> SerializeTuple, 1;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct, 1;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant, 2;
        serialize_map(len: Option<usize>) -> SerializeMap, 1;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct, 1;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant, 2;
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if FINITE && !value.is_finite() {
            return Err(not_finite());
        }
        self.inner.serialize_f32(value)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if FINITE && !value.is_finite() {
            return Err(not_finite());
        }
        self.inner.serialize_f64(value)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let depth = self.depth.into_some()?;
        self.inner.serialize_some(&Within::<T, FINITE> { value, depth })
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        // No level: it takes no room, and no type can be a newtype of itself without something between.
        self.inner.serialize_newtype_struct(name, &Within::<T, FINITE> { value, depth: self.depth })
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let depth = self.depth.descend(1)?;
        self.inner.serialize_newtype_variant(name, index, variant, &Within::<T, FINITE> { value, depth })
    }

    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

#[cold]
fn not_finite<E: Error>() -> E {
    E::custom(
        "this codec has no NaN and no infinity: send an Option, or use a codec that has them, as msgpack",
    )
}

/// Compounds whose elements have no name.
macro_rules! elements {
    ($($compound:ident $method:ident;)*) => {$(
        impl<C: $compound, const FINITE: bool> $compound for Bounded<C, FINITE> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$method(&Within::<T, FINITE> { value, depth: self.depth })
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

/// Compounds whose elements have a name.
macro_rules! fields {
    ($($compound:ident;)*) => {$(
        impl<C: $compound, const FINITE: bool> $compound for Bounded<C, FINITE> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.inner.serialize_field(key, &Within::<T, FINITE> { value, depth: self.depth })
            }

            #[inline]
            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl<C: SerializeMap, const FINITE: bool> SerializeMap for Bounded<C, FINITE> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(&Within::<T, FINITE> { value, depth: self.depth })
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Within::<T, FINITE> { value, depth: self.depth })
    }

    #[inline]
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        let depth = self.depth;
        self.inner.serialize_entry(
            &Within::<K, FINITE> { value: key, depth },
            &Within::<V, FINITE> { value, depth },
        )
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}
