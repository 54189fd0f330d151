//! What a space asks of its members and pays them.
use weightproof_circuits::error::ErrorCode;

use crate::canonical::canonical;
use crate::refusal::Refusal;

/// Most rounds that a contribution may be late.
pub const MAXIMUM_STALENESS: usize = 16;
/// Largest integer weight of a contribution.
pub const MAXIMUM_WEIGHT: u32 = 1 << 16;

canonical! {
    /// The rules of one space. Amounts are whole tokens, times are seconds, shares are thousandths.
    pub struct Policy {
        /// Whether there are tokens at all. Without them every amount below is zero.
        pub tokens: bool,
        /// Stake that a member must hold to contribute.
        pub minimum_stake: u64,
        /// Part of the stake that a signed contribution with an invalid proof forfeits.
        pub bond: u64,
        /// Share of the stake that signed equivocation costs.
        pub slash_permille: u16,
        /// Cost of missing a round after its batches were drawn; the n-th miss in a row costs n times this, up to eight.
        pub miss_cost: u64,
        /// Reward for one example proven, before the factors.
        pub reward_per_example: u64,
        /// Most that one round may mint.
        pub emission: u64,
        /// Rounds after which the emission halves; 0: never.
        pub halving_rounds: u64,
        /// Share of a reward that is burned.
        pub burn_permille: u16,
        /// Share of a reward that the operator gets.
        pub fee_permille: u16,
        /// Burned for a transfer.
        pub transfer_fee: u64,
        /// Accepted contributions after which a member earns the whole rate; it begins at half. 0: at once.
        pub reputation_contributions: u32,
        /// How much a change of validation accuracy changes the reward: thousandths of the rate for each thousandth.
        pub improvement_gain: u32,
        /// Largest loss of validation accuracy that one contribution may cause; a larger one is E603.
        pub maximum_drop_permille: u16,
        /// How long a round takes contributions.
        pub round_seconds: u64,
        /// Whether a round closes as soon as every admitted member has contributed.
        pub close_when_complete: bool,
        /// Datasets that must be registered before a round opens.
        pub minimum_datasets: u32,
        /// Most members.
        pub maximum_members: u32,
        /// Fewest rows of a dataset.
        pub minimum_rows: u64,
        /// Integer weight of a contribution that is 0, 1, … rounds late; later ones are refused.
        pub weights: Vec<u32>,
        /// Largest magnitude of an update's integers; a larger one is E601.
        pub maximum_update: u64,
        /// How long unstaked tokens stay within reach of evidence.
        pub unbonding_seconds: u64,
        /// How long after a round opened evidence about it is heard.
        pub evidence_seconds: u64,
        /// Whether contributions under the sigma seal are taken.
        pub sigma: bool,
        /// Whether contributions under the halo2 seal are taken.
        pub halo2: bool,
    }
}

impl Policy {
    /// No tokens: contributions are verified, applied and logged, and nothing is paid or staked.
    pub fn without_tokens() -> Policy {
        Policy {
            tokens: false,
            minimum_stake: 0,
            bond: 0,
            slash_permille: 0,
            miss_cost: 0,
            reward_per_example: 0,
            emission: 0,
            halving_rounds: 0,
            burn_permille: 0,
            fee_permille: 0,
            transfer_fee: 0,
            reputation_contributions: 0,
            improvement_gain: 0,
            maximum_drop_permille: 1000,
            round_seconds: 300,
            close_when_complete: true,
            minimum_datasets: 1,
            maximum_members: 1_000,
            minimum_rows: 1,
            weights: vec![1],
            // An update of 2^40 grid units is a weight moved by 2^40/2^weight_bits, at least 1.
            maximum_update: 1 << 40,
            unbonding_seconds: 0,
            evidence_seconds: 0,
            sigma: true,
            halo2: true,
        }
    }

