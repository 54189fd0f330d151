//! Every decoder of Weightproof as a function of hostile bytes, with what must hold of it whatever they are.
//!
//! `tests/smoke.rs` plays each of the [`TARGETS`] on every `cargo test`, from valid encodings ([`seeds`]) and a seeded
//! mutator; `libfuzzer/` hands them to `cargo fuzz`, guided by coverage (see the README there).
//!
//! A target panics when a rule is broken: what decodes encodes to the same bytes where the encoding is canonical, and to
//! something of the same meaning where it is text. Refusing is always right; how much memory that takes, the smoke test
//! counts.
//!
//! Deliberately absent: anything that only the machine's own user can hand over (keys, profiles, configurations), and the
//! wire protocols below gRPC, which are others' code under others' fuzzers.

pub mod seeds;

use std::str::from_utf8;
use std::sync::OnceLock;

use ed25519_dalek::VerifyingKey;
use prost::Message;
use weightproof_circuits::curve::Generators;
use weightproof_circuits::encoding::{Reader, Writer};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::MultiProof;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::key;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::action::{Action, Envelope, SignedReceipt, SignedSubmission, Submission};
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Entry, SpaceSpec};
use weightproof_ledger::log::note::{self, VerifierKey};
use weightproof_ledger::log::{Checkpoint, Hash, LogError, verify_consistency, verify_inclusion};
use weightproof_ledger::replay::Replay;
use weightproof_ledger::state::State;
use weightproof_node::audit::bundle::{Entries, ReadError};
use weightproof_node::audit::{self, Finding};
use weightproof_node::rpc::v1;
use weightproof_node::spaces;
use weightproof_prover::data::Table;
use weightproof_prover::generators;
use weightproof_prover::model_file::ModelFile;
use weightproof_prover::progress::Silent;
use weightproof_verifier::contribution::{CompactShape, ProofShape};
use weightproof_verifier::{CompactProof, Contribution, Proof, generator_counts, verify_with};

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are what they should be.
    Accepted,
    /// They are no encoding: refusing them must be cheap.
    Malformed,
    /// They can be read and say something untrue.
    Refused,
}

/// A decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `cargo fuzz run` calls it.
    pub name: &'static str,
    /// Decodes, and panics when a rule is broken.
    pub run: fn(&[u8]) -> Verdict,
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Whether inputs are text, which other mutations suit.
    pub text: bool,
}

macro_rules! targets {
    ($($name:ident $kind:ident,)*) => {
        /// Every decoder.
        pub const TARGETS: &[Target] = &[$(
            Target { name: stringify!($name), run: $name, seeds: seeds::$name, text: targets!(@ $kind) },
        )*];
    };
    (@ bytes) => { false };
    (@ text) => { true };
}

targets! {
    contribution bytes,
    proof bytes,
    compact_proof bytes,
    verify bytes,
    statement bytes,
    program bytes,
    program_file text,
    parameters bytes,
    multiproof bytes,
    generators_cache bytes,
    model_file bytes,
    table text,
    entry bytes,
    replay bytes,
    state bytes,
    action bytes,
    envelope bytes,
    submission bytes,
    receipt bytes,
    space_spec bytes,
    checkpoint text,
    note text,
    verifier_key text,
    log_proof bytes,
    space_file text,
    bundle bytes,
    audit_bundle bytes,
    request bytes,
}

/// Plays the target of this name.
///
/// # Panics
/// When there is none, or a rule is broken.
pub fn run(name: &str, bytes: &[u8]) {
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => drop((target.run)(bytes)),
        None => panic!("expected the name of a target, found {name}"),
    }
}

fn by_code(code: ErrorCode) -> Verdict {
    use ErrorCode::{E101, E102, E103, E104, E105, E106};
    if matches!(code, E101 | E102 | E103 | E104 | E105 | E106) {
        Verdict::Malformed
    } else {
        Verdict::Refused
    }
}

/// What decodes must encode to the bytes that it came from.
fn canonical<T: Canonical>(bytes: &[u8]) -> Verdict {
    match T::decode(bytes, "value") {
        Ok(value) => {
            assert_eq!(value.encode(), bytes, "one value, one encoding");
            Verdict::Accepted
        }
        Err(error) => by_code(error.code),
    }
}

/// A whole contribution file, without its proof.
pub fn contribution(bytes: &[u8]) -> Verdict {
    match Contribution::decode(bytes) {
        Ok(contribution) => {
            assert_eq!(contribution.encode(), bytes, "one value, one encoding");
            Verdict::Accepted
        }
        Err(error) => by_code(error.code()),
    }
}

