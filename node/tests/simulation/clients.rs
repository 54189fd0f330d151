//! What clients do: they join, stake, register, contribute and retry until they are told for good.
use std::collections::BTreeMap;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::statement::{MODE_OPEN, PROTOCOL_VERSION, SEAL_SIGMA, Statement};
use weightproof_ledger::Id;
use weightproof_ledger::action::{Action, Envelope, Possession, SignedSubmission, Submission};
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::log::{Checkpoint, VerifierKey, empty_root, verify_consistency};
use weightproof_ledger::signed::Message as _;
use weightproof_ledger::state::{Round, Space, State};

use crate::Checked;
use crate::scenario::{ORIGIN, account, key, node_key, program};
use crate::world::{Acknowledged, Answer, Expect, Letter, Request, World, brief, file};

/// A question that is asked until it is answered.
#[derive(Clone, Debug)]
struct Pending {
    number: u64,
    request: Request,
    sent: u64,
}

#[derive(Clone, Debug)]
pub struct Client {
    pub number: usize,
    pub account: Id,
    pub hostile: bool,
    pub cut_until: u64,
    /// Its keys, and the place of the one that the node knows.
    keys: Vec<SigningKey>,
    current: Option<usize>,
    /// The entry of its last acknowledged action: an older view does not know of it.
    acted: u64,
    nonce: u64,
    letters: u64,
    /// The newest state that it saw, with size and root of the log that it is of.
    pub view: Option<Arc<State>>,
    seen: (u64, Id),
    pending: Option<Pending>,
    /// What it trains on now.
    data: u64,
    /// Rounds of which one must be acknowledged yet, at least, for each space.
    pub goals: BTreeMap<Id, u64>,
}

impl Client {
    pub fn new(number: usize, hostile: bool) -> Client {
        Client {
            number,
            account: account(number),
            hostile,
            cut_until: 0,
            keys: vec![key(number, 0)],
            current: Some(0),
            acted: 0,
            nonce: 0,
            letters: 0,
            view: None,
            seen: (0, empty_root()),
            pending: None,
            data: 0,
            goals: BTreeMap::new(),
        }
    }

    pub fn is_done(&self, spaces: &[Id]) -> bool {
        spaces.iter().all(|space| self.goals.get(space) == Some(&0))
    }

    /// The key that the node knows, as far as the client knows; the first one where there is none any more.
    pub fn key(&self) -> &SigningKey {
        &self.keys[self.current.unwrap_or(0)]
    }

    pub fn is_revoked(&self) -> bool {
        self.current.is_none()
    }

    fn place(&self, key: &Id) -> Option<usize> {
        self.keys.iter().position(|own| own.verifying_key().to_bytes() == *key)
    }

    fn see(&mut self, state: &Arc<State>) {
        if state.entries > self.acted
            && let Some(account) = state.accounts.get(&self.account)
        {
            self.current = account.key.and_then(|key| self.place(&key));
        }
        self.view = Some(Arc::clone(state));
    }

    pub fn envelope(&mut self, seconds: u64, validity: u64, action: Action) -> Request {
        self.nonce += 1 + self.nonce % 3;
        let network = node_key().verifying_key().to_bytes();
        let envelope = Envelope {
            network,
            account: self.account,
            nonce: self.nonce,
            expires: seconds + validity,
            action,
        };
        let signature = envelope.sign(self.key());
        Request::Act(Box::new(envelope), signature)
    }

    pub fn letter(&mut self, request: Request, expect: Expect) -> Letter {
        self.letters += 1;
        Letter { from: self.number, number: self.letters, request, expect }
    }

    pub fn root(&self, space: &Id) -> Id {
        Sha256::new()
            .chain_update(self.account)
            .chain_update(space)
            .chain_update(self.data.to_le_bytes())
            .finalize()
            .into()
    }
}

/// What an account may truthfully say about a round; nothing if it was not drawn.
pub fn statement(space: &Id, of: &Space, round: &Round, who: &Id, update: &Parameters) -> Option<Statement> {
    let dataset = round.admitted.get(who)?;
    Some(Statement {
        protocol_version: PROTOCOL_VERSION,
        seal: SEAL_SIGMA,
        seal_key_digest: [0; 32],
        mode: MODE_OPEN,
        space: *space,
        round: round.number,
        beacon: round.beacon,
        program_digest: of.program_digest,
        dataset_root: dataset.root,
        dataset_rows: dataset.rows,
        model_version: round.version,
        model_digest: round.digest,
        update_digest: update.digest(&program()).ok()?,
        contributor: *who,
        payout: Vec::new(),
    })
}

pub fn submission(statement: &Statement, file: &[u8], key: &SigningKey) -> SignedSubmission {
    let submission = Submission {
        network: node_key().verifying_key().to_bytes(),
        statement: Bytes(statement.encode()),
        file_digest: Sha256::digest(file).into(),
        file_length: file.len() as u64,
    };
    let signature = submission.sign(key);
    SignedSubmission { submission, signature }
}

