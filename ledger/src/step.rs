//! The rules: one pure function from a state, an event and a time to the next state and what followed.
//!
//! Specification: specs/ledger.md; its section numbers stand beside the functions here.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::Digest;
use weightproof_circuits::encoding::tagged_hash;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::{SEAL_HALO2, SEAL_SIGMA, Statement};

use crate::action::{Action, Envelope, Possession, SignedSubmission, code_of, is_proof_fault};
use crate::canonical::{Canonical, MAXIMUM_BYTES, MAXIMUM_TEXT};
use crate::event::{Effect, Event, Outcome, Quality, SpaceSpec};
use crate::policy::Policy;
use crate::signed::{Message, usable_key};
use crate::state::{Account, Contributed, Dataset, Member, Round, Space, State, Unbonding};
use crate::{Id, Refusal};

/// Longest that an action may be valid for, in seconds: what was signed long ago must not surprise anybody.
pub const MAXIMUM_VALIDITY: u64 = 3_600;
/// Most keys that an account may have had.
pub const MAXIMUM_FORMER_KEYS: usize = 64;
/// Most parts of a stake that may be on their way back at a time.
pub const MAXIMUM_UNBONDING: usize = 32;
/// Latest time that is taken, in unix seconds: sums with it stay far inside 64 bits.
pub const MAXIMUM_TIME: u64 = 1 << 40;
/// Longest name of a space.
pub const MAXIMUM_NAME: usize = 64;

/// The next state and what followed; or a refusal, and the state is as it was.
///
/// `now` is unix seconds; a clock that went back is taken to stand still.
///
/// # Errors
/// [`Refusal`], with the code of the rule that refused.
pub fn step(state: &State, event: &Event, now: u64) -> Result<(State, Vec<Effect>), Refusal> {
    let mut next = state.clone();
    let effects = apply(&mut next, event, now)?;
    Ok((next, effects))
}

/// As [`step`], in place. After a refusal the state is of no use any more.
///
/// # Errors
/// As for [`step`].
pub fn apply(state: &mut State, event: &Event, now: u64) -> Result<Vec<Effect>, Refusal> {
    let fresh = state.entries == 0;
    if fresh != matches!(event, Event::Genesis { .. }) {
        return Err(conflict("genesis first, and once", event.name()));
    }
    if now > MAXIMUM_TIME {
        return refuse(
            ErrorCode::E103,
            format!("expected a time of at most {MAXIMUM_TIME}, found {now}; set this machine's clock"),
        );
    }
    state.time = state.time.max(now);
    let mut change = Change { effects: Vec::new(), state };
    match event {
        Event::Genesis { network, operator, allocations } => {
            change.genesis(network, operator, allocations)?
        }
        Event::CreateSpace { spec } => change.create_space(spec)?,
        Event::Signed { envelope, signature } => change.signed(envelope, signature)?,
        Event::OpenRound { space, randomness } => change.open_round(space, randomness)?,
        Event::Contribution { signed, outcome } => change.contribution(signed, outcome)?,
        Event::CloseRound { space } => change.close_round(space)?,
        Event::Release { space } => change.release(space)?,
        Event::Revert { space, version, reason } => change.revert(space, *version, reason)?,
    }
    let Change { mut effects, state } = change;
    state.entries += 1;
    if matches!(event, Event::CloseRound { .. }) {
        let digest = state.digest();
        for effect in &mut effects {
            if let Effect::RoundClosed { state, .. } = effect {
                *state = digest;
            }
        }
    }
    Ok(effects)
}

/// The identity of a space on a node.
pub fn space_id(network: &Id, spec: &SpaceSpec) -> Id {
    tagged_hash("weightproof space v1").chain_update(network).chain_update(spec.encode()).finalize().into()
}

/// A round's beacon: of everything that it admits and of randomness drawn after that.
pub fn beacon(network: &Id, space: &Id, round: u64, admitted: &BTreeMap<Id, Dataset>, randomness: &Id) -> Id {
    tagged_hash("weightproof beacon v1")
        .chain_update(network)
        .chain_update(space)
        .chain_update(round.to_le_bytes())
        .chain_update(admitted.encode())
        .chain_update(randomness)
        .finalize()
        .into()
}

/// A submission that every check passed which needs no proof.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What it claims.
    pub statement: Statement,
    /// Digest of that.
    pub statement_digest: Id,
    /// How many rounds late it is.
    pub late: usize,
    /// Its integer weight.
    pub weight: u32,
    /// Who gets the reward.
    pub payout: Id,
}

