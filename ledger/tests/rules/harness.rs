//! A world to play in: a node, accounts with keys that everybody knows, a space with a real program, and statements that
//! claim what they like. The ledger never sees a proof.
use ed25519_dalek::SigningKey;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::{MODE_OPEN, PROTOCOL_VERSION, SEAL_SIGMA, Statement};
use weightproof_ledger::Id;
use weightproof_ledger::action::{Action, Envelope, Possession, SignedSubmission, Submission};
use weightproof_ledger::canonical::{Bytes, Canonical};
use weightproof_ledger::event::{Effect, Entry, Event, Outcome, SpaceSpec};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::signed::Message;
use weightproof_ledger::state::{Member, Round, Space, State};
use weightproof_ledger::step::{space_id, step};

pub const NODE: u8 = 200;
pub const OPERATOR: u8 = 201;
/// Accounts 1 to 4 have this much at the beginning; every other account is unknown.
pub const BALANCE: u64 = 100_000;
pub const BEGINNING: u64 = 1_800_000_000;

pub fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub fn id(number: u8) -> Id {
    key(number).verifying_key().to_bytes()
}

pub fn root(number: u8) -> Id {
    [number ^ 0x5a; 32]
}

pub fn policy() -> Policy {
    Policy {
        weights: vec![4, 2, 1],
        miss_cost: 10,
        round_seconds: 300,
        unbonding_seconds: 2_000,
        evidence_seconds: 1_500,
        maximum_members: 4,
        minimum_rows: 10,
        ..Policy::with_tokens()
    }
}

pub fn spec(name: &str, policy: Policy) -> SpaceSpec {
    let program = Program::default_for(3, 2).unwrap();
    SpaceSpec {
        name: name.to_owned(),
        program: Bytes(program.encode()),
        seed: [7; 32],
        schema: Bytes(b"{}".to_vec()),
        validation: None,
        policy,
    }
}

pub fn possession(account: u8, new: u8) -> [u8; 64] {
    Possession { network: id(NODE), account: id(account), key: id(new) }.sign(&key(new))
}

#[derive(Clone)]
pub struct World {
    pub state: State,
    pub log: Vec<Vec<u8>>,
    pub now: u64,
    pub space: Id,
}

impl World {
    /// Genesis alone.
    pub fn genesis() -> World {
        let mut world = World { state: State::empty(), log: Vec::new(), now: BEGINNING, space: [0; 32] };
        let allocations = (1..=4).map(|number| (id(number), BALANCE)).collect();
        world.take(Event::Genesis { network: id(NODE), operator: id(OPERATOR), allocations });
        world
    }

    /// A space without members.
    pub fn with(policy: Policy) -> World {
        let mut world = World::genesis();
        let spec = spec("space", policy);
        world.space = space_id(&id(NODE), &spec);
        world.take(Event::CreateSpace { spec });
        world
    }

    /// Members 1 to 3 with a stake of 5000, of whom 1 and 2 have datasets; round 1 is open.
    pub fn new() -> World {
        World::under(policy())
    }

    /// As [`World::new`] under another policy.
    pub fn under(policy: Policy) -> World {
        let mut world = World::with(policy);
        for number in 1..=3 {
            world.act(number, Action::Join { space: world.space, stake: 5_000 });
        }
        world.register(1, 1);
        world.register(2, 2);
        world.open();
        world
    }

    /// Plays an event that must be taken.
    #[track_caller]
    pub fn take(&mut self, event: Event) -> Vec<Effect> {
        self.attempt(event).unwrap()
    }

    /// Plays an event; a taken one is checked and logged, a refused one changes nothing.
    pub fn attempt(&mut self, event: Event) -> Result<Vec<Effect>, weightproof_ledger::Refusal> {
        let before = self.state.digest();
        match step(&self.state, &event, self.now) {
            Ok((next, effects)) => {
                let entry =
                    Entry { index: self.state.entries, time: next.time, event, effects: effects.clone() };
                let bytes = entry.encode();
                // What is logged can be read again.
                assert_eq!(Entry::decode(&bytes, "entry").unwrap(), entry);
                self.log.push(bytes);
                self.state = next;
                self.state.check_invariants().unwrap();
                Ok(effects)
            }
            Err(refusal) => {
                assert_eq!(self.state.digest(), before);
                Err(refusal)
            }
        }
    }

