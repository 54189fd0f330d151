//! Everything that the rules know.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sha2::Digest;
use weightproof_circuits::encoding::{DecodeError, Reader, Writer, tagged_hash};

use crate::Id;
use crate::canonical::{Canonical, canonical};
use crate::event::SpaceSpec;

canonical! {
    /// An account.
    pub struct Account {
        /// The key that signs for it; `None` once revoked.
        pub key: Option<Id>,
        /// Keys that signed for it before, each with the unix seconds when that ended, oldest first: what they signed about
        /// rounds that had opened by then stays evidence.
        pub former_keys: Vec<(Id, u64)>,
        /// Nonce of its last action.
        pub nonce: u64,
        /// Tokens that it can move.
        pub balance: u64,
    }

    /// A dataset that a member registered.
    pub struct Dataset {
        /// Merkle root of the row commitments.
        pub root: Id,
        /// Rows.
        pub rows: u64,
    }

    /// Unstaked tokens that cannot be moved yet.
    pub struct Unbonding {
        /// How many.
        pub amount: u64,
        /// Unix seconds from which they can be.
        pub release: u64,
    }

    /// A member of a space.
    pub struct Member {
        /// Tokens that vouch for the member.
        pub stake: u64,
        /// Tokens on their way back, by ascending release.
        pub unbonding: Vec<Unbonding>,
        /// Accepted contributions since the member joined or was last punished.
        pub accepted: u64,
        /// Rounds missed in a row.
        pub misses: u32,
        /// What the member trains on.
        pub dataset: Option<Dataset>,
    }

    /// A contribution in a round.
    pub struct Contributed {
        /// Digest of its statement.
        pub statement_digest: Id,
        /// Index of its log entry.
        pub entry: u64,
        /// What the payout account got.
        pub reward: u64,
    }

    /// A round.
    pub struct Round {
        /// Its number, from 1.
        pub number: u64,
        /// Version of the model that its contributions start from.
        pub version: u64,
        /// That model's digest.
        pub digest: Id,
        /// What chooses the batches.
        pub beacon: Id,
        /// Unix seconds when it began.
        pub opened: u64,
        /// Unix seconds after which it may close.
        pub closes: u64,
        /// Whether it has.
        pub closed: bool,
        /// Datasets registered before the beacon was drawn, by account.
        pub admitted: BTreeMap<Id, Dataset>,
        /// Contributions that start from this round, by account, late ones included.
        pub accepted: BTreeMap<Id, Contributed>,
        /// Accounts that lost their slot to a failing proof.
        pub forfeited: BTreeSet<Id>,
        /// Accounts slashed for this round.
        pub slashed: BTreeSet<Id>,
        /// Digest of the model with what was accepted while the round was open.
        pub candidate: Id,
        /// How many contributions that is, late ones of earlier rounds included.
        pub contributions: u64,
        /// Tokens minted while it was open.
        pub minted: u64,
    }

    /// A learning task under way.
    pub struct Space {
        /// What it is.
        pub spec: Arc<SpaceSpec>,
        /// Digest of its program.
        pub program_digest: Id,
        /// Examples that a contribution trains on.
        pub examples: u64,
        /// Digests of the model's versions, from 0.
        pub versions: Vec<Id>,
        /// Its members by account.
        pub members: BTreeMap<Id, Member>,
        /// Rounds that still matter, by ascending number; the last may be open.
        pub rounds: Rounds,
        /// How many rounds were opened.
        pub round_count: u64,
        /// Rounds up to this one take no contribution any more: the model that they began from was taken back.
        pub reverted: u64,
    }

    /// Where all tokens came from and went to.
    pub struct Supply {
        /// Allocated at the beginning.
        pub genesis: u64,
        /// Minted as rewards.
        pub emitted: u64,
        /// Ended.
        pub burned: u64,
    }

    /// Everything.
    pub struct State {
        /// The node's public key.
        pub network: Id,
        /// Who gets fees.
        pub operator: Id,
        /// Unix seconds of the last event.
        pub time: u64,
        /// Entries in the log.
        pub entries: u64,
        /// Accounts.
        pub accounts: BTreeMap<Id, Account>,
        /// Spaces.
        pub spaces: BTreeMap<Id, Space>,
        /// Tokens.
        pub supply: Supply,
    }
}

/// Rounds in ascending order; old ones leave at the front. A step copies the state, and most rounds no step changes any
/// more: copies share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rounds(pub VecDeque<Arc<Round>>);

impl Canonical for Rounds {
    fn write(&self, writer: &mut Writer) {
        writer.varint(self.0.len() as u64);
        self.0.iter().for_each(|round| round.write(writer));
    }
    fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        Vec::read(reader, what).map(|rounds| Rounds(rounds.into()))
    }
}