/// Whether a round still takes this account's contribution, as far as a state knows.
pub fn takes(space: &Space, round: &Round, who: &Id) -> bool {
    let settled =
        round.accepted.contains_key(who) || round.forfeited.contains(who) || round.slashed.contains(who);
    let late = space.open_round().map(|open| (open.number - round.number) as usize);
    late.is_some_and(|late| late < space.spec.policy.weights.len())
        && round.number > space.reverted
        && round.admitted.contains_key(who)
        && !settled
}

impl World {
    /// A client looks, sends again what was not answered, or does mischief.
    pub fn wake(&mut self, number: usize) {
        let again = self.random.between(2_000, 9_000);
        let clock = self.clock;
        let client = &mut self.clients[number];
        let signer = client.key().clone();
        if let Some(pending) = &mut client.pending
            && clock > pending.sent + again
        {
            pending.sent = clock;
            if let Request::Contribute(signed, file) = &mut pending.request
                && self.random.chance(200)
            {
                // It started again and proved anew: another file for the same statement.
                file[33] += 1;
                let submission =
                    Submission { file_digest: Sha256::digest(&*file).into(), ..signed.submission.clone() };
                let signature = submission.sign(&signer);
                **signed = SignedSubmission { submission, signature };
            }
            let letter = Letter {
                from: number,
                number: pending.number,
                request: pending.request.clone(),
                expect: Expect::Anything,
            };
            self.send(letter);
        }
        let client = &mut self.clients[number];
        let look = Request::Look(client.seen.0);
        let letter = client.letter(look, Expect::Anything);
        self.send(letter);
        if self.clients[number].hostile && self.random.chance(700) {
            self.attack(number);
        }
    }

    /// An answer arrives, perhaps late, perhaps again.
    pub fn hear(&mut self, number: usize, letter: u64, answer: Answer) -> Checked {
        let pending = self.clients[number].pending.clone().filter(|pending| pending.number == letter);
        match answer {
            Answer::View(snapshot, since, proof) => {
                let client = &mut self.clients[number];
                if since != client.seen.0 || snapshot.size < since {
                    return Ok(());
                }
                if snapshot.size > since {
                    let key = VerifierKey::new(ORIGIN, node_key().verifying_key())
                        .map_err(|error| error.to_string())?;
                    let checkpoint = Checkpoint::open(&*snapshot.checkpoint, ORIGIN, &key)
                        .map_err(|error| error.to_string())?;
                    verify_consistency(since, &client.seen.1, checkpoint.size(), checkpoint.root(), &proof)
                        .map_err(|error| format!("client {number}: {error}"))?;
                    client.seen = (checkpoint.size(), *checkpoint.root());
                    client.see(&snapshot.state);
                }
                if client.pending.is_none() && client.view.is_some() {
                    self.plan(number);
                }
                Ok(())
            }
            Answer::Logged(logged) => {
                if let Some(Pending { request: Request::Act(envelope, _), .. }) = &pending {
                    self.acknowledge(number, Acknowledged::Action(envelope.digest(), logged))?;
                    let client = &mut self.clients[number];
                    client.pending = None;
                    client.acted = logged.entry;
                    if let Action::RotateKey { key, .. } = &envelope.action {
                        client.current = client.place(key);
                    }
                }
                Ok(())
            }
            Answer::Receipt(receipt) => {
                if let Some(Pending { request: Request::Contribute(signed, _), .. }) = &pending {
                    let statement = crate::auditor::statement(signed)?;
                    if statement.digest() != receipt.receipt.statement_digest {
                        return Err(format!("client {number} gets another statement's receipt"));
                    }
                    if !self.clients[number].hostile && receipt.receipt.verdict != 0 {
                        return Err(format!(
                            "client {number} is honest and was refused: {:?}",
                            receipt.receipt
                        ));
                    }
                    if self.healed
                        && let Some(goal) = self.clients[number].goals.get_mut(&statement.space)
                        && statement.round >= *goal
                    {
                        *goal = 0;
                    }
                }
                // Whatever the node ever said about a contribution must hold, also to those who did not ask.
                self.acknowledge(number, Acknowledged::Receipt(receipt))?;
                if pending.is_some() {
                    self.clients[number].pending = None;
                }
                Ok(())
            }
            Answer::Refused(refusal) => self.refused(number, pending, &refusal.code, &refusal.message),
        }
    }

    fn acknowledge(&mut self, number: usize, acknowledged: Acknowledged) -> Checked {
        self.check_acknowledged(&acknowledged).map_err(|text| format!("client {number}: {text}"))?;
        self.acknowledged.push(acknowledged);
        self.count("acknowledged");
        Ok(())
    }

