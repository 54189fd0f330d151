//! Virtual time, a network that is not to be trusted, and one node that crashes; after each step everything is checked.
use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::action::{Envelope, Receipt, SignedReceipt, SignedSubmission};
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Entry, Event};
use weightproof_ledger::log::{Checkpoint, Hash, VerifierKey, verify_consistency};
use weightproof_ledger::signed::Message as _;
use weightproof_ledger::state::State;
use weightproof_ledger::step::{admit, space_id};
use weightproof_ledger::{Id, Refusal};
use weightproof_node::core::{Core, Judgement, Logged, Snapshot};
use weightproof_node::store::StoreError;

use crate::auditor::{Auditor, Truth};
use crate::clients::Client;
use crate::disk::{Disk, SimStore};
use crate::random::Random;
use crate::scenario::{BEGINNING, ORIGIN, Scenario, account, accuracy, node_key, program};
use crate::{Checked, Sabotage};

/// What a client asks of the node.
#[derive(Clone, Debug)]
pub enum Request {
    /// The state, and a proof that its log continues one of so many entries.
    Look(u64),
    Act(Box<Envelope>, [u8; 64]),
    Contribute(Box<SignedSubmission>, Vec<u8>),
}

/// What the node must do with a request, as far as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Anything,
    /// An attack that must fail: the log does not grow.
    NoChange,
}

#[derive(Clone, Debug)]
pub struct Letter {
    pub from: usize,
    pub number: u64,
    pub request: Request,
    pub expect: Expect,
}

#[derive(Clone, Debug)]
pub enum Answer {
    View(Snapshot, u64, Vec<Hash>),
    Logged(Logged),
    Receipt(SignedReceipt),
    Refused(Refusal),
}

enum Occurrence {
    ToNode(Letter),
    ToClient(usize, u64, Answer),
    Wake(usize),
    Tick,
    /// The verifier is done with a contribution that the node of this epoch took.
    Verified(u64, Letter, Judgement),
    Start,
    Cut,
    Heal,
}

/// What a client was told for good.
#[derive(Clone, Debug)]
pub enum Acknowledged {
    Action(Id, Logged),
    Receipt(SignedReceipt),
}

pub struct World {
    pub scenario: Scenario,
    pub random: Random,
    /// Milliseconds since the beginning.
    pub clock: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Occurrence>,
    store: SimStore,
    node: Option<Core<SimStore>>,
    /// Starts of the node.
    epoch: u64,
    pub auditor: Auditor,
    pub truth: Truth,
    pub clients: Vec<Client>,
    pub spaces: Vec<Id>,
    /// What everybody can read on the wire.
    pub overheard: Vec<Request>,
    /// Pairs of conflicting submissions.
    pub evidence: Vec<(SignedSubmission, SignedSubmission)>,
    pub acknowledged: Vec<Acknowledged>,
    /// Size and root of the log that the node last showed.
    published: (u64, Id),
    last: Option<Arc<State>>,
    time: u64,
    verifier: VerifierKey,
    sabotage: Option<Sabotage>,
    pub healed: bool,
    pub trace: Vec<String>,
    pub counts: BTreeMap<String, u64>,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    pub entries: u64,
    pub seconds: u64,
    pub trace: Vec<String>,
    pub counts: BTreeMap<String, u64>,
    pub mischief: bool,
    pub disk: Disk,
}

impl World {
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> World {
        let mut random = Random::new(seed);
        let scenario = Scenario::draw(&mut random);
        let store = SimStore::new(Disk::default(), random.fork(), scenario.disk_faults);
        if let Some(Sabotage::Store(broken)) = sabotage {
            store.machine().broken = Some(broken);
        }
        let network = node_key().verifying_key();
        let clients =
            (0..scenario.clients()).map(|number| Client::new(number, number >= scenario.honest)).collect();
        World {
            truth: Truth::new(scenario.honest, scenario.clients()),
            auditor: Auditor::new(scenario.training),
            spaces: scenario.specs.iter().map(|spec| space_id(network.as_bytes(), spec)).collect(),
            random,
            clock: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            store,
            node: None,
            epoch: 0,
            clients,
            overheard: Vec::new(),
            evidence: Vec::new(),
            acknowledged: Vec::new(),
            published: (0, weightproof_ledger::log::empty_root()),
            last: None,
            time: 0,
            verifier: VerifierKey::new(ORIGIN, network).expect("a name"),
            sabotage,
            healed: false,
            trace: Vec::new(),
            counts: BTreeMap::new(),
            scenario,
        }
    }

