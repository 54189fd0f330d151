//! Whole contributions under the halo2 seal against the real verifier.
//!
//! [`replay`] is the verifier's own pieces with one of its two defences left out: halo2's proof, or the opening. Each cheat
//! that only one of them stops is accepted without it.

use std::sync::OnceLock;

use ark_ec::CurveGroup;
use ark_ff::{Field, Zero};
use weightproof_circuits::algebra::{Check, Powers};
use weightproof_circuits::curve::{Generators, Point, multi_exponentiation};
use weightproof_circuits::error::ErrorCode::{self, *};
use weightproof_circuits::field::{F, from_bytes, to_bytes};
use weightproof_circuits::layout::Tensor;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::pasta::digest_limbs;
use weightproof_circuits::seal::equation::GroupEquation;
use weightproof_circuits::seal::halo2::Exposed;
use weightproof_circuits::seal::halo2::key;
use weightproof_circuits::seal::halo2::verify::{self, PendingHalo2, Sum};
use weightproof_circuits::statement::{SEAL_HALO2, SEAL_SIGMA, Statement};
use weightproof_prover::argument::Witness;
use weightproof_prover::contribute::{Sealing, prove_compact};
use weightproof_prover::entropy::Entropy;
use weightproof_prover::progress::Silent;
use weightproof_prover::{Committer, ContributeError, SealProver, cpu, seal_parameters};
use weightproof_verifier::binding::{absorb_seal, compact_transcript, distinct_rows};
use weightproof_verifier::contribution::Contribution;
use weightproof_verifier::opening::{self, Commitments, OpeningStatement};
use weightproof_verifier::{CompactProof, Keys, SealKey, VerifyError, public, verify_batch, verify_with};

use crate::common;
use crate::deletion;
use crate::harness::{long, seven};
use crate::sealing::{Case, Run};

/// A committed dataset with the keys of its program.
pub struct Fixture {
    pub case: Case,
    pub prover: SealProver,
}

/// Keys of a program, over the parameters that come with the crate.
fn keys(program: &weightproof_circuits::program::Program) -> SealProver {
    let (_, size) = key::shape(program).expect("test programs are small");
    let parameters = seal_parameters::shipped(size.k).expect("test programs are small");
    SealProver::new(program, parameters.into()).expect("the parameters have the program's size")
}

impl Fixture {
    fn new(seed: u64) -> Self {
        let program = common::program("[3, 2]", "relu", "softmax-cross-entropy", 1, 2, "0.0");
        let wide = common::program("[3, 2]", "relu", "softmax-cross-entropy", 9, 1, "0.0");
        let (features, labels) = common::batches(&wide, seed);
        let prover = keys(&program);
        let mut case = Case::new(program, features, labels, seed);
        case.layout = case.layout.masked();
        Self { case, prover }
    }

    pub fn keys(&self) -> Keys<'_> {
        Keys { generators: &self.case.generators, halo2: std::slice::from_ref(self.prover.seal_key()) }
    }

    /// An honest run.
    pub fn run(&self, beacon: u8) -> Run {
        let mut statement = self.case.statement(beacon);
        statement.seal = SEAL_HALO2;
        statement.seal_key_digest = self.prover.seal_key().key.digest;
        self.case.run(statement)
    }

    pub fn try_seal(
        &self,
        witness: &mut Witness<'_>,
        run: &Run,
        seed: u64,
        self_check: bool,
    ) -> Result<CompactProof, ContributeError> {
        let committer = Committer::new(&self.case.generators);
        let sealing = Sealing {
            statement: &run.statement,
            dataset: &self.case.dataset,
            chosen: &run.chosen,
            committer: &committer,
            kernels: cpu(),
            progress: &Silent,
            self_check,
        };
        prove_compact(witness, &sealing, &self.prover, &mut Entropy::from_seed(seed), &mut Vec::new())
    }

    /// Seals whatever the witness holds.
    pub fn seal(&self, witness: &mut Witness<'_>, run: &Run, seed: u64) -> CompactProof {
        self.try_seal(witness, run, seed, false).expect("sealing refuses nothing without the self-check")
    }

    pub fn file(&self, statement: &Statement, update: &Parameters, proof: Vec<u8>) -> Vec<u8> {
        let (program, update, statement) = (self.case.program.clone(), update.clone(), statement.clone());
        Contribution { program, update, statement, proof }.encode()
    }

    fn verdict(&self, statement: &Statement, update: &Parameters, proof: Vec<u8>) -> Result<(), VerifyError> {
        verify_with(&self.file(statement, update, proof), &self.case.base, self.keys()).map(drop)
    }
}

