//! The canonical encoding: one value, one string of bytes.
//!
//! * Integers of fixed width are little-endian; arrays of fixed length are their bytes.
//! * A *varint* is LEB128: seven bits a byte, low first, the top bit set on all but the last byte, at most ten bytes,
//!   no final zero byte except for the value 0, nothing above bit 63.
//! * A signed varint is the varint of `zigzag(v) = (v << 1) ^ (v >> 63)`.
//! * A byte string is the varint of its length, then its bytes.
//!
//! Reading is strict: every value has exactly one encoding (`E101`), nothing may be left over (`E102`), a declared
//! size is checked against its limit (`E103`) and against the bytes that are there (`E106`) before anything is
//! allocated.
use sha2::{Digest, Sha256};

use crate::error::ErrorCode;

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {what} at byte {offset}: expected {expected}, found {found}")]
pub struct DecodeError {
    /// `E101` to `E106`.
    pub code: ErrorCode,
    /// Where the field starts, in bytes from the start of the input.
    pub offset: usize,
    /// The field.
    pub what: &'static str,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// SHA-256 begun with a domain: one byte of length, then the domain's bytes (at most 255).
///
/// Two hashes under different domains can never agree on their input.
pub fn tagged_hash(domain: &'static str) -> Sha256 {
    debug_assert!(domain.len() <= 255, "a domain is a short constant");
    Sha256::new().chain_update([domain.len() as u8]).chain_update(domain.as_bytes())
}

/// Builds canonical bytes. Writing cannot fail; the writer's values are its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian two's complement.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `0` or `1` in one byte.
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Bytes whose number the reader knows: no length is written.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// A varint.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A zigzag varint.
    pub fn signed_varint(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// A byte string: the varint of its length, then its bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.varint(value.len() as u64);
        self.raw(value);
    }
}

