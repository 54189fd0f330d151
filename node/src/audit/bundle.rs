//! The `.wpbundle` file to the byte (specs/bundle.md): written and read as a stream, one entry or contribution at a time.
//!
//! Reading is strict, as everywhere: one content has one encoding, a length is checked against its limit before a byte is
//! taken, and memory grows with the bytes that came, never with those that were announced.
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};
use weightproof_circuits::encoding::{Reader as Bytes, Writer as Encoder};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::SignedReceipt;
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::log::note::MAX_NOTE_BYTES;
use weightproof_ledger::{Id, Refusal};

use super::trace::ancestry;
use crate::core::{Index, Snapshot};
use crate::output::hex;
use crate::store::{self, StoreError};

/// First bytes of every bundle.
pub const MAGIC: [u8; 4] = *b"WPB1";
/// Longest name of a log, in bytes.
pub const MAXIMUM_ORIGIN: u64 = 1 << 10;
/// Most entries, and most contributions.
pub const MAXIMUM_COUNT: u64 = 1 << 32;
/// Longest entry, in bytes.
pub const MAXIMUM_ENTRY: u64 = 1 << 26;
/// Longest contribution file, in bytes.
pub const MAXIMUM_FILE: u64 = 1 << 32;
/// Length of a signed receipt, in bytes.
pub const RECEIPT_BYTES: usize = 186;
/// Most that is asked of a stream at once, in bytes.
const CHUNK: u64 = 32 << 10;
/// Entries that are read from a store at once.
const ENTRIES_AT_ONCE: u64 = 64;

/// What a bundle says of itself before its entries. All of it is the sender's word until it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The log's name.
    pub origin: String,
    /// The node's public key.
    pub network: Id,
    /// The signed checkpoint of the entries: a C2SP note.
    pub checkpoint: String,
    /// The space.
    pub space: Id,
    /// The version that the bundle is about.
    pub version: u64,
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are no bundle.
    #[error("{what} at byte {offset}: expected {expected}, found {found}; fetch the bundle again")]
    Format {
        /// `E101` to `E103`, `E105` or `E106`.
        code: ErrorCode,
        /// From the start of the file.
        offset: u64,
        /// The field.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The stream failed.
    #[error("expected to read the bundle, found: {0}; check the disk and try again")]
    Source(#[source] io::Error),
}

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no such space or version.
    #[error("{}", .0.message)]
    Unknown(Refusal),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store lacks what its log says it has.
    #[error("expected {0} in the store, found none; restore the data folder from a backup")]
    Missing(String),
    /// The output fails.
    #[error("expected to write the bundle, found: {0}; check the path and free space")]
    Output(#[from] io::Error),
}

impl WriteError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            WriteError::Unknown(refusal) => refusal.code,
            WriteError::Store(error) => error.code(),
            WriteError::Missing(_) => ErrorCode::E506,
            WriteError::Output(_) => ErrorCode::E505,
        }
    }
}

/// What a bundle will hold: looked up quickly, so that nothing is locked while it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    header: Header,
    /// Entries that the checkpoint signs.
    size: u64,
    /// Statement digests of the lineage, in the order of the log.
    contributions: Vec<Id>,
}

/// Looks up what the bundle of a version holds. The index may be ahead of the snapshot; what it has more is passed over.
///
/// # Errors
/// [`WriteError::Unknown`].
pub fn plan(snapshot: &Snapshot, index: &Index, space: &Id, version: u64) -> Result<Plan, WriteError> {
    let unknown = |text: String| WriteError::Unknown(Refusal::new(ErrorCode::E201, text));
    let Some(found) = snapshot.state.spaces.get(space) else {
        return Err(unknown(
            "expected a space of this node, found another; `weightproof spaces` lists them".to_owned(),
        ));
    };
    let versions = index.versions(space);
    let lineage = ancestry(version, |number| {
        let place = usize::try_from(number).ok()?;
        versions.get(place).filter(|known| known.entry < snapshot.size).map(|known| known.reverted_to)
    });
    let Some(lineage) = lineage else {
        return Err(unknown(format!(
            "expected a version up to {} of {}, found {version}",
            found.version(),
            found.spec.name
        )));
    };
    let of = |number: &u64| usize::try_from(*number).ok().and_then(|place| versions.get(place));
    let contributions = lineage.iter().filter_map(of).flat_map(|made| &made.contributions);
    let origin = snapshot.checkpoint.lines().next().unwrap_or_default().to_owned();
    Ok(Plan {
        header: Header {
            origin,
            network: snapshot.state.network,
            checkpoint: snapshot.checkpoint.to_string(),
            space: *space,
            version,
        },
        size: snapshot.size,
        contributions: contributions.map(|(statement, _)| *statement).collect(),
    })
}

