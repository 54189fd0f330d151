//! The canonical encoding of everything that is signed or logged: one value, one string of bytes (specs/ledger.md).
//!
//! Primitives are those of [`weightproof_circuits::encoding`]. A struct is its fields in order; an enum is one byte that
//! names the variant and then its fields; an option is a flag and perhaps the value; a list is the varint of its length
//! and its elements; a map is the list of its pairs by strictly ascending key.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weightproof_circuits::encoding::{DecodeError, Reader, Writer};
use weightproof_circuits::error::ErrorCode;

/// Longest byte string, in bytes.
pub const MAXIMUM_BYTES: usize = 1 << 20;
/// Longest text, in bytes.
pub const MAXIMUM_TEXT: usize = 1 << 10;
/// Most elements of a list. A state has one for every account and version, so this is no bound on what it may come to
/// hold; what bounds the room that is made is that every element takes a byte or more of those at hand.
pub const MAXIMUM_ELEMENTS: usize = 1 << 31;

/// A value with exactly one encoding.
pub trait Canonical: Sized {
    /// Appends the encoding.
    fn write(&self, writer: &mut Writer);

    /// Reads one value; `what` names it in the error.
    ///
    /// # Errors
    /// `E101`, `E103` or `E106`.
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError>;

    /// The encoding.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Reads a value that fills `bytes`.
    ///
    /// # Errors
    /// `E101` to `E103` or `E106`.
    fn decode(bytes: &[u8], what: &'static str) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader, what)?;
        reader.finish()?;
        Ok(value)
    }
}

macro_rules! integers {
    ($($kind:ident $method:ident),*) => {$(
        impl Canonical for $kind {
            fn write(&self, writer: &mut Writer) {
                writer.$method(*self);
            }
            fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
                reader.$method(what)
            }
        }
    )*};
}
integers!(u8 u8, u16 u16, u32 u32, u64 u64, i64 i64, bool flag);

impl<const N: usize> Canonical for [u8; N] {
    fn write(&self, writer: &mut Writer) {
        writer.raw(self);
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        reader.array(what)
    }
}

/// A byte string of at most [`MAXIMUM_BYTES`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl Canonical for Bytes {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.0);
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        reader.bytes(what, MAXIMUM_BYTES).map(|bytes| Bytes(bytes.to_vec()))
    }
}

impl Canonical for String {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self.as_bytes());
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let start = reader.clone();
        let bytes = reader.bytes(what, MAXIMUM_TEXT)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(start.error(ErrorCode::E101, what, "UTF-8 text", "other bytes")),
        }
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn write(&self, writer: &mut Writer) {
        writer.flag(self.is_some());
        if let Some(value) = self {
            value.write(writer);
        }
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        if reader.flag(what)? { T::read(reader, what).map(Some) } else { Ok(None) }
    }
}

impl<T: Canonical> Canonical for Arc<T> {
    fn write(&self, writer: &mut Writer) {
        T::write(self, writer);
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        T::read(reader, what).map(Arc::new)
    }
}