    /// Plays until every honest client's contribution to a round that opened after all healed is acknowledged.
    pub fn play(&mut self) -> Checked {
        self.trace(format!("{:?}", self.scenario));
        self.after(0, Occurrence::Start);
        self.after(0, Occurrence::Tick);
        self.after(self.scenario.seconds * 1000, Occurrence::Heal);
        self.after(5_000, Occurrence::Cut);
        for client in 0..self.clients.len() {
            let delay = self.random.below(3_000);
            self.after(delay, Occurrence::Wake(client));
        }
        let longest = self.scenario.specs.iter().map(|spec| spec.policy.round_seconds).max().unwrap_or(0);
        let deadline = (self.scenario.seconds + 6 * longest + 200) * 1000;
        while let Some(((clock, _), occurrence)) = self.queue.pop_first() {
            self.clock = clock;
            if clock > deadline {
                return Err(format!("not every honest client came through in time: {}", self.waiting()));
            }
            self.happen(occurrence)?;
            self.check()?;
            if self.healed
                && self
                    .clients
                    .iter()
                    .filter(|client| !client.hostile)
                    .all(|client| client.is_done(&self.spaces))
            {
                return self.finish();
            }
        }
        Err("nothing happens any more".to_owned())
    }

    pub fn report(mut self) -> Report {
        let machine = self.store.machine();
        Report {
            entries: machine.disk.entries.len() as u64,
            seconds: self.clock / 1000,
            mischief: machine.mischief || self.counts.contains_key("sabotage"),
            disk: machine.disk.clone(),
            trace: std::mem::take(&mut self.trace),
            counts: std::mem::take(&mut self.counts),
        }
    }

    fn waiting(&self) -> String {
        let waiting = self.clients.iter().filter(|client| !client.hostile && !client.is_done(&self.spaces));
        waiting.map(|client| format!("client {} {:?}; ", client.number, client.goals)).collect()
    }

    pub fn trace(&mut self, text: String) {
        self.trace.push(format!("{:>9.3} {text}", self.clock as f64 / 1000.0));
    }

    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    fn after(&mut self, milliseconds: u64, occurrence: Occurrence) {
        self.sequence += 1;
        self.queue.insert((self.clock + milliseconds, self.sequence), occurrence);
    }

    /// Unix seconds that everybody's clock shows.
    pub fn seconds(&self) -> u64 {
        BEGINNING + self.clock / 1000
    }

    /// Unix seconds that the node's clock shows: it may jump back.
    fn node_seconds(&mut self) -> u64 {
        let skew = if self.scenario.skew > 0 && !self.healed {
            self.random.between(0, self.scenario.skew)
        } else {
            0
        };
        self.seconds() - skew
    }

    // The network.

    /// When a message arrives: not at all, once or twice.
    fn arrivals(&mut self, client: usize) -> Vec<u64> {
        if self.healed {
            return vec![self.random.between(1, 100)];
        }
        if self.clients[client].cut_until > self.clock || self.random.chance(self.scenario.loss) {
            return Vec::new();
        }
        let copies = 1 + u64::from(self.random.chance(self.scenario.doubled));
        (0..copies)
            .map(|_| {
                let most = if self.random.chance(self.scenario.slow) { 30_000 } else { 300 };
                self.random.between(1, most)
            })
            .collect()
    }

    pub fn send(&mut self, letter: Letter) {
        if !matches!(letter.request, Request::Look(_)) {
            let kind = if letter.expect == Expect::NoChange { "the attack " } else { "" };
            self.trace(format!(
                "client {} sends {} {kind}{}",
                letter.from,
                letter.number,
                brief(&letter.request)
            ));
            self.overheard.push(letter.request.clone());
        }
        for delay in self.arrivals(letter.from) {
            self.after(delay, Occurrence::ToNode(letter.clone()));
        }
    }

    fn answer(&mut self, letter: &Letter, answer: Answer) {
        for delay in self.arrivals(letter.from) {
            self.after(delay, Occurrence::ToClient(letter.from, letter.number, answer.clone()));
        }
    }