impl Plan {
    /// Contributions that the bundle will hold.
    pub fn contributions(&self) -> usize {
        self.contributions.len()
    }

    /// Writes the bundle.
    ///
    /// # Errors
    /// [`WriteError`]; what was written so far is no bundle.
    pub fn write(&self, reader: &store::Reader, out: &mut impl Write) -> Result<(), WriteError> {
        let mut writer = Writer::begin(out, &self.header, self.size)?;
        let mut next = 0;
        while next < self.size {
            let entries = reader.entries(next, ENTRIES_AT_ONCE.min(self.size - next))?;
            for (position, bytes) in &entries {
                if *position != next {
                    return Err(WriteError::Missing(format!("entry {next}")));
                }
                writer.entry(bytes)?;
                next += 1;
            }
            if entries.is_empty() {
                return Err(WriteError::Missing(format!("entry {next}")));
            }
        }
        writer.contributions(self.contributions.len() as u64)?;
        for statement in &self.contributions {
            let file = reader.contribution(statement)?;
            let file = file
                .ok_or_else(|| WriteError::Missing(format!("the file of contribution {}", hex(statement))))?;
            let receipt = match reader.receipt(statement)? {
                None => None,
                Some(bytes) => Some(SignedReceipt::decode(&bytes, "receipt").map_err(|_| {
                    WriteError::Missing(format!("a readable receipt of contribution {}", hex(statement)))
                })?),
            };
            writer.contribution(statement, receipt.as_ref(), &file)?;
        }
        Ok(())
    }
}

/// Writes the bundle of a version: all entries up to the snapshot's end, and the files of its lineage.
///
/// Whoever shares the index behind a lock had better hold it for [`plan`] alone and then [`Plan::write`].
///
/// # Errors
/// [`WriteError`]; what was written so far is no bundle.
pub fn write(
    reader: &store::Reader,
    snapshot: &Snapshot,
    index: &Index,
    space: &Id,
    version: u64,
    out: &mut impl Write,
) -> Result<(), WriteError> {
    plan(snapshot, index, space, version)?.write(reader, out)
}

/// Writes the parts of a bundle in their order; the caller keeps to it.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// The header, and the number of entries that follow.
    ///
    /// # Errors
    /// The output's.
    pub fn begin(out: W, header: &Header, entries: u64) -> io::Result<Writer<W>> {
        let mut encoder = Encoder::new();
        encoder.raw(&MAGIC);
        encoder.bytes(header.origin.as_bytes());
        encoder.raw(&header.network);
        encoder.bytes(header.checkpoint.as_bytes());
        encoder.raw(&header.space);
        encoder.u64(header.version);
        encoder.varint(entries);
        let mut writer = Writer { out };
        writer.out.write_all(&encoder.into_bytes())?;
        Ok(writer)
    }

    /// One entry.
    ///
    /// # Errors
    /// The output's.
    pub fn entry(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.byte_string(bytes)
    }

    /// The number of contributions that follow.
    ///
    /// # Errors
    /// The output's.
    pub fn contributions(&mut self, count: u64) -> io::Result<()> {
        let mut encoder = Encoder::new();
        encoder.varint(count);
        self.out.write_all(&encoder.into_bytes())
    }

    /// One contribution.
    ///
    /// # Errors
    /// The output's.
    pub fn contribution(
        &mut self,
        statement_digest: &Id,
        receipt: Option<&SignedReceipt>,
        file: &[u8],
    ) -> io::Result<()> {
        self.out.write_all(statement_digest)?;
        self.out.write_all(&receipt.cloned().encode())?;
        self.byte_string(file)
    }

    fn byte_string(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut encoder = Encoder::new();
        encoder.varint(bytes.len() as u64);
        self.out.write_all(&encoder.into_bytes())?;
        self.out.write_all(bytes)
    }
}

/// A bundle's header and entries; when those are read, its contributions come.
#[derive(Debug)]
pub struct Entries<R> {
    source: Source<R>,
    header: Header,
    count: u64,
    left: u64,
}