    /// Tokens with moderate figures, to be adapted.
    pub fn with_tokens() -> Policy {
        Policy {
            tokens: true,
            minimum_stake: 1_000,
            bond: 100,
            slash_permille: 500,
            miss_cost: 0,
            reward_per_example: 1,
            emission: 1_000_000,
            halving_rounds: 10_000,
            burn_permille: 10,
            fee_permille: 20,
            transfer_fee: 1,
            reputation_contributions: 10,
            improvement_gain: 0,
            unbonding_seconds: 14 * 86_400,
            evidence_seconds: 7 * 86_400,
            ..Policy::without_tokens()
        }
    }

    /// Every rule that the figures must keep, or the first that they break.
    ///
    /// # Errors
    /// `E103`, naming the key, what was expected and what was found.
    pub fn check(&self) -> Result<(), Refusal> {
        let wrong = |key: &str, expected: String, found: String| {
            Err(Refusal::new(
                ErrorCode::E103,
                format!("policy.{key}: expected {expected}, found {found}; change the space's policy"),
            ))
        };
        let permille = [
            ("slash_permille", self.slash_permille),
            ("burn_permille", self.burn_permille),
            ("fee_permille", self.fee_permille),
            ("maximum_drop_permille", self.maximum_drop_permille),
        ];
        for (key, value) in permille {
            if value > 1000 {
                return wrong(key, "at most 1000 thousandths".into(), value.to_string());
            }
        }
        if self.burn_permille + self.fee_permille > 1000 {
            let sum = self.burn_permille + self.fee_permille;
            return wrong(
                "burn_permille",
                "with fee_permille at most 1000 thousandths".into(),
                sum.to_string(),
            );
        }
        if self.bond > self.minimum_stake {
            return wrong(
                "bond",
                format!("at most minimum_stake {}", self.minimum_stake),
                self.bond.to_string(),
            );
        }
        // Evidence must never come after the stake is gone.
        if self.tokens && self.unbonding_seconds <= self.evidence_seconds {
            let expected = format!("more than evidence_seconds {}", self.evidence_seconds);
            return wrong("unbonding_seconds", expected, self.unbonding_seconds.to_string());
        }
        let times = [
            ("unbonding_seconds", self.unbonding_seconds),
            ("evidence_seconds", self.evidence_seconds),
            ("round_seconds", self.round_seconds),
        ];
        for (key, value) in times {
            if value > MAXIMUM_SECONDS {
                return wrong(key, format!("at most {MAXIMUM_SECONDS}"), value.to_string());
            }
        }
        if self.round_seconds == 0 {
            return wrong("round_seconds", "at least 1".into(), "0".into());
        }
        if !(1..=MAXIMUM_STALENESS + 1).contains(&self.weights.len())
            || self.weights.iter().any(|weight| !(1..=MAXIMUM_WEIGHT).contains(weight))
            || !self.weights.is_sorted_by(|earlier, later| earlier >= later)
        {
            let expected = format!(
                "1 to {} weights of 1 to {MAXIMUM_WEIGHT} that do not grow with lateness",
                MAXIMUM_STALENESS + 1
            );
            return wrong("weights", expected, format!("{:?}", self.weights));
        }
        if self.maximum_update == 0 || self.maximum_update > MAXIMUM_UPDATE {
            return wrong(
                "maximum_update",
                format!("1 to {MAXIMUM_UPDATE}"),
                self.maximum_update.to_string(),
            );
        }
        if self.minimum_datasets == 0 || self.minimum_datasets > self.maximum_members {
            let expected = format!("1 to maximum_members {}", self.maximum_members);
            return wrong("minimum_datasets", expected, self.minimum_datasets.to_string());
        }
        if self.maximum_members > MAXIMUM_MEMBERS {
            return wrong(
                "maximum_members",
                format!("at most {MAXIMUM_MEMBERS}"),
                self.maximum_members.to_string(),
            );
        }
        // The sum of a round, from zero, stays inside 64 bits: one update of every member for each lateness.
        let weights: u128 = self.weights.iter().map(|weight| u128::from(*weight)).sum();
        let sum = weights * u128::from(self.maximum_members) * u128::from(self.maximum_update);
        if sum > MAXIMUM_SUM {
            let expected = "with the sum of weights and maximum_members a product of at most 2^62".into();
            return wrong("maximum_update", expected, self.maximum_update.to_string());
        }
        if self.minimum_rows == 0 {
            return wrong("minimum_rows", "at least 1".into(), "0".into());
        }
        if !self.sigma && !self.halo2 {
            return wrong("sigma", "at least one seal to be taken".into(), "none".into());
        }
        let amounts = [
            self.minimum_stake,
            self.miss_cost,
            self.reward_per_example,
            self.emission,
            self.transfer_fee,
            u64::from(self.improvement_gain),
        ];
        if !self.tokens && amounts.iter().any(|amount| *amount > 0) {
            return wrong(
                "tokens",
                "true, or no stake, cost, reward, emission or fee".into(),
                "false".into(),
            );
        }
        if amounts.iter().any(|amount| *amount > MAXIMUM_AMOUNT) {
            return wrong("emission", format!("amounts of at most {MAXIMUM_AMOUNT}"), "a larger one".into());
        }
        Ok(())
    }