fn sigma_shape() -> &'static ProofShape {
    static SHAPE: OnceLock<ProofShape> = OnceLock::new();
    SHAPE.get_or_init(|| {
        let golden = seeds::golden();
        let (rows, hashes) = seeds::chosen(&golden);
        ProofShape::new(&Layout::new(&golden.program), &golden.program, rows, hashes)
    })
}

/// A proof under the sigma seal, of the golden program's shape.
pub fn proof(bytes: &[u8]) -> Verdict {
    match Proof::decode(bytes, sigma_shape()) {
        Ok(proof) => {
            assert_eq!(proof.encode(), bytes, "one value, one encoding");
            Verdict::Accepted
        }
        Err(error) => by_code(error.code),
    }
}

/// A proof under the halo2 seal, of the golden program's shape.
pub fn compact_proof(bytes: &[u8]) -> Verdict {
    static SHAPE: OnceLock<(Layout, u32, usize, usize)> = OnceLock::new();
    let (layout, k, dataset_rows, membership) = SHAPE.get_or_init(|| {
        let golden = seeds::golden_compact();
        let (rows, hashes) = seeds::chosen(&golden);
        let k = key::shape(&golden.program).map(|(_, size)| size.k).unwrap_or_default();
        (Layout::new(&golden.program), k, rows, hashes)
    });
    let shape = CompactShape { layout, k: *k, dataset_rows: *dataset_rows, membership: *membership };
    match CompactProof::decode(bytes, &shape) {
        Ok(proof) => {
            assert_eq!(proof.encode(), bytes, "one value, one encoding");
            Verdict::Accepted
        }
        Err(error) => by_code(error.code),
    }
}

/// The whole verifier against the golden base model.
pub fn verify(bytes: &[u8]) -> Verdict {
    static WORLD: OnceLock<(Parameters, Generators, Vec<Vec<u8>>)> = OnceLock::new();
    let (base, generators, golden) = WORLD.get_or_init(|| {
        let program = seeds::golden().program;
        let (rows, messages) = generator_counts(&Layout::new(&program), &program);
        (seeds::golden_base(), Generators::derive(rows, messages), seeds::verify())
    });
    match verify_with(bytes, base, generators) {
        Ok(_) => {
            assert!(golden.iter().any(|golden| golden == bytes), "nobody makes a proof by changing one");
            Verdict::Accepted
        }
        Err(error) => by_code(error.code()),
    }
}

/// A statement.
pub fn statement(bytes: &[u8]) -> Verdict {
    match Statement::decode(bytes) {
        Ok(statement) => {
            assert_eq!(statement.encode(), bytes, "one value, one encoding");
            // Never a panic, whatever is in it.
            let _ = (statement.check_supported(), statement.batch_seed(), statement.digest());
            Verdict::Accepted
        }
        Err(error) => by_code(error.code),
    }
}

/// A program as bytes.
pub fn program(bytes: &[u8]) -> Verdict {
    match Program::decode(bytes) {
        Ok(program) => {
            assert_eq!(program.encode(), bytes, "one value, one encoding");
            assert_eq!(Program::parse(&program.to_toml()).as_ref(), Ok(&program), "text says the same");
            Verdict::Accepted
        }
        Err(error) => by_code(error.code()),
    }
}

/// A program as text.
pub fn program_file(bytes: &[u8]) -> Verdict {
    let Ok(Ok(program)) = from_utf8(bytes).map(Program::parse) else { return Verdict::Malformed };
    assert_eq!(Program::parse(&program.to_toml()).as_ref(), Ok(&program), "text says the same");
    assert_eq!(Program::decode(&program.encode()).as_ref(), Ok(&program), "bytes say the same");
    Verdict::Accepted
}

/// Parameters of the golden program's shape.
pub fn parameters(bytes: &[u8]) -> Verdict {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| seeds::golden().program);
    match Parameters::decode(bytes, program) {
        Ok(parameters) => {
            assert_eq!(parameters.encode(), bytes, "one value, one encoding");
            let _ = (parameters.largest(), parameters.digest(program));
            Verdict::Accepted
        }
        Err(error) => by_code(error.code),
    }
}

