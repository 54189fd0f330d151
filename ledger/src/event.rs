//! What happens to a node, what follows from it, and how both are logged.
use crate::Id;
use crate::action::{Envelope, SignedSubmission};
use crate::canonical::{Bytes, canonical};
use crate::policy::Policy;

canonical! {
    /// A learning task.
    pub struct SpaceSpec {
        /// Its name: lower-case letters, digits and hyphens, at most 64.
        pub name: String,
        /// The program's canonical bytes.
        pub program: Bytes,
        /// Seed of the initial model.
        pub seed: Id,
        /// Columns, classes and standardisation constants that every holder applies: opaque to the rules, JSON to people.
        pub schema: Bytes,
        /// Digest of the operator's validation set, if the space has one.
        pub validation: Option<Id>,
        /// What it asks and pays.
        pub policy: Policy,
    }

    /// Accuracy on the space's validation set, in rows answered rightly.
    pub struct Quality {
        /// Of the model that the contribution would be added to.
        pub before: u64,
        /// Of that model with the contribution added.
        pub after: u64,
        /// Rows.
        pub rows: u64,
    }

    /// What the verifier found.
    pub enum Outcome {
        /// The proof holds.
        0 = Valid {
            /// Digest of the round's candidate with `weight · update` added.
            candidate: Id,
            /// Largest magnitude of the update's integers.
            largest: u64,
            /// On the validation set, if there is one.
            quality: Option<Quality>,
        },
        /// The proof does not hold: the number of its error code.
        1 = Invalid {
            /// Such as 307.
            code: u16,
        },
    }

    /// Something that happens.
    pub enum Event {
        /// The node's first event.
        0 = Genesis {
            /// The node's public key, by which its log is signed.
            network: Id,
            /// The account that fees go to.
            operator: Id,
            /// First balances.
            allocations: Vec<(Id, u64)>,
        },
        /// The operator opens a learning task.
        1 = CreateSpace {
            /// The task.
            spec: SpaceSpec,
        },
        /// An account acts.
        2 = Signed {
            /// What is asked.
            envelope: Envelope,
            /// By the account's key.
            signature: [u8; 64],
        },
        /// A round begins. The randomness is drawn after the last dataset that it admits was registered.
        3 = OpenRound {
            /// The space.
            space: Id,
            /// Fresh randomness.
            randomness: Id,
        },
        /// A submitted contribution was verified.
        4 = Contribution {
            /// What the contributor signed.
            signed: SignedSubmission,
            /// What the verifier found.
            outcome: Outcome,
        },
        /// A round ends and its candidate becomes the model.
        5 = CloseRound {
            /// The space.
            space: Id,
        },
        /// Unstaked tokens whose time has come become balances again.
        6 = Release {
            /// The space.
            space: Id,
        },
        /// The operator takes the model back to an earlier version, as a new version.
        7 = Revert {
            /// The space.
            space: Id,
            /// The version whose integers the new version has.
            version: u64,
            /// Why, for the record.
            reason: String,
        },
    }

    /// Something that followed from an event.
    pub enum Effect {
        /// A balance grew.
        0 = Credited {
            /// Whose.
            account: Id,
            /// By how much.
            amount: u64,
            /// Why.
            cause: String,
        },
        /// A balance shrank.
        1 = Debited {
            /// Whose.
            account: Id,
            /// By how much.
            amount: u64,
            /// Why.
            cause: String,
        },
        /// New tokens.
        2 = Minted {
            /// How many.
            amount: u64,
        },
        /// Tokens ended.
        3 = Burned {
            /// How many.
            amount: u64,
        },
        /// A stake changed.
        4 = StakeChanged {
            /// In which space.
            space: Id,
            /// Whose.
            account: Id,
            /// Staked before.
            before: u64,
            /// Staked after.
            after: u64,
            /// Why.
            cause: String,
        },
        /// A space was created.
        5 = SpaceCreated {
            /// Its identity.
            space: Id,
            /// Digest of its program.
            program_digest: Id,
            /// Digest of its initial model.
            model_digest: Id,
        },
        /// A round began.
        6 = RoundOpened {
            /// The space.
            space: Id,
            /// The round.
            round: u64,
            /// What chooses the batches.
            beacon: Id,
            /// Version of the base model.
            version: u64,
            /// Its digest.
            digest: Id,
            /// Unix seconds after which the round may close.
            closes: u64,
        },
        /// A contribution was accepted and is part of the round's candidate.
        7 = Accepted {
            /// The space.
            space: Id,
            /// The round whose beacon chose its batches.
            round: u64,
            /// Who made it.
            account: Id,
            /// Digest of its statement.
            statement_digest: Id,
            /// Its integer weight.
            weight: u32,
            /// What the payout account got.
            reward: u64,
        },
        /// A signed contribution's proof failed: the slot is lost, and the bond where there is one.
        8 = Forfeited {
            /// The space.
            space: Id,
            /// The round.
            round: u64,
            /// Whose slot.
            account: Id,
            /// The bond that was burned.
            amount: u64,
            /// Number of the error code.
            code: u16,
        },
        /// A member who signed two conflicting submissions was slashed.
        9 = Slashed {
            /// The space.
            space: Id,
            /// The round.
            round: u64,
            /// Who.
            account: Id,
            /// Burned.
            amount: u64,
        },
        /// A round ended.
        10 = RoundClosed {
            /// The space.
            space: Id,
            /// The round.
            round: u64,
            /// Version of the model from now on.
            version: u64,
            /// Its digest.
            digest: Id,
            /// Contributions in it.
            contributions: u64,
            /// Digest of the whole state after this entry's event.
            state: Id,
        },
        /// A model was taken back.
        11 = Reverted {
            /// The space.
            space: Id,
            /// The new version.
            version: u64,
            /// The version whose integers it has.
            to: u64,
            /// Digest of the model.
            digest: Id,
        },
        /// An account became a member.
        12 = Joined {
            /// The space.
            space: Id,
            /// Who.
            account: Id,
        },
        /// A dataset was registered.
        13 = DatasetRegistered {
            /// The space.
            space: Id,
            /// Whose.
            account: Id,
            /// Its root.
            root: Id,
            /// Its rows.
            rows: u64,
        },
        /// An account signs with another key from now on, or not at all.
        14 = KeyChanged {
            /// The account.
            account: Id,
            /// The key.
            key: Option<Id>,
        },
    }

    /// One entry of the log.
    pub struct Entry {
        /// Its place, from 0.
        pub index: u64,
        /// Unix seconds; never smaller than the entry's before.
        pub time: u64,
        /// What happened.
        pub event: Event,
        /// What followed.
        pub effects: Vec<Effect>,
    }
}