impl<R: Read> Entries<R> {
    /// Reads the header. The source is read in small pieces: give a buffered one.
    ///
    /// # Errors
    /// [`ReadError`]; `E105` for a bundle of another version.
    pub fn open(source: R) -> Result<Entries<R>, ReadError> {
        let mut source = Source { inner: source, offset: 0, hash: Sha256::new() };
        let magic: [u8; 4] = source.array("file header")?;
        if magic != MAGIC {
            let code = if magic[..3] == MAGIC[..3] { ErrorCode::E105 } else { ErrorCode::E101 };
            return Err(format(code, 0, "file header", "\"WPB1\"", format!("\"{}\"", magic.escape_ascii())));
        }
        let origin = source.text("origin", MAXIMUM_ORIGIN)?;
        let network = source.array("node's key")?;
        let checkpoint = source.text("checkpoint", MAX_NOTE_BYTES as u64)?;
        let space = source.array("space")?;
        let version = u64::from_le_bytes(source.array("version")?);
        let count = source.count("number of entries")?;
        let header = Header { origin, network, checkpoint, space, version };
        Ok(Entries { source, header, count, left: count })
    }

    /// What the bundle says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many entries it announces.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next entry's bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_entry(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let length = self.source.length("entry", MAXIMUM_ENTRY)?;
        self.source.bytes("entry", length).map(Some)
    }

    /// Goes on to the contributions; entries that nobody asked for are read over.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn contributions(mut self) -> Result<Contributions<R>, ReadError> {
        while self.next_entry()?.is_some() {}
        let count = self.source.count("number of contributions")?;
        Ok(Contributions { source: self.source, count, left: count, unread: 0 })
    }
}

/// A bundle's contributions.
#[derive(Debug)]
pub struct Contributions<R> {
    source: Source<R>,
    count: u64,
    left: u64,
    /// Bytes of the present file that were not read yet.
    unread: u64,
}

/// A contribution whose file has not been read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Digest of its statement.
    pub statement_digest: Id,
    /// The node's receipt, if the bundle has it.
    pub receipt: Option<SignedReceipt>,
    /// Length of the file in bytes.
    pub length: u64,
}

/// A bundle that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Of all bytes.
    pub sha256: [u8; 32],
    /// Their number.
    pub bytes: u64,
}

impl<R: Read> Contributions<R> {
    /// How many contributions it announces.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next contribution; [`Contributions::file`] then reads its file, or it is read over.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_contribution(&mut self) -> Result<Option<Carried>, ReadError> {
        self.pass_over()?;
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let statement_digest = self.source.array("statement digest")?;
        let offset = self.source.offset;
        let receipt =
            match self.source.array("receipt flag")? {
                [0] => None,
                [1] => {
                    let bytes: [u8; RECEIPT_BYTES] = self.source.array("receipt")?;
                    Some(SignedReceipt::read(&mut Bytes::new(&bytes), "receipt").map_err(|error| {
                        format(error.code, offset, "receipt", error.expected, error.found)
                    })?)
                }
                [other] => {
                    return Err(format(ErrorCode::E101, offset, "receipt flag", "0 or 1", other.to_string()));
                }
            };
        self.unread = self.source.length("contribution file", MAXIMUM_FILE)?;
        Ok(Some(Carried { statement_digest, receipt, length: self.unread }))
    }

    /// The file of the contribution that came last.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn file(&mut self) -> Result<Vec<u8>, ReadError> {
        let length = std::mem::take(&mut self.unread);
        self.source.bytes("contribution file", length)
    }

    fn pass_over(&mut self) -> Result<(), ReadError> {
        while self.unread > 0 {
            let part = self.unread.min(CHUNK);
            self.source.bytes("contribution file", part)?;
            self.unread -= part;
        }
        Ok(())
    }

    /// Reads over what is left and checks that nothing follows.
    ///
    /// # Errors
    /// [`ReadError`]; `E102` when bytes are left over.
    pub fn finish(mut self) -> Result<Whole, ReadError> {
        while self.next_contribution()?.is_some() {}
        self.source.end()
    }
}

fn format(
    code: ErrorCode,
    offset: u64,
    what: &'static str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> ReadError {
    ReadError::Format { code, offset, what, expected: expected.into(), found: found.into() }
}

/// A stream whose bytes are counted and hashed as they come.
#[derive(Debug)]
struct Source<R> {
    inner: R,
    offset: u64,
    hash: Sha256,
}