/// One dataset, and the honest proofs of two runs on it.
pub struct Honest {
    pub fixture: Fixture,
    pub runs: [Run; 2],
    pub proofs: [CompactProof; 2],
}

pub fn shared() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let fixture = Fixture::new(5);
        let runs = [fixture.run(1), fixture.run(2)];
        let proofs = [0, 1].map(|i| fixture.seal(&mut fixture.case.witness(&runs[i]), &runs[i], i as u64));
        Honest { fixture, runs, proofs }
    })
}

/// The two halves of the verifier after its digests and its Merkle proof, under a given binding.
fn halves<'a>(
    fixture: &'a Fixture,
    bound: &Statement,
    run: &Run,
    proof: &CompactProof,
) -> (Option<PendingHalo2<'a>>, GroupEquation) {
    let layout = &fixture.case.layout;
    let (_, places) = distinct_rows(&run.chosen);
    let mut transcript = compact_transcript(bound, &proof.witness_rows, &proof.mask, &proof.dataset_rows);
    let SealKey { parameters, key } = fixture.prover.seal_key();
    let digest = digest_limbs(&transcript.digest());
    let halo2 = verify::verify(key, parameters, &digest, &proof.exposed, &proof.seal);
    absorb_seal(&mut transcript, &proof.exposed, &proof.seal);
    let Exposed { point, coefficients, value } = &proof.exposed;
    let (program, base) = (&fixture.case.program, &fixture.case.base);
    let statement = OpeningStatement {
        layout,
        point,
        witness_coefficient: coefficients[0],
        data_coefficient: coefficients[1],
        mask_coefficient: coefficients[5],
        public_share: public::share(layout, program, base, &run.update, point, coefficients) - value,
    };
    let opening = opening::verify(&mut transcript, statement, &proof.opening).expect("rounds are right");
    let mut equation = GroupEquation::new(1 << layout.column_variables, 0);
    let commitments = Commitments {
        witness: &proof.witness_rows,
        data: &proof.dataset_rows,
        places: &places,
        mask: Some(proof.mask),
        value: Point::identity(),
    };
    opening
        .add_to(&mut equation, commitments, &mut Powers::new(F::ONE))
        .expect("generators for every column");
    (halo2, equation)
}

fn is_zero(equation: &GroupEquation, generators: &Generators) -> bool {
    let (bases, scalars) = equation.terms(generators);
    multi_exponentiation(&bases, &scalars).is_zero()
}

/// Whether halo2's proof holds, and whether the opening does.
fn replay(fixture: &Fixture, bound: &Statement, run: &Run, proof: &CompactProof) -> (bool, bool) {
    let (halo2, equation) = halves(fixture, bound, run, proof);
    (halo2.is_some_and(PendingHalo2::is_zero), is_zero(&equation, &fixture.case.generators))
}

/// The real verifier refuses with a code, and exactly one half of it does.
fn defended_by(fixture: &Fixture, run: &Run, proof: &CompactProof, code: ErrorCode, what: &str) {
    let error = fixture.verdict(&run.statement, &run.update, proof.encode()).expect_err(what);
    assert_eq!(error.code(), code, "{what}: {error}");
    let expected = if code == E307 { (false, true) } else { (true, false) };
    assert_eq!(replay(fixture, &run.statement, run, proof), expected, "{what}: (halo2's proof, the opening)");
}

#[test]
fn honest_proofs_hold_in_both_halves() {
    let Honest { fixture, runs, proofs } = shared();
    for (run, proof) in runs.iter().zip(proofs) {
        fixture.verdict(&run.statement, &run.update, proof.encode()).expect("it is honest");
        assert_eq!(replay(fixture, &run.statement, run, proof), (true, true));
    }
}

