//! Signatures over canonical messages, each under a domain of its own.
//!
//! What is signed is the 32-byte `SHA-256(len(domain) ‖ domain ‖ message)` ([`tagged_hash`]); two domains can never
//! agree on it, so a receipt is no submission and a submission no action. Verification is strict: keys of small order and
//! malleable signatures are refused, so batch and single verification cannot disagree (Chalkias et al., "Taming the many
//! EdDSAs", 2020).
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::Digest;
use weightproof_circuits::encoding::tagged_hash;

use crate::Id;
use crate::canonical::Canonical;
use crate::refusal::Refusal;

/// A message that is signed under its own domain.
pub trait Message: Canonical {
    /// The domain, of this message alone.
    const DOMAIN: &'static str;

    /// What is signed.
    fn digest(&self) -> [u8; 32] {
        tagged_hash(Self::DOMAIN).chain_update(self.encode()).finalize().into()
    }

    /// Signs.
    fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.digest()).to_bytes()
    }

    /// Checks a signature under a key.
    ///
    /// # Errors
    /// `E205`.
    fn verify(&self, key: &Id, signature: &[u8; 64]) -> Result<(), Refusal> {
        let refused = || {
            Refusal::new(
                weightproof_circuits::error::ErrorCode::E205,
                "expected a signature by the account's key over this message, found another; sign with the key that the node knows for the account (`weightproof status` shows it)",
            )
        };
        let key = usable_key(key)?;
        key.verify_strict(&self.digest(), &Signature::from_bytes(signature)).map_err(|_| refused())
    }
}

/// A public key that may sign: on the curve, not of small order, and in the one encoding of its point.
///
/// # Errors
/// `E104`.
pub fn usable_key(key: &Id) -> Result<VerifyingKey, Refusal> {
    match VerifyingKey::from_bytes(key) {
        Ok(point) if !point.is_weak() && point.to_edwards().compress().to_bytes() == *key => Ok(point),
        _ => Err(Refusal::new(
            weightproof_circuits::error::ErrorCode::E104,
            "expected an Ed25519 public key, found other bytes or a point of small order; use a key made by `weightproof init`",
        )),
    }
}