    fn happen(&mut self, occurrence: Occurrence) -> Checked {
        match occurrence {
            Occurrence::ToNode(letter) => self.handle(letter),
            Occurrence::ToClient(client, number, mut answer) => {
                if self.sabotage == Some(Sabotage::ChangesAReceipt)
                    && let Answer::Receipt(receipt) = &mut answer
                    && self.random.chance(200)
                {
                    receipt.receipt.reward += 1;
                    self.count("sabotage");
                }
                self.hear(client, number, answer)
            }
            Occurrence::Wake(client) => {
                let pause = if self.clients[client].hostile { 3_000 } else { 4_000 };
                let pause = self.random.between(500, pause);
                self.after(pause, Occurrence::Wake(client));
                self.wake(client);
                Ok(())
            }
            Occurrence::Tick => {
                self.after(1_000, Occurrence::Tick);
                self.tick()
            }
            Occurrence::Verified(epoch, letter, judgement) => {
                if epoch == self.epoch {
                    self.verified(letter, judgement)
                } else {
                    Ok(())
                }
            }
            Occurrence::Start => self.start(),
            Occurrence::Cut => {
                self.after(3_000, Occurrence::Cut);
                if !self.healed && self.random.chance(self.scenario.cut * 10) {
                    let client = self.random.below(self.clients.len() as u64) as usize;
                    self.clients[client].cut_until = self.clock + self.random.between(3_000, 60_000);
                    self.count("partition");
                    self.trace(format!("client {client} is cut off"));
                }
                Ok(())
            }
            Occurrence::Heal => {
                self.healed = true;
                self.store.machine().faults = 0;
                let rounds: BTreeMap<Id, u64> =
                    self.auditor.state().spaces.iter().map(|(id, space)| (*id, space.round_count)).collect();
                for client in &mut self.clients {
                    client.cut_until = 0;
                    client.goals = self
                        .spaces
                        .iter()
                        .map(|id| (*id, rounds.get(id).copied().unwrap_or(0) + 1))
                        .collect();
                }
                self.trace("all heals".to_owned());
                Ok(())
            }
        }
    }

    // The node.

    fn start(&mut self) -> Checked {
        self.store.machine().start();
        self.epoch += 1;
        let now = self.node_seconds();
        self.trace(format!("the node starts with {} entries", self.store.machine().disk.entries.len()));
        let allocations = self.scenario.allocations();
        match Core::open(self.store.clone(), node_key(), ORIGIN, Some(account(0)), &allocations, now) {
            Ok(core) => self.node = Some(core),
            Err(StoreError::Fatal { .. }) if self.store.machine().failed || self.store.machine().down => {
                self.stop();
                return Ok(());
            }
            Err(error) => return Err(format!("the node does not start: {error}")),
        }
        if let Some(core) = &mut self.node {
            for spec in self.scenario.specs.iter().filter(|spec| spec.validation.is_some()) {
                let space = space_id(node_key().verifying_key().as_bytes(), spec);
                core.validate_with(space, Box::new(|model| Ok(accuracy(model))));
            }
        }
        if self.aftermath() {
            return Ok(());
        }
        self.check()?;
        self.check_history()?;
        self.operate()
    }

    /// What the operator does: makes the spaces that are not there yet, and sometimes takes a model back.
    fn operate(&mut self) -> Checked {
        let now = self.node_seconds();
        for spec in self.scenario.specs.clone() {
            let Some(core) = self.node.as_mut().filter(|core| core.failed().is_none()) else { return Ok(()) };
            if core.snapshot().state.spaces.values().all(|space| space.spec.name != spec.name) {
                let made = core.create_space(spec, now);
                if !self.aftermath() && !self.store.machine().failed {
                    made.map_err(|refusal| format!("a space was refused: {refusal}"))?;
                }
            }
        }
        let Some(core) = &self.node else { return Ok(()) };
        let state = core.snapshot().state;
        for (id, space) in state.spaces.iter().filter(|(_, space)| space.version() > 0) {
            if space.open_round().is_none() && self.random.chance(600) {
                let version = self.random.below(space.version());
                let Some(core) = self.node.as_mut().filter(|core| core.failed().is_none()) else {
                    return Ok(());
                };
                let reverted = core.revert(*id, version, "simulated".to_owned(), now);
                if !self.aftermath() && !self.store.machine().failed {
                    reverted.map_err(|refusal| format!("taking a model back was refused: {refusal}"))?;
                    self.trace(format!("a model is taken back to version {version}"));
                    self.count("revert");
                }
            }
        }
        Ok(())
    }