    /// The code and message with which an event is refused; nothing changes.
    #[track_caller]
    pub fn refused(&self, event: &Event) -> (ErrorCode, String) {
        let before = self.state.encode();
        let refusal =
            step(&self.state, event, self.now).map(|(_, effects)| effects).expect_err("the event is refused");
        assert_eq!(self.state.encode(), before);
        (refusal.code, refusal.message)
    }

    #[track_caller]
    pub fn code(&self, event: &Event) -> ErrorCode {
        self.refused(event).0
    }

    pub fn envelope(&self, who: u8, action: Action) -> Envelope {
        let nonce = self.state.accounts.get(&id(who)).map_or(1, |account| account.nonce + 1);
        Envelope { network: id(NODE), account: id(who), nonce, expires: self.now + 60, action }
    }

    pub fn action(&self, who: u8, action: Action) -> Event {
        signed(self.envelope(who, action), who)
    }

    #[track_caller]
    pub fn act(&mut self, who: u8, action: Action) -> Vec<Effect> {
        self.take(self.action(who, action))
    }

    #[track_caller]
    pub fn register(&mut self, who: u8, data: u8) {
        self.act(who, Action::RegisterDataset { space: self.space, root: root(data), rows: 569 });
    }

    #[track_caller]
    pub fn open(&mut self) {
        self.take(self.opening());
    }

    pub fn opening(&self) -> Event {
        Event::OpenRound { space: self.space, randomness: [self.space().round_count as u8; 32] }
    }

    /// Lets the round's time pass and closes it.
    #[track_caller]
    pub fn close(&mut self) -> Vec<Effect> {
        self.now = self.now.max(self.space().open_round().map_or(0, |round| round.closes));
        self.take(self.closing())
    }

    pub fn closing(&self) -> Event {
        Event::CloseRound { space: self.space }
    }

    pub fn space(&self) -> &Space {
        &self.state.spaces[&self.space]
    }

    pub fn member(&self, who: u8) -> &Member {
        &self.space().members[&id(who)]
    }

    pub fn balance(&self, who: u8) -> u64 {
        self.state.accounts.get(&id(who)).map_or(0, |account| account.balance)
    }

    pub fn round(&self, number: u64) -> &Round {
        self.space().round(number).unwrap()
    }

    /// A statement that an account may make about a round.
    pub fn statement(&self, who: u8, round: u64, update: u8) -> Statement {
        let space = self.space();
        let round = space.round(round).unwrap();
        let dataset = round.admitted.get(&id(who));
        Statement {
            protocol_version: PROTOCOL_VERSION,
            seal: SEAL_SIGMA,
            seal_key_digest: [0; 32],
            mode: MODE_OPEN,
            space: self.space,
            round: round.number,
            beacon: round.beacon,
            program_digest: space.program_digest,
            dataset_root: dataset.map_or([0; 32], |dataset| dataset.root),
            dataset_rows: dataset.map_or(0, |dataset| dataset.rows),
            model_version: round.version,
            model_digest: round.digest,
            update_digest: [update; 32],
            contributor: id(who),
            payout: vec![],
        }
    }

    /// What account `who` signs about the open round.
    pub fn submission(&self, who: u8) -> SignedSubmission {
        submission(&self.statement(who, self.space().round_count, who), who)
    }

    /// What account `who` signs about a round of before.
    pub fn submission_to(&self, who: u8, round: u64) -> SignedSubmission {
        submission(&self.statement(who, round, who), who)
    }

    #[track_caller]
    pub fn contribute(&mut self, who: u8) -> Vec<Effect> {
        self.take(valid(self.submission(who)))
    }
}

pub fn signed(envelope: Envelope, signer: u8) -> Event {
    let signature = envelope.sign(&key(signer));
    Event::Signed { envelope, signature }
}

pub fn submission(statement: &Statement, signer: u8) -> SignedSubmission {
    let submission = Submission {
        network: id(NODE),
        statement: Bytes(statement.encode()),
        file_digest: [3; 32],
        file_length: 4,
    };
    let signature = submission.sign(&key(signer));
    SignedSubmission { submission, signature }
}

/// The verifier found the proof to hold.
pub fn valid(signed: SignedSubmission) -> Event {
    let candidate = signed.submission.digest();
    Event::Contribution { signed, outcome: Outcome::Valid { candidate, largest: 9, quality: None } }
}

/// The verifier found that it does not.
pub fn invalid(signed: SignedSubmission) -> Event {
    Event::Contribution { signed, outcome: Outcome::Invalid { code: 307 } }
}

pub fn report(first: SignedSubmission, second: SignedSubmission) -> Action {
    Action::ReportEquivocation { first, second }
}
