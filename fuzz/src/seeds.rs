//! Valid inputs of every target, the same at every call: the golden proofs of `specs/vectors`, and a small ledger.
//!
//! What cannot be made is left out: a target without a seed fails in the smoke test.

use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message as _;
use weightproof_circuits::batches::indices;
use weightproof_circuits::encoding::Writer;
use weightproof_circuits::merkle::{MultiProof, proof_length};
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_ledger::Id;
use weightproof_ledger::action::{
    Action, Envelope, Possession, Receipt, SignedReceipt, SignedSubmission, Submission,
};
use weightproof_ledger::canonical::{Bytes, Canonical};
use weightproof_ledger::event::{Entry, Event, SpaceSpec};
use weightproof_ledger::log::{Checkpoint, Tree, VerifierKey, leaf_hash};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::signed::Message;
use weightproof_ledger::state::State;
use weightproof_ledger::step::{apply, space_id};
use weightproof_node::audit::bundle::{Header, Writer as BundleWriter};
use weightproof_node::rpc::v1;
use weightproof_node::spaces;
use weightproof_prover::model_file::ModelFile;
use weightproof_prover::{derive_generators, generators};
use weightproof_verifier::Contribution;
use weightproof_verifier::binding::distinct_rows;

/// The log's name.
pub const ORIGIN: &str = "fuzz.example/log";
/// Number of the node's key.
pub const NODE: u8 = 200;
const BEGINNING: u64 = 1_800_000_000;

const SIGMA: &[u8] = include_bytes!("../../specs/vectors/softmax-relu.wpf");
const SECOND: &[u8] = include_bytes!("../../specs/vectors/softmax-relu-second.wpf");
const SQUARED: &[u8] = include_bytes!("../../specs/vectors/squared-momentum.wpf");
const COMPACT: &[u8] = include_bytes!("../../specs/vectors/softmax-relu-halo2.wpf");
const BASE: &[u8] = include_bytes!("../../specs/vectors/softmax-relu.bin");

/// For the program of [`task`]: three inputs, two outputs.
const SCHEMA: &str = r#"{"columns":[{"name":"a","kind":{"numeric":{"mean":0.1,"deviation":1.5}}},{"name":"b","kind":{"categorical":{"categories":["x","y"]}}}],"label":{"name":"y","target":{"classes":{"classes":["no","yes"]}}},"activation_bits":8}"#;

/// A key that everybody knows.
pub fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// Its public half.
pub fn id(number: u8) -> Id {
    key(number).verifying_key().to_bytes()
}

fn decoded(bytes: &[u8]) -> Contribution {
    Contribution::decode(bytes).expect("golden files decode")
}

/// The golden contribution under the sigma seal.
pub fn golden() -> Contribution {
    decoded(SIGMA)
}

/// The golden contribution under the halo2 seal.
pub fn golden_compact() -> Contribution {
    decoded(COMPACT)
}

/// The model that [`golden`] starts from.
pub fn golden_base() -> Parameters {
    Parameters::decode(BASE, &golden().program).expect("golden models decode")
}

/// How many rows a contribution opens, and how many hashes show that they belong to the dataset.
pub fn chosen(contribution: &Contribution) -> (usize, usize) {
    let (program, statement) = (&contribution.program, &contribution.statement);
    let chosen = indices(&statement.batch_seed(), statement.dataset_rows, program.steps(), program.batch());
    let (distinct, _) = distinct_rows(&chosen.expect("golden batches"));
    let hashes = proof_length(statement.dataset_rows, &distinct).expect("golden rows");
    (distinct.len(), hashes)
}

/// For [`super::contribution`].
pub fn contribution() -> Vec<Vec<u8>> {
    [SIGMA, SECOND, SQUARED, COMPACT].map(<[u8]>::to_vec).to_vec()
}

/// For [`super::proof`].
pub fn proof() -> Vec<Vec<u8>> {
    vec![golden().proof]
}

/// For [`super::compact_proof`].
pub fn compact_proof() -> Vec<Vec<u8>> {
    vec![golden_compact().proof]
}

/// For [`super::verify`].
pub fn verify() -> Vec<Vec<u8>> {
    vec![SIGMA.to_vec(), SECOND.to_vec()]
}