/// Everything about a submission that can be checked without its proof, in order of cost (specs/ledger.md §5).
///
/// # Errors
/// `E1xx` for a statement that cannot be read, `E2xx` for one that is about something else, `E502` when the slot is taken
/// or lost, `E503` without enough stake.
pub fn admit(state: &State, signed: &SignedSubmission) -> Result<Admitted, Refusal> {
    use ErrorCode::{E201, E203, E503};
    let (statement, account) = read(state, signed)?;
    let contributor = statement.contributor;
    signed.submission.verify(&signing_key(account)?, &signed.signature)?;
    let (space, member) = task(state, &statement)?;
    let policy = &space.spec.policy;
    let statement_digest = statement.digest();
    let round = open_slot(space, &statement, &statement_digest)?;
    let Some(open) = space.open_round() else {
        return refuse(E203, "expected an open round, found none; wait for the next (`weightproof watch`)");
    };
    let late = (open.number - round.number) as usize;
    let Some(&weight) = policy.weights.get(late) else {
        return refuse(E203, stale(open.number, round.number, policy));
    };
    if round.number <= space.reverted {
        let text = format!(
            "expected a round opened after the model was taken back, found round {}; train for the present round",
            round.number
        );
        return refuse(E203, text);
    }
    if member.stake < policy.minimum_stake {
        let text = format!(
            "expected a stake of at least {}, found {}; `weightproof stake` adds to it",
            policy.minimum_stake, member.stake
        );
        return refuse(E503, text);
    }
    of_round(round, &statement)?;
    let payout = match <[u8; 32]>::try_from(statement.payout.as_slice()) {
        Ok(payout) => payout,
        Err(_) if statement.payout.is_empty() => contributor,
        Err(_) => {
            let text = format!(
                "expected a payout account of 32 bytes or none, found {} bytes",
                statement.payout.len()
            );
            return refuse(E201, text);
        }
    };
    if usable_key(&payout).is_err() {
        return refuse(E201, "expected a payout account, found bytes that are no public key");
    }
    Ok(Admitted { statement, statement_digest, late, weight, payout })
}

/// What a submission whose proof fails is held to: all that [`admit`] asks, but for what may have changed since it came in.
/// A signer who unstakes, rotates its key or outlasts the round while the verifier works does not get away.
fn blame(state: &State, signed: &SignedSubmission) -> Result<Statement, Refusal> {
    let (statement, account) = read(state, signed)?;
    let (space, _) = task(state, &statement)?;
    let round = open_slot(space, &statement, &statement.digest())?;
    of_round(round, &statement)?;
    verify_since(account, signed, round.opened)?;
    Ok(statement)
}

/// A statement of this version for this node, by an account of it.
fn read<'a>(state: &'a State, signed: &SignedSubmission) -> Result<(Statement, &'a Account), Refusal> {
    let statement = signed.submission.statement()?;
    statement.check_supported().map_err(|error| {
        let text = error.to_string();
        Refusal::new(error.code(), text.get(6..).unwrap_or(&text))
    })?;
    if signed.submission.network != state.network {
        return refuse(
            ErrorCode::E201,
            "expected a submission signed for this node, found one for another; fetch the node's key again (`weightproof join`)",
        );
    }
    let account = account(state, &statement.contributor)?;
    Ok((statement, account))
}

/// The space, and the contributor's membership of it.
fn task<'a>(state: &'a State, statement: &Statement) -> Result<(&'a Space, &'a Member), Refusal> {
    let space = state.spaces.get(&statement.space).ok_or_else(no_space)?;
    let taken = match statement.seal {
        SEAL_SIGMA => space.spec.policy.sigma,
        SEAL_HALO2 => space.spec.policy.halo2,
        _ => false,
    };
    if !taken {
        return refuse(
            ErrorCode::E201,
            "expected a seal that the space takes, found another; train with its --seal",
        );
    }
    let member = space.members.get(&statement.contributor).ok_or_else(no_member)?;
    if statement.program_digest != space.program_digest {
        return refuse(
            ErrorCode::E207,
            "expected the space's program, found another; fetch it again (`weightproof pull`)",
        );
    }
    Ok((space, member))
}

/// The statement's round, if the contributor's slot in it is neither taken nor lost.
fn open_slot<'a>(space: &'a Space, statement: &Statement, digest: &Id) -> Result<&'a Round, Refusal> {
    let contributor = &statement.contributor;
    let Some(round) = space.round(statement.round) else {
        if statement.round > space.round_count {
            let text =
                format!("expected round {} or an earlier one, found {}", space.round_count, statement.round);
            return refuse(ErrorCode::E201, text);
        }
        return refuse(ErrorCode::E203, stale(space.round_count, statement.round, &space.spec.policy));
    };
    if let Some(accepted) = round.accepted.get(contributor) {
        if accepted.statement_digest == *digest {
            let text = format!(
                "expected a new contribution, found one that was accepted in entry {}; nothing to do",
                accepted.entry
            );
            return refuse(ErrorCode::E202, text);
        }
        let text = format!(
            "expected one contribution for each round and account, found a second for round {}; train for the next",
            round.number
        );
        return refuse(ErrorCode::E502, text);
    }
    if round.forfeited.contains(contributor) {
        let text = format!(
            "expected a slot that is still open, found that a failing proof lost it for round {}; train for the next",
            round.number
        );
        return refuse(ErrorCode::E502, text);
    }
    if round.slashed.contains(contributor) {
        let text = format!(
            "expected a slot that is still open, found that conflicting submissions lost it for round {}; train for the next",
            round.number
        );
        return refuse(ErrorCode::E502, text);
    }
    Ok(round)
}