#[test]
fn false_witnesses_are_refused_by_halo2_alone() {
    let Honest { fixture, runs: [honest, _], .. } = shared();
    let case = &fixture.case;
    for (tensor, check) in [
        (Tensor::ForwardRemainder(1, 0), Check::MatrixProducts),
        (Tensor::DivisionComplement(0), Check::DivisionComplement),
    ] {
        let cheat = || {
            let mut witness = case.witness(honest);
            witness.stack[case.layout.block(tensor).expect("the block is there").offset] ^= 1;
            witness.count_multiplicities().expect("still in its table");
            witness
        };
        let proof = fixture.seal(&mut cheat(), honest, 10);
        defended_by(fixture, honest, &proof, E307, &format!("{tensor:?} off by one"));
        let refused = fixture.try_seal(&mut cheat(), honest, 10, true);
        assert!(matches!(refused, Err(ContributeError::SelfCheck(found)) if found == check), "{tensor:?}");
    }

    // Trained on a label that the dataset does not hold.
    let mut y = honest.y.clone();
    y.swap(0, 1);
    let cheat = case.run_on(honest.statement.clone(), honest.chosen.clone(), &case.base, honest.x.clone(), y);
    let mut witness = case.witness(&cheat);
    witness.data = case.witness(honest).data.clone();
    let proof = fixture.seal(&mut witness, &cheat, 11);
    defended_by(fixture, &cheat, &proof, E307, "a wrong label");

    // Another update under its own digest.
    let mut cheat = fixture.run(1);
    cheat.update.layers[0].weights[0] += 1;
    cheat.statement.update_digest = cheat.update.digest(&case.program).expect("the same shape");
    let proof = fixture.seal(&mut case.witness(&cheat), &cheat, 12);
    defended_by(fixture, &cheat, &proof, E307, "a larger update");
}

#[test]
fn false_openings_are_refused_by_the_opening_alone() {
    let Honest { fixture, runs: [honest, _], .. } = shared();
    let case = &fixture.case;
    // The honest update in the argument, another one in the file.
    let mut cheat = fixture.run(1);
    cheat.update = Parameters::zeros(&case.program);
    cheat.statement.update_digest = cheat.update.digest(&case.program).expect("the same shape");
    let proof = fixture.seal(&mut case.witness(honest), &cheat, 20);
    defended_by(fixture, &cheat, &proof, E305, "another update in the file");
    // Data that the dataset does not hold, in the argument and in the witness.
    let (mut x, y) = (honest.x.clone(), honest.y.clone());
    x[0] += 1;
    let cheat = case.run_on(honest.statement.clone(), honest.chosen.clone(), &case.base, x, y);
    let proof = fixture.seal(&mut case.witness(&cheat), &cheat, 21);
    defended_by(fixture, &cheat, &proof, E305, "another input");
}

/// No field of the statement can be changed under a proof. The list is checked against [`Statement::FIELDS`].
#[test]
fn another_statement_is_refused() {
    let Honest { fixture, runs: [run, _], proofs: [proof, _] } = shared();
    type Change = fn(&mut Statement);
    let changes: [(&str, &[ErrorCode], Change); 15] = [
        ("protocol_version", &[E105], |s| s.protocol_version += 1),
        // Without its key's digest too, or the digest alone refuses it.
        ("seal", &[E102, E106], |s| (s.seal, s.seal_key_digest) = (SEAL_SIGMA, [0; 32])),
        ("seal_key_digest", &[E308], |s| s.seal_key_digest[31] ^= 1),
        ("mode", &[E105], |s| s.mode += 1),
        ("space", &[E307], |s| s.space[0] ^= 1),
        ("round", &[E102, E106, E206], |s| s.round += 1),
        ("beacon", &[E102, E106, E206], |s| s.beacon[0] ^= 64),
        ("program_digest", &[E201], |s| s.program_digest[0] ^= 1),
        ("dataset_root", &[E102, E106, E206], |s| s.dataset_root[0] ^= 1),
        ("dataset_rows", &[E102, E106, E206], |s| s.dataset_rows += 1),
        ("model_version", &[E307], |s| s.model_version += 1),
        ("model_digest", &[E203], |s| s.model_digest[0] ^= 1),
        ("update_digest", &[E201], |s| s.update_digest[0] ^= 1),
        ("contributor", &[E102, E106, E206], |s| s.contributor[0] ^= 1),
        ("payout", &[E307], |s| s.payout.push(b'x')),
    ];
    assert_eq!(changes.map(|(field, _, _)| field), Statement::FIELDS, "every field has an attack");
    for (field, codes, change) in changes {
        let mut statement = run.statement.clone();
        change(&mut statement);
        let error = fixture.verdict(&statement, &run.update, proof.encode()).expect_err(field);
        assert!(codes.contains(&error.code()), "{field}: {error}");
        // Whatever refused it first, the digest that the circuit shows would have.
        assert!(!replay(fixture, &statement, run, proof).0, "{field} is not bound");
    }
    // A halo2 statement over a sigma proof.
    let mut sigma = run.statement.clone();
    (sigma.seal, sigma.seal_key_digest) = (SEAL_SIGMA, [0; 32]);
    let mut case = Case::new(
        fixture.case.program.clone(),
        fixture.case.dataset.examples().features.clone(),
        fixture.case.dataset.examples().labels.clone(),
        5,
    );
    case.dataset =
        weightproof_prover::CommittedDataset::from_secret_bytes(&fixture.case.dataset.to_secret_bytes())
            .expect("it was just written");
    let proof = case.seal(&case.witness(run), &sigma, &run.chosen, 30).encode();
    fixture.verdict(&sigma, &run.update, proof.clone()).expect("it is an honest sigma proof");
    let error = fixture.verdict(&run.statement, &run.update, proof).expect_err("another seal");
    assert!([E102, E106].contains(&error.code()), "{error}");
}