impl<R: Read> Source<R> {
    /// Fills a buffer of at most [`CHUNK`] bytes.
    fn fill(&mut self, what: &'static str, buffer: &mut [u8]) -> Result<(), ReadError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) => {
                    let (expected, offset) = (format!("{} bytes", buffer.len()), self.offset);
                    return Err(format(
                        ErrorCode::E106,
                        offset,
                        what,
                        expected,
                        format!("the end after {filled}"),
                    ));
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Source(error)),
            }
        }
        self.offset += buffer.len() as u64;
        self.hash.update(buffer);
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    /// `length` bytes: room is made as they come.
    fn bytes(&mut self, what: &'static str, length: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let mut left = length;
        while left > 0 {
            let part = left.min(CHUNK);
            let start = bytes.len();
            bytes.resize(start + part as usize, 0);
            self.fill(what, bytes.get_mut(start..).unwrap_or_default())?;
            left -= part;
        }
        Ok(bytes)
    }

    fn varint(&mut self, what: &'static str) -> Result<u64, ReadError> {
        let offset = self.offset;
        let mut bytes = Vec::with_capacity(10);
        loop {
            let [byte] = self.array(what)?;
            bytes.push(byte);
            if byte & 0x80 == 0 || bytes.len() == 10 {
                break;
            }
        }
        Bytes::new(&bytes)
            .varint(what)
            .map_err(|error| format(error.code, offset, what, error.expected, error.found))
    }

    fn bounded(&mut self, what: &'static str, limit: u64, unit: &str) -> Result<u64, ReadError> {
        let offset = self.offset;
        let value = self.varint(what)?;
        if value > limit {
            let expected = format!("at most {limit} {unit}");
            return Err(format(ErrorCode::E103, offset, what, expected, value.to_string()));
        }
        Ok(value)
    }

    fn length(&mut self, what: &'static str, limit: u64) -> Result<u64, ReadError> {
        self.bounded(what, limit, "bytes")
    }

    fn count(&mut self, what: &'static str) -> Result<u64, ReadError> {
        self.bounded(what, MAXIMUM_COUNT, "of them")
    }

    fn text(&mut self, what: &'static str, limit: u64) -> Result<String, ReadError> {
        let offset = self.offset;
        let length = self.length(what, limit)?;
        let bytes = self.bytes(what, length)?;
        String::from_utf8(bytes)
            .map_err(|_| format(ErrorCode::E101, offset, what, "UTF-8 text", "other bytes"))
    }

    /// Checks that the stream ends here.
    fn end(mut self) -> Result<Whole, ReadError> {
        let mut byte = [0];
        loop {
            match self.inner.read(&mut byte) {
                Ok(0) => return Ok(Whole { sha256: self.hash.finalize().into(), bytes: self.offset }),
                Ok(_) => {
                    let text = "the end of the bundle";
                    return Err(format(ErrorCode::E102, self.offset, "bundle", text, "more bytes"));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Source(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightproof_ledger::action::Receipt;

    fn header() -> Header {
        Header {
            origin: "node.example/log".to_owned(),
            network: [1; 32],
            checkpoint: "note\n".to_owned(),
            space: [2; 32],
            version: 3,
        }
    }

    fn receipt() -> SignedReceipt {
        let receipt = Receipt {
            network: [1; 32],
            statement_digest: [4; 32],
            file_digest: [5; 32],
            verdict: 0,
            entry: 6,
            reward: 7,
            time: 8,
        };
        SignedReceipt { receipt, signature: [9; 64] }
    }

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, &header(), 2).unwrap();
        writer.entry(&[10]).unwrap();
        writer.entry(&[11; 200]).unwrap();
        writer.contributions(2).unwrap();
        writer.contribution(&[4; 32], Some(&receipt()), &[12; 70_000]).unwrap();
        writer.contribution(&[13; 32], None, &[14; 2]).unwrap();
        bytes
    }

    type Parts = (Header, Vec<Vec<u8>>, Vec<(Carried, Vec<u8>)>, Whole);

    fn read(source: impl Read) -> Result<Parts, ReadError> {
        let mut entries = Entries::open(source)?;
        let (header, mut list) = (entries.header().clone(), Vec::new());
        while let Some(entry) = entries.next_entry()? {
            list.push(entry);
        }
        let mut contributions = entries.contributions()?;
        let mut files = Vec::new();
        while let Some(carried) = contributions.next_contribution()? {
            files.push((carried, contributions.file()?));
        }
        Ok((header, list, files, contributions.finish()?))
    }

    fn code(source: &[u8]) -> ErrorCode {
        match read(source) {
            Err(ReadError::Format { code, .. }) => code,
            other => panic!("expected a refusal, found {:?}", other.map(|parts| parts.3)),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let (found, entries, files, whole) = read(&*bytes).unwrap();
        assert_eq!((found, entries), (header(), vec![vec![10], vec![11; 200]]));
        assert_eq!(files[0].0.receipt, Some(receipt()));
        assert_eq!((files[0].1.len(), &*files[1].1), (70_000, &[14, 14][..]));
        assert_eq!(whole, Whole { sha256: Sha256::digest(&bytes).into(), bytes: bytes.len() as u64 });
        assert_eq!(receipt().encode().len(), RECEIPT_BYTES);
        // Reading over gives the same end.
        let over = Entries::open(&*bytes).unwrap().contributions().unwrap().finish().unwrap();
        assert_eq!(over, whole);
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let mut expected = b"WPB1\x10node.example/log".to_vec();
        expected.extend([1; 32]);
        expected.extend(b"\x05note\n");
        expected.extend([2; 32]);
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 10, 200, 1]);
        expected.extend([11; 200]);
        expected.push(2);
        expected.extend([4; 32]);
        expected.push(1);
        expected.extend(receipt().encode());
        expected.extend([0xf0, 0xa2, 4]);
        expected.extend([12; 70_000]);
        expected.extend([13; 32]);
        expected.extend([0, 2, 14, 14]);
        assert_eq!(sample(), expected);
    }

    #[test]
    fn reading_is_strict() {
        let bytes = sample();
        for end in (0..600).chain(70_000..bytes.len()) {
            assert_eq!(code(&bytes[..end]), ErrorCode::E106, "{end}");
        }
        let with = |change: fn(&mut Vec<u8>)| {
            let mut changed = sample();
            change(&mut changed);
            changed
        };
        // Places: 21 the key, 53 the note, 59 the space, 99 the entries, 304 the contributions, 337 the receipt's flag.
        type Change = fn(&mut Vec<u8>);
        let cases: [(ErrorCode, Change); 7] = [
            (ErrorCode::E102, |bytes| bytes.push(0)),
            (ErrorCode::E105, |bytes| bytes[3] = b'2'),
            (ErrorCode::E101, |bytes| bytes[0] = b'w'),
            (ErrorCode::E101, |bytes| bytes[10] = 0xff),
            (ErrorCode::E101, |bytes| bytes[337] = 2),
            // 2 entries in two bytes.
            (ErrorCode::E101, |bytes| drop(bytes.splice(99..100, [0x82, 0]))),
            (ErrorCode::E103, |bytes| drop(bytes.splice(4..5, [0x81, 8]))),
        ];
        for (index, (expected, change)) in cases.into_iter().enumerate() {
            assert_eq!(code(&with(change)), expected, "case {index}");
        }
    }

    /// Notes the largest piece that it is asked for.
    struct Watched<'a>(&'a [u8], usize);

    impl Read for Watched<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.max(buffer.len());
            self.0.read(buffer)
        }
    }

    #[test]
    fn no_announced_length_makes_room() {
        let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        // Where lengths and counts stand, and the longest that each may announce.
        let places: [(std::ops::Range<usize>, &[u8]); 6] = [
            (4..5, &[0x80, 8]),
            (53..54, &[0x80, 0x80, 8]),
            (99..100, &[0x80, 0x80, 0x80, 0x80, 0x10]),
            (100..101, &[0x80, 0x80, 0x80, 0x20]),
            (304..305, &[0x80, 0x80, 0x80, 0x80, 0x10]),
            (524..527, &[0x80, 0x80, 0x80, 0x80, 0x10]),
        ];
        for (place, allowed) in places {
            let mut bytes = sample();
            bytes.splice(place.clone(), largest);
            assert_eq!(code(&bytes), ErrorCode::E103, "{place:?}");
            let mut bytes = sample();
            bytes.splice(place.clone(), allowed.iter().copied());
            let mut source = Watched(&bytes, 0);
            // The text or the flag that follows may be wrong first; what matters is what was asked for.
            assert!(matches!(read(&mut source), Err(ReadError::Format { .. })), "{place:?}");
            assert!(source.1 <= 64 << 10, "{place:?}: {} bytes at once", source.1);
        }
    }
}