/// Whether a statement says of its round what the round is: only the update, the seal and the payout are the contributor's.
fn of_round(round: &Round, statement: &Statement) -> Result<(), Refusal> {
    use ErrorCode::{E201, E203, E204, E206};
    if statement.beacon != round.beacon {
        return refuse(
            E204,
            format!("expected the beacon of round {}, found another; fetch the round again", round.number),
        );
    }
    if statement.model_version != round.version {
        let text = format!(
            "expected a contribution to model version {}, found one to {}; train on the round's model",
            round.version, statement.model_version
        );
        return refuse(E203, text);
    }
    if statement.model_digest != round.digest {
        return refuse(
            E201,
            format!(
                "expected the digest of model version {}, found another; fetch the model again",
                round.version
            ),
        );
    }
    match round.admitted.get(&statement.contributor) {
        Some(dataset) if dataset.root == statement.dataset_root && dataset.rows == statement.dataset_rows => {
            Ok(())
        }
        Some(_) => refuse(
            E206,
            "expected the dataset that was registered before the round's beacon was drawn, found another; train on that one",
        ),
        None => refuse(
            E206,
            "expected a dataset registered before the round's beacon was drawn, found none; it counts from the next round on",
        ),
    }
}

/// A signature by a key that could sign for the account when the round opened, or later. One that ended before could have
/// no part in the round: after a theft, the thief's signatures are worth nothing from the next round on.
fn verify_since(account: &Account, signed: &SignedSubmission, opened: u64) -> Result<(), Refusal> {
    let former = account.former_keys.iter().filter(|(_, until)| *until >= opened).map(|(key, _)| key);
    if account.key.iter().chain(former).any(|key| signed.submission.verify(key, &signed.signature).is_ok()) {
        return Ok(());
    }
    refuse(
        ErrorCode::E205,
        "expected a submission signed by a key that the contributor had during the round, found one that is not",
    )
}

fn stale(open: u64, found: u64, policy: &Policy) -> String {
    let bound = policy.weights.len() - 1;
    format!(
        "expected a contribution to round {open}, at most {bound} rounds late, found one to round {found}; train for the present round"
    )
}

/// The reward of an accepted contribution before the round's emission caps it (specs/ledger.md §6):
/// `rate · examples · weight/weights[0] · improvement · reputation`, rounded down once.
pub fn reward(policy: &Policy, examples: u64, weight: u32, quality: Option<&Quality>, accepted: u64) -> u64 {
    let full = policy.weights.first().copied().unwrap_or(1).max(1);
    // Thousandths, from 0 to 2000.
    let improvement = quality.map_or(1000, |quality| {
        let rows = i128::from(quality.rows.max(1));
        let gained = (i128::from(quality.after) - i128::from(quality.before)) * 1000 / rows;
        (1000 + gained * i128::from(policy.improvement_gain)).clamp(0, 2000)
    });
    // From half the rate to the whole.
    let (numerator, denominator) = match u64::from(policy.reputation_contributions) {
        0 => (1, 1),
        whole => (whole + accepted.min(whole), 2 * whole),
    };
    let product = u128::from(policy.reward_per_example)
        .saturating_mul(u128::from(examples))
        .saturating_mul(u128::from(weight))
        .saturating_mul(improvement as u128)
        .saturating_mul(u128::from(numerator));
    let amount = product / (u128::from(full) * 1000 * u128::from(denominator));
    u64::try_from(amount).unwrap_or(u64::MAX)
}

fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, message))
}

fn conflict(expected: &str, found: &str) -> Refusal {
    Refusal::new(ErrorCode::E501, format!("expected {expected}, found {found}"))
}

fn account<'a>(state: &'a State, id: &Id) -> Result<&'a Account, Refusal> {
    state.accounts.get(id).ok_or_else(|| {
        Refusal::new(
            ErrorCode::E205,
            "expected an account of this node, found one that has never acted here; `weightproof join` first",
        )
    })
}

fn signing_key(account: &Account) -> Result<Id, Refusal> {
    account.key.ok_or_else(|| {
        Refusal::new(
            ErrorCode::E205,
            "expected an account with a key, found one whose key was revoked; join with another key",
        )
    })
}

struct Change<'a> {
    state: &'a mut State,
    effects: Vec<Effect>,
}