#[test]
fn every_field_of_a_proof_is_bound() {
    let Honest { fixture, runs: [run, _], proofs: [proof, other] } = shared();
    let point = |point: &Point| (*point + fixture.case.generators.blinding()).into_affine();
    let by = seven();
    let refused = |what: &str, code: ErrorCode, change: &dyn Fn(&mut CompactProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        let error = fixture.verdict(&run.statement, &run.update, changed.encode()).expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
    };
    // A field that is added does not compile until it is named here.
    let CompactProof { witness_rows, mask: _, dataset_rows, membership: _, exposed, seal, opening } = proof;
    for row in [0, witness_rows.len() - 1] {
        refused("a witness row", E307, &|p| p.witness_rows[row] = point(&p.witness_rows[row]));
    }
    refused("swapped witness rows", E307, &|p| p.witness_rows.swap(0, 1));
    refused("another mask", E307, &|p| p.mask = point(&p.mask));
    refused("the mask of another proof", E307, &|p| p.mask = other.mask);
    refused("no mask", E307, &|p| p.mask = Point::identity());
    refused("the mask and a witness row swapped", E307, &|p| {
        std::mem::swap(&mut p.mask, &mut p.witness_rows[0]);
    });
    for row in 0..dataset_rows.len() {
        refused("a dataset row", E206, &|p| p.dataset_rows[row] = point(&p.dataset_rows[row]));
    }
    for place in 0..exposed.point.len() {
        refused("r*", E307, &|p| p.exposed.point[place] += by);
    }
    for place in 0..exposed.coefficients.len() {
        refused("a coefficient", E307, &|p| p.exposed.coefficients[place] += by);
    }
    refused("y", E307, &|p| p.exposed.value += by);
    refused("what another proof shows", E307, &|p| p.exposed = other.exposed.clone());
    refused("another proof's seal", E307, &|p| p.seal = other.seal.clone());
    refused("another proof's seal and what it shows", E307, &|p| {
        (p.exposed, p.seal) = (other.exposed.clone(), other.seal.clone());
    });
    refused("another proof's opening", E305, &|p| p.opening = other.opening.clone());
    for round in 0..opening.rounds.len() {
        refused("a round's left", E305, &|p| p.opening.rounds[round].0 = point(&p.opening.rounds[round].0));
        refused("a round's right", E305, &|p| p.opening.rounds[round].1 = point(&p.opening.rounds[round].1));
    }
    refused("the opening's mask", E305, &|p| p.opening.mask = point(&p.opening.mask));
    refused("the response", E305, &|p| p.opening.response += by);
    refused("the blinding", E305, &|p| p.opening.blinding += by);
    // Bytes of halo2's proof: a sample of bits over all elements, one in each end of an element.
    let stride = if long() { 1 } else { 7 };
    for element in (0..seal.len() / 32).step_by(stride) {
        for (byte, bit) in [(0, 0), (17, 3), (31, 5), (31, 7)] {
            let what = format!("bit {bit} of byte {byte} of element {element}");
            refused(&what, E307, &|p| p.seal[32 * element + byte] ^= 1 << bit);
        }
    }
    refused("a shorter seal", E106, &|p| {
        p.seal.pop();
    });
    refused("a longer seal", E102, &|p| p.seal.push(0));
    let bytes = proof.encode();
    for (length, code) in [(0, E106), (bytes.len() - 1, E106), (bytes.len() / 2, E106)] {
        let error =
            fixture.verdict(&run.statement, &run.update, bytes[..length].to_vec()).expect_err("short");
        assert_eq!(error.code(), code);
    }
    let error = fixture.verdict(&run.statement, &run.update, [&bytes[..], &[0]].concat()).expect_err("long");
    assert_eq!(error.code(), E102);
}

