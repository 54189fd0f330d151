//! Verdicts with the node's signed word on them.
use crate::failure::Failure;
use crate::output::hex;
use crate::rpc::v1;
use serde::{Deserialize, Serialize};
use weightproof_ledger::action::{Receipt, code_number, code_of};
use weightproof_ledger::signed::Message;
use weightproof_ledger::{Id, Refusal};

/// An outcome as it is kept beside the contribution and shown with `--json`; digests and signatures are hexadecimal, so
/// that a receipt can be checked by other tools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The round.
    pub round: u64,
    /// Whether the contribution is part of the model.
    pub accepted: bool,
    /// The refusal's code; empty when accepted.
    pub code: String,
    /// The refusal's text; empty when accepted.
    pub message: String,
    /// Tokens credited to the payout account.
    pub reward: u64,
    /// Milliseconds that the node's verifier took.
    pub verify_ms: f64,
    /// The node's word; absent when it refused before it looked at the proof.
    pub receipt: Option<KeptReceipt>,
}

/// A signed receipt on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptReceipt {
    /// The node's public key.
    pub network: String,
    /// Digest of the statement.
    pub statement_digest: String,
    /// SHA-256 of the file.
    pub file_digest: String,
    /// 0: accepted; else the number of the code.
    pub verdict: u16,
    /// Index of the log entry.
    pub entry: u64,
    /// Tokens.
    pub reward: u64,
    /// Unix seconds.
    pub time: u64,
    /// By the node's key.
    pub signature: String,
}

/// Checks the signature under the node's key, and that the receipt says what the verdict beside it says.
///
/// # Errors
/// [`Failure::Untrusted`].
pub fn check(network: &Id, verdict: &v1::Verdict) -> Result<(Receipt, [u8; 64]), Failure> {
    let untrusted = |found: &str| {
        Failure::Untrusted(format!(
            "expected a receipt that the node signed, found {found}; keep the file and show it to the operator"
        ))
    };
    let signed = verdict.receipt.as_ref().ok_or_else(|| untrusted("none"))?;
    let receipt = Receipt {
        network: super::id("receipt", &signed.network)?,
        statement_digest: super::id("receipt", &signed.statement_digest)?,
        file_digest: super::id("receipt", &signed.file_digest)?,
        verdict: u16::try_from(signed.verdict).map_err(|_| untrusted("a verdict that no code has"))?,
        entry: signed.entry,
        reward: signed.reward,
        time: signed.time,
    };
    let signature: [u8; 64] = signed.signature.as_ref().try_into().map_err(|_| untrusted("no signature of 64 bytes"))?;
    if receipt.network != *network {
        return Err(untrusted("one of another node"));
    }
    receipt.verify(network, &signature).map_err(|_| untrusted("a signature that does not hold"))?;
    let said = code_of(receipt.verdict).map_or("", |code| code.as_str());
    if verdict.accepted != (receipt.verdict == 0) || verdict.code != said {
        return Err(untrusted("one that says something else than the verdict"));
    }
    Ok((receipt, signature))
}

impl Settled {
    /// A verdict on the contribution with these digests, its receipt checked.
    ///
    /// # Errors
    /// As for [`check`].
    pub fn by_verdict(
        network: &Id,
        verdict: &v1::Verdict,
        round: u64,
        statement_digest: &Id,
        file_digest: &Id,
    ) -> Result<Settled, Failure> {
        let (receipt, signature) = check(network, verdict)?;
        if (&receipt.statement_digest, &receipt.file_digest) != (statement_digest, file_digest) {
            let text = "expected a receipt for this contribution, found one for another; show both to the operator";
            return Err(Failure::Untrusted(text.to_owned()));
        }
        Ok(Settled {
            round,
            accepted: verdict.accepted,
            code: verdict.code.clone(),
            message: verdict.message.clone(),
            reward: receipt.reward,
            verify_ms: verdict.verify_ms,
            receipt: Some(KeptReceipt {
                network: hex(&receipt.network),
                statement_digest: hex(&receipt.statement_digest),
                file_digest: hex(&receipt.file_digest),
                verdict: receipt.verdict,
                entry: receipt.entry,
                reward: receipt.reward,
                time: receipt.time,
                signature: hex(&signature),
            }),
        })
    }

