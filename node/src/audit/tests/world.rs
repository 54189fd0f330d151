//! A small world with real proofs: one node, two members, two rounds, a late contribution, a failing one, and a model
//! that was taken back. It is made once for all tests and kept as bytes.
use std::sync::OnceLock;

use ed25519_dalek::SigningKey;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::action::{Action, Envelope, SignedSubmission, Submission};
use weightproof_ledger::canonical::{Bytes, Canonical};
use weightproof_ledger::event::{Entry, SpaceSpec};
use weightproof_ledger::log::{Checkpoint, Tree, leaf_hash};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::signed::Message;
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::data::Examples;

use crate::audit::bundle::{self, Carried, Entries, Header, Writer};
use crate::bars::Bars;
use crate::cli::SealName;
use crate::core::{Core, Decided, Judgement};
use crate::device::DeviceName;
use crate::engine::{self, Dataset, Proving, Request, Slot};
use crate::judge::{self, Judge};
use crate::store::{DATABASE, Sqlite};
use sha2::{Digest, Sha256};

pub const ORIGIN: &str = "node.example/<i>log</i>";
pub const REASON: &str = "<script>alert('worse & \"slower\"')</script>";
const BEGINNING: u64 = 1_800_000_000;
const SCHEMA: &str = r#"{"columns":[{"name":"<script>alert(1)</script>"}]}"#;
const PROGRAM: &str = r#"
[model]
layers = [3, 2, 2]
activation = "relu"
loss = "softmax-cross-entropy"
[optimizer]
learning_rate = 0.25
[contribution]
steps = 2
batch = 3
"#;

pub fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub fn id(number: u8) -> Id {
    key(number).verifying_key().to_bytes()
}

pub const NODE: u8 = 200;

/// The prover and two members' rows.
struct Tools {
    proving: Proving,
    datasets: [Dataset; 2],
    judge: Judge,
    bars: Bars,
}

pub fn program() -> Program {
    Program::parse(PROGRAM).unwrap()
}

impl Tools {
    fn new(seal: SealName) -> Tools {
        let (bars, program) = (Bars::new(), program());
        let proving = Proving::open(&program, seal, DeviceName::Cpu, &bars).unwrap();
        let commit = |shift: i16| {
            let rows: i16 = 8;
            let features = (0..rows * 3).map(|place| (place * 37 + shift) % 256 - 128).collect();
            let labels = (0..rows).flat_map(|row| [(row + shift) % 2, 1 - (row + shift) % 2]).collect();
            let examples = Examples { inputs: 3, outputs: 2, features, labels };
            proving.commit(&examples, &bars).unwrap()
        };
        let datasets = [commit(1), commit(2)];
        let judge = Judge::default();
        judge.prepare(&program, seal == SealName::Halo2).unwrap();
        Tools { proving, datasets, judge, bars }
    }

    /// As members register them.
    fn registered(&self) -> [(Id, u64); 2] {
        [0, 1].map(|place: usize| (self.datasets[place].root(), self.datasets[place].rows()))
    }
}

/// The bundle of a version with one contribution.
pub fn with_one(seal: SealName) -> Vec<u8> {
    let tools = Tools::new(seal);
    let mut node = Node::begin(tools.registered());
    let offer = node.offer(&tools, 1, 1, &Parameters::initial(&program(), [7; 32]));
    node.take(&offer);
    node.end()
}

/// A contribution that was made and judged, and may be told about in other ways than it happened.
#[derive(Clone)]
pub struct Offer {
    pub signed: SignedSubmission,
    pub update: Parameters,
    pub file: Vec<u8>,
}

/// A node under way.
pub struct Node {
    pub core: Core<Sqlite>,
    pub now: u64,
    pub space: Id,
    folder: tempfile::TempDir,
    rounds: u8,
}

