//! Signatures of the account: over the same canonical bytes that the node builds from a request's fields.
use crate::rpc::v1;
use ed25519_dalek::SigningKey;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weightproof_ledger::Id;
use weightproof_ledger::action::{Action, Envelope, Possession, Submission};
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::signed::Message;

/// How long an action may be on its way, in seconds.
const VALIDITY: u64 = 300;

/// An unlocked key, for one account on one node.
pub struct Signer {
    key: SigningKey,
    account: Id,
    network: Id,
    last_nonce: u64,
}

impl Signer {
    /// `key` signs for `account` on the node with the key `network`.
    pub fn new(key: SigningKey, account: Id, network: Id) -> Signer {
        Signer { key, account, network, last_nonce: 0 }
    }

    /// The account.
    pub fn account(&self) -> Id {
        self.account
    }

    /// Signs an action at a time after the unix epoch; `known_nonce` is the last one that the node knows.
    pub fn authorize(&mut self, action: &Action, now: Duration, known_nonce: u64) -> v1::Authorization {
        let nonce = next_nonce(now, self.last_nonce.max(known_nonce));
        self.last_nonce = nonce;
        let envelope = Envelope {
            network: self.network,
            account: self.account,
            nonce,
            expires: now.as_secs().saturating_add(VALIDITY),
            action: action.clone(),
        };
        v1::Authorization {
            account: self.account.to_vec().into(),
            nonce,
            expires: envelope.expires,
            signature: envelope.sign(&self.key).to_vec().into(),
        }
    }

    /// Signs that a file is this account's contribution.
    pub fn submission(&self, statement: Vec<u8>, file_digest: Id, file_length: u64) -> [u8; 64] {
        let submission =
            Submission { network: self.network, statement: Bytes(statement), file_digest, file_length };
        submission.sign(&self.key)
    }

    /// The change to `new`, signed by it.
    pub fn rotation_to(&self, new: &SigningKey) -> Action {
        let key = new.verifying_key().to_bytes();
        let possession = Possession { network: self.network, account: self.account, key };
        Action::RotateKey { key, proof: possession.sign(new) }
    }
}

/// Milliseconds, so that machines of one account need not talk to each other; one more than the last if that is larger.
fn next_nonce(now: Duration, last: u64) -> u64 {
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    milliseconds.max(last.saturating_add(1))
}

/// The time after the unix epoch by this machine's clock.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightproof_ledger::event::Event;
    use weightproof_ledger::state::State;
    use weightproof_ledger::step::step;

    fn signer(seed: u8) -> Signer {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let account = key.verifying_key().to_bytes();
        Signer::new(key, account, network())
    }

    fn network() -> Id {
        SigningKey::from_bytes(&[99; 32]).verifying_key().to_bytes()
    }

    fn id(bytes: &[u8]) -> Id {
        bytes.try_into().unwrap()
    }

    /// The envelope as a node builds it from what travelled.
    fn rebuilt(authorization: &v1::Authorization, action: Action) -> (Envelope, [u8; 64]) {
        let envelope = Envelope {
            network: network(),
            account: id(&authorization.account),
            nonce: authorization.nonce,
            expires: authorization.expires,
            action,
        };
        (envelope, authorization.signature.as_ref().try_into().unwrap())
    }

    #[test]
    fn nonces_grow_whatever_the_clock_does() {
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(next_nonce(at(5), 0), 5000);
        assert_eq!(next_nonce(at(5), 5000), 5001);
        assert_eq!(next_nonce(at(1), 5001), 5002);
        assert_eq!(next_nonce(at(9), 5002), 9000);
        let mut signer = signer(1);
        let action = Action::RevokeKey {};
        let nonces = [(10, 0), (10, 0), (9, 20_000), (30, 0)]
            .map(|(seconds, known)| signer.authorize(&action, at(seconds), known).nonce);
        assert_eq!(nonces, [10_000, 10_001, 20_001, 30_000]);
    }

    #[test]
    fn what_is_signed_is_what_the_ledger_checks() {
        let mut signer = signer(1);
        let actions = [
            Action::Join { space: [1; 32], stake: 7 },
            Action::RegisterDataset { space: [1; 32], root: [2; 32], rows: 3 },
            Action::Stake { space: [1; 32], amount: 4 },
            Action::Unstake { space: [1; 32], amount: 4 },
            Action::Transfer { to: [9; 32], amount: 5 },
            signer.rotation_to(&SigningKey::from_bytes(&[2; 32])),
            Action::RevokeKey {},
        ];
        for action in actions {
            let authorization = signer.authorize(&action, Duration::from_secs(1_000), 0);
            let (envelope, signature) = rebuilt(&authorization, action);
            assert_eq!(envelope.expires, 1_300);
            envelope.verify(&signer.account(), &signature).unwrap();
            let elsewhere = Envelope { network: [0; 32], ..envelope };
            assert!(elsewhere.verify(&signer.account(), &signature).is_err());
        }
        let signature = signer.submission(vec![1, 2, 3], [4; 32], 5);
        let submission = Submission {
            network: network(),
            statement: Bytes(vec![1, 2, 3]),
            file_digest: [4; 32],
            file_length: 5,
        };
        submission.verify(&signer.account(), &signature).unwrap();
    }

    /// The whole way through the rules: a rotation that this signer makes is taken, and the old key signs no more.
    #[test]
    fn the_rules_take_a_rotation() {
        let mut signer = signer(1);
        let account = signer.account();
        let genesis =
            Event::Genesis { network: network(), operator: account, allocations: vec![(account, 100)] };
        let (state, _) = step(&State::empty(), &genesis, 1_000).unwrap();
        let new = SigningKey::from_bytes(&[2; 32]);
        let action = signer.rotation_to(&new);
        let authorization = signer.authorize(&action, Duration::from_secs(1_000), 0);
        let (envelope, signature) = rebuilt(&authorization, action);
        let (state, _) = step(&state, &Event::Signed { envelope, signature }, 1_000).unwrap();
        assert_eq!(state.accounts[&account].key, Some(new.verifying_key().to_bytes()));
        let to = SigningKey::from_bytes(&[3; 32]).verifying_key().to_bytes();
        let transfer = Action::Transfer { to, amount: 1 };
        let event = |signer: &mut Signer| {
            let authorization =
                signer.authorize(&transfer, Duration::from_secs(1_000), state.accounts[&account].nonce);
            let (envelope, signature) = rebuilt(&authorization, transfer.clone());
            step(&state, &Event::Signed { envelope, signature }, 1_000).map(|_| ())
        };
        assert!(event(&mut signer).is_err());
        event(&mut Signer::new(new, account, network())).unwrap();
    }
}