/// For [`super::statement`].
pub fn statement() -> Vec<Vec<u8>> {
    let mut long = golden().statement;
    long.payout = vec![7; 32];
    vec![golden().statement.encode(), golden_compact().statement.encode(), long.encode()]
}

fn programs() -> Vec<Program> {
    let small = Program::default_for(2, 2).expect("a small program");
    vec![golden().program, decoded(SQUARED).program, small]
}

/// For [`super::program`].
pub fn program() -> Vec<Vec<u8>> {
    programs().iter().map(Program::encode).collect()
}

/// For [`super::program_file`].
pub fn program_file() -> Vec<Vec<u8>> {
    programs().iter().map(|program| program.to_toml().into_bytes()).collect()
}

/// For [`super::parameters`].
pub fn parameters() -> Vec<Vec<u8>> {
    let golden = golden();
    vec![BASE.to_vec(), golden.update.encode(), Parameters::initial(&golden.program, [3; 32]).encode()]
}

/// For [`super::multiproof`].
pub fn multiproof() -> Vec<Vec<u8>> {
    let of = |count: u8| {
        let mut writer = Writer::new();
        MultiProof { hashes: (0..count).map(|number| [number; 32]).collect() }.write(&mut writer);
        writer.into_bytes()
    };
    vec![of(0), of(1), of(9), of(200)]
}

/// For [`super::generators_cache`].
pub fn generators_cache() -> Vec<Vec<u8>> {
    let (rows, messages) = generators::cached_counts(2, 2);
    vec![generators::to_bytes(&derive_generators(rows, messages))]
}

/// A program of three inputs and two outputs.
fn task() -> Program {
    const TASK: &str = "[model]\nlayers = [3, 2]\nactivation = \"relu\"\nloss = \"softmax-cross-entropy\"\n\
        [arithmetic]\nactivation_bits = 8\n[optimizer]\nlearning_rate = 0.25\n[contribution]\nsteps = 2\nbatch = 3\n";
    Program::parse(TASK).expect("a program")
}

/// For [`super::model_file`].
pub fn model_file() -> Vec<Vec<u8>> {
    let program = task();
    let model = ModelFile {
        parameters: Parameters::initial(&program, [1; 32]),
        schema: serde_json::from_str(SCHEMA).expect("a schema"),
        program,
        model_version: 3,
    };
    vec![model.to_bytes().expect("its parts fit")]
}

