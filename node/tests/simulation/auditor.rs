//! A second opinion: plays every entry that reaches the disk, with a model of its own of what may be in it.
//!
//! It knows what no node knows: who is honest, what each account truly signed, and which proofs are sound.
use std::collections::{BTreeMap, BTreeSet};

use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::Id;
use weightproof_ledger::action::{Action, SignedSubmission};
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Effect, Entry, Event, Outcome};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::replay::Replay;
use weightproof_ledger::state::State;
use weightproof_node::core::Index;

use crate::Checked;
use crate::scenario::{Training, account, program};

/// A space, a round and an account.
pub type Slot = (Id, u64, Id);

/// What truly happened outside the node.
#[derive(Debug, Default)]
pub struct Truth {
    pub honest: BTreeSet<Id>,
    pub numbers: BTreeMap<Id, usize>,
    /// Statements with a sound proof.
    pub sound: BTreeSet<Id>,
    /// Update digests that an account signed for a slot, and whether one of its proofs is unsound.
    pub signed: BTreeMap<Slot, (BTreeSet<Id>, bool)>,
}

/// A space in the auditor's own model.
#[derive(Debug)]
struct Task {
    program: Program,
    policy: Policy,
    versions: Vec<Parameters>,
    candidate: Parameters,
    open: Option<u64>,
    rounds: u64,
    reverted: u64,
    contributions: u64,
    minted: u64,
}

pub struct Auditor {
    training: Training,
    replay: Replay,
    pub bytes: Vec<Vec<u8>>,
    pub entries: Vec<Entry>,
    pub index: Index,
    tasks: BTreeMap<Id, Task>,
    taken: BTreeSet<Slot>,
    lost: BTreeSet<Slot>,
    balances: BTreeMap<Id, i128>,
    tokens: i128,
}

impl Auditor {
    pub fn new(training: Training) -> Auditor {
        Auditor {
            training,
            replay: Replay::new(),
            bytes: Vec::new(),
            entries: Vec::new(),
            index: Index::default(),
            tasks: BTreeMap::new(),
            taken: BTreeSet::new(),
            lost: BTreeSet::new(),
            balances: BTreeMap::new(),
            tokens: 0,
        }
    }

    pub fn state(&self) -> &State {
        self.replay.state()
    }

    pub fn root(&self) -> Id {
        self.replay.root()
    }

    /// Takes the next entry of the disk.
    pub fn take(&mut self, bytes: &[u8], truth: &Truth) -> Checked<Entry> {
        let entry = Entry::decode(bytes, "entry").map_err(|error| error.to_string())?;
        let at = |text: String| format!("entry {}: {text}", entry.index);
        let forfeit = self.forfeit(&entry.event);
        self.replay.play(bytes).map_err(|refusal| refusal.to_string())?;
        self.judge(&entry, truth, forfeit).map_err(at)?;
        self.count(&entry).map_err(at)?;
        self.compare().map_err(at)?;
        self.index.record(&entry);
        self.bytes.push(bytes.to_vec());
        self.entries.push(entry.clone());
        Ok(entry)
    }

    /// What a member must lose by this event: the bond, or the share for equivocation, of all that is within reach.
    fn forfeit(&self, event: &Event) -> Option<u64> {
        let (signed, slashes) = match event {
            Event::Contribution { signed, outcome: Outcome::Invalid { .. } } => (signed, false),
            Event::Signed { envelope, .. } => match &envelope.action {
                Action::ReportEquivocation { first, .. } => (first, true),
                _ => return None,
            },
            _ => return None,
        };
        let statement = signed.submission.statement().ok()?;
        let space = self.state().spaces.get(&statement.space)?;
        let member = space.members.get(&statement.contributor)?;
        let held = member.stake + member.unbonding.iter().map(|part| part.amount).sum::<u64>();
        let policy = &space.spec.policy;
        Some(if slashes { held * u64::from(policy.slash_permille) / 1000 } else { policy.bond.min(held) })
    }