    /// Whether the node ended during what it just did. When its disk failed it lives on for a while and must do nothing.
    fn aftermath(&mut self) -> bool {
        let (down, failed) = {
            let machine = self.store.machine();
            (machine.down, machine.failed)
        };
        if down {
            self.count("crash");
            self.stop();
        } else if failed && self.node.as_ref().is_some_and(|core| core.failed().is_some()) {
            // Once is enough: the start is on its way.
            if !self.queue.values().any(|occurrence| matches!(occurrence, Occurrence::Start)) {
                self.count("disk failure");
                let delay = self.random.between(0, 3_000);
                self.after(delay, Occurrence::Start);
            }
        }
        down || self.node.is_none()
    }

    fn stop(&mut self) {
        self.trace("the node is down".to_owned());
        self.node = None;
        self.epoch += 1;
        if !self.queue.values().any(|occurrence| matches!(occurrence, Occurrence::Start)) {
            let delay = self.random.between(100, 6_000);
            self.after(delay, Occurrence::Start);
        }
    }

    fn tick(&mut self) -> Checked {
        let now = self.node_seconds();
        let mut random = self.random.fork();
        // A restart without any fault.
        if !self.healed && self.node.is_some() && self.random.chance(self.scenario.disk_faults / 10) {
            self.store.machine().crash();
            self.aftermath();
        }
        let Some(core) = &mut self.node else { return Ok(()) };
        let before = core.snapshot().size;
        let failed = core.failed().is_some();
        let ticked = core.tick(now, &mut || Ok(random.bytes()));
        let size = core.snapshot().size;
        if self.aftermath() {
            return Ok(());
        }
        match ticked {
            Ok(entries) if entries.len() as u64 == size - before => Ok(()),
            Err(refusal) if refusal.code == ErrorCode::E505 && (failed || self.store.machine().failed) => {
                Ok(())
            }
            other => Err(format!("a tick came to {other:?}")),
        }
    }

    fn handle(&mut self, letter: Letter) -> Checked {
        let now = self.node_seconds();
        let Some(core) = &mut self.node else { return Ok(()) };
        let before = core.snapshot();
        match &letter.request {
            Request::Look(size) => {
                // Nobody hears of entries that are not acknowledged, whatever the tree holds already.
                let proof =
                    core.shared().tree.read().map_err(|_| "poisoned")?.consistency_proof(*size, before.size);
                let size = *size;
                if let Ok(proof) = proof {
                    self.answer(&letter, Answer::View(before, size, proof));
                }
                Ok(())
            }
            Request::Act(envelope, signature) => {
                let result = core.act((**envelope).clone(), *signature, now);
                self.acted(&letter, &before, result.map(Answer::Logged))
            }
            Request::Contribute(signed, file) => {
                let admitted = admit(&before.state, signed).and_then(|_| judge(signed, file));
                match admitted {
                    Ok(judgement) => {
                        let most = if self.random.chance(200) { 20_000 } else { 2_000 };
                        let delay = self.random.between(50, most);
                        let epoch = self.epoch;
                        self.after(delay, Occurrence::Verified(epoch, letter, judgement));
                    }
                    Err(refusal) => {
                        let known =
                            matches!(refusal.code, ErrorCode::E202 | ErrorCode::E203 | ErrorCode::E502);
                        let receipt = if known { self.receipt(signed) } else { None };
                        self.answer(&letter, receipt.map_or(Answer::Refused(refusal), Answer::Receipt));
                    }
                }
                Ok(())
            }
        }
    }

    /// A verifier that breaks its promise, when one is asked for.
    fn lie(&self, judgement: &Judgement) -> Option<Judgement> {
        match (self.sabotage?, judgement) {
            (Sabotage::AcceptsFailingProofs, Judgement::Invalid(_)) => {
                Some(Judgement::Valid { update: crate::scenario::update(vec![1, 2, 3, 4]), largest: 4 })
            }
            (Sabotage::AppliesAnotherUpdate, Judgement::Valid { update, largest }) => {
                let mut update = update.clone();
                update.layers[0].biases[0] += 1;
                Some(Judgement::Valid { update, largest: *largest })
            }
            _ => None,
        }
    }

    /// The stored receipt of a statement, as the service finds it.
    fn receipt(&self, signed: &SignedSubmission) -> Option<SignedReceipt> {
        let digest = signed.submission.statement().ok()?.digest();
        let bytes = self.store.machine().disk.receipts.get(&digest).cloned()?;
        SignedReceipt::decode(&bytes, "receipt").ok()
    }