impl Node {
    /// Two members with datasets of these roots; round 1 is open.
    fn begin(datasets: [(Id, u64); 2]) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).unwrap();
        let allocations = [(id(1), 10_000), (id(2), 10_000)];
        let core = Core::open(store, key(NODE), ORIGIN, None, &allocations, BEGINNING).unwrap();
        let mut node = Node { core, now: BEGINNING, space: [0; 32], folder, rounds: 0 };
        let policy =
            Policy { weights: vec![3, 2], minimum_datasets: 2, minimum_rows: 4, ..Policy::with_tokens() };
        let spec = SpaceSpec {
            name: "sepsis".to_owned(),
            program: Bytes(program().encode()),
            seed: [7; 32],
            schema: Bytes(SCHEMA.as_bytes().to_vec()),
            validation: None,
            policy,
        };
        node.space = node.core.create_space(spec, node.now).unwrap();
        for (number, (root, rows)) in (1..).zip(datasets) {
            node.act(number, Action::Join { space: node.space, stake: 2_000 });
            node.act(number, Action::RegisterDataset { space: node.space, root, rows });
        }
        node.tick();
        node
    }

    fn act(&mut self, who: u8, action: Action) {
        self.now += 1;
        let nonce = self.core.snapshot().size;
        let envelope =
            Envelope { network: id(NODE), account: id(who), nonce, expires: self.now + 60, action };
        let signature = envelope.sign(&key(who));
        self.core.act(envelope, signature, self.now).unwrap();
    }

    fn tick(&mut self) {
        self.rounds += 1;
        let randomness = [self.rounds; 32];
        self.core.tick(self.now, &mut || Ok::<_, Refusal>(randomness)).unwrap();
    }

    /// Lets the round's time pass.
    fn end_round(&mut self) {
        self.now += 1_000;
        self.tick();
    }

    /// Trains and proves for a round.
    fn offer(&self, tools: &Tools, who: u8, round: u64, base: &Parameters) -> Offer {
        let state = self.core.snapshot().state;
        let found = state.spaces[&self.space].round(round).unwrap();
        let request = Request {
            program: &program(),
            base,
            model_version: found.version,
            dataset: &tools.datasets[usize::from(who) - 1],
            beacon: found.beacon,
            contributor: id(who),
            slot: Slot { space: self.space, round, payout: Vec::new() },
        };
        let file = tools.proving.contribute(&request, &tools.bars).unwrap().bytes;
        let statement = engine::statement(&file).unwrap();
        let judged = tools.judge.judge(&file, base, &statement).unwrap();
        Offer { signed: submission(&statement, &file, who), update: judged.update, file }
    }

    pub fn take(&mut self, offer: &Offer) -> Decided {
        let largest = offer.update.largest();
        self.take_as(offer, Judgement::Valid { update: offer.update.clone(), largest })
    }

    pub fn take_as(&mut self, offer: &Offer, judgement: Judgement) -> Decided {
        self.now += 1;
        self.core.contribution(offer.signed.clone(), judgement, offer.file.clone(), self.now).unwrap()
    }

    pub fn bundle(&self, version: u64) -> Vec<u8> {
        let reader = crate::store::Reader::open(&self.folder.path().join(DATABASE)).unwrap();
        let (snapshot, shared) = (self.core.snapshot(), self.core.shared());
        let index = shared.index.read().unwrap();
        let mut bytes = Vec::new();
        bundle::write(&reader, &snapshot, &index, &self.space, version, &mut bytes).unwrap();
        bytes
    }

    /// The database as one file.
    fn database(&self) -> Vec<u8> {
        let reader = crate::store::Reader::open(&self.folder.path().join(DATABASE)).unwrap();
        let copy = self.folder.path().join("copy.sqlite");
        reader.backup(&copy).unwrap();
        std::fs::read(copy).unwrap()
    }
}

pub fn submission(statement: &Statement, file: &[u8], who: u8) -> SignedSubmission {
    let submission = Submission {
        network: id(NODE),
        statement: Bytes(statement.encode()),
        file_digest: Sha256::digest(file).into(),
        file_length: file.len() as u64,
    };
    let signature = submission.sign(&key(who));
    SignedSubmission { submission, signature }
}

/// What all tests share.
pub struct World {
    /// Bundle of version 2: four contributions in two versions, one of them late.
    pub second: Vec<u8>,
    /// Bundle of version 4: version 3 took the model back to version 1.
    pub fourth: Vec<u8>,
    /// The node's database.
    pub database: Vec<u8>,
    /// The checkpoint when version 2 was published.
    pub earlier: String,
    /// Datasets and the first contribution, for worlds where the operator lies about it.
    datasets: [(Id, u64); 2],
    pub first: Offer,
}