    /// Holds what the node decided against what is true.
    fn judge(&mut self, entry: &Entry, truth: &Truth, forfeit: Option<u64>) -> Checked {
        let accepted = entry.effects.iter().find_map(|effect| match effect {
            Effect::Accepted { weight, reward, .. } => Some((*weight, *reward)),
            _ => None,
        });
        let valid = matches!(&entry.event, Event::Contribution { outcome: Outcome::Valid { .. }, .. });
        if accepted.is_some() != valid {
            return Err("accepted without a valid contribution, or the other way round".to_owned());
        }
        let pays = |effect: &Effect| matches!(effect, Effect::Credited { cause, .. } if cause == "reward" || cause == "fee");
        if !valid && entry.effects.iter().any(pays) {
            return Err("a reward without a contribution".to_owned());
        }
        match &entry.event {
            Event::CreateSpace { spec } => {
                let id = weightproof_ledger::step::space_id(&self.state().network, spec);
                let model = Parameters::initial(&program(), spec.seed);
                self.tasks.insert(
                    id,
                    Task {
                        program: program(),
                        policy: spec.policy.clone(),
                        versions: vec![model.clone()],
                        candidate: model,
                        open: None,
                        rounds: 0,
                        reverted: 0,
                        contributions: 0,
                        minted: 0,
                    },
                );
            }
            Event::OpenRound { space, .. } => {
                let task = self.task(space)?;
                if task.open.is_some() {
                    return Err("a second open round".to_owned());
                }
                task.rounds += 1;
                (task.open, task.contributions, task.minted) = (Some(task.rounds), 0, 0);
                task.candidate = task.head();
            }
            Event::CloseRound { space } => {
                let task = self.task(space)?;
                task.open.take().ok_or("no round to close")?;
                if task.contributions > 0 {
                    task.versions.push(task.candidate.clone());
                }
            }
            Event::Revert { space, version, .. } => {
                let task = self.task(space)?;
                let model = task.versions.get(*version as usize).cloned().ok_or("no such version")?;
                task.versions.push(model);
                task.reverted = task.rounds;
            }
            Event::Contribution { signed, outcome } => {
                let statement = statement(signed)?;
                match outcome {
                    Outcome::Valid { .. } => {
                        self.accepted(&statement, truth, accepted.unwrap_or_default(), entry)?
                    }
                    Outcome::Invalid { .. } => self.forfeited(&statement, truth, entry, forfeit)?,
                }
            }
            _ => {}
        }
        self.slashed(entry, truth, forfeit)
    }

    fn accepted(
        &mut self,
        statement: &Statement,
        truth: &Truth,
        (weight, reward): (u32, u64),
        entry: &Entry,
    ) -> Checked {
        let (id, round, who) = (statement.space, statement.round, statement.contributor);
        if !truth.sound.contains(&statement.digest()) {
            return Err(format!("a reward of {reward} for a statement without a sound proof"));
        }
        if self.lost.contains(&(id, round, who)) {
            return Err("accepted for a slot that was lost".to_owned());
        }
        if !self.taken.insert((id, round, who)) {
            return Err("a slot was accepted twice".to_owned());
        }
        let number = truth.numbers.get(&who).copied().ok_or("accepted from nobody")?;
        let update = self.training.update(number, round);
        let minted: u64 = entry
            .effects
            .iter()
            .map(|effect| if let Effect::Minted { amount } = effect { *amount } else { 0 })
            .sum();
        let task = self.task(&id)?;
        if update.digest(&task.program).ok() != Some(statement.update_digest) {
            return Err("accepted an update that training does not give".to_owned());
        }
        let open = task.open.ok_or("accepted without an open round")?;
        if round <= task.reverted {
            return Err("accepted for a round whose model was taken back".to_owned());
        }
        if task.policy.weights.get((open - round) as usize) != Some(&weight) {
            return Err(format!("round {round} in round {open} counts {weight}"));
        }
        task.candidate = add(&task.candidate, &update, i64::from(weight));
        task.contributions += 1;
        task.minted += minted;
        if task.minted > task.policy.emission_of(open) || reward > minted {
            return Err(format!(
                "round {open} minted {}, of which {minted} for a reward of {reward}",
                task.minted
            ));
        }
        Ok(())
    }

    fn forfeited(
        &mut self,
        statement: &Statement,
        truth: &Truth,
        entry: &Entry,
        expected: Option<u64>,
    ) -> Checked {
        let slot = (statement.space, statement.round, statement.contributor);
        if !truth.signed.get(&slot).is_some_and(|(_, unsound)| *unsound) {
            return Err("a slot was lost without a failing proof that its owner signed".to_owned());
        }
        if self.taken.contains(&slot) || !self.lost.insert(slot) {
            return Err("a slot was lost that was taken or lost before".to_owned());
        }
        let amount = entry.effects.iter().find_map(|effect| match effect {
            Effect::Forfeited { amount, .. } => Some(*amount),
            _ => None,
        });
        if amount != expected { Err(format!("forfeited {amount:?}, not {expected:?}")) } else { Ok(()) }
    }

    fn slashed(&mut self, entry: &Entry, truth: &Truth, expected: Option<u64>) -> Checked {
        for effect in &entry.effects {
            let Effect::Slashed { space, round, account, amount } = effect else { continue };
            let slot = (*space, *round, *account);
            if truth.honest.contains(account)
                || truth.signed.get(&slot).is_none_or(|(updates, _)| updates.len() < 2)
            {
                return Err("slashed without two updates that the account signed".to_owned());
            }
            if Some(*amount) != expected {
                return Err(format!("slashed {amount}, not {expected:?}"));
            }
            self.lost.insert(slot);
        }
        Ok(())
    }