    fn verified(&mut self, letter: Letter, judgement: Judgement) -> Checked {
        let now = self.node_seconds();
        let Request::Contribute(signed, file) = &letter.request else { return Ok(()) };
        let failing = matches!(judgement, Judgement::Invalid(_));
        let lie = self.lie(&judgement);
        let lied = lie.is_some();
        let entries = self.store.machine().disk.entries.len();
        let Some(core) = &mut self.node else { return Ok(()) };
        let before = core.snapshot();
        let result = core.contribution((**signed).clone(), lie.unwrap_or(judgement), file.clone(), now);
        if lied && self.store.machine().disk.entries.len() > entries {
            self.count("sabotage");
        }
        if failing
            && !lied
            && let Err(refusal) = &result
        {
            // Only a slot that is settled, or a round that is forgotten, lets the signer off.
            let statement = crate::auditor::statement(signed)?;
            let space = before.state.spaces.get(&statement.space).ok_or("no such space")?;
            let forgotten = refusal.code == ErrorCode::E203 && space.round(statement.round).is_none();
            if !forgotten && !matches!(refusal.code, ErrorCode::E202 | ErrorCode::E502 | ErrorCode::E505) {
                return Err(format!("a failing proof costs its signer nothing: {refusal}"));
            }
        }
        let mut answer = result.map(|decided| Answer::Receipt(decided.receipt));
        if let Err(refusal) = &answer
            && refusal.code == ErrorCode::E202
            && let Some(receipt) = self.receipt(signed)
        {
            // It was decided while this copy was verified.
            answer = Ok(Answer::Receipt(receipt));
        }
        self.acted(&letter, &before, answer)
    }

    /// Checks what a change came to and answers, unless the node went down over it.
    fn acted(&mut self, letter: &Letter, before: &Snapshot, result: Result<Answer, Refusal>) -> Checked {
        let Some(core) = &self.node else { return Ok(()) };
        let after = core.snapshot();
        self.count(match &result {
            Ok(_) if after.size > before.size => format!("logged {}", brief(&letter.request)),
            Ok(_) => "logged before".to_owned(),
            Err(refusal) => refusal.code.to_string(),
        });
        if let Err(refusal) = &result {
            if after.state.digest() != before.state.digest()
                || after.size != before.size
                || after.checkpoint != before.checkpoint
            {
                return Err(format!("a refusal changed the state: {refusal}"));
            }
            if refusal.code == ErrorCode::E505 && !self.store.machine().failed && !self.store.machine().down {
                return Err(format!("storage is said to have failed: {refusal}"));
            }
        }
        if after.size > before.size && letter.expect == Expect::NoChange {
            let what = format!("{} {} of client {}", brief(&letter.request), letter.number, letter.from);
            return Err(format!("an attack was taken: {what}: {result:?}"));
        }
        let text = match &result {
            Ok(Answer::Logged(logged)) => format!("entry {}", logged.entry),
            Ok(Answer::Receipt(receipt)) => {
                format!("verdict {} in entry {}", receipt.receipt.verdict, receipt.receipt.entry)
            }
            Ok(Answer::View(..)) => String::new(),
            Ok(Answer::Refused(refusal)) | Err(refusal) => refusal.to_string(),
        };
        self.trace(format!("the node takes {} of client {}: {text}", letter.number, letter.from));
        if self.aftermath() {
            return Ok(());
        }
        self.answer(letter, result.unwrap_or_else(Answer::Refused));
        Ok(())
    }

    // What must hold.