impl Change<'_> {
    // §1 The beginning.

    fn genesis(&mut self, network: &Id, operator: &Id, allocations: &[(Id, u64)]) -> Result<(), Refusal> {
        usable_key(network)?;
        usable_key(operator)?;
        self.state.network = *network;
        self.state.operator = *operator;
        self.state.accounts.insert(*operator, Account::new(*operator));
        for (id, amount) in allocations {
            usable_key(id)?;
            self.state.supply.genesis = add(self.state.supply.genesis, *amount)?;
            self.effects.push(Effect::Minted { amount: *amount });
            self.credit(id, *amount, "genesis")?;
        }
        Ok(())
    }

    fn create_space(&mut self, spec: &SpaceSpec) -> Result<(), Refusal> {
        let refused = |text: String| refuse(ErrorCode::E103, text);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if spec.name.is_empty() || spec.name.len() > MAXIMUM_NAME || !spec.name.bytes().all(plain) {
            return refused(format!(
                "name: expected 1 to {MAXIMUM_NAME} lower-case letters, digits and hyphens, found `{}`",
                spec.name.escape_debug()
            ));
        }
        if self.state.spaces.values().any(|space| space.spec.name == spec.name) {
            return Err(conflict("a name that no space has", &spec.name));
        }
        // What is longer could be logged and not be read again.
        if spec.schema.0.len() > MAXIMUM_BYTES {
            return refused(format!(
                "schema: expected at most {MAXIMUM_BYTES} bytes, found {}",
                spec.schema.0.len()
            ));
        }
        spec.policy.check()?;
        let program = Program::decode(&spec.program.0).map_err(|error| {
            Refusal::new(error.code(), format!("the space's program cannot be read: {error}"))
        })?;
        let model = Parameters::initial(&program, spec.seed);
        let digest =
            model.digest(&program).map_err(|error| Refusal::new(ErrorCode::E207, error.to_string()))?;
        let id = space_id(&self.state.network, spec);
        let program_digest = program.digest();
        self.effects.push(Effect::SpaceCreated { space: id, program_digest, model_digest: digest });
        let space = Space {
            spec: Arc::new(spec.clone()),
            program_digest,
            examples: (program.steps() as u64).saturating_mul(program.batch() as u64),
            versions: vec![digest],
            members: BTreeMap::new(),
            rounds: crate::state::Rounds::default(),
            round_count: 0,
            reverted: 0,
        };
        self.state.spaces.insert(id, space);
        Ok(())
    }

    // §2 Accounts.

    fn signed(&mut self, envelope: &Envelope, signature: &[u8; 64]) -> Result<(), Refusal> {
        let now = self.state.time;
        if envelope.network != self.state.network {
            return refuse(
                ErrorCode::E201,
                "expected an action signed for this node, found one for another; fetch the node's key again (`weightproof join`)",
            );
        }
        if envelope.expires < now {
            return refuse(
                ErrorCode::E402,
                format!(
                    "expected an action that is still valid at {now}, found one that expired at {}; sign it again, and check this machine's clock",
                    envelope.expires
                ),
            );
        }
        if envelope.expires > now + MAXIMUM_VALIDITY {
            return refuse(
                ErrorCode::E103,
                format!(
                    "expected an action valid for at most {MAXIMUM_VALIDITY} s after {now}, found {}; check this machine's clock",
                    envelope.expires
                ),
            );
        }
        match self.state.accounts.get(&envelope.account) {
            Some(account) => {
                envelope.verify(&signing_key(account)?, signature)?;
                if envelope.nonce <= account.nonce {
                    return refuse(
                        ErrorCode::E202,
                        format!(
                            "expected a nonce above {}, found {}; sign the action again",
                            account.nonce, envelope.nonce
                        ),
                    );
                }
            }
            None => {
                // An account comes to be by joining or by being paid, so that strangers cannot fill the state.
                if !matches!(envelope.action, Action::Join { .. }) {
                    account(self.state, &envelope.account)?;
                }
                envelope.verify(&envelope.account, signature)?;
                self.state.accounts.insert(envelope.account, Account::new(envelope.account));
            }
        }
        self.account_mut(&envelope.account)?.nonce = envelope.nonce;
        let who = &envelope.account;
        match &envelope.action {
            Action::Join { space, stake } => self.join(who, space, *stake),
            Action::RegisterDataset { space, root, rows } => self.register(who, space, root, *rows),
            Action::Stake { space, amount } => self.stake(who, space, *amount),
            Action::Unstake { space, amount } => self.unstake(who, space, *amount),
            Action::Transfer { to, amount } => self.transfer(who, to, *amount),
            Action::RotateKey { key, proof } => self.rotate(who, key, proof),
            Action::RevokeKey {} => self.change_key(who, None),
            Action::ReportEquivocation { first, second } => self.equivocation(first, second),
        }
    }

    fn rotate(&mut self, who: &Id, key: &Id, proof: &[u8; 64]) -> Result<(), Refusal> {
        let possession = Possession { network: self.state.network, account: *who, key: *key };
        possession.verify(key, proof)?;
        let account = self.account_mut(who)?;
        if account.former_keys.len() >= MAXIMUM_FORMER_KEYS {
            return Err(conflict("at most 64 former keys", "one more; join with a new account"));
        }
        if account.key == Some(*key) || account.former_keys.iter().any(|(former, _)| former == key) {
            return Err(conflict("a key that the account never had", "one that it has or had"));
        }
        self.change_key(who, Some(*key))
    }

    fn change_key(&mut self, who: &Id, key: Option<Id>) -> Result<(), Refusal> {
        let time = self.state.time;
        let account = self.account_mut(who)?;
        account.former_keys.extend(account.key.take().map(|former| (former, time)));
        account.key = key;
        self.effects.push(Effect::KeyChanged { account: *who, key });
        Ok(())
    }

    // §3 Members and their stakes.

    fn join(&mut self, who: &Id, id: &Id, stake: u64) -> Result<(), Refusal> {
        let space = self.space(id)?;
        let policy = &space.spec.policy;
        if space.members.contains_key(who) {
            return Err(conflict(
                "an account that has not joined yet",
                "a member; `weightproof stake` adds to its stake",
            ));
        }
        room(space)?;
        if stake < policy.minimum_stake {
            return refuse(
                ErrorCode::E503,
                format!(
                    "expected a stake of at least {}, found {stake}; join with --stake {}",
                    policy.minimum_stake, policy.minimum_stake
                ),
            );
        }
        let member = Member { stake: 0, unbonding: Vec::new(), accepted: 0, misses: 0, dataset: None };
        self.space_mut(id)?.members.insert(*who, member);
        self.effects.push(Effect::Joined { space: *id, account: *who });
        if stake > 0 { self.stake(who, id, stake) } else { Ok(()) }
    }

    fn stake(&mut self, who: &Id, id: &Id, amount: u64) -> Result<(), Refusal> {
        if amount == 0 || !self.space(id)?.spec.policy.tokens {
            return refuse(ErrorCode::E503, "expected an amount above 0 in a space with tokens, found none");
        }
        let (before, space) = (self.member(id, who)?.stake, self.space(id)?);
        let least = space.spec.policy.minimum_stake;
        if before < least && before.saturating_add(amount) >= least {
            room(space)?;
        }
        self.debit(who, amount, "stake")?;
        self.change_stake(id, who, "stake", |stake| add(stake, amount))
    }

    fn unstake(&mut self, who: &Id, id: &Id, amount: u64) -> Result<(), Refusal> {
        let time = self.state.time;
        let wait = self.space(id)?.spec.policy.unbonding_seconds;
        let member = self.member_mut(id, who)?;
        if amount == 0 || amount > member.stake {
            return refuse(
                ErrorCode::E503,
                format!("expected an amount from 1 to the stake of {}, found {amount}", member.stake),
            );
        }
        if member.unbonding.len() >= MAXIMUM_UNBONDING {
            return refuse(
                ErrorCode::E503,
                format!(
                    "expected at most {MAXIMUM_UNBONDING} parts on their way, found as many; wait for the first to be released"
                ),
            );
        }
        member.unbonding.push(Unbonding { amount, release: time + wait });
        self.change_stake(id, who, "unstake", |stake| Ok(stake - amount))
    }

    fn release(&mut self, id: &Id) -> Result<(), Refusal> {
        let time = self.state.time;
        let mut due = Vec::new();
        for (account, member) in &mut self.space_mut(id)?.members {
            for part in member.unbonding.extract_if(.., |part| part.release <= time) {
                due.push((*account, part.amount));
            }
        }
        if due.is_empty() {
            return Err(conflict("tokens whose time has come", "none"));
        }
        due.into_iter().try_for_each(|(account, amount)| self.credit(&account, amount, "unstaked"))
    }

    fn transfer(&mut self, from: &Id, to: &Id, amount: u64) -> Result<(), Refusal> {
        usable_key(to)?;
        if amount == 0 || from == to {
            return refuse(ErrorCode::E503, "expected an amount above 0 for another account, found none");
        }
        // One fee for the node: the largest that any of its spaces asks.
        let fee = self.state.spaces.values().map(|space| space.spec.policy.transfer_fee).max().unwrap_or(0);
        self.debit(from, amount, "transfer")?;
        if fee > 0 {
            self.debit(from, fee, "transfer fee")?;
            self.burn(fee)?;
        }
        self.credit(to, amount, "transfer")
    }

    // §4 Datasets and rounds.

    fn register(&mut self, who: &Id, id: &Id, root: &Id, rows: u64) -> Result<(), Refusal> {
        let space = self.space(id)?;
        let least = space.spec.policy.minimum_rows;
        if rows < least || rows > weightproof_circuits::batches::MAXIMUM_ROWS {
            return refuse(
                ErrorCode::E206,
                format!(
                    "expected {least} to {} rows, found {rows}",
                    weightproof_circuits::batches::MAXIMUM_ROWS
                ),
            );
        }
        let of_other = |(account, member): (&Id, &Member)| {
            account != who && member.dataset.as_ref().is_some_and(|dataset| dataset.root == *root)
        };
        if space.members.iter().any(of_other) {
            return refuse(
                ErrorCode::E502,
                "expected a dataset of the account's own, found one that another member registered; commit to the rows again, with fresh salts",
            );
        }
        self.member_mut(id, who)?.dataset = Some(Dataset { root: *root, rows });
        self.effects.push(Effect::DatasetRegistered { space: *id, account: *who, root: *root, rows });
        Ok(())
    }

    fn open_round(&mut self, id: &Id, randomness: &Id) -> Result<(), Refusal> {
        let (time, network) = (self.state.time, self.state.network);
        let space = self.space_mut(id)?;
        let policy = &space.spec.policy;
        if space.open_round().is_some() {
            return Err(conflict("no open round", "one"));
        }
        let admitted: BTreeMap<Id, Dataset> =
            space.admissible().map(|(account, dataset)| (*account, dataset.clone())).collect();
        if admitted.len() < policy.minimum_datasets as usize {
            return Err(conflict(
                &format!("at least {} registered datasets", policy.minimum_datasets),
                &admitted.len().to_string(),
            ));
        }
        let number = space.round_count + 1;
        let (version, digest) = (space.version(), space.digest());
        let beacon = beacon(&network, id, number, &admitted, randomness);
        let closes = time + policy.round_seconds;
        space.round_count = number;
        // A round matters as long as late contributions or evidence about it are heard.
        let (staleness, window) = (policy.weights.len() as u64, policy.evidence_seconds);
        while space
            .rounds
            .0
            .front()
            .is_some_and(|round| round.number + staleness <= number && round.opened + window < time)
        {
            space.rounds.0.pop_front();
        }
        let round = Round {
            number,
            version,
            digest,
            beacon,
            opened: time,
            closes,
            closed: false,
            admitted,
            accepted: BTreeMap::new(),
            forfeited: BTreeSet::new(),
            slashed: BTreeSet::new(),
            candidate: digest,
            contributions: 0,
            minted: 0,
        };
        space.rounds.0.push_back(Arc::new(round));
        self.effects.push(Effect::RoundOpened { space: *id, round: number, beacon, version, digest, closes });
        Ok(())
    }

    fn close_round(&mut self, id: &Id) -> Result<(), Refusal> {
        let time = self.state.time;
        let space = self.space_mut(id)?;
        let policy = space.spec.policy.clone();
        let Some(round) = space.last_round_mut().filter(|round| !round.closed) else {
            return Err(conflict("an open round", "none"));
        };
        // Who lost the slot can do nothing about it any more.
        let settled = |id: &Id| {
            round.accepted.contains_key(id) || round.forfeited.contains(id) || round.slashed.contains(id)
        };
        let complete = || round.admitted.keys().all(settled);
        if time < round.closes && !(policy.close_when_complete && complete()) {
            return Err(conflict(
                &format!("the round's end at {}", round.closes),
                &format!("the time {time}"),
            ));
        }
        let number = round.number;
        let contributions = round.contributions;
        let candidate = round.candidate;
        // Who was drawn and stayed silent. A late contribution may still come; it mends the model, not the miss.
        let silent: Vec<Id> = round.admitted.keys().filter(|id| !settled(id)).copied().collect();
        let active: Vec<Id> = round.accepted.keys().copied().collect();
        round.closed = true;
        if contributions > 0 {
            space.versions.push(candidate);
        }
        let (version, digest) = (space.version(), space.digest());
        for account in active {
            if let Some(member) = space.members.get_mut(&account) {
                member.misses = 0;
            }
        }
        for account in silent {
            let Some(member) = self.space_mut(id)?.members.get_mut(&account) else { continue };
            member.misses = member.misses.saturating_add(1);
            let cost = policy.miss_cost.saturating_mul(u64::from(member.misses.min(8)));
            self.burn_stake(id, &account, cost, "missed round")?;
        }
        // The state's digest is of the state after everything else of this event: `apply` fills it in.
        self.effects.push(Effect::RoundClosed {
            space: *id,
            round: number,
            version,
            digest,
            contributions,
            state: [0; 32],
        });
        Ok(())
    }

    fn revert(&mut self, id: &Id, to: u64, reason: &str) -> Result<(), Refusal> {
        if reason.is_empty() {
            return Err(conflict("a reason for the record", "none"));
        }
        if reason.len() > MAXIMUM_TEXT {
            return refuse(
                ErrorCode::E103,
                format!("reason: expected at most {MAXIMUM_TEXT} bytes, found {}", reason.len()),
            );
        }
        let space = self.space_mut(id)?;
        if space.open_round().is_some() {
            return Err(conflict("no open round", "one; it must end first"));
        }
        let digest = usize::try_from(to).ok().and_then(|index| space.versions.get(index)).copied();
        let Some(digest) = digest.filter(|_| to < space.version()) else {
            return Err(conflict(&format!("a version before {}", space.version()), &to.to_string()));
        };
        space.versions.push(digest);
        // Late contributions would bring back what they were trained on.
        space.reverted = space.round_count;
        let version = space.version();
        self.effects.push(Effect::Reverted { space: *id, version, to, digest });
        Ok(())
    }

    // §5, §6 Contributions and rewards.

    fn contribution(&mut self, signed: &SignedSubmission, outcome: &Outcome) -> Result<(), Refusal> {
        match outcome {
            Outcome::Valid { candidate, largest, quality } => {
                let admitted = admit(self.state, signed)?;
                self.accept(&admitted, candidate, *largest, quality.as_ref())
            }
            Outcome::Invalid { code } => {
                let Statement { space: id, contributor: account, round, .. } = blame(self.state, signed)?;
                if !code_of(*code).is_some_and(is_proof_fault) {
                    return Err(conflict("a code that says that the proof fails", &code.to_string()));
                }
                let bond = self.space(&id)?.spec.policy.bond;
                self.round_mut(&id, round)?.forfeited.insert(account);
                self.member_mut(&id, &account)?.accepted = 0;
                let amount = self.burn_stake(&id, &account, bond, "bond forfeited")?;
                self.effects.push(Effect::Forfeited { space: id, round, account, amount, code: *code });
                Ok(())
            }
        }
    }

    fn accept(
        &mut self,
        admitted: &Admitted,
        candidate: &Id,
        largest: u64,
        quality: Option<&Quality>,
    ) -> Result<(), Refusal> {
        let Admitted { statement, statement_digest, weight, payout, .. } = admitted;
        let (id, account, number) = (statement.space, statement.contributor, statement.round);
        let entry = self.state.entries;
        let space = self.space(&id)?;
        let policy = space.spec.policy.clone();
        if largest > policy.maximum_update {
            return refuse(
                ErrorCode::E601,
                format!(
                    "expected integers of at most {} in the update, found {largest}; lower the learning rate or look for rows that stand out",
                    policy.maximum_update
                ),
            );
        }
        if largest == 0 {
            return refuse(
                ErrorCode::E603,
                "expected an update that changes the model, found zeros alone; nothing was learned from these rows",
            );
        }
        if quality.is_some() != space.spec.validation.is_some() {
            return Err(conflict("accuracy if and only if the space has a validation set", "otherwise"));
        }
        if let Some(quality) = quality {
            if quality.before.max(quality.after) > quality.rows || quality.rows == 0 {
                return Err(conflict("at most as many right answers as rows", "more"));
            }
            let lost = u128::from(quality.before.saturating_sub(quality.after)) * 1000;
            if lost > u128::from(policy.maximum_drop_permille) * u128::from(quality.rows) {
                return refuse(
                    ErrorCode::E603,
                    format!(
                        "expected at most {} thousandths fewer right answers on the validation set, found {} of {} before and {} after; the update was not applied",
                        policy.maximum_drop_permille, quality.before, quality.rows, quality.after
                    ),
                );
            }
        }
        // Distinct rows: training on one row again proves nothing more about the data.
        let examples = space.examples.min(statement.dataset_rows);
        let due = reward(&policy, examples, *weight, quality, self.member(&id, &account)?.accepted);
        let Some(open) = self.space_mut(&id)?.last_round_mut() else {
            return Err(conflict("an open round", "none"));
        };
        let gross = due.min(policy.emission_of(open.number).saturating_sub(open.minted));
        open.minted += gross;
        open.candidate = *candidate;
        open.contributions += 1;
        // Both shares are rounded together: rounded apart, more could leave less (of 2 tokens, twice a half: nothing).
        let kept = share(gross, policy.burn_permille + policy.fee_permille);
        let burned = share(gross, policy.burn_permille);
        let fee = kept - burned;
        let net = gross - kept;
        if gross > 0 {
            self.state.supply.emitted = add(self.state.supply.emitted, gross)?;
            self.effects.push(Effect::Minted { amount: gross });
            if burned > 0 {
                self.burn(burned)?;
            }
            let operator = self.state.operator;
            self.credit(&operator, fee, "fee")?;
            self.credit(payout, net, "reward")?;
        }
        self.member_mut(&id, &account)?.accepted += 1;
        let contributed = Contributed { statement_digest: *statement_digest, entry, reward: net };
        self.round_mut(&id, number)?.accepted.insert(account, contributed);
        self.effects.push(Effect::Accepted {
            space: id,
            round: number,
            account,
            statement_digest: *statement_digest,
            weight: *weight,
            reward: net,
        });
        Ok(())
    }

    // §7 Evidence.

    fn equivocation(&mut self, first: &SignedSubmission, second: &SignedSubmission) -> Result<(), Refusal> {
        let (one, owner) = read(self.state, first)?;
        let (other, _) = read(self.state, second)?;
        let slot = |statement: &Statement| (statement.space, statement.round, statement.contributor);
        if slot(&one) != slot(&other) {
            return Err(conflict("two submissions for one slot", "two for different slots"));
        }
        // Training is deterministic: seal and payout may differ between two honest proofs, the update may not.
        if one.update_digest == other.update_digest {
            return Err(conflict("two submissions with different updates", "two with the same"));
        }
        let (id, number, account) = slot(&one);
        let space = self.space(&id)?;
        let policy = space.spec.policy.clone();
        let Some(round) = space.round(number) else {
            return Err(conflict("a round that evidence is still heard about", "an older one"));
        };
        if round.opened + policy.evidence_seconds < self.state.time {
            return Err(conflict("evidence within its window", "older evidence"));
        }
        if round.slashed.contains(&account) {
            return refuse(
                ErrorCode::E502,
                "expected an offence that was not punished yet, found one that was",
            );
        }
        // What is about another base, beacon or dataset could be accepted nowhere: a mistake, or a node that misled.
        for (statement, signed) in [(&one, first), (&other, second)] {
            if statement.program_digest != space.program_digest {
                return refuse(
                    ErrorCode::E207,
                    "expected two submissions about the space's program, found another",
                );
            }
            of_round(round, statement)?;
            verify_since(owner, signed, round.opened)?;
        }
        self.round_mut(&id, number)?.slashed.insert(account);
        let amount = self.slash(&id, &account, policy.slash_permille)?;
        self.effects.push(Effect::Slashed { space: id, round: number, account, amount });
        Ok(())
    }

    /// Burns a share of what a member has at stake, what is on its way back included, and ends its reputation.
    fn slash(&mut self, id: &Id, who: &Id, permille: u16) -> Result<u64, Refusal> {
        let member = self.member_mut(id, who)?;
        member.accepted = 0;
        // One rounding for the whole, so that a stake in many parts loses no less.
        let parts = member.unbonding.iter().try_fold(0, |sum, part| add(sum, part.amount))?;
        let whole = add(member.stake, parts)?;
        self.burn_stake(id, who, share(whole, permille), "slashed")
    }

    /// Burns up to `amount` of a stake, then of what is on its way back, the latest part first: nothing is out of reach
    /// before its release. Returns what was burned.
    fn burn_stake(&mut self, id: &Id, who: &Id, amount: u64, cause: &str) -> Result<u64, Refusal> {
        let member = self.member_mut(id, who)?;
        let staked = amount.min(member.stake);
        let mut rest = amount - staked;
        for part in member.unbonding.iter_mut().rev() {
            let taken = rest.min(part.amount);
            part.amount -= taken;
            rest -= taken;
        }
        member.unbonding.retain(|part| part.amount > 0);
        if staked > 0 {
            self.change_stake(id, who, cause, |stake| Ok(stake - staked))?;
        }
        if amount > rest {
            self.burn(amount - rest)?;
        }
        Ok(amount - rest)
    }

    // Arithmetic on balances: everything that moves tokens goes through these.

    fn credit(&mut self, who: &Id, amount: u64, cause: &str) -> Result<(), Refusal> {
        if amount == 0 {
            return Ok(());
        }
        let account = self.state.accounts.entry(*who).or_insert_with(|| Account::new(*who));
        account.balance = add(account.balance, amount)?;
        self.effects.push(Effect::Credited { account: *who, amount, cause: cause.to_owned() });
        Ok(())
    }

    fn debit(&mut self, who: &Id, amount: u64, cause: &str) -> Result<(), Refusal> {
        let account = self.account_mut(who)?;
        let Some(rest) = account.balance.checked_sub(amount) else {
            return refuse(
                ErrorCode::E503,
                format!(
                    "expected a balance of at least {amount}, found {}; earn or receive tokens first",
                    account.balance
                ),
            );
        };
        account.balance = rest;
        self.effects.push(Effect::Debited { account: *who, amount, cause: cause.to_owned() });
        Ok(())
    }

    fn burn(&mut self, amount: u64) -> Result<(), Refusal> {
        self.state.supply.burned = add(self.state.supply.burned, amount)?;
        self.effects.push(Effect::Burned { amount });
        Ok(())
    }

    fn change_stake(
        &mut self,
        id: &Id,
        who: &Id,
        cause: &str,
        change: impl FnOnce(u64) -> Result<u64, Refusal>,
    ) -> Result<(), Refusal> {
        let member = self.member_mut(id, who)?;
        let before = member.stake;
        let after = change(before)?;
        member.stake = after;
        self.effects.push(Effect::StakeChanged {
            space: *id,
            account: *who,
            before,
            after,
            cause: cause.to_owned(),
        });
        Ok(())
    }

    // Looking things up.

    fn account_mut(&mut self, id: &Id) -> Result<&mut Account, Refusal> {
        account(self.state, id)?;
        // Present, by the line above.
        Ok(self.state.accounts.entry(*id).or_insert_with(|| Account::new(*id)))
    }

    fn space(&self, id: &Id) -> Result<&Space, Refusal> {
        self.state.spaces.get(id).ok_or_else(no_space)
    }

    fn space_mut(&mut self, id: &Id) -> Result<&mut Space, Refusal> {
        self.state.spaces.get_mut(id).ok_or_else(no_space)
    }

    fn round_mut(&mut self, id: &Id, number: u64) -> Result<&mut Round, Refusal> {
        let rounds = &mut self.space_mut(id)?.rounds.0;
        rounds
            .iter_mut()
            .find(|round| round.number == number)
            .map(Arc::make_mut)
            .ok_or_else(|| conflict("a round that still matters", "an older one"))
    }

    fn member(&self, id: &Id, who: &Id) -> Result<&Member, Refusal> {
        self.space(id)?.members.get(who).ok_or_else(no_member)
    }

    fn member_mut(&mut self, id: &Id, who: &Id) -> Result<&mut Member, Refusal> {
        self.space_mut(id)?.members.get_mut(who).ok_or_else(no_member)
    }
}