    /// Adds up what the effects say that moved.
    fn count(&mut self, entry: &Entry) -> Checked {
        let mut changed = 0i128;
        for effect in &entry.effects {
            match effect {
                Effect::Credited { account, amount, .. } => {
                    *self.balances.entry(*account).or_default() += i128::from(*amount)
                }
                Effect::Debited { account, amount, .. } => {
                    *self.balances.entry(*account).or_default() -= i128::from(*amount)
                }
                Effect::Minted { amount } => changed += i128::from(*amount),
                Effect::Burned { amount } => changed -= i128::from(*amount),
                _ => {}
            }
        }
        self.tokens += changed;
        let state = self.replay.state();
        let differs = |(id, account): (&Id, &weightproof_ledger::state::Account)| {
            self.balances.get(id).copied().unwrap_or(0) != i128::from(account.balance)
        };
        if state.accounts.iter().any(differs) {
            return Err("a balance is not the sum of its movements".to_owned());
        }
        if state.tokens() as i128 != self.tokens {
            return Err(format!("{} tokens exist, not {}", state.tokens(), self.tokens));
        }
        Ok(())
    }

    /// Compares the state with the model.
    fn compare(&self) -> Checked {
        let state = self.replay.state();
        state.check_invariants()?;
        if state.spaces.len() != self.tasks.len() {
            return Err("other spaces".to_owned());
        }
        for (id, task) in &self.tasks {
            let space = state.spaces.get(id).ok_or("a space is gone")?;
            let digests: Vec<Id> = task.versions.iter().map(|model| task.digest(model)).collect();
            if space.versions != digests {
                return Err(format!("{}: other versions", space.spec.name));
            }
            let open = space.open_round();
            if open.map(|round| round.number) != task.open {
                return Err(format!("{}: another open round", space.spec.name));
            }
            if open.is_some_and(|round| round.candidate != task.digest(&task.candidate)) {
                return Err(format!(
                    "{}: the candidate is not the head and the weighted updates",
                    space.spec.name
                ));
            }
        }
        Ok(())
    }

    /// The models that must be on the disk, and no others: versions, and what open rounds have come to.
    pub fn models(&self) -> BTreeMap<Id, Vec<u8>> {
        let models = self.tasks.values().flat_map(|task| {
            let open = task.open.map(|_| &task.candidate);
            task.versions.iter().chain(open).map(|model| (task.digest(model), model.encode()))
        });
        models.collect()
    }

    /// Statement digests that must have a receipt, and whether they must have a file.
    pub fn decided(entry: &Entry) -> Option<(Id, bool)> {
        let Event::Contribution { signed, outcome } = &entry.event else { return None };
        let statement = signed.submission.statement().ok()?;
        Some((statement.digest(), matches!(outcome, Outcome::Valid { .. })))
    }

    fn task(&mut self, id: &Id) -> Checked<&mut Task> {
        self.tasks.get_mut(id).ok_or_else(|| "a space that nobody made".to_owned())
    }
}

impl Task {
    fn head(&self) -> Parameters {
        self.versions.last().cloned().unwrap_or_else(|| Parameters::zeros(&self.program))
    }

    fn digest(&self, model: &Parameters) -> Id {
        model.digest(&self.program).expect("the program's shape")
    }
}

/// `model + weight · update`.
fn add(model: &Parameters, update: &Parameters, weight: i64) -> Parameters {
    let mut sum = model.clone();
    for (sum, change) in sum.layers.iter_mut().zip(&update.layers) {
        sum.weights.iter_mut().zip(&change.weights).for_each(|(value, change)| *value += weight * change);
        sum.biases.iter_mut().zip(&change.biases).for_each(|(value, change)| *value += weight * change);
    }
    sum
}

pub fn statement(signed: &SignedSubmission) -> Checked<Statement> {
    signed.submission.statement().map_err(|refusal| refusal.to_string())
}

impl Truth {
    pub fn new(honest: usize, clients: usize) -> Truth {
        Truth {
            honest: (0..honest).map(account).collect(),
            numbers: (0..clients).map(|number| (account(number), number)).collect(),
            ..Truth::default()
        }
    }

    /// An account signs a statement, with a proof that is sound or not.
    pub fn sign(&mut self, statement: &Statement, sound: bool) {
        let (updates, unsound) =
            self.signed.entry((statement.space, statement.round, statement.contributor)).or_default();
        updates.insert(statement.update_digest);
        *unsound |= !sound;
        if sound {
            self.sound.insert(statement.digest());
        }
    }
}