impl Space {
    /// The open round.
    pub fn open_round(&self) -> Option<&Round> {
        self.rounds.0.back().map(Arc::as_ref).filter(|round| !round.closed)
    }

    /// The last round, to be changed.
    pub fn last_round_mut(&mut self) -> Option<&mut Round> {
        self.rounds.0.back_mut().map(Arc::make_mut)
    }

    /// A round that still matters.
    pub fn round(&self, number: u64) -> Option<&Round> {
        self.rounds.0.iter().map(Arc::as_ref).find(|round| round.number == number)
    }

    /// The present version of the model.
    pub fn version(&self) -> u64 {
        (self.versions.len() as u64).saturating_sub(1)
    }

    /// Digest of the present version.
    pub fn digest(&self) -> Id {
        self.versions.last().copied().unwrap_or_default()
    }

    /// Members that hold the minimum stake: each takes a place, of which there are `maximum_members`.
    pub fn places(&self) -> usize {
        self.members.values().filter(|member| member.stake >= self.spec.policy.minimum_stake).count()
    }

    /// Datasets that would be admitted to a round that opened now: of members with enough stake.
    pub fn admissible(&self) -> impl Iterator<Item = (&Id, &Dataset)> {
        self.members
            .iter()
            .filter(|(_, member)| member.stake >= self.spec.policy.minimum_stake)
            .filter_map(|(account, member)| member.dataset.as_ref().map(|dataset| (account, dataset)))
    }
}

impl State {
    /// The state before any event.
    pub fn empty() -> State {
        State {
            network: [0; 32],
            operator: [0; 32],
            time: 0,
            entries: 0,
            accounts: BTreeMap::new(),
            spaces: BTreeMap::new(),
            supply: Supply { genesis: 0, emitted: 0, burned: 0 },
        }
    }

    /// SHA-256 of the encoding under the domain `weightproof state v1`.
    pub fn digest(&self) -> Id {
        tagged_hash("weightproof state v1").chain_update(self.encode()).finalize().into()
    }

    /// All tokens that exist: balances, stakes and what is on its way between them.
    pub fn tokens(&self) -> u128 {
        let balances: u128 = self.accounts.values().map(|account| u128::from(account.balance)).sum();
        let members = self.spaces.values().flat_map(|space| space.members.values());
        let staked: u128 = members
            .map(|member| {
                let unbonding = member.unbonding.iter().map(|part| u128::from(part.amount)).sum::<u128>();
                u128::from(member.stake) + unbonding
            })
            .sum();
        balances + staked
    }

    /// What must hold after every event, or the first thing that does not: tokens are conserved, stakes are of members, no
    /// more members than there is room for hold the minimum stake, at most one round is open, every accepted contribution
    /// was admitted and no round minted more than it may.
    ///
    /// # Errors
    /// A sentence. It is a fault of the rules themselves and never of a peer.
    pub fn check_invariants(&self) -> Result<(), String> {
        let expected = u128::from(self.supply.genesis) + u128::from(self.supply.emitted);
        let expected = expected.checked_sub(u128::from(self.supply.burned));
        if expected != Some(self.tokens()) {
            return Err(format!("tokens: expected {expected:?}, found {}", self.tokens()));
        }
        for space in self.spaces.values() {
            let name = &space.spec.name;
            if space.places() > space.spec.policy.maximum_members as usize {
                return Err(format!("{name}: {} members hold the minimum stake", space.places()));
            }
            let mut rounds = space.rounds.0.iter().peekable();
            while let Some(round) = rounds.next() {
                if rounds.peek().is_some_and(|next| next.number != round.number + 1 || !round.closed) {
                    return Err(format!("{name}: rounds are not consecutive, or two are open"));
                }
                if round.minted > space.spec.policy.emission_of(round.number) {
                    return Err(format!("{name}: round {} minted {}", round.number, round.minted));
                }
                if let Some(account) = round.accepted.keys().find(|id| !round.admitted.contains_key(*id)) {
                    return Err(format!(
                        "{name}: round {} accepted {account:?} without a dataset",
                        round.number
                    ));
                }
                if let Some(account) = round.forfeited.iter().find(|id| round.accepted.contains_key(*id)) {
                    return Err(format!(
                        "{name}: round {} both accepted and forfeited {account:?}",
                        round.number
                    ));
                }
            }
            if let Some(account) = space.members.keys().find(|id| !self.accounts.contains_key(*id)) {
                return Err(format!("{name}: member {account:?} has no account"));
            }
        }
        Ok(())
    }
}