    /// What a round may mint.
    pub fn emission_of(&self, round: u64) -> u64 {
        match round.checked_div(self.halving_rounds) {
            None => self.emission,
            Some(halvings) if halvings < 64 => self.emission >> halvings,
            Some(_) => 0,
        }
    }
}

/// Longest time in a policy: a century.
pub const MAXIMUM_SECONDS: u64 = 100 * 366 * 86_400;
/// Largest single amount in a policy, so that sums of rewards stay far inside 64 bits.
pub const MAXIMUM_AMOUNT: u64 = 1 << 48;
/// Largest magnitude of an update that a policy may allow.
pub const MAXIMUM_UPDATE: u64 = 1 << 46;
/// Largest magnitude of the sum of a round, and so of how far it may move one integer of the model.
pub const MAXIMUM_SUM: u128 = 1 << 62;
/// Most members that a space may allow.
pub const MAXIMUM_MEMBERS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_the_rules_and_every_rule_can_be_broken() {
        assert_eq!(Policy::with_tokens().check(), Ok(()));
        assert_eq!(Policy::without_tokens().check(), Ok(()));
        type Change = fn(&mut Policy);
        let cases: [(&str, Change); 19] = [
            ("slash_permille", |p| p.slash_permille = 1001),
            ("burn_permille", |p| (p.burn_permille, p.fee_permille) = (500, 501)),
            ("fee_permille", |p| p.fee_permille = 1001),
            ("maximum_drop_permille", |p| p.maximum_drop_permille = 1001),
            ("bond", |p| p.bond = p.minimum_stake + 1),
            ("unbonding_seconds", |p| p.unbonding_seconds = p.evidence_seconds),
            ("round_seconds", |p| p.round_seconds = 0),
            ("round_seconds", |p| p.round_seconds = u64::MAX),
            ("weights", |p| p.weights = vec![]),
            ("weights", |p| p.weights = vec![1, 2]),
            ("weights", |p| p.weights = vec![1; 18]),
            ("maximum_update", |p| p.maximum_update = 0),
            ("maximum_update", |p| p.maximum_update = MAXIMUM_UPDATE + 1),
            ("maximum_update", |p| (p.maximum_update, p.weights) = (MAXIMUM_UPDATE, vec![MAXIMUM_WEIGHT])),
            ("minimum_datasets", |p| p.minimum_datasets = 0),
            ("maximum_members", |p| p.maximum_members = u32::MAX),
            ("sigma", |p| (p.sigma, p.halo2) = (false, false)),
            ("tokens", |p| p.tokens = false),
            ("emission", |p| p.emission = u64::MAX),
        ];
        for (key, change) in cases {
            let mut policy = Policy::with_tokens();
            change(&mut policy);
            let refusal = policy.check().unwrap_err();
            assert!(refusal.message.starts_with(&format!("policy.{key}:")), "{key}: {refusal}");
        }
    }

    #[test]
    fn emission_halves() {
        let mut policy = Policy::with_tokens();
        (policy.emission, policy.halving_rounds) = (100, 10);
        assert_eq!([0, 9, 10, 25, 640].map(|round| policy.emission_of(round)), [100, 100, 50, 25, 0]);
        policy.halving_rounds = 0;
        assert_eq!(policy.emission_of(u64::MAX), 100);
    }
}
