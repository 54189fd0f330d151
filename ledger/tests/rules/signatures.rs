//! Signatures out of their context (H12) and at the edges of the curve (H11).
use ed25519_dalek::{Signer, VerifyingKey};
use num_bigint::BigUint;
use sha2::Digest;
use weightproof_circuits::encoding::tagged_hash;
use weightproof_circuits::error::ErrorCode::{E104, E205};
use weightproof_ledger::action::{Action, Envelope, Possession, Receipt, Submission};
use weightproof_ledger::canonical::{Bytes, Canonical};
use weightproof_ledger::signed::{Message, usable_key};

use crate::harness::*;

const DOMAINS: [&str; 4] = [Envelope::DOMAIN, Possession::DOMAIN, Submission::DOMAIN, Receipt::DOMAIN];

fn samples() -> [Vec<u8>; 4] {
    let network = id(NODE);
    [
        Envelope { network, account: id(1), nonce: 1, expires: 2, action: Action::RevokeKey {} }.encode(),
        Possession { network, account: id(1), key: id(2) }.encode(),
        Submission { network, statement: Bytes(vec![1]), file_digest: [2; 32], file_length: 3 }.encode(),
        Receipt {
            network,
            statement_digest: [1; 32],
            file_digest: [2; 32],
            verdict: 0,
            entry: 1,
            reward: 2,
            time: 3,
        }
        .encode(),
    ]
}

fn verify(kind: usize, bytes: &[u8], signature: &[u8; 64]) -> bool {
    fn one<T: Message>(bytes: &[u8], signature: &[u8; 64]) -> bool {
        let outcome = T::decode(bytes, "message").unwrap().verify(&id(1), signature);
        assert!(outcome.is_ok() || outcome.unwrap_err().code == E205);
        T::decode(bytes, "message").unwrap().verify(&id(1), signature).is_ok()
    }
    match kind {
        0 => one::<Envelope>(bytes, signature),
        1 => one::<Possession>(bytes, signature),
        2 => one::<Submission>(bytes, signature),
        _ => one::<Receipt>(bytes, signature),
    }
}

#[test]
fn a_signature_counts_under_its_own_domain_alone() {
    for (kind, bytes) in samples().iter().enumerate() {
        for (domain, name) in DOMAINS.iter().enumerate() {
            let digest: [u8; 32] = tagged_hash(name).chain_update(bytes).finalize().into();
            let signature = key(1).sign(&digest).to_bytes();
            assert_eq!(verify(kind, bytes, &signature), kind == domain, "{kind} under {name}");
        }
        // Without a domain, and over the bytes instead of their digest.
        let bare: [u8; 32] = sha2::Sha256::digest(bytes).into();
        assert!(!verify(kind, bytes, &key(1).sign(&bare).to_bytes()));
        assert!(!verify(kind, bytes, &key(1).sign(bytes).to_bytes()));
        // What the node signs for its log is text; no digest of ours is text, and it is no digest of ours.
        assert!(!verify(kind, bytes, &key(1).sign(b"weightproof.example/log\n1\nAAAA\n").to_bytes()));
    }
    let distinct: std::collections::BTreeSet<_> = DOMAINS.iter().collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn one_message_is_never_another_in_disguise() {
    // A message of one kind whose bytes are a message of another kind would still be signed under another domain; here
    // even the bytes of the samples are of one kind only.
    let [envelope, possession, submission, receipt] = samples();
    for bytes in [&possession, &submission, &receipt] {
        assert!(Envelope::decode(bytes, "envelope").is_err());
    }
    for bytes in [&envelope, &possession, &receipt] {
        assert!(Submission::decode(bytes, "submission").is_err());
    }
}

fn order() -> BigUint {
    BigUint::from(2_u8).pow(252) + "27742317777372353535851937790883648493".parse::<BigUint>().unwrap()
}

fn prime() -> BigUint {
    BigUint::from(2_u8).pow(255) - 19_u8
}

fn little_endian(value: &BigUint) -> [u8; 32] {
    let mut bytes = value.to_bytes_le();
    bytes.resize(32, 0);
    bytes.try_into().unwrap()
}

#[test]
fn a_malleated_signature_is_refused() {
    let message = Possession { network: id(NODE), account: id(1), key: id(2) };
    let signature = message.sign(&key(1));
    assert_eq!(message.verify(&id(1), &signature), Ok(()));
    let scalar = BigUint::from_bytes_le(&signature[32..]);
    for times in 1..=8_u8 {
        let other = &scalar + order() * times;
        if other.bits() > 256 {
            break;
        }
        let mut malleated = signature;
        malleated[32..].copy_from_slice(&little_endian(&other));
        assert_eq!(message.verify(&id(1), &malleated).unwrap_err().code, E205, "{times}");
    }
    for bit in 0..512 {
        let mut flipped = signature;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(message.verify(&id(1), &flipped).unwrap_err().code, E205, "{bit}");
    }
    assert_eq!(message.verify(&id(1), &[0; 64]).unwrap_err().code, E205);
}

/// Under a key of small order the signature (identity, 0) holds for a good part of all messages, so nobody may have one.
#[test]
fn keys_of_small_order_are_refused() {
    // y of the eight points of small order: 1, −1, 0 and the two of order 8, in every encoding.
    let eighth: BigUint =
        "2707385501144840649318225287225658788936804267575313519463743609750303021993".parse().unwrap();
    let zero = BigUint::ZERO;
    let one = BigUint::from(1_u8);
    let mut refused = 0;
    for y in [
        one.clone(),
        prime() - 1_u8,
        zero.clone(),
        eighth.clone(),
        prime() - &eighth,
        prime(),
        prime() + &one,
    ] {
        for sign in [0, 128] {
            let mut bytes = little_endian(&y);
            bytes[31] |= sign;
            let decoded = VerifyingKey::from_bytes(&bytes);
            if let Ok(key) = &decoded {
                assert!(key.is_weak(), "{y}");
            }
            assert_eq!(usable_key(&bytes).unwrap_err().code, E104, "{y}");
            refused += usize::from(decoded.is_ok());
            // Whatever is signed "by" it is refused with its key.
            let message = Possession { network: id(NODE), account: bytes, key: bytes };
            let mut identity = [0; 64];
            identity[0] = 1;
            assert_eq!(message.verify(&bytes, &identity).unwrap_err().code, E104);
        }
    }
    // Live: decoding alone takes them, so it is this check that refuses.
    assert!(refused >= 8, "{refused}");
    assert_eq!(usable_key(&id(1)).map(|key| key.to_bytes()), Ok(id(1)));
}

#[test]
fn a_key_has_one_encoding() {
    // y = p + r for small r is another encoding of y = r, which the curve library decodes.
    let mut live = 0;
    for rest in 0..19_u8 {
        for sign in [0, 128] {
            let mut bytes = little_endian(&(prime() + rest));
            bytes[31] |= sign;
            if VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak()) {
                live += 1;
            }
            assert_eq!(usable_key(&bytes).unwrap_err().code, E104, "{rest}");
        }
    }
    assert!(live > 0, "VACUOUS: the library decodes none of them");
}

#[test]
fn bytes_off_the_curve_are_refused() {
    let off = (0..=255_u8).map(|byte| [byte; 32]).filter(|bytes| VerifyingKey::from_bytes(bytes).is_err());
    let mut count = 0;
    for bytes in off {
        assert_eq!(usable_key(&bytes).unwrap_err().code, E104);
        count += 1;
    }
    assert!(count > 64);
}