fn length(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, DecodeError> {
    let start = reader.clone();
    let length = reader.varint(what)?;
    // Every element takes a byte or more: a length that the bytes cannot hold is refused before room is made.
    match usize::try_from(length) {
        Ok(length) if length <= MAXIMUM_ELEMENTS && length <= reader.remaining() => Ok(length),
        _ => Err(start.error(
            ErrorCode::E103,
            what,
            format!("at most {} elements", MAXIMUM_ELEMENTS.min(reader.remaining())),
            length.to_string(),
        )),
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn write(&self, writer: &mut Writer) {
        writer.varint(self.len() as u64);
        self.iter().for_each(|element| element.write(writer));
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        // Not collected into reserved room: an element may be far larger in memory than in bytes.
        let mut list = Vec::new();
        for _ in 0..length(reader, what)? {
            list.push(T::read(reader, what)?);
        }
        Ok(list)
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn write(&self, writer: &mut Writer) {
        self.0.write(writer);
        self.1.write(writer);
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        Ok((A::read(reader, what)?, B::read(reader, what)?))
    }
}

impl<K: Canonical + Ord, V: Canonical> Canonical for BTreeMap<K, V> {
    fn write(&self, writer: &mut Writer) {
        writer.varint(self.len() as u64);
        for (key, value) in self {
            key.write(writer);
            value.write(writer);
        }
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let mut map = BTreeMap::new();
        for _ in 0..length(reader, what)? {
            let start = reader.clone();
            let key = K::read(reader, what)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(start.error(
                    ErrorCode::E101,
                    what,
                    "keys in strictly ascending order",
                    "another order",
                ));
            }
            map.insert(key, V::read(reader, what)?);
        }
        Ok(map)
    }
}

impl<T: Canonical + Ord> Canonical for BTreeSet<T> {
    fn write(&self, writer: &mut Writer) {
        writer.varint(self.len() as u64);
        self.iter().for_each(|element| element.write(writer));
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let mut set = BTreeSet::new();
        for _ in 0..length(reader, what)? {
            let start = reader.clone();
            let element = T::read(reader, what)?;
            if set.last().is_some_and(|last| *last >= element) {
                return Err(start.error(
                    ErrorCode::E101,
                    what,
                    "elements in strictly ascending order",
                    "another order",
                ));
            }
            set.insert(element);
        }
        Ok(set)
    }
}

/// Declares structs and enums together with their encoding, so that no field can be left out of it.
macro_rules! canonical {
    () => {};
    ($(#[$attribute:meta])* pub struct $name:ident { $($(#[$note:meta])* pub $field:ident: $kind:ty,)* } $($rest:tt)*) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$note])* pub $field: $kind,)* }

        impl $crate::canonical::Canonical for $name {
            fn write(&self, writer: &mut weightproof_circuits::encoding::Writer) {
                $($crate::canonical::Canonical::write(&self.$field, writer);)*
            }
            fn read(
                reader: &mut weightproof_circuits::encoding::Reader<'_>,
                _what: &'static str,
            ) -> Result<Self, weightproof_circuits::encoding::DecodeError> {
                // Fields are evaluated in the order in which they are written here.
                Ok(Self { $($field: $crate::canonical::Canonical::read(reader, stringify!($field))?,)* })
            }
        }
        canonical! { $($rest)* }
    };
    ($(#[$attribute:meta])* pub enum $name:ident {
        $($(#[$note:meta])* $tag:literal = $variant:ident { $($(#[$field_note:meta])* $field:ident: $kind:ty,)* },)*
    } $($rest:tt)*) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$note])* $variant { $($(#[$field_note])* $field: $kind,)* },)* }

        impl $name {
            /// The names of the variants, in the order of their declaration; tests must cover each.
            pub const VARIANTS: &'static [&'static str] = &[$(stringify!($variant),)*];

            /// The variant's name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => stringify!($variant),)* }
            }
        }

        impl $crate::canonical::Canonical for $name {
            fn write(&self, writer: &mut weightproof_circuits::encoding::Writer) {
                match self {
                    $(Self::$variant { $($field,)* } => {
                        writer.u8($tag);
                        $($crate::canonical::Canonical::write($field, writer);)*
                    })*
                }
            }
            fn read(
                reader: &mut weightproof_circuits::encoding::Reader<'_>,
                what: &'static str,
            ) -> Result<Self, weightproof_circuits::encoding::DecodeError> {
                let start = reader.clone();
                match reader.u8(what)? {
                    $($tag => Ok(Self::$variant { $($field: $crate::canonical::Canonical::read(reader, stringify!($field))?,)* }),)*
                    other => Err(start.error(
                        weightproof_circuits::error::ErrorCode::E101,
                        what,
                        concat!("a known kind of ", stringify!($name)),
                        other.to_string(),
                    )),
                }
            }
        }
        canonical! { $($rest)* }
    };
}
pub(crate) use canonical;

#[cfg(test)]
mod tests {
    use super::*;

    canonical! {
        /// A sample.
        pub struct Sample {
            pub number: u64,
            pub text: String,
            pub map: BTreeMap<u8, Option<bool>>,
            pub kinds: Vec<Kind>,
        }
        /// Another.
        pub enum Kind {
            1 = Empty {},
            7 = Full { bytes: Bytes, id: [u8; 4], },
        }
    }

    fn sample() -> Sample {
        Sample {
            number: 513,
            text: "é".to_owned(),
            map: [(1, None), (3, Some(true))].into(),
            kinds: vec![Kind::Empty {}, Kind::Full { bytes: Bytes(vec![9]), id: [1, 2, 3, 4] }],
        }
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let expected = [1, 2, 0, 0, 0, 0, 0, 0, 2, 0xc3, 0xa9, 2, 1, 0, 3, 1, 1, 2, 1, 7, 1, 9, 1, 2, 3, 4];
        assert_eq!(sample().encode(), expected);
        assert_eq!(Sample::decode(&expected, "sample"), Ok(sample()));
        assert_eq!(sample().kinds.iter().map(Kind::name).collect::<Vec<_>>(), Kind::VARIANTS);
    }

    #[test]
    fn reading_is_strict() {
        let bytes = sample().encode();
        for end in 0..bytes.len() {
            let code = Sample::decode(&bytes[..end], "sample").unwrap_err().code;
            assert!(matches!(code, ErrorCode::E103 | ErrorCode::E106), "{end}: {code}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Sample::decode(&longer, "sample").unwrap_err().code, ErrorCode::E102);
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                if let Ok(other) = Sample::decode(&flipped, "sample") {
                    assert_ne!(other, sample());
                    assert_eq!(other.encode(), flipped);
                }
            }
        }
        let descending = [2, 3, 0, 1, 0];
        assert_eq!(
            BTreeMap::<u8, Option<bool>>::decode(&descending, "map").unwrap_err().code,
            ErrorCode::E101
        );
        assert_eq!(BTreeSet::<u8>::decode(&[2, 5, 5], "set").unwrap_err().code, ErrorCode::E101);
        assert_eq!(Vec::<u64>::decode(&[255, 255, 255, 255, 15], "list").unwrap_err().code, ErrorCode::E103);
        assert_eq!(Kind::decode(&[2], "kind").unwrap_err().code, ErrorCode::E101);
        assert_eq!(String::decode(&[1, 255], "text").unwrap_err().code, ErrorCode::E101);
    }
}
