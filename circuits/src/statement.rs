//! What a proof is about: everything that a verifier holds it to.
//!
//! The encoding is the fields in the order of [`Statement::FIELDS`]: integers little-endian, digests as their 32 bytes, and
//! the payout account as a byte string (varint length, then its bytes). The digest is SHA-256 of those bytes under its own
//! domain. Row indices are not sent: the verifier derives them (see [`batches`](crate::batches)).
use sha2::Digest;

use crate::batches::BatchSeed;
use crate::encoding::{DecodeError, Reader, Writer, tagged_hash};
use crate::error::ErrorCode;

/// The protocol version that this code speaks.
pub const PROTOCOL_VERSION: u16 = 1;
/// The sigma seal.
pub const SEAL_SIGMA: u8 = 1;
/// The halo2 seal.
pub const SEAL_HALO2: u8 = 2;
/// Public model and update.
pub const MODE_OPEN: u8 = 1;
/// Committed model and update.
pub const MODE_PRIVATE: u8 = 2;
/// Longest payout account, in bytes.
pub const MAXIMUM_PAYOUT: usize = 64;

macro_rules! statement {
    ($($(#[$documentation:meta])* $field:ident: $kind:ty => $write:ident, $read:expr;)*) => {
        /// A contribution's statement.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Statement {
            $($(#[$documentation])* pub $field: $kind,)*
        }

        impl Statement {
            /// The fields in the order of the encoding; an attack manifest must name each.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field),)*];

            /// Appends the canonical encoding.
            pub fn write(&self, writer: &mut Writer) {
                $($write(writer, &self.$field);)*
            }

            /// Reads a statement. Values that are not supported still decode: see [`Statement::check_supported`].
            ///
            /// # Errors
            /// `E101`, `E103` or `E106`.
            pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                // Struct fields are evaluated in the order in which they are written here.
                Ok(Self { $($field: $read(reader, stringify!($field))?,)* })
            }
        }
    };
}

statement! {
    /// Protocol version, [`PROTOCOL_VERSION`].
    protocol_version: u16 => put_u16, Reader::u16;
    /// Seal: [`SEAL_SIGMA`] or [`SEAL_HALO2`].
    seal: u8 => put_u8, Reader::u8;
    /// Digest of the seal's key; zero for the sigma seal, which has none.
    seal_key_digest: [u8; 32] => put_digest, Reader::array;
    /// Mode: [`MODE_OPEN`] or [`MODE_PRIVATE`].
    mode: u8 => put_u8, Reader::u8;
    /// The learning task; zero in a local run.
    space: [u8; 32] => put_digest, Reader::array;
    /// The round; zero in a local run.
    round: u64 => put_u64, Reader::u64;
    /// Randomness drawn after the dataset was committed.
    beacon: [u8; 32] => put_digest, Reader::array;
    /// Digest of the program.
    program_digest: [u8; 32] => put_digest, Reader::array;
    /// Merkle root of the dataset's row commitments.
    dataset_root: [u8; 32] => put_digest, Reader::array;
    /// Rows of the dataset.
    dataset_rows: u64 => put_u64, Reader::u64;
    /// Version of the base model.
    model_version: u64 => put_u64, Reader::u64;
    /// Digest of the base model.
    model_digest: [u8; 32] => put_digest, Reader::array;
    /// Digest of the update.
    update_digest: [u8; 32] => put_digest, Reader::array;
    /// Public key of the contributor.
    contributor: [u8; 32] => put_digest, Reader::array;
    /// Account to reward; empty in a local run. At most [`MAXIMUM_PAYOUT`] bytes.
    payout: Vec<u8> => put_bytes, payout;
}

fn put_u8(writer: &mut Writer, value: &u8) {
    writer.u8(*value);
}

fn put_u16(writer: &mut Writer, value: &u16) {
    writer.u16(*value);
}

fn put_u64(writer: &mut Writer, value: &u64) {
    writer.u64(*value);
}

fn put_digest(writer: &mut Writer, value: &[u8; 32]) {
    writer.raw(value);
}

fn put_bytes(writer: &mut Writer, value: &[u8]) {
    writer.bytes(value);
}

fn payout(reader: &mut Reader<'_>, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    reader.bytes(what, MAXIMUM_PAYOUT).map(<[u8]>::to_vec)
}

/// Why a statement that decodes is not verified by this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Another protocol version.
    #[error("E105: expected protocol version {PROTOCOL_VERSION}, found {0}; a newer version may verify it")]
    Version(u16),
    /// A mode other than open.
    #[error("E105: expected mode {MODE_OPEN} (open), found {0}; a newer version may verify it")]
    Mode(u8),
    /// Another seal.
    #[error(
        "E105: expected seal {SEAL_SIGMA} (sigma) or {SEAL_HALO2} (halo2), found {0}; a newer version may verify it"
    )]
    Seal(u8),
    /// The sigma seal has no key, and its digest is zero.
    #[error("E308: expected a zero key digest for the sigma seal, found another")]
    SealKey,
    /// The payout account is longer than the encoding carries.
    #[error("E103: expected a payout account of at most {MAXIMUM_PAYOUT} bytes, found {0}")]
    Payout(usize),
}