/// A Merkle multiproof.
pub fn multiproof(bytes: &[u8]) -> Verdict {
    let mut reader = Reader::new(bytes);
    match MultiProof::read(&mut reader, 1 << 20).and_then(|proof| reader.finish().map(|()| proof)) {
        Ok(proof) => {
            let mut writer = Writer::new();
            proof.write(&mut writer);
            assert_eq!(writer.into_bytes(), bytes, "one value, one encoding");
            Verdict::Accepted
        }
        Err(error) => by_code(error.code),
    }
}

/// Generators from a cache that anybody may have written.
pub fn generators_cache(bytes: &[u8]) -> Verdict {
    let Some(found) = generators::from_bytes(bytes) else { return Verdict::Malformed };
    assert_eq!(generators::to_bytes(&found), bytes, "one value, one encoding");
    Verdict::Accepted
}

/// A model file.
pub fn model_file(bytes: &[u8]) -> Verdict {
    let Ok(model) = ModelFile::from_bytes(bytes) else { return Verdict::Malformed };
    let again = model.to_bytes().map(|bytes| ModelFile::from_bytes(&bytes));
    assert!(matches!(again, Ok(Ok(again)) if again == model), "what was read can be written");
    Verdict::Accepted
}

/// A CSV file.
pub fn table(bytes: &[u8]) -> Verdict {
    let Ok(table) = Table::from_bytes(bytes) else { return Verdict::Malformed };
    for name in table.header() {
        assert!(table.position(name).is_some(), "each column is found by its name");
    }
    Verdict::Accepted
}

/// An entry of the log.
pub fn entry(bytes: &[u8]) -> Verdict {
    canonical::<Entry>(bytes)
}

/// A log: byte strings one after the other, played as entries.
pub fn replay(bytes: &[u8]) -> Verdict {
    let mut reader = Reader::new(bytes);
    let mut replay = Replay::new();
    while reader.remaining() > 0 {
        let Ok(entry) = reader.bytes("entry", 1 << 20) else { return Verdict::Malformed };
        if replay.play(entry).is_err() {
            return Verdict::Refused;
        }
        assert_eq!(replay.state().check_invariants(), Ok(()), "tokens are conserved");
    }
    assert_eq!(replay.state().entries, replay.tree().len(), "each entry is a leaf");
    Verdict::Accepted
}

/// A whole state.
pub fn state(bytes: &[u8]) -> Verdict {
    canonical::<State>(bytes)
}

/// What an account asks for.
pub fn action(bytes: &[u8]) -> Verdict {
    canonical::<Action>(bytes)
}

/// What an account signs.
pub fn envelope(bytes: &[u8]) -> Verdict {
    canonical::<Envelope>(bytes)
}

/// What a contributor signs, and its signature.
pub fn submission(bytes: &[u8]) -> Verdict {
    if let Ok(submission) = Submission::decode(bytes, "submission") {
        let _ = submission.statement();
    }
    canonical::<SignedSubmission>(bytes)
}

/// A receipt.
pub fn receipt(bytes: &[u8]) -> Verdict {
    canonical::<SignedReceipt>(bytes)
}

/// A space as the log has it.
pub fn space_spec(bytes: &[u8]) -> Verdict {
    canonical::<SpaceSpec>(bytes)
}

fn by_log(error: &LogError) -> Verdict {
    by_code(error.code())
}

/// A checkpoint's text.
pub fn checkpoint(bytes: &[u8]) -> Verdict {
    let Ok(text) = from_utf8(bytes) else { return Verdict::Malformed };
    match Checkpoint::parse(text) {
        Ok(checkpoint) => {
            // What follows the third line is others' and is passed over.
            assert!(text.starts_with(&checkpoint.to_note_text()), "one checkpoint, one spelling");
            Verdict::Accepted
        }
        Err(error) => by_log(&error),
    }
}

/// A signed note, under the key that signed the seeds.
pub fn note(bytes: &[u8]) -> Verdict {
    static KEY: OnceLock<Option<VerifierKey>> = OnceLock::new();
    let own = || VerifyingKey::from_bytes(&seeds::id(seeds::NODE)).ok();
    let Some(key) = KEY.get_or_init(|| VerifierKey::new(seeds::ORIGIN, own()?).ok()) else {
        return Verdict::Refused;
    };
    match note::open(bytes, key) {
        Ok(text) => {
            let signed = seeds::note().iter().any(|note| note.starts_with(text.as_bytes()));
            assert!(signed, "nobody makes a signature by changing one");
            Verdict::Accepted
        }
        Err(error) => by_log(&error),
    }
}

