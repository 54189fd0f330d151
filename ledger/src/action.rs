//! What accounts sign: actions, submissions; and what the node signs: receipts.
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::statement::Statement;

use crate::Id;
use crate::canonical::{Bytes, canonical};
use crate::refusal::Refusal;
use crate::signed::Message;

canonical! {
    /// What an account asks for.
    #[allow(clippy::large_enum_variant)]
    pub enum Action {
        /// Becomes a member of a space and stakes.
        1 = Join {
            /// The space.
            space: Id,
            /// From the balance to the stake.
            stake: u64,
        },
        /// Registers the dataset that the account trains on in a space; it counts from the next round on.
        2 = RegisterDataset {
            /// The space.
            space: Id,
            /// Merkle root of the row commitments.
            root: Id,
            /// How many rows.
            rows: u64,
        },
        /// Moves tokens from the balance to the stake.
        3 = Stake {
            /// The space.
            space: Id,
            /// How many.
            amount: u64,
        },
        /// Begins to move tokens from the stake to the balance.
        4 = Unstake {
            /// The space.
            space: Id,
            /// How many.
            amount: u64,
        },
        /// Moves tokens to another account.
        5 = Transfer {
            /// Who gets them.
            to: Id,
            /// How many.
            amount: u64,
        },
        /// Signs with another key from now on; that key signs too, so nobody can name a key that is not theirs.
        6 = RotateKey {
            /// The new public key.
            key: Id,
            /// The new key's signature of [`Possession`].
            proof: [u8; 64],
        },
        /// Ends the account's right to sign: for a stolen key.
        7 = RevokeKey {},
        /// Shows that somebody signed two conflicting submissions for one slot.
        8 = ReportEquivocation {
            /// One of them.
            first: SignedSubmission,
            /// The other.
            second: SignedSubmission,
        },
    }

    /// An action as it is signed: for one node, by one account, once, and for a while only.
    pub struct Envelope {
        /// The node's public key.
        pub network: Id,
        /// Who acts.
        pub account: Id,
        /// Larger than that of every earlier action of the account.
        pub nonce: u64,
        /// Unix seconds after which the action is refused.
        pub expires: u64,
        /// What is asked for.
        pub action: Action,
    }

    /// Signed by a new key to show that its owner takes over the account.
    pub struct Possession {
        /// The node's public key.
        pub network: Id,
        /// The account.
        pub account: Id,
        /// The new public key.
        pub key: Id,
    }

    /// What a contributor signs about a contribution file.
    pub struct Submission {
        /// The node's public key.
        pub network: Id,
        /// The canonical statement.
        pub statement: Bytes,
        /// SHA-256 of the whole file.
        pub file_digest: Id,
        /// Its length in bytes.
        pub file_length: u64,
    }

    /// A submission with the contributor's signature.
    pub struct SignedSubmission {
        /// What is signed.
        pub submission: Submission,
        /// By the contributor's key.
        pub signature: [u8; 64],
    }

    /// What the node says of a submission, signed with its log's key.
    pub struct Receipt {
        /// The node's public key.
        pub network: Id,
        /// Digest of the statement.
        pub statement_digest: Id,
        /// SHA-256 of the file.
        pub file_digest: Id,
        /// 0: accepted; else the number of the error code, such as 307.
        pub verdict: u16,
        /// Index of the log entry that holds the outcome; of the last entry there was when nothing was logged.
        pub entry: u64,
        /// Tokens credited to the payout account.
        pub reward: u64,
        /// Unix seconds.
        pub time: u64,
    }

    /// A receipt with the node's signature.
    pub struct SignedReceipt {
        /// What is signed.
        pub receipt: Receipt,
        /// By the node's key.
        pub signature: [u8; 64],
    }
}

impl Message for Envelope {
    const DOMAIN: &'static str = "weightproof action v1";
}

impl Message for Possession {
    const DOMAIN: &'static str = "weightproof possession v1";
}

impl Message for Submission {
    const DOMAIN: &'static str = "weightproof submission v1";
}

impl Message for Receipt {
    const DOMAIN: &'static str = "weightproof receipt v1";
}

impl Submission {
    /// The statement.
    ///
    /// # Errors
    /// `E101` to `E106` when the bytes are no canonical statement.
    pub fn statement(&self) -> Result<Statement, Refusal> {
        Ok(Statement::decode(&self.statement.0)?)
    }
}

/// The number in a code, as receipts carry it: 307 for `E307`.
pub fn code_number(code: ErrorCode) -> u16 {
    code.as_str().trim_start_matches('E').parse().unwrap_or(u16::MAX)
}

/// The code with this number.
pub fn code_of(number: u16) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code_number(*code) == number)
}

/// Whether a refusal with this code is the fault of who signed the file: the proof fails under the version that it names.
/// A file that cannot be read is nobody's: it may have been cut on its way.
pub fn is_proof_fault(code: ErrorCode) -> bool {
    use ErrorCode::{E206, E301, E302, E303, E304, E305, E306, E307};
    matches!(code, E206 | E301 | E302 | E303 | E304 | E305 | E306 | E307)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_are_one_to_one() {
        for code in ErrorCode::ALL {
            assert_eq!(code_of(code_number(*code)), Some(*code));
        }
        assert_eq!(code_number(ErrorCode::E307), 307);
        assert_eq!(code_of(0), None);
    }
}