impl Unsupported {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Version(_) | Self::Mode(_) | Self::Seal(_) => ErrorCode::E105,
            Self::SealKey => ErrorCode::E308,
            Self::Payout(_) => ErrorCode::E103,
        }
    }
}

impl Statement {
    /// Bytes of the longest encoding of a supported statement; a test compares it with one.
    pub const LONGEST: usize = 2 + 2 + 3 * 8 + 8 * 32 + 1 + MAXIMUM_PAYOUT;

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Reads a statement that fills `bytes`.
    ///
    /// # Errors
    /// `E101` to `E103` or `E106`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let statement = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(statement)
    }

    /// SHA-256 of the encoding under the domain `weightproof statement`.
    pub fn digest(&self) -> [u8; 32] {
        tagged_hash("weightproof statement").chain_update(self.encode()).finalize().into()
    }

    /// Refuses what this version does not verify; the version is asked first.
    ///
    /// # Errors
    /// [`Unsupported`], naming the value.
    pub fn check_supported(&self) -> Result<(), Unsupported> {
        if self.protocol_version != PROTOCOL_VERSION {
            return Err(Unsupported::Version(self.protocol_version));
        }
        if self.mode != MODE_OPEN {
            return Err(Unsupported::Mode(self.mode));
        }
        match self.seal {
            SEAL_SIGMA if self.seal_key_digest != [0; 32] => return Err(Unsupported::SealKey),
            // The halo2 seal's key is compared where it is rebuilt.
            SEAL_SIGMA | SEAL_HALO2 => {}
            other => return Err(Unsupported::Seal(other)),
        }
        if self.payout.len() > MAXIMUM_PAYOUT {
            return Err(Unsupported::Payout(self.payout.len()));
        }
        Ok(())
    }

    /// What decides the batches of this contribution.
    pub fn batch_seed(&self) -> BatchSeed {
        BatchSeed {
            beacon: self.beacon,
            model_digest: self.model_digest,
            dataset_root: self.dataset_root,
            contributor: self.contributor,
            round: self.round,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            protocol_version: PROTOCOL_VERSION,
            seal: SEAL_SIGMA,
            seal_key_digest: [0; 32],
            mode: MODE_OPEN,
            space: [1; 32],
            round: 2,
            beacon: [3; 32],
            program_digest: [4; 32],
            dataset_root: [5; 32],
            dataset_rows: 569,
            model_version: 7,
            model_digest: [8; 32],
            update_digest: [9; 32],
            contributor: [10; 32],
            payout: b"account".to_vec(),
        }
    }

    /// One change for each field, by name. A field without one fails the test below.
    fn change(statement: &mut Statement, field: &str) -> bool {
        match field {
            "protocol_version" => statement.protocol_version += 1,
            "seal" => statement.seal = SEAL_HALO2,
            "seal_key_digest" => statement.seal_key_digest[7] ^= 1,
            "mode" => statement.mode = MODE_PRIVATE,
            "space" => statement.space[0] ^= 1,
            "round" => statement.round += 1,
            "beacon" => statement.beacon[31] ^= 128,
            "program_digest" => statement.program_digest[1] ^= 1,
            "dataset_root" => statement.dataset_root[2] ^= 1,
            "dataset_rows" => statement.dataset_rows -= 1,
            "model_version" => statement.model_version += 1,
            "model_digest" => statement.model_digest[3] ^= 1,
            "update_digest" => statement.update_digest[4] ^= 1,
            "contributor" => statement.contributor[5] ^= 1,
            "payout" => statement.payout.push(0),
            _ => return false,
        }
        true
    }

    #[test]
    fn the_list_of_fields_is_complete() {
        let Statement {
            protocol_version: _,
            seal: _,
            seal_key_digest: _,
            mode: _,
            space: _,
            round: _,
            beacon: _,
            program_digest: _,
            dataset_root: _,
            dataset_rows: _,
            model_version: _,
            model_digest: _,
            update_digest: _,
            contributor: _,
            payout: _,
        } = statement();
        assert_eq!(
            Statement::FIELDS,
            [
                "protocol_version",
                "seal",
                "seal_key_digest",
                "mode",
                "space",
                "round",
                "beacon",
                "program_digest",
                "dataset_root",
                "dataset_rows",
                "model_version",
                "model_digest",
                "update_digest",
                "contributor",
                "payout"
            ]
        );
    }

    #[test]
    fn each_field_changes_the_bytes_and_the_digest() {
        let original = statement();
        for field in Statement::FIELDS {
            let mut changed = original.clone();
            assert!(change(&mut changed, field), "{field} has a change");
            assert_ne!(changed, original, "{field}");
            assert_ne!(changed.encode(), original.encode(), "{field}");
            assert_ne!(changed.digest(), original.digest(), "{field}");
            assert_eq!(Statement::decode(&changed.encode()), Ok(changed), "{field}");
        }
    }

    #[test]
    fn the_encoding_is_pinned() {
        let mut expected = vec![1, 0, 1];
        expected.extend([0; 32]);
        expected.push(1);
        expected.extend([1; 32]);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        [3, 4, 5].iter().for_each(|byte| expected.extend([*byte; 32]));
        expected.extend([57, 2, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        [8, 9, 10].iter().for_each(|byte| expected.extend([*byte; 32]));
        expected.push(7);
        expected.extend(b"account");
        assert_eq!(statement().encode(), expected);
        let hex: String = statement().digest().iter().map(|byte| format!("{byte:02x}")).collect();
        // SHA-256 of the documented bytes, computed apart from this code.
        assert_eq!(hex, "032bdd7f50daa8ec7415d23c60633913c134e728a77302563f27e0a12ead3a59");
    }

    #[test]
    fn reading_is_strict() {
        let bytes = statement().encode();
        assert_eq!(Statement::decode(&bytes), Ok(statement()));
        for end in 0..bytes.len() {
            assert_eq!(Statement::decode(&bytes[..end]).unwrap_err().code, ErrorCode::E106, "{end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Statement::decode(&longer).unwrap_err().code, ErrorCode::E102);
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                if let Ok(other) = Statement::decode(&flipped) {
                    assert_ne!(other, statement());
                    assert_eq!(other.encode(), flipped);
                }
            }
        }
        let mut long = statement();
        long.payout = vec![1; MAXIMUM_PAYOUT];
        assert_eq!(Statement::decode(&long.encode()), Ok(long.clone()));
        assert_eq!(long.encode().len(), Statement::LONGEST);
        long.payout.push(1);
        let error = Statement::decode(&long.encode()).unwrap_err();
        assert_eq!((error.code, error.what), (ErrorCode::E103, "payout"));
        assert_eq!(long.check_supported(), Err(Unsupported::Payout(65)));
    }

    #[test]
    fn what_is_not_supported_decodes_and_is_refused() {
        assert_eq!(statement().check_supported(), Ok(()));
        type Change = fn(&mut Statement);
        let cases: [(Unsupported, ErrorCode, Change); 8] = [
            (Unsupported::Version(0), ErrorCode::E105, |s| s.protocol_version = 0),
            (Unsupported::Version(2), ErrorCode::E105, |s| (s.protocol_version, s.mode) = (2, 9)),
            (Unsupported::Mode(0), ErrorCode::E105, |s| s.mode = 0),
            (Unsupported::Mode(2), ErrorCode::E105, |s| s.mode = MODE_PRIVATE),
            (Unsupported::Seal(0), ErrorCode::E105, |s| s.seal = 0),
            (Unsupported::Seal(3), ErrorCode::E105, |s| s.seal = 3),
            (Unsupported::Seal(255), ErrorCode::E105, |s| s.seal = 255),
            (Unsupported::SealKey, ErrorCode::E308, |s| s.seal_key_digest[0] = 1),
        ];
        for (refusal, code, change) in cases {
            let mut changed = statement();
            change(&mut changed);
            let decoded = Statement::decode(&changed.encode()).unwrap();
            assert_eq!(decoded.check_supported(), Err(refusal.clone()));
            assert_eq!(refusal.code(), code);
            assert!(refusal.to_string().starts_with(code.as_str()));
        }
    }

    #[test]
    fn the_batch_seed_takes_the_statements_own_fields() {
        let seed = statement().batch_seed();
        let fields =
            (seed.beacon[0], seed.model_digest[0], seed.dataset_root[0], seed.contributor[0], seed.round);
        assert_eq!(fields, (3, 8, 5, 10, 2));
    }
}