/// Reads canonical bytes. Every method names the field for the error text.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.total - self.rest.len()
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// An error at the present position; for callers that check a value they just read, take the position first.
    pub fn error(
        &self,
        code: ErrorCode,
        what: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> DecodeError {
        DecodeError { code, offset: self.position(), what, expected: expected.into(), found: found.into() }
    }

    /// `count` bytes, borrowed from the input.
    ///
    /// # Errors
    /// `E106` when fewer are left.
    pub fn raw(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error(
                ErrorCode::E106,
                what,
                format!("{count} bytes"),
                format!("{} bytes left", self.rest.len()),
            )),
        }
    }

    /// `N` bytes.
    ///
    /// # Errors
    /// `E106` when fewer are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.error(
                ErrorCode::E106,
                what,
                format!("{N} bytes"),
                format!("{} bytes left", self.rest.len()),
            )),
        }
    }

    /// One byte.
    ///
    /// # Errors
    /// `E106` when none is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(u8::from_le_bytes)
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// `E106` when fewer are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// `E106` when fewer are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// `E106` when fewer are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Eight bytes, little-endian two's complement.
    ///
    /// # Errors
    /// `E106` when fewer are left.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// A byte that is `0` or `1`.
    ///
    /// # Errors
    /// `E106` when none is left, `E101` for another value.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        let start = self.clone();
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(start.error(ErrorCode::E101, what, "0 or 1", other.to_string())),
        }
    }

    /// A varint.
    ///
    /// # Errors
    /// `E106` when cut short, `E101` when overlong or above `2^64 − 1`.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let start = self.clone();
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds bit 63 alone.
            if shift == 63 && byte > 1 {
                return Err(start.error(ErrorCode::E101, what, "a number below 2^64", "more than 64 bits"));
            }
            if shift > 0 && byte == 0 {
                return Err(start.error(ErrorCode::E101, what, "the shortest varint", "a final zero byte"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(start.error(ErrorCode::E101, what, "a varint of at most ten bytes", "a longer one"))
    }

    /// A zigzag varint.
    ///
    /// # Errors
    /// As for [`Reader::varint`].
    pub fn signed_varint(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let zigzag = self.varint(what)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// A declared number of items, at most `maximum`, each of which takes at least `bytes_each` of the bytes that are
    /// left: room for that many items may be allocated without trusting the input further.
    ///
    /// # Errors
    /// `E103` above `maximum`, `E106` when the items cannot be there, and as for [`Reader::varint`].
    pub fn count(
        &mut self,
        what: &'static str,
        maximum: usize,
        bytes_each: usize,
    ) -> Result<usize, DecodeError> {
        let start = self.clone();
        let declared = self.varint(what)?;
        let count = usize::try_from(declared).ok().filter(|count| *count <= maximum).ok_or_else(|| {
            start.error(ErrorCode::E103, what, format!("at most {maximum}"), declared.to_string())
        })?;
        match count.checked_mul(bytes_each) {
            Some(needed) if needed <= self.remaining() => Ok(count),
            _ => Err(start.error(
                ErrorCode::E106,
                what,
                format!("{count} items of {bytes_each} bytes"),
                format!("{} bytes left", self.remaining()),
            )),
        }
    }

    /// A byte string of at most `maximum` bytes, borrowed from the input.
    ///
    /// # Errors
    /// As for [`Reader::count`].
    pub fn bytes(&mut self, what: &'static str, maximum: usize) -> Result<&'a [u8], DecodeError> {
        let count = self.count(what, maximum, 1)?;
        self.raw(what, count)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `E102` when bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error(
            ErrorCode::E102,
            "end of input",
            "no more bytes",
            format!("{} bytes", self.rest.len()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn varint(bytes: &[u8]) -> Result<u64, ErrorCode> {
        let mut reader = Reader::new(bytes);
        let value = reader.varint("v").map_err(|error| error.code)?;
        reader.finish().map_err(|error| error.code)?;
        Ok(value)
    }

    #[test]
    fn known_varints() {
        let known: [(u64, &[u8]); 6] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (1 << 63, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (value, bytes) in known {
            let mut writer = Writer::new();
            writer.varint(value);
            assert_eq!(writer.into_bytes(), bytes);
            assert_eq!(varint(bytes), Ok(value));
        }
        let mut writer = Writer::new();
        for value in [0, -1, 1, -2, i64::MAX, i64::MIN] {
            writer.signed_varint(value);
        }
        let bytes = writer.into_bytes();
        assert_eq!(&bytes[..4], &[0, 1, 2, 3]);
        let mut reader = Reader::new(&bytes);
        for value in [0, -1, 1, -2, i64::MAX, i64::MIN] {
            assert_eq!(reader.signed_varint("v"), Ok(value));
        }
    }

    #[test]
    fn a_varint_has_one_spelling() {
        // Every string of up to three bytes: what decodes re-encodes to itself.
        let mut accepted = 0u32;
        for raw in 0u32..1 << 24 {
            let bytes = &raw.to_le_bytes()[..3];
            for length in 1..=3 {
                // Shorter strings are visited once.
                if raw >> (8 * length) != 0 {
                    continue;
                }
                if let Ok(value) = varint(&bytes[..length]) {
                    accepted += 1;
                    let mut writer = Writer::new();
                    writer.varint(value);
                    assert_eq!(writer.into_bytes(), &bytes[..length]);
                }
            }
        }
        assert_eq!(accepted, 1 << 21, "each value below 2^21 exactly once");
        assert_eq!(varint(&[0x80, 0]), Err(ErrorCode::E101));
        assert_eq!(varint(&[0xff; 9]), Err(ErrorCode::E106));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), Err(ErrorCode::E101));
        assert_eq!(varint(&[0xff; 11]), Err(ErrorCode::E101));
        assert_eq!(varint(&[]), Err(ErrorCode::E106));
        assert_eq!(varint(&[5, 0]), Err(ErrorCode::E102));
    }

    #[test]
    fn declared_sizes_are_checked_before_they_are_believed() {
        let mut writer = Writer::new();
        writer.varint(1 << 40);
        let bomb = writer.into_bytes();
        assert_eq!(Reader::new(&bomb).bytes("b", 1 << 20).unwrap_err().code, ErrorCode::E103);
        assert_eq!(Reader::new(&bomb).bytes("b", usize::MAX).unwrap_err().code, ErrorCode::E106);
        assert_eq!(Reader::new(&bomb).count("b", usize::MAX, usize::MAX).unwrap_err().code, ErrorCode::E106);
        assert_eq!(Reader::new(&[3, 1, 2]).bytes("b", 3).unwrap_err().code, ErrorCode::E106);
        assert_eq!(Reader::new(&[2, 1, 2]).bytes("b", 2).unwrap(), &[1, 2]);
        assert_eq!(Reader::new(&[2, 1, 2, 3]).count("b", 9, 2).unwrap_err().code, ErrorCode::E106);
        assert_eq!(Reader::new(&[2]).flag("f").unwrap_err().code, ErrorCode::E101);
    }

    #[test]
    fn errors_say_where_and_what() {
        let mut reader = Reader::new(&[1, 2, 3]);
        reader.u8("first").unwrap();
        let error = reader.u32("second").unwrap_err();
        assert_eq!((error.code, error.offset, error.what), (ErrorCode::E106, 1, "second"));
        assert_eq!(error.to_string(), "E106: second at byte 1: expected 4 bytes, found 2 bytes left");
        assert_eq!(reader.remaining(), 2, "a failed read takes nothing");
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(512))]
        #[test]
        fn values_round_trip(a in any::<u64>(), shift in 0u32..64, b in any::<i64>(), c in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut writer = Writer::new();
            writer.varint(a >> shift);
            writer.signed_varint(b >> shift);
            writer.bytes(&c);
            writer.u16(a as u16);
            writer.i64(b);
            writer.flag(a & 1 == 1);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint("a"), Ok(a >> shift));
            prop_assert_eq!(reader.signed_varint("b"), Ok(b >> shift));
            prop_assert_eq!(reader.bytes("c", 200), Ok(&c[..]));
            prop_assert_eq!(reader.u16("d"), Ok(a as u16));
            prop_assert_eq!(reader.i64("e"), Ok(b));
            prop_assert_eq!(reader.flag("f"), Ok(a & 1 == 1));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.signed_varint("a").is_ok() && reader.bytes("b", 8).is_ok() {}
        }
    }
}