impl World {
    pub fn get() -> &'static World {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(World::make)
    }

    fn make() -> World {
        let tools = Tools::new(SealName::Sigma);
        let datasets = tools.registered();
        let mut node = Node::begin(datasets);
        let space = node.space;
        let initial = Parameters::initial(&program(), [7; 32]);

        // Round 1: member 1 alone.
        let first = node.offer(&tools, 1, 1, &initial);
        node.take(&first);
        node.end_round();
        let one = judge::add_weighted(&initial, &first.update, 3).unwrap();

        // Round 2: member 2 comes late for round 1, and then both. Member 2 withdraws, so no round 3 opens yet.
        let late = node.offer(&tools, 2, 1, &initial);
        node.take(&late);
        for who in [1, 2] {
            let offer = node.offer(&tools, who, 2, &one);
            node.take(&offer);
        }
        node.act(2, Action::Unstake { space, amount: 2_000 });
        node.tick();
        let earlier = node.core.snapshot().checkpoint.to_string();

        // Version 3 is version 1 again; from it comes version 4, and a failing proof of member 2.
        node.now += 1;
        node.core.revert(space, 1, REASON.to_owned(), node.now).unwrap();
        node.act(2, Action::Stake { space, amount: 2_000 });
        node.tick();
        let third = node.offer(&tools, 1, 3, &one);
        node.take(&third);
        let round = node.core.snapshot().state.spaces[&space].round(3).unwrap().clone();
        let statement = Statement {
            contributor: id(2),
            dataset_root: datasets[1].0,
            dataset_rows: datasets[1].1,
            beacon: round.beacon,
            ..third.signed.submission.statement().unwrap()
        };
        let bad = Offer { signed: submission(&statement, b"bad", 2), file: b"bad".to_vec(), ..third };
        node.take_as(&bad, Judgement::Invalid(Refusal::new(ErrorCode::E307, "the seal does not hold")));
        node.end_round();
        World {
            second: node.bundle(2),
            fourth: node.bundle(4),
            database: node.database(),
            earlier,
            datasets,
            first,
        }
    }

    /// The same node up to its first round, to be told something else about it.
    pub fn node(&self) -> Node {
        Node::begin(self.datasets)
    }

    /// A data folder with the node's database.
    pub fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(DATABASE), &self.database).unwrap();
        folder
    }
}

impl Node {
    /// Ends the first round and gives the bundle of the version that it made.
    pub fn end(mut self) -> Vec<u8> {
        self.end_round();
        self.bundle(1)
    }
}

/// A bundle taken apart, to be put together otherwise.
#[derive(Clone)]
pub struct Parts {
    pub header: Header,
    pub entries: Vec<Vec<u8>>,
    pub contributions: Vec<(Carried, Vec<u8>)>,
}

impl Parts {
    pub fn of(bundle: &[u8]) -> Parts {
        let mut entries = Entries::open(bundle).unwrap();
        let header = entries.header().clone();
        let list = std::iter::from_fn(|| entries.next_entry().unwrap()).collect();
        let mut source = entries.contributions().unwrap();
        let mut contributions = Vec::new();
        while let Some(carried) = source.next_contribution().unwrap() {
            contributions.push((carried, source.file().unwrap()));
        }
        source.finish().unwrap();
        Parts { header, entries: list, contributions }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, &self.header, self.entries.len() as u64).unwrap();
        self.entries.iter().for_each(|entry| writer.entry(entry).unwrap());
        writer.contributions(self.contributions.len() as u64).unwrap();
        for (carried, file) in &self.contributions {
            writer.contribution(&carried.statement_digest, carried.receipt.as_ref(), file).unwrap();
        }
        bytes
    }

    /// Changes an entry as whoever knows the encoding can.
    pub fn edit(&mut self, index: usize, change: impl FnOnce(&mut Entry)) {
        let mut entry = Entry::decode(&self.entries[index], "entry").unwrap();
        change(&mut entry);
        self.entries[index] = entry.encode();
    }

    /// Signs the entries as they are, as the operator can.
    pub fn sign_again(&mut self) {
        let tree: Tree = self.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let checkpoint = Checkpoint::new(ORIGIN, tree.len(), tree.root()).unwrap();
        self.header.checkpoint = checkpoint.sign(&key(NODE)).unwrap();
    }

    /// The place of the first entry for which this holds.
    pub fn position(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.entries.iter().position(|bytes| wanted(&Entry::decode(bytes, "entry").unwrap())).unwrap()
    }
}