/// halo2's own reader takes one length: what is missing or left over is refused without the outer length.
#[test]
fn the_seal_has_one_length() {
    let Honest { fixture, runs: [run, _], proofs: [proof, _] } = shared();
    let SealKey { parameters, key } = fixture.prover.seal_key();
    let transcript =
        compact_transcript(&run.statement, &proof.witness_rows, &proof.mask, &proof.dataset_rows);
    let digest = digest_limbs(&transcript.digest());
    let read = |seal: &[u8]| verify::verify(key, parameters, &digest, &proof.exposed, seal);
    assert_eq!(proof.seal.len(), key::proof_length(key.size.k));
    assert!(read(&proof.seal).is_some_and(PendingHalo2::is_zero));
    for length in [0, 31, 32, proof.seal.len() / 2, proof.seal.len() - 32, proof.seal.len() - 1] {
        assert!(read(&proof.seal[..length]).is_none(), "{length} bytes");
    }
    for more in [1, 32] {
        assert!(read(&[&proof.seal[..], &vec![0; more]].concat()).is_none(), "{more} more");
    }
    // Both limbs are in the instance.
    for place in 0..2 {
        let mut other = digest;
        other[place] += F::ONE;
        let halo2 = verify::verify(key, parameters, &other, &proof.exposed, &proof.seal);
        assert!(!halo2.is_some_and(PendingHalo2::is_zero));
    }
}

#[test]
fn keys_are_the_programs_own() {
    let Honest { fixture, runs: [run, _], proofs: [proof, _] } = shared();
    let file = fixture.file(&run.statement, &run.update, proof.encode());
    let (generators, base) = (&fixture.case.generators, &fixture.case.base);
    let code = |halo2: &[SealKey]| {
        verify_with(&file, base, Keys { generators, halo2 }).map(drop).map_err(|error| error.code())
    };
    let own = fixture.prover.seal_key().clone();
    assert_eq!(code(std::slice::from_ref(&own)), Ok(()));
    assert_eq!(code(&[]), Err(E308), "no key");
    let other = keys(&common::program("[3, 2]", "relu", "softmax-cross-entropy", 1, 3, "0.0"));
    let other = other.seal_key().clone();
    assert_ne!(own.key.digest, other.key.digest);
    assert_eq!(code(std::slice::from_ref(&other)), Err(E308), "another program's key");
    assert_eq!(code(&[other.clone(), own.clone()]), Ok(()));
    // A key in the name of the program is another key, whatever it says of itself.
    let mut named = other;
    named.key.program_digest = own.key.program_digest;
    assert_eq!(code(std::slice::from_ref(&named)), Err(E308), "another key under the program's name");
    named.key.digest = own.key.digest;
    named.key.size = own.key.size.clone();
    if named.parameters.k() == own.parameters.k() {
        assert_eq!(code(std::slice::from_ref(&named)), Err(E307), "the circuit of another program");
    }
}

#[test]
fn a_batch_names_the_proof_that_does_not_hold() {
    let Honest { fixture, runs, proofs } = shared();
    let case = &fixture.case;
    let honest = [0, 1].map(|i| fixture.file(&runs[i].statement, &runs[i].update, proofs[i].encode()));
    let mut witness = case.witness(&runs[0]);
    let place = case.layout.block(Tensor::ForwardRemainder(1, 0)).expect("the block is there").offset;
    witness.stack[place] ^= 1;
    witness.count_multiplicities().expect("still in its table");
    let cheat = fixture.seal(&mut witness, &runs[0], 40);
    let cheat = fixture.file(&runs[0].statement, &runs[0].update, cheat.encode());
    let mut opened = proofs[1].clone();
    opened.opening.response += F::ONE;
    let opened = fixture.file(&runs[1].statement, &runs[1].update, opened.encode());
    for (bad, code) in [(&cheat, E307), (&opened, E305)] {
        for position in [0, 2, 3] {
            let mut files = [&honest[0], &honest[1], &honest[1], &honest[0]];
            files[position] = bad;
            let items: Vec<(&[u8], &Parameters)> = files.iter().map(|file| (&file[..], &case.base)).collect();
            for (index, verdict) in verify_batch(&items, fixture.keys()).into_iter().enumerate() {
                let expected = if index == position { Err(code) } else { Ok(()) };
                assert_eq!(verdict.map(drop).map_err(|error| error.code()), expected, "item {index}");
            }
        }
    }
}

