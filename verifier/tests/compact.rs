//! The golden proof under the halo2 seal: it verifies without the prover, and no other bytes do.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use ark_ff::{BigInteger, PrimeField};
use common::{Draw, assert_longest, vector};
use weightproof_circuits::batches::indices;
use weightproof_circuits::curve::Generators;
use weightproof_circuits::error::ErrorCode::{self, *};
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::proof_length;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::seal::halo2::Exposed;
use weightproof_circuits::seal::halo2::key::{self, pinned_digest};
use weightproof_circuits::statement::SEAL_SIGMA;
use weightproof_verifier::binding::distinct_rows;
use weightproof_verifier::contribution::CompactShape;
use weightproof_verifier::{
    CompactProof, Contribution, Keys, SealKey, generator_counts, verify, verify_batch, verify_with,
};

const STATEMENT: &str = "37c92aa8362d33e8a6c5e73fdf285f3d63e5e14c7227ada06fb701a4010bff05";
const KEY: &str = "159e46f0ae89df0910912e44a339a799c742f5e4dfa6dcf023fa373b168287b4";

struct Golden {
    bytes: Vec<u8>,
    contribution: Contribution,
    base: Parameters,
    generators: Generators,
    key: SealKey,
    layout: Layout,
    dataset_rows: usize,
    membership: usize,
}

impl Golden {
    fn shape(&self) -> CompactShape<'_> {
        CompactShape {
            layout: &self.layout,
            k: self.key.key.size.k,
            dataset_rows: self.dataset_rows,
            membership: self.membership,
        }
    }

    fn keys(&self) -> Keys<'_> {
        Keys { generators: &self.generators, halo2: std::slice::from_ref(&self.key) }
    }

    /// Sections of the proof: name, length, codes that a change inside may lead to.
    fn sections(&self) -> Vec<(&'static str, usize, &'static [ErrorCode])> {
        let rounds = self.layout.column_variables;
        vec![
            ("witness rows", 32 << self.layout.matrix_row_variables(), &[E104, E307]),
            ("mask", 32, &[E104, E307]),
            ("dataset rows", 32 * self.dataset_rows, &[E104, E206]),
            ("membership", 1 + 32 * self.membership, &[E101, E102, E103, E104, E106, E206]),
            ("exposed", 32 * Exposed::length(&self.layout), &[E101, E307]),
            ("halo2 proof", key::proof_length(self.key.key.size.k), &[E307]),
            ("opening points", 32 * (2 * rounds + 1), &[E104, E305]),
            ("opening scalars", 64, &[E101, E305]),
        ]
    }

    fn start(&self) -> usize {
        self.bytes.len() - self.contribution.proof.len()
    }

    fn refused(&self, bytes: &[u8], what: &str) -> ErrorCode {
        let verdict =
            catch_unwind(AssertUnwindSafe(|| verify_with(bytes, &self.base, self.keys()).map(drop)));
        match verdict {
            Ok(Err(error)) => error.code(),
            Ok(Ok(())) => panic!("{what}: accepted"),
            Err(_) => panic!("{what}: panicked"),
        }
    }
}

fn golden() -> &'static Golden {
    static GOLDEN: OnceLock<Golden> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        let bytes = vector("softmax-relu-halo2.wpf");
        let contribution = Contribution::decode(&bytes).expect("the golden file decodes");
        let (program, statement) = (&contribution.program, &contribution.statement);
        let base = Parameters::decode(&vector("softmax-relu.bin"), program).expect("the model decodes");
        let layout = Layout::new(program).masked();
        let (rows, messages) = generator_counts(&layout, program);
        let (_, size) = key::shape(program).expect("the program is small");
        let key = SealKey::new(program, Arc::new(key::Parameters::new(size.k))).expect("a key");
        let chosen =
            indices(&statement.batch_seed(), statement.dataset_rows, program.steps(), program.batch())
                .expect("golden batches");
        let (distinct, _) = distinct_rows(&chosen);
        let membership = proof_length(statement.dataset_rows, &distinct).expect("golden rows");
        let generators = Generators::derive(rows, messages);
        let dataset_rows = distinct.len();
        Golden { bytes, base, generators, key, layout, dataset_rows, membership, contribution }
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_golden_proof_verifies_and_re_encodes_to_itself() {
    let golden = golden();
    assert_eq!(hexadecimal(&golden.key.key.digest), KEY, "the key is rebuilt to the bit");
    let verified = verify_with(&golden.bytes, &golden.base, golden.keys()).expect("valid");
    assert_eq!(hexadecimal(&verified.get().digest()), STATEMENT);
    let proof = CompactProof::decode(&golden.contribution.proof, &golden.shape()).expect("it decodes");
    assert_eq!(proof.encode(), golden.contribution.proof);
    assert_eq!(proof.seal.len(), key::proof_length(golden.key.key.size.k), "the length is what halo2 wrote");
    assert!(proof.seal.len() <= 4096);
    let sections: usize = golden.sections().iter().map(|(_, length, _)| length).sum();
    assert_eq!(sections, golden.contribution.proof.len());
    assert!(verify(&golden.bytes, &golden.base).is_ok(), "everything can be derived");
}

