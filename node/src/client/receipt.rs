//! Verdicts with the node's signed word on them.
use super::printable;
use crate::failure::Failure;
use crate::output::hex;
use crate::rpc::v1;
use serde::{Deserialize, Serialize};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::{Receipt, code_of};
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
    /// The refusal's text, or what there is to say of one that was accepted before.
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
    let signature: [u8; 64] =
        signed.signature.as_ref().try_into().map_err(|_| untrusted("no signature of 64 bytes"))?;
    if receipt.network != *network {
        return Err(untrusted("one of another node"));
    }
    receipt.verify(network, &signature).map_err(|_| untrusted("a signature that does not hold"))?;
    let agrees = match code_of(receipt.verdict) {
        Some(code) => !verdict.accepted && verdict.code == code.as_str(),
        // One that was accepted before is a replay.
        None => {
            verdict.accepted
                && receipt.verdict == 0
                && ["", ErrorCode::E202.as_str()].contains(&verdict.code.as_str())
        }
    };
    if !agrees {
        return Err(untrusted("one that says something else than the verdict"));
    }
    Ok((receipt, signature))
}

/// The refusal in a verdict that was not accepted; its text without the code that stands before it.
pub fn refusal(verdict: &v1::Verdict) -> Refusal {
    refusal_of(&verdict.code, &verdict.message)
}

fn refusal_of(code: &str, message: &str) -> Refusal {
    let known = ErrorCode::ALL.iter().copied().find(|known| known.as_str() == code);
    let message = printable(message.strip_prefix(code).unwrap_or(message).trim_start_matches([':', ' ']));
    match known {
        Some(code) => Refusal::new(code, message),
        // A newer node may have codes that this version does not know.
        None => Refusal::new(ErrorCode::E201, format!("{} {message}", printable(code))),
    }
}

impl Settled {
    /// A verdict on the contribution with these digests, its receipt checked.
    ///
    /// # Errors
    /// As for [`check`]; [`Failure::Refused`] when the node decided on another file with the same statement, or refused
    /// without a receipt, which it gives for what is in its log.
    pub fn by_verdict(
        network: &Id,
        verdict: &v1::Verdict,
        round: u64,
        statement_digest: &Id,
        file_digest: &Id,
    ) -> Result<Settled, Failure> {
        if !verdict.accepted && verdict.receipt.is_none() {
            return Err(Failure::Refused(refusal(verdict)));
        }
        let (receipt, signature) = check(network, verdict)?;
        if receipt.statement_digest == *statement_digest && receipt.file_digest != *file_digest {
            let code = if verdict.accepted { ErrorCode::E202 } else { ErrorCode::E502 };
            let text = format!(
                "expected a new contribution, found that another file with the same statement was decided on in entry {} of the log; nothing to do",
                receipt.entry
            );
            return Err(Failure::Refused(Refusal::new(code, text)));
        }
        if receipt.statement_digest != *statement_digest {
            let text =
                "expected a receipt for this contribution, found one for another; show both to the operator";
            return Err(Failure::Untrusted(text.to_owned()));
        }
        Ok(Settled {
            round,
            accepted: verdict.accepted,
            code: if verdict.accepted { String::new() } else { verdict.code.clone() },
            message: printable(&verdict.message),
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
        (!self.accepted).then(|| refusal_of(&self.code, &self.message))
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        match (&self.receipt, self.accepted) {
            (Some(receipt), true) => {
                let how = if self.message.is_empty() {
                    format!("verified in {:.0} ms", self.verify_ms)
                } else {
                    "before this".to_owned()
                };
                format!(
                    "accepted   round {}   reward {}   entry {}   {how}   receipt ok",
                    self.round, self.reward, receipt.entry
                )
            }
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
        let replayed =
            v1::Verdict { code: "E202".to_owned(), message: "again".to_owned(), ..verdict(&key, 0) };
        assert!(settled(&replayed).is_ok_and(|settled| settled.accepted && settled.code.is_empty()));
        let unlogged = v1::Verdict { receipt: None, message: "E307: no".to_owned(), ..verdict(&key, 307) };
        assert!(matches!(settled(&unlogged), Err(Failure::Refused(refusal)) if refusal.message == "no"));
        let changes: [Change; 11] = [
            |verdict| verdict.receipt = None,
            |verdict| verdict.code = "E307".to_owned(),
            |verdict| verdict.accepted = false,
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
        for (code, expected) in [(0, ErrorCode::E202), (307, ErrorCode::E502)] {
            let other_file = Settled::by_verdict(&network, &verdict(&key, code), 3, &[1; 32], &[3; 32]);
            assert!(matches!(other_file, Err(Failure::Refused(refusal)) if refusal.code == expected));
        }
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
