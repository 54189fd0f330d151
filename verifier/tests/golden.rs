//! Proofs that were made once: the format may not change under them.

mod common;

use common::{GOLDEN, Golden, assert_longest};
use weightproof_circuits::error::ErrorCode;
use weightproof_verifier::{Proof, verify};

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_proofs_verify_and_re_encode_to_themselves() {
    for (file, base, digest) in GOLDEN {
        let golden = Golden::load(file, base);
        let verified = golden.verify(&golden.bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(hexadecimal(&verified.get().digest()), digest, "{file}");
        assert_eq!(golden.contribution.encode(), golden.bytes, "{file}");
        assert_longest(&golden.bytes, &golden.contribution);
        let proof = Proof::decode(&golden.contribution.proof, &golden.shape).expect("a golden proof decodes");
        assert_eq!(proof.encode(), golden.contribution.proof, "{file}");
        assert_eq!(
            verified.proof_bytes(),
            golden.shape.bytes() + golden.contribution.statement.encode().len(),
            "{file}"
        );
        let next = verified.apply(&golden.base).expect("a golden update applies");
        assert_eq!(
            golden.verify(&golden.bytes).map(|v| v.get().clone()),
            Ok(verified.get().clone()),
            "same verdict"
        );
        // What the update leads to is not what it started from.
        let error = weightproof_verifier::verify_with(&golden.bytes, &next, &golden.generators).unwrap_err();
        assert_eq!(error.code(), ErrorCode::E203, "{file}: {error}");
    }
}

#[test]
fn generators_are_derived_when_none_are_given() {
    let (file, base, _) = GOLDEN[2];
    let golden = Golden::load(file, base);
    assert!(verify(&golden.bytes, &golden.base).is_ok());
    let few = weightproof_circuits::curve::Generators::derive(4, 1);
    let error = weightproof_verifier::verify_with(&golden.bytes, &golden.base, &few).unwrap_err();
    assert_eq!(error.code(), ErrorCode::E308);
}