impl Account {
    fn new(key: Id) -> Account {
        Account { key: Some(key), former_keys: Vec::new(), nonce: 0, balance: 0 }
    }
}

/// Whether one more member may hold the minimum stake. Whoever holds less takes up no place, so that places cannot be
/// kept for nothing.
fn room(space: &Space) -> Result<(), Refusal> {
    let most = space.spec.policy.maximum_members;
    if space.places() < most as usize {
        return Ok(());
    }
    refuse(ErrorCode::E503, format!("expected room for a member, found {most} of {most}; ask the operator"))
}

fn no_space() -> Refusal {
    Refusal::new(
        ErrorCode::E201,
        "expected a space of this node, found another; `weightproof spaces` lists them",
    )
}

fn no_member() -> Refusal {
    Refusal::new(
        ErrorCode::E503,
        "expected a member of the space, found an account that has not joined; `weightproof join` first",
    )
}

/// Sums are of tokens that exist or are about to; past 64 bits the event is refused.
fn add(one: u64, other: u64) -> Result<u64, Refusal> {
    one.checked_add(other)
        .ok_or_else(|| Refusal::new(ErrorCode::E503, "expected a sum below 2^64, found a larger one"))
}

/// Thousandths of an amount, rounded down.
fn share(amount: u64, permille: u16) -> u64 {
    // At most the amount.
    (u128::from(amount) * u128::from(permille.min(1000)) / 1000) as u64
}