/// For [`super::table`].
pub fn table() -> Vec<Vec<u8>> {
    let texts = ["a,b,y\n1,x,yes\n2.5,y,no\n", "\u{feff}\"a b\",c\r\n\"1,\"\"5\",\n", "n\n0\n"];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn spec() -> SpaceSpec {
    SpaceSpec {
        name: "sample".to_owned(),
        program: Bytes(task().encode()),
        seed: [7; 32],
        schema: Bytes(SCHEMA.as_bytes().to_vec()),
        validation: None,
        policy: Policy { minimum_datasets: 1, minimum_rows: 1, ..Policy::with_tokens() },
    }
}

fn space() -> Id {
    space_id(&id(NODE), &spec())
}

fn signed(account: u8, nonce: u64, action: Action) -> Event {
    let expires = BEGINNING + 3_000;
    let envelope = Envelope { network: id(NODE), account: id(account), nonce, expires, action };
    Event::Signed { signature: envelope.sign(&key(account)), envelope }
}

fn signed_submission(account: u8, file: u8) -> SignedSubmission {
    let mut statement = golden().statement;
    (statement.contributor, statement.space, statement.round) = (id(account), space(), 1);
    let submission = Submission {
        network: id(NODE),
        statement: Bytes(statement.encode()),
        file_digest: [file; 32],
        file_length: 40_000,
    };
    SignedSubmission { signature: submission.sign(&key(account)), submission }
}

fn actions() -> Vec<Action> {
    let (space, new) = (space(), id(9));
    vec![
        Action::Join { space, stake: 2_000 },
        Action::RegisterDataset { space, root: [5; 32], rows: 100 },
        Action::Stake { space, amount: 10 },
        Action::Unstake { space, amount: 5 },
        Action::Transfer { to: id(2), amount: 7 },
        Action::RotateKey {
            key: new,
            proof: Possession { network: id(NODE), account: id(1), key: new }.sign(&key(9)),
        },
        Action::RevokeKey {},
        Action::ReportEquivocation { first: signed_submission(1, 1), second: signed_submission(1, 2) },
    ]
}

/// A log that the rules take, and where it leads.
fn history() -> (Vec<Entry>, State) {
    let (space, spec) = (space(), spec());
    let mut events = vec![
        Event::Genesis {
            network: id(NODE),
            operator: id(201),
            allocations: vec![(id(1), 10_000), (id(2), 10_000)],
        },
        Event::CreateSpace { spec },
    ];
    let taken = actions().into_iter().take(5).zip(1..).map(|(action, nonce)| signed(1, nonce, action));
    events.extend(taken);
    events.push(signed(2, 1, Action::Join { space, stake: 3_000 }));
    events.push(Event::OpenRound { space, randomness: [4; 32] });
    let mut state = State::empty();
    let mut entries = Vec::new();
    for event in events {
        let index = state.entries;
        let effects = apply(&mut state, &event, BEGINNING + index).expect("the rules take it");
        entries.push(Entry { index, time: state.time, event, effects });
    }
    (entries, state)
}

/// For [`super::entry`].
pub fn entry() -> Vec<Vec<u8>> {
    history().0.iter().map(Canonical::encode).collect()
}

/// For [`super::replay`].
pub fn replay() -> Vec<Vec<u8>> {
    let mut writer = Writer::new();
    entry().iter().for_each(|bytes| writer.bytes(bytes));
    vec![writer.into_bytes()]
}

/// For [`super::state`].
pub fn state() -> Vec<Vec<u8>> {
    vec![State::empty().encode(), history().1.encode()]
}

/// For [`super::action`].
pub fn action() -> Vec<Vec<u8>> {
    actions().iter().map(Canonical::encode).collect()
}

/// For [`super::envelope`].
pub fn envelope() -> Vec<Vec<u8>> {
    let of = |action| Envelope { network: id(NODE), account: id(1), nonce: 1, expires: BEGINNING, action };
    actions().into_iter().map(|action| of(action).encode()).collect()
}

/// For [`super::submission`].
pub fn submission() -> Vec<Vec<u8>> {
    vec![signed_submission(1, 1).encode(), signed_submission(2, 2).encode()]
}

/// For [`super::receipt`].
pub fn receipt() -> Vec<Vec<u8>> {
    let of = |verdict, reward| {
        let receipt = Receipt {
            network: id(NODE),
            statement_digest: [1; 32],
            file_digest: [2; 32],
            verdict,
            entry: 9,
            reward,
            time: BEGINNING,
        };
        SignedReceipt { signature: receipt.sign(&key(NODE)), receipt }.encode()
    };
    vec![of(0, 500), of(307, 0)]
}

/// For [`super::space_spec`].
pub fn space_spec() -> Vec<Vec<u8>> {
    let without = SpaceSpec { validation: Some([3; 32]), policy: Policy::without_tokens(), ..spec() };
    vec![spec().encode(), without.encode()]
}

/// Entries of the log and its checkpoint.
fn log() -> (Vec<Vec<u8>>, Tree, Checkpoint) {
    let entries = entry();
    let tree: Tree = entries.iter().map(|bytes| leaf_hash(bytes)).collect();
    let checkpoint = Checkpoint::new(ORIGIN, tree.len(), tree.root()).expect("a name");
    (entries, tree, checkpoint)
}

/// For [`super::checkpoint`].
pub fn checkpoint() -> Vec<Vec<u8>> {
    let text = log().2.to_note_text();
    vec![format!("{text}an extension\n").into_bytes(), text.into_bytes()]
}

/// For [`fn@super::note`].
pub fn note() -> Vec<Vec<u8>> {
    let one = log().2.sign(&key(NODE)).expect("a name that keys may have");
    // With another's signature, which is passed over.
    let other = log().2.sign(&key(1)).expect("a name that keys may have");
    let both = format!("{one}{}", other.rsplit("\n\n").next().unwrap_or_default());
    vec![one.into_bytes(), both.into_bytes()]
}

/// For [`super::verifier_key`].
pub fn verifier_key() -> Vec<Vec<u8>> {
    let of = |number: u8| {
        let key: VerifyingKey = key(number).verifying_key();
        VerifierKey::new(ORIGIN, key).expect("a key").to_string().into_bytes()
    };
    vec![of(1), of(2), of(NODE)]
}

/// For [`super::log_proof`].
pub fn log_proof() -> Vec<Vec<u8>> {
    let (_, tree, _) = log();
    let size = tree.len();
    let of = |first: u64, one: [u8; 32], other: [u8; 32], hashes: Vec<[u8; 32]>| {
        let mut writer = Writer::new();
        writer.u64(first);
        writer.u64(size);
        [one, other].iter().chain(&hashes).for_each(|hash| writer.raw(hash));
        writer.into_bytes()
    };
    let mut all = Vec::new();
    for index in 0..size {
        let leaf = tree.leaf(index).expect("within the log");
        all.push(of(index, leaf, tree.root(), tree.inclusion_proof(index, size).expect("within the log")));
        let old = tree.root_at(index).expect("within the log");
        all.push(of(index, old, tree.root(), tree.consistency_proof(index, size).expect("within the log")));
    }
    all
}

/// For [`super::space_file`].
pub fn space_file() -> Vec<Vec<u8>> {
    vec![spaces::to_toml(&spec()).expect("a space").into_bytes()]
}

/// For [`super::bundle`].
pub fn bundle() -> Vec<Vec<u8>> {
    let (entries, _, checkpoint) = log();
    let note = checkpoint.sign(&key(NODE)).expect("a name that keys may have");
    let header =
        Header { origin: ORIGIN.to_owned(), network: id(NODE), checkpoint: note, space: space(), version: 0 };
    let receipt = SignedReceipt::decode(&receipt()[0], "receipt").expect("a receipt");
    let of = |contributions: &[(Option<&SignedReceipt>, &[u8])]| {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail.
        let mut write = || {
            let mut writer = BundleWriter::begin(&mut bytes, &header, entries.len() as u64)?;
            entries.iter().try_for_each(|entry| writer.entry(entry))?;
            writer.contributions(contributions.len() as u64)?;
            contributions.iter().try_for_each(|(receipt, file)| writer.contribution(&[8; 32], *receipt, file))
        };
        write().expect("memory");
        bytes
    };
    vec![of(&[]), of(&[(Some(&receipt), &[1; 100]), (None, &[2; 33])])]
}

/// For [`super::audit_bundle`].
pub fn audit_bundle() -> Vec<Vec<u8>> {
    // The other one carries what is no contribution.
    bundle().into_iter().take(1).collect()
}

/// For [`super::request`].
pub fn request() -> Vec<Vec<u8>> {
    let authorization = || {
        Some(v1::Authorization {
            account: id(1).to_vec().into(),
            nonce: 9,
            expires: BEGINNING,
            signature: vec![6; 64].into(),
        })
    };
    let evidence = |file| {
        let SignedSubmission { submission, signature } = signed_submission(1, file);
        Some(v1::SignedSubmission {
            statement: submission.statement.0.into(),
            file_digest: submission.file_digest.to_vec().into(),
            file_length: submission.file_length,
            signature: signature.to_vec().into(),
        })
    };
    let space = space().to_vec();
    vec![
        v1::JoinRequest { authorization: authorization(), space: space.clone().into(), stake: 5 }
            .encode_to_vec(),
        v1::ReportEquivocationRequest {
            authorization: authorization(),
            first: evidence(1),
            second: evidence(2),
        }
        .encode_to_vec(),
        v1::BeginContributionRequest {
            statement: golden().statement.encode().into(),
            file_digest: vec![1; 32].into(),
            file_length: 40_000,
            signature: vec![2; 64].into(),
        }
        .encode_to_vec(),
        v1::UploadContributionRequest { upload: vec![1; 32].into(), offset: 7, part: vec![3; 100].into() }
            .encode_to_vec(),
        v1::DownloadModelRequest { space: space.into(), version: Some(2) }.encode_to_vec(),
    ]
}