    /// After each step.
    fn check(&mut self) -> Checked {
        if let Some(violation) = self.store.machine().violation.take() {
            return Err(violation);
        }
        self.audit()?;
        let Some(core) = &self.node else { return Ok(()) };
        let snapshot = core.snapshot();
        if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot.state)) {
            return Ok(());
        }
        snapshot.state.check_invariants()?;
        if snapshot.state.time < self.time {
            return Err(format!("time went back from {} to {}", self.time, snapshot.state.time));
        }
        let checkpoint = Checkpoint::open(&*snapshot.checkpoint, ORIGIN, &self.verifier)
            .map_err(|error| error.to_string())?;
        let (old, root) = self.published;
        if checkpoint.size() != snapshot.size || snapshot.size < old {
            return Err(format!(
                "the log went from {old} entries to {}, and {} are signed",
                snapshot.size,
                checkpoint.size()
            ));
        }
        let shared = core.shared();
        let tree = shared.tree.read().map_err(|_| "poisoned")?;
        let proof = tree.consistency_proof(old, snapshot.size).map_err(|error| error.to_string())?;
        verify_consistency(old, &root, snapshot.size, checkpoint.root(), &proof)
            .map_err(|error| error.to_string())?;
        if core.failed().is_none() {
            let (size, root) = (self.auditor.state().entries, self.auditor.root());
            if (size, root) != (snapshot.size, *checkpoint.root()) {
                return Err(format!("the disk holds {size} entries, the node shows {}", snapshot.size));
            }
            if self.auditor.state().digest() != snapshot.state.digest() {
                return Err("the node's state is not that of its log".to_owned());
            }
            self.check_index(core)?;
        }
        self.published = (snapshot.size, *checkpoint.root());
        self.store.machine().shown = snapshot.size;
        self.time = snapshot.state.time;
        self.last = Some(snapshot.state);
        Ok(())
    }

    /// Plays what reached the disk, and looks at what must lie beside it.
    fn audit(&mut self) -> Checked {
        let machine = self.store.machine();
        let disk = &machine.disk;
        let known = self.auditor.bytes.len();
        if disk.entries.len() < known {
            return Err(format!("of {known} entries {} are left", disk.entries.len()));
        }
        if disk.entries.len() == known {
            return Ok(());
        }
        for bytes in &disk.entries[known..] {
            let entry = self.auditor.take(bytes, &self.truth)?;
            if let Some((statement, accepted)) = Auditor::decided(&entry) {
                let receipt = disk.receipts.get(&statement).ok_or("a decided contribution has no receipt")?;
                let receipt = SignedReceipt::decode(receipt, "receipt").map_err(|error| error.to_string())?;
                check_receipt(&receipt, &entry)?;
                if disk.contributions.contains_key(&statement) != accepted {
                    return Err("an accepted contribution has no file, or a refused one has".to_owned());
                }
            }
        }
        let note = disk.checkpoint.as_deref().ok_or("the disk holds no checkpoint")?;
        let checkpoint = Checkpoint::open(note, ORIGIN, &self.verifier).map_err(|error| error.to_string())?;
        if (checkpoint.size(), *checkpoint.root()) != (self.auditor.state().entries, self.auditor.root()) {
            return Err(format!(
                "{} entries are signed, the disk holds {}",
                checkpoint.size(),
                disk.entries.len()
            ));
        }
        let models = self.auditor.models();
        if disk.models != models {
            return Err(format!(
                "entry {}: the disk holds {} models, and {} are needed",
                disk.entries.len() - 1,
                disk.models.len(),
                models.len()
            ));
        }
        Ok(())
    }

    fn check_index(&self, core: &Core<SimStore>) -> Checked {
        let shared = core.shared();
        let index = shared.index.read().map_err(|_| "poisoned")?;
        for (id, space) in &core.snapshot().state.spaces {
            let versions = index.versions(id);
            let digests = versions.iter().map(|version| version.digest);
            if !digests.eq(space.versions.iter().copied())
                || versions.iter().zip(0..).any(|(version, number)| version.version != number)
            {
                return Err(format!("{}: the index names other versions", space.spec.name));
            }
            let open = space.open_round().map_or(0, |round| round.contributions);
            if index.pending(id).len() as u64 != open {
                return Err(format!(
                    "{}: the index counts {} contributions, the round {open}",
                    space.spec.name,
                    index.pending(id).len()
                ));
            }
        }
        Ok(())
    }

    /// After a start: nothing that was ever acknowledged is gone or changed.
    fn check_history(&self) -> Checked {
        let machine = self.store.machine();
        if let Some(place) =
            self.auditor.bytes.iter().zip(&machine.disk.entries).position(|(old, new)| old != new)
        {
            return Err(format!("entry {place} is another one now"));
        }
        if let Some(core) = &self.node {
            let shared = core.shared();
            let index = shared.index.read().map_err(|_| "poisoned")?;
            if format!("{index:?}") != format!("{:?}", self.auditor.index) {
                return Err("the index is another one after a start".to_owned());
            }
        }
        self.acknowledged.iter().try_for_each(|acknowledged| self.check_acknowledged(acknowledged))
    }

    /// What a client was told is in the log, there where it was said to be.
    pub fn check_acknowledged(&self, acknowledged: &Acknowledged) -> Checked {
        let entry = |index: u64| {
            self.auditor
                .entries
                .get(index as usize)
                .ok_or_else(|| format!("acknowledged entry {index} is gone"))
        };
        match acknowledged {
            Acknowledged::Action(digest, logged) => {
                let entry = entry(logged.entry)?;
                let same =
                    matches!(&entry.event, Event::Signed { envelope, .. } if envelope.digest() == *digest);
                if !same || entry.time != logged.time {
                    return Err(format!("entry {} is not the acknowledged action", logged.entry));
                }
                Ok(())
            }
            Acknowledged::Receipt(receipt) => check_receipt(receipt, entry(receipt.receipt.entry)?),
        }
    }

    fn finish(&mut self) -> Checked {
        self.check_history()?;
        let disk = self.store.machine().disk.clone();
        let mut replay = weightproof_ledger::replay::Replay::new();
        for bytes in &disk.entries {
            replay.play(bytes).map_err(|refusal| refusal.to_string())?;
        }
        let core = self.node.as_ref().ok_or("the node is down at the end")?;
        if replay.state().digest() != core.snapshot().state.digest() {
            return Err("playing the log again gives another state".to_owned());
        }
        self.trace(format!("the end: {} entries", disk.entries.len()));
        Ok(())
    }
}

