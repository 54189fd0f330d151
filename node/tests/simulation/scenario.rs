//! What a seed stands for: who takes part, under which rules, and how bad network and disk are.
use ed25519_dalek::SigningKey;
use weightproof_circuits::parameters::{LayerParameters, Parameters};
use weightproof_circuits::program::{Program, ProgramSpec};
use weightproof_ledger::Id;
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::policy::Policy;

use crate::random::Random;

/// Unix seconds when every simulation begins.
pub const BEGINNING: u64 = 1_800_000_000;
/// The log's name.
pub const ORIGIN: &str = "simulation.example/log";
pub const BALANCE: u64 = 100_000;

#[derive(Debug)]
pub struct Scenario {
    pub honest: usize,
    pub hostile: usize,
    pub specs: Vec<SpaceSpec>,
    /// What training gives.
    pub training: Training,
    /// Faults of the disk, lost and doubled messages, slow ones, and partitions: of a thousand.
    pub disk_faults: u64,
    pub loss: u64,
    pub doubled: u64,
    pub slow: u64,
    pub cut: u64,
    /// Seconds by which the node's clock may jump back.
    pub skew: u64,
    /// Seconds until everything heals.
    pub seconds: u64,
}

/// Training is a function of who trains and of the round, as it is where proofs hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Training {
    /// Every update is another.
    Distinct,
    /// Half of the accounts undo what the other half does, in every space alike: models come back, and spaces share them.
    Opposed,
}

impl Training {
    /// The true update.
    pub fn update(self, account: usize, round: u64) -> Parameters {
        let mut random = match self {
            Training::Distinct => Random::new(1 + account as u64 + (round << 16)),
            Training::Opposed => Random::new(1),
        };
        let sign = if self == Training::Opposed && account % 2 == 1 { -1 } else { 1 };
        let mut integer = || sign * (random.between(1, 2000) as i64);
        update((0..4).map(|_| integer()).collect())
    }
}

/// Two weights and two biases.
pub fn update(mut integers: Vec<i64>) -> Parameters {
    let biases = integers.split_off(2);
    Parameters { layers: vec![LayerParameters { inputs: 1, outputs: 2, weights: integers, biases }] }
}

/// The smallest program there is.
pub fn program() -> Program {
    let spec = Program::default_for(1, 2).map(|program| program.spec()).expect("a default");
    Program::validate(ProgramSpec { layers: vec![1, 2], ..spec }).expect("a valid program")
}

/// Account `number`'s key after so many rotations.
pub fn key(number: usize, generation: u64) -> SigningKey {
    let mut bytes = [number as u8 + 1; 32];
    bytes[..8].copy_from_slice(&generation.to_le_bytes());
    SigningKey::from_bytes(&bytes)
}

pub fn node_key() -> SigningKey {
    SigningKey::from_bytes(&[200; 32])
}

pub fn account(number: usize) -> Id {
    key(number, 0).verifying_key().to_bytes()
}

/// A stand-in for the accuracy of a model: of ten rows, so many.
pub fn accuracy(model: &Parameters) -> (u64, u64) {
    let sum: i64 = model.layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.biases)).sum();
    (sum.rem_euclid(11) as u64, 10)
}

impl Scenario {
    pub fn draw(random: &mut Random) -> Scenario {
        let opposed = random.chance(400);
        let count = if random.chance(400) { 2 } else { 1 };
        let one_seed = random.chance(500);
        let specs = (0..count)
            .map(|place| SpaceSpec {
                name: format!("space-{place}"),
                program: Bytes(program().encode()),
                // With one seed both spaces begin with the same model.
                seed: [if one_seed { 7 } else { 7 + place }; 32],
                schema: Bytes(b"{}".to_vec()),
                validation: random.chance(250).then_some([9; 32]),
                policy: policy(random),
            })
            .collect();
        let calm = random.chance(100);
        let bad = |random: &mut Random, most: u64| if calm { 0 } else { random.between(0, most) };
        Scenario {
            honest: random.between(3, 6) as usize,
            hostile: random.between(1, 3) as usize,
            specs,
            training: if opposed { Training::Opposed } else { Training::Distinct },
            disk_faults: bad(random, 120),
            loss: bad(random, 250),
            doubled: bad(random, 200),
            slow: bad(random, 150),
            cut: bad(random, 30),
            skew: bad(random, 3),
            seconds: random.between(90, 200),
        }
    }

    pub fn clients(&self) -> usize {
        self.honest + self.hostile
    }

    pub fn allocations(&self) -> Vec<(Id, u64)> {
        // Without tokens one account comes from nowhere.
        let tokens = self.specs.iter().any(|spec| spec.policy.tokens);
        (usize::from(!tokens)..self.clients()).map(|number| (account(number), BALANCE)).collect()
    }
}

fn policy(random: &mut Random) -> Policy {
    let shared = |random: &mut Random, base: Policy| Policy {
        round_seconds: random.between(12, 40),
        close_when_complete: random.chance(600),
        minimum_datasets: random.between(1, 2) as u32,
        maximum_members: 16,
        minimum_rows: 10,
        weights: [vec![1], vec![2, 1], vec![5, 2, 2]][random.below(3) as usize].clone(),
        maximum_update: 1 << 20,
        evidence_seconds: random.between(0, 90),
        ..base
    };
    if random.chance(250) {
        return shared(random, Policy::without_tokens());
    }
    let policy = shared(random, Policy::with_tokens());
    let minimum_stake = random.between(100, 1000);
    Policy {
        minimum_stake,
        bond: random.between(0, minimum_stake),
        slash_permille: random.between(0, 1000) as u16,
        miss_cost: random.below(2) * random.between(1, 40),
        reward_per_example: random.between(0, 3),
        // Some rounds use it up.
        emission: random.between(0, 4000),
        halving_rounds: random.below(6),
        burn_permille: random.between(0, 500) as u16,
        fee_permille: random.between(0, 500) as u16,
        transfer_fee: random.between(0, 3),
        reputation_contributions: random.below(5) as u32,
        improvement_gain: random.below(3) as u32,
        unbonding_seconds: policy.evidence_seconds + random.between(1, 60),
        ..policy
    }
}