/// A verifier's key.
pub fn verifier_key(bytes: &[u8]) -> Verdict {
    let Ok(text) = from_utf8(bytes) else { return Verdict::Malformed };
    match text.parse::<VerifierKey>() {
        Ok(key) => {
            assert_eq!(key.to_string(), text, "one key, one spelling");
            Verdict::Accepted
        }
        Err(error) => by_log(&error),
    }
}

/// Proofs of inclusion and consistency: two numbers, two hashes, and the proof.
pub fn log_proof(bytes: &[u8]) -> Verdict {
    let mut reader = Reader::new(bytes);
    let mut read = || {
        let sizes = (reader.u64("first").ok()?, reader.u64("second").ok()?);
        let hashes: (Hash, Hash) = (reader.array("first").ok()?, reader.array("second").ok()?);
        Some((sizes, hashes))
    };
    let Some(((first, second), (one, other))) = read() else { return Verdict::Malformed };
    let rest = reader.raw("hashes", reader.remaining()).unwrap_or_default();
    let (hashes, []) = rest.as_chunks::<32>() else { return Verdict::Malformed };
    let included = verify_inclusion(&one, first, second, hashes, &other).is_ok();
    let consistent = verify_consistency(first, &one, second, &other, hashes).is_ok();
    if included || consistent { Verdict::Accepted } else { Verdict::Refused }
}

/// An operator's space file.
pub fn space_file(bytes: &[u8]) -> Verdict {
    let Ok(Ok(spec)) = from_utf8(bytes).map(spaces::parse) else { return Verdict::Malformed };
    let again = spaces::to_toml(&spec).map(|text| spaces::parse(&text));
    assert!(matches!(again, Ok(Ok(again)) if again == spec), "what was read can be written");
    assert_eq!(SpaceSpec::decode(&spec.encode(), "space").as_ref(), Ok(&spec), "and logged");
    Verdict::Accepted
}

fn read_bundle(bytes: &[u8]) -> Result<u64, ReadError> {
    let mut entries = Entries::open(bytes)?;
    while entries.next_entry()?.is_some() {}
    let mut contributions = entries.contributions()?;
    while let Some(carried) = contributions.next_contribution()? {
        // One is read, the next read over.
        if carried.length % 2 == 0 {
            contributions.file()?;
        }
    }
    Ok(contributions.finish()?.bytes)
}

/// A bundle's frame.
pub fn bundle(bytes: &[u8]) -> Verdict {
    match read_bundle(bytes) {
        Ok(length) => {
            assert_eq!(length, bytes.len() as u64, "all of it was read");
            Verdict::Accepted
        }
        Err(_) => Verdict::Malformed,
    }
}

/// A whole audit.
pub fn audit_bundle(bytes: &[u8]) -> Verdict {
    let Ok(report) = audit::verify(bytes, Some(&seeds::id(seeds::NODE)), &Silent) else {
        return Verdict::Refused;
    };
    match &report.failure {
        None => {
            assert_eq!(report.verdict, audit::Verdict::Valid);
            let honest = seeds::audit_bundle().iter().any(|bundle| bundle == bytes);
            assert!(honest, "nobody makes a bundle by changing one");
            Verdict::Accepted
        }
        Some(Finding { code, message, .. }) => {
            assert!(code.starts_with('E') && !message.is_empty());
            Verdict::Refused
        }
    }
}

/// Every request that a node takes, as protobuf.
pub fn request(bytes: &[u8]) -> Verdict {
    fn one<T: Message + Default + PartialEq>(bytes: &[u8]) -> bool {
        let Ok(message) = T::decode(bytes) else { return false };
        let again = T::decode(message.encode_to_vec().as_slice());
        // A number that is no number is not equal to itself; there is none in a request.
        assert!(again.as_ref() == Ok(&message), "what was read can be written");
        true
    }
    let read = [
        one::<v1::JoinRequest>(bytes),
        one::<v1::RegisterDatasetRequest>(bytes),
        one::<v1::RotateKeyRequest>(bytes),
        one::<v1::ReportEquivocationRequest>(bytes),
        one::<v1::BeginContributionRequest>(bytes),
        one::<v1::UploadContributionRequest>(bytes),
        one::<v1::DescribeSpaceRequest>(bytes),
        one::<v1::GetCurrentRoundRequest>(bytes),
        one::<v1::DownloadModelRequest>(bytes),
        one::<v1::ListHistoryRequest>(bytes),
    ];
    if read.contains(&true) { Verdict::Accepted } else { Verdict::Malformed }
}