    /// A refusal before the proof was looked at.
    pub fn by_refusal(round: u64, refusal: &Refusal) -> Settled {
        Settled {
            round,
            accepted: false,
            code: refusal.code.as_str().to_owned(),
            message: refusal.message.clone(),
            reward: 0,
            verify_ms: 0.0,
            receipt: None,
        }
    }

    /// The refusal, unless it was accepted.
    pub fn refusal(&self) -> Option<Refusal> {
        if self.accepted {
            return None;
        }
        let known = weightproof_circuits::error::ErrorCode::ALL.iter().find(|code| code.as_str() == self.code);
        // A verdict's code was checked against its receipt; a file that somebody changed counts as not fitting.
        let code = known.copied().unwrap_or(weightproof_circuits::error::ErrorCode::E201);
        debug_assert!(code_number(code) > 0);
        let message = self.message.strip_prefix(code.as_str()).unwrap_or(&self.message);
        Some(Refusal::new(code, message.trim_start_matches([':', ' '])))
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        match (&self.receipt, self.accepted) {
            (Some(receipt), true) => format!(
                "accepted   round {}   reward {}   entry {}   verified in {:.0} ms   receipt ok",
                self.round, self.reward, receipt.entry, self.verify_ms
            ),
            _ => format!("refused   round {}   [{}] {}", self.round, self.code, self.message),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn verdict(key: &SigningKey, code: u16) -> v1::Verdict {
        let receipt = Receipt {
            network: key.verifying_key().to_bytes(),
            statement_digest: [1; 32],
            file_digest: [2; 32],
            verdict: code,
            entry: 7,
            reward: 9,
            time: 11,
        };
        v1::Verdict {
            accepted: code == 0,
            code: code_of(code).map_or(String::new(), |code| code.as_str().to_owned()),
            message: String::new(),
            receipt: Some(v1::SignedReceipt {
                network: receipt.network.to_vec().into(),
                statement_digest: receipt.statement_digest.to_vec().into(),
                file_digest: receipt.file_digest.to_vec().into(),
                verdict: code.into(),
                entry: 7,
                reward: 9,
                time: 11,
                signature: receipt.sign(key).to_vec().into(),
            }),
            verify_ms: 1.0,
            ..Default::default()
        }
    }

    #[test]
    fn a_receipt_binds_the_node_to_every_field() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let network = key.verifying_key().to_bytes();
        let settled = |verdict: &v1::Verdict| Settled::by_verdict(&network, verdict, 3, &[1; 32], &[2; 32]);
        let accepted = settled(&verdict(&key, 0)).unwrap();
        assert_eq!((accepted.reward, accepted.refusal()), (9, None));
        let refused = settled(&verdict(&key, 307)).unwrap();
        assert_eq!(refused.refusal().unwrap().code.as_str(), "E307");
        type Change = fn(&mut v1::Verdict);
        fn receipt(verdict: &mut v1::Verdict) -> &mut v1::SignedReceipt {
            verdict.receipt.as_mut().unwrap()
        }
        let changes: [Change; 11] = [
            |verdict| verdict.receipt = None,
            |verdict| verdict.accepted = false,
            |verdict| verdict.code = "E307".to_owned(),
            |verdict| receipt(verdict).network = vec![0; 32].into(),
            |verdict| receipt(verdict).statement_digest = vec![0; 32].into(),
            |verdict| receipt(verdict).file_digest = vec![0; 32].into(),
            |verdict| receipt(verdict).verdict = 307,
            |verdict| receipt(verdict).entry += 1,
            |verdict| receipt(verdict).reward += 1,
            |verdict| receipt(verdict).time += 1,
            |verdict| receipt(verdict).signature = vec![0; 64].into(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = verdict(&key, 0);
            change(&mut other);
            assert!(matches!(settled(&other), Err(Failure::Untrusted(_))), "change {number}");
        }
        let of_other = Settled::by_verdict(&network, &verdict(&key, 0), 3, &[3; 32], &[2; 32]);
        assert!(matches!(of_other, Err(Failure::Untrusted(_))));
    }

    #[test]
    fn outcomes_survive_their_file() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let network = key.verifying_key().to_bytes();
        let settled = Settled::by_verdict(&network, &verdict(&key, 0), 3, &[1; 32], &[2; 32]).unwrap();
        let text = serde_json::to_string(&settled).unwrap();
        assert_eq!(serde_json::from_str::<Settled>(&text).unwrap(), settled);
    }
}