#[test]
fn pinned_parameters_are_those_of_the_derivation() {
    let mut bytes = Vec::new();
    golden().key.parameters.write(&mut bytes).expect("memory takes it");
    assert_eq!(pinned_digest(golden().key.key.size.k), Some(key::parameters_digest(&bytes)));
}

#[test]
fn a_sample_of_flipped_bytes_is_refused() {
    flip(|section, length| {
        let mut draw = Draw(length as u64);
        let count = if section == "halo2 proof" { 40 } else { 8 };
        let sample = (0..count).map(|_| draw.below(length));
        [0, length - 1].into_iter().chain(sample).collect()
    });
}

#[test]
#[ignore = "every byte of a proof: minutes"]
fn every_flipped_byte_is_refused() {
    flip(|_, length| (0..length).collect());
}

fn flip(positions: impl Fn(&'static str, usize) -> Vec<usize>) {
    let golden = golden();
    let mut start = golden.start();
    for (section, length, codes) in golden.sections() {
        for position in positions(section, length) {
            let mut bytes = golden.bytes.clone();
            bytes[start + position] ^= 1 + Draw(position as u64).below(255) as u8;
            let code = golden.refused(&bytes, section);
            assert!(codes.contains(&code), "{section}, byte {position}: {code}");
        }
        start += length;
    }
}

#[test]
fn truncated_and_extended_files_are_refused() {
    let golden = golden();
    let mut draw = Draw(3);
    for _ in 0..64 {
        let end = draw.below(golden.bytes.len());
        assert!([E106, E105, E101].contains(&golden.refused(&golden.bytes[..end], "truncated")), "{end}");
    }
    let mut longer = golden.bytes.clone();
    longer.push(0);
    assert_eq!(golden.refused(&longer, "extended"), E102);
}

/// A scalar above the modulus is another spelling of a small one; halo2's reader refuses it as ours does.
#[test]
fn scalars_have_one_spelling() {
    let golden = golden();
    let modulus = F::MODULUS.to_bytes_le();
    let mut start = golden.start();
    for (section, length, _) in golden.sections() {
        if section == "exposed" || section == "halo2 proof" || section == "opening scalars" {
            for at in (start..start + length).step_by(32) {
                let mut bytes = golden.bytes.clone();
                bytes[at..at + 32].copy_from_slice(&modulus);
                let code = golden.refused(&bytes, section);
                assert!([E101, E307].contains(&code), "{section} at {at}: {code}");
                assert_eq!(code == E101, section != "halo2 proof");
            }
        }
        start += length;
    }
}

#[test]
fn a_file_is_below_the_longest_of_its_program() {
    let golden = golden();
    assert_longest(&golden.bytes, &golden.contribution);
}

#[test]
fn keys_and_seals_do_not_stand_in_for_each_other() {
    let golden = golden();
    let changed = |change: &dyn Fn(&mut Contribution)| {
        let mut contribution = golden.contribution.clone();
        change(&mut contribution);
        contribution.encode()
    };
    let other_key = changed(&|c| c.statement.seal_key_digest[5] ^= 1);
    assert_eq!(golden.refused(&other_key, "another key"), E308);
    let sigma_with_key = changed(&|c| c.statement.seal = SEAL_SIGMA);
    assert_eq!(golden.refused(&sigma_with_key, "sigma with a key"), E308);
    let sigma = changed(&|c| (c.statement.seal, c.statement.seal_key_digest) = (SEAL_SIGMA, [0; 32]));
    assert_eq!(golden.refused(&sigma, "a halo2 proof named sigma"), E106);
    let unknown = changed(&|c| c.statement.seal = 9);
    assert_eq!(golden.refused(&unknown, "an unknown seal"), E105);
    let error = verify_with(&golden.bytes, &golden.base, &golden.generators).map(drop).unwrap_err();
    assert_eq!(error.code(), E308, "no key: {error}");
    // Every other field of the statement is bound by the digest that the circuit shows.
    let payout = changed(&|c| c.statement.payout[0] ^= 1);
    assert_eq!(golden.refused(&payout, "another account"), E307);
}

#[test]
fn a_batch_names_the_invalid_one_among_valid_ones() {
    let golden = golden();
    let mut altered = golden.bytes.clone();
    let last = altered.len() - 1;
    altered[last - 40] ^= 1;
    let sigma = vector("softmax-relu.wpf");
    let items: Vec<(&[u8], &Parameters)> =
        [&golden.bytes, &sigma, &altered, &golden.bytes].iter().map(|b| (&b[..], &golden.base)).collect();
    let verdicts = verify_batch(&items, golden.keys());
    let valid: Vec<bool> = verdicts.iter().map(Result::is_ok).collect();
    assert_eq!(valid, [true, true, false, true]);
    assert_eq!(verdicts[2].as_ref().map(drop).unwrap_err().code(), E305);
    assert!(verify_batch(&items[..2], golden.keys()).iter().all(Result::is_ok));
    assert!(verify_batch(&[], golden.keys()).is_empty());
}