/// Two false proofs whose errors cancel under equal weights: the batch draws its weights from both.
#[test]
fn false_proofs_do_not_cancel() {
    let Honest { fixture, runs, proofs } = shared();
    let by = seven();
    let refused = |changed: &[CompactProof; 2], code: ErrorCode| {
        let files = [0, 1].map(|i| fixture.file(&runs[i].statement, &runs[i].update, changed[i].encode()));
        let items: Vec<(&[u8], &Parameters)> =
            files.iter().map(|file| (&file[..], &fixture.case.base)).collect();
        for verdict in verify_batch(&items, fixture.keys()) {
            assert_eq!(verdict.map(drop).map_err(|error| error.code()), Err(code));
        }
    };
    let halves = |changed: &[CompactProof; 2]| {
        [0, 1].map(|i| halves(fixture, &runs[i].statement, &runs[i], &changed[i]))
    };

    // The openings' last answers, after which no challenge comes.
    let mut changed = proofs.clone();
    changed[0].opening.blinding += by;
    changed[1].opening.blinding -= by;
    let mut sum = GroupEquation::new(0, 0);
    for (halo2, equation) in halves(&changed) {
        assert!(halo2.is_some_and(PendingHalo2::is_zero));
        assert!(!is_zero(&equation, &fixture.case.generators));
        sum.add_scaled(&F::ONE, &equation);
    }
    assert!(is_zero(&sum, &fixture.case.generators), "under equal weights they cancel");
    refused(&changed, E305);

    // halo2's last element, the blinding of its inner-product argument.
    let mut changed = proofs.clone();
    for (proof, by) in changed.iter_mut().zip([by, -by]) {
        let last = proof.seal.len() - 32;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&proof.seal[last..]);
        let value = from_bytes(&bytes).expect("halo2 writes scalars");
        proof.seal[last..].copy_from_slice(&to_bytes(&(value + by)));
    }
    let parameters = &fixture.prover.seal_key().parameters;
    let mut sum = Sum::new(parameters);
    for (halo2, _) in halves(&changed) {
        let halo2 = halo2.expect("only the last equation is false");
        assert!(!halo2.clone().is_zero());
        sum.add(&F::ONE, &halo2);
    }
    assert!(sum.is_zero(), "under equal weights they cancel");
    refused(&changed, E307);
}

/// Tables that the evaluator refuses, given to halo2's prover itself: what comes out is refused by its verifier.
#[test]
fn forged_tables_make_no_proof() {
    let (case, attacks) = deletion::attacks();
    let prover = keys(&case.program);
    let SealKey { parameters, key } = prover.seal_key();
    let accepted = |forged: &crate::harness::Forged| {
        let exposed = Exposed::from_values(&case.layout, &forged.table.instance[2..]).expect("all are shown");
        let digest = [forged.table.instance[0], forged.table.instance[1]];
        let seal =
            prover.prove_table(&forged.table, &mut Entropy::from_seed(50)).expect("halo2 does not look");
        verify::verify(key, parameters, &digest, &exposed, &seal).is_some_and(PendingHalo2::is_zero)
    };
    let sent = crate::harness::honest(case, 50);
    let table = weightproof_circuits::seal::halo2::table::Table::new(&sent.plan(case));
    assert!(accepted(&crate::harness::Forged { sent, table }));
    // One attack an item in the long run; by default one in several, copies and constraints both.
    let mut seen = std::collections::BTreeSet::new();
    let firsts: Vec<_> = attacks.iter().filter(|attack| seen.insert(attack.omission)).collect();
    let stride = if long() { 1 } else { 6 };
    for attack in firsts.iter().step_by(stride) {
        assert!(!accepted(&attack.forged), "{}", attack.what);
    }
}