/// A receipt is signed by the node and says what the log says.
pub fn check_receipt(signed: &SignedReceipt, entry: &Entry) -> Checked {
    let Receipt { network, statement_digest, file_digest, verdict, entry: index, reward, time } =
        &signed.receipt;
    let key = node_key().verifying_key().to_bytes();
    signed.receipt.verify(&key, &signed.signature).map_err(|refusal| format!("receipt: {refusal}"))?;
    let Event::Contribution { signed, .. } = &entry.event else {
        return Err(format!("entry {index} is no contribution, though a receipt says so"));
    };
    let paid = entry.effects.iter().find_map(|effect| match effect {
        weightproof_ledger::event::Effect::Accepted { reward, .. } => Some((0, *reward)),
        weightproof_ledger::event::Effect::Forfeited { code, .. } => Some((*code, 0)),
        _ => None,
    });
    let statement = crate::auditor::statement(signed)?;
    let same = (*network, *index, *time, Some((*verdict, *reward))) == (key, entry.index, entry.time, paid)
        && (*statement_digest, *file_digest) == (statement.digest(), signed.submission.file_digest);
    if same { Ok(()) } else { Err(format!("entry {index} is not what its receipt says")) }
}

/// A contribution file here: the statement that it proves, whether the proof holds, its blinding, and the update.
pub fn file(statement: &Statement, sound: bool, blinding: u8, update: &Parameters) -> Vec<u8> {
    let mut bytes = statement.digest().to_vec();
    bytes.extend([u8::from(sound), blinding]);
    bytes.extend(update.encode());
    bytes
}

/// What the verifier finds: see `weightproof_node::judge`.
fn judge(signed: &SignedSubmission, file: &[u8]) -> Result<Judgement, Refusal> {
    let statement = signed.submission.statement()?;
    let refuse = |code, text: &str| Err(Refusal::new(code, text));
    if <[u8; 32]>::from(Sha256::digest(file)) != signed.submission.file_digest {
        return refuse(ErrorCode::E101, "other bytes than were signed");
    }
    let (Some(about), Some(sound), Some(update)) = (file.get(..32), file.get(32), file.get(34..)) else {
        return refuse(ErrorCode::E106, "a file that ends early");
    };
    if about != statement.digest() {
        return refuse(ErrorCode::E201, "a file about another statement");
    }
    let program = program();
    let update = Parameters::decode(update, &program)?;
    if *sound == 0 || update.digest(&program).ok() != Some(statement.update_digest) {
        return Ok(Judgement::Invalid(Refusal::new(ErrorCode::E307, "a proof that does not hold")));
    }
    let largest = update.largest();
    Ok(Judgement::Valid { update, largest })
}

pub fn brief(request: &Request) -> String {
    match request {
        Request::Look(size) => format!("look {size}"),
        Request::Act(envelope, _) => {
            let action = format!("{:?}", envelope.action);
            action.split([' ', '{']).next().unwrap_or_default().to_owned()
        }
        Request::Contribute(..) => "contribution".to_owned(),
    }
}