    fn refused(
        &mut self,
        number: usize,
        pending: Option<Pending>,
        code: &ErrorCode,
        message: &str,
    ) -> Checked {
        use ErrorCode::{E402, E501, E502, E503, E505};
        let Some(pending) = pending else { return Ok(()) };
        let honest = !self.clients[number].hostile;
        let fair = match &pending.request {
            _ if *code == E505 => return Ok(()),
            Request::Act(envelope, _) => {
                // A clock that jumps back may still take it: it is over when that cannot be any more.
                if *code == E402 && self.seconds() <= envelope.expires + 10 {
                    return Ok(());
                }
                if *code == E502 && matches!(envelope.action, Action::RegisterDataset { .. }) {
                    // Somebody was faster with this root: others, with fresh salts.
                    self.clients[number].data += 1;
                }
                matches!(code, E402 | E501 | E502 | E503)
            }
            // Too late, or with too little at stake after misses.
            Request::Contribute(..) => matches!(code, ErrorCode::E203 | E503),
            Request::Look(_) => true,
        };
        if honest && !fair {
            return Err(format!(
                "client {number} is honest, and {} was refused: {code} {message}",
                brief(&pending.request)
            ));
        }
        self.clients[number].pending = None;
        Ok(())
    }

    /// What an honest client would do next.
    fn plan(&mut self, number: usize) {
        let Some(state) = self.clients[number].view.clone() else { return };
        let mut spaces = self.spaces.clone();
        if self.random.chance(500) {
            spaces.reverse();
        }
        let request = spaces
            .iter()
            .find_map(|space| self.duty(number, &state, space))
            .or_else(|| self.pastime(number, &state));
        if let Some(request) = request {
            let sent = self.clock;
            let client = &mut self.clients[number];
            let letter = client.letter(request.clone(), Expect::Anything);
            client.pending = Some(Pending { number: letter.number, request, sent });
            self.send(letter);
        }
    }

    fn duty(&mut self, number: usize, state: &State, id: &Id) -> Option<Request> {
        let space = state.spaces.get(id)?;
        let policy = &space.spec.policy;
        let seconds = self.seconds();
        let validity = self.random.between(20, 600);
        let client = &mut self.clients[number];
        let balance = state.accounts.get(&client.account).map_or(0, |account| account.balance);
        let spare = if policy.tokens { 300 } else { 0 };
        let Some(member) = space.members.get(&client.account) else {
            let stake = policy.minimum_stake + spare;
            return Some(client.envelope(seconds, validity, Action::Join { space: *id, stake }));
        };
        if member.stake < policy.minimum_stake && balance > policy.minimum_stake + spare {
            let amount = policy.minimum_stake - member.stake + spare;
            return Some(client.envelope(seconds, validity, Action::Stake { space: *id, amount }));
        }
        if member.dataset.is_none() {
            return Some(self.register(number, id));
        }
        let client = &self.clients[number];
        let round = space.rounds.0.iter().rev().find(|round| takes(space, round, &client.account))?;
        // Sometimes it is slow, and late.
        if !self.healed && self.random.chance(300) {
            return None;
        }
        let update = self.scenario.training.update(number, round.number);
        let mut statement = statement(id, space, round, &client.account, &update)?;
        // Some let another account have the reward.
        if (number as u64 + round.number).is_multiple_of(4) {
            statement.payout = account(0).to_vec();
        }
        let file = file(&statement, true, 0, &update);
        let signed = submission(&statement, &file, client.key());
        self.truth.sign(&statement, true);
        Some(Request::Contribute(Box::new(signed), file))
    }

    fn register(&mut self, number: usize, id: &Id) -> Request {
        let (seconds, validity, rows) =
            (self.seconds(), self.random.between(20, 600), self.random.between(10, 600));
        let client = &mut self.clients[number];
        let root = client.root(id);
        client.envelope(seconds, validity, Action::RegisterDataset { space: *id, root, rows })
    }

    fn pastime(&mut self, number: usize, state: &State) -> Option<Request> {
        if !self.random.chance(250) {
            return None;
        }
        let id = *self.random.pick(&self.spaces)?;
        let space = state.spaces.get(&id)?;
        let (seconds, validity) = (self.seconds(), self.random.between(20, 600));
        let member = space.members.get(&self.clients[number].account)?;
        let balance = state.accounts.get(&self.clients[number].account)?.balance;
        let small = self.random.between(1, 50);
        let action = match self.random.below(7) {
            0 if balance > 500 => {
                let to = account(self.random.below(self.clients.len() as u64) as usize);
                if to == self.clients[number].account {
                    return None;
                }
                Action::Transfer { to, amount: small }
            }
            1 if member.stake > space.spec.policy.minimum_stake + small => {
                Action::Unstake { space: id, amount: small }
            }
            2 if space.spec.policy.tokens && balance > 500 => Action::Stake { space: id, amount: small },
            3 => {
                let client = &mut self.clients[number];
                let new = key(number, client.keys.len() as u64);
                let possession = Possession {
                    network: node_key().verifying_key().to_bytes(),
                    account: client.account,
                    key: new.verifying_key().to_bytes(),
                };
                let proof = possession.sign(&new);
                client.keys.push(new);
                Action::RotateKey { key: possession.key, proof }
            }
            4 => {
                self.clients[number].data += 1;
                return Some(self.register(number, &id));
            }
            5 | 6 => {
                let (first, second) = self.random.pick(&self.evidence)?.clone();
                Action::ReportEquivocation { first, second }
            }
            _ => return None,
        };
        Some(self.clients[number].envelope(seconds, validity, action))
    }
}
