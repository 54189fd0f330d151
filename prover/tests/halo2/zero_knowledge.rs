//! What hides the run under the halo2 seal: the salt, the mask, the blindings. Each is left out in turn, and an outsider
//! who holds a short list of guesses then tells which is true; with it in place the outsider learns nothing.
//!
//! The outsider has everything public: program, base model, update, the digest, what the circuit shows. A guess is a whole
//! run; guesses differ in the label of one example.

use std::collections::{BTreeSet, VecDeque};

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::argument::{self, Opened};
use weightproof_circuits::curve::{Point, point_to_bytes};
use weightproof_circuits::field::{F, to_bytes};
use weightproof_circuits::multilinear::eq_table;
use weightproof_circuits::seal::halo2::Exposed;
use weightproof_circuits::seal::halo2::table::Table;
use weightproof_prover::argument::Witness;
use weightproof_prover::entropy::Entropy;
use weightproof_prover::progress::Silent;
use weightproof_prover::{Committer, SealProver};
use weightproof_verifier::{CompactProof, public};

use crate::common::{self, Instance};
use crate::harness::{Native, Sent, honest, native, send, tiny, witness};
use crate::proofs::{Fixture, Honest, shared};

/// The true run and a wrong guess of it: the other label.
fn guesses() -> [Instance; 2] {
    let truth = tiny();
    let mut wrong = tiny();
    let (x, mut y) = common::batches(&wrong.program, 23);
    y.swap(0, 1);
    let (trace, _) =
        weightproof_circuits::exact::run(&wrong.program, &wrong.base, &x, &y).expect("data stay in range");
    wrong.trace = trace;
    // Both the update and the base model are public, and so the same for every guess.
    wrong.update = truth.update.clone();
    [truth, wrong]
}

// --- The salt ---

/// The coefficients that a guess leads to, under a given `η` and the `r*` that is shown.
fn coefficients(guess: &Instance, sent: &Sent, eta: F, point: &[F]) -> [F; 6] {
    let mut native = Native::new(sent);
    native.replaced =
        vec![("eta", VecDeque::from([eta])), ("reduction", point.iter().rev().copied().collect())];
    let claim = argument::check(&mut native, &guess.layout, &guess.program).expect("the guess has the shape");
    assert_eq!(claim.point, point);
    claim.coefficients
}

/// Whether a guess of the run and of the salt explains what is shown.
///
/// The mask is unknown, but it enters only the last message before `η`: all points of claims follow from the guess. Two
/// coefficients of one claim each then give `η`, and the others must agree.
fn explains(guess: &Instance, digest: [F; 2], salt: F, shown: &Exposed) -> bool {
    let mut witness = witness(guess, 0);
    witness.mask.iter_mut().for_each(|entry| *entry = F::ZERO);
    let sent = send(&witness, Sent { digest, salt, messages: Vec::new() });
    let [one, two] = [1u64, 2].map(|eta| coefficients(guess, &sent, F::from(eta), &shown.point));
    let [exponential, mask] = [Opened::Exponential, Opened::Mask].map(|opened| {
        let place = Opened::ALL.iter().position(|other| *other == opened).expect("it is opened");
        // One claim: the coefficient is `ηⁱ` times that for `η = 1`.
        let mut power = one[place];
        let exponent = (0..1000).find(|_| {
            let found = power == two[place];
            power = power.double();
            found
        });
        (
            exponent.expect("a single claim"),
            shown.coefficients[place] * one[place].inverse().expect("nonzero"),
        )
    });
    let (low, high) = if exponential.0 < mask.0 { (exponential, mask) } else { (mask, exponential) };
    assert_eq!(high.0 - low.0, 1, "neighbours in the list of claims");
    let eta = high.1 * low.1.inverse().expect("nonzero");
    coefficients(guess, &sent, eta, &shown.point) == shown.coefficients
}

#[test]
fn without_its_salt_a_guess_of_the_run_is_confirmed() {
    let [truth, wrong] = guesses();
    for seed in [1, 2] {
        let start = Sent::start(seed);
        let unsalted = Sent { salt: F::ZERO, ..start.clone() };
        let shown = |start: &Sent| native(&truth, &send(&witness(&truth, seed), start.clone())).1;
        let open = shown(&unsalted);
        assert!(
            explains(&truth, start.digest, F::ZERO, &open),
            "a true guess is confirmed, whatever the mask"
        );
        assert!(!explains(&wrong, start.digest, F::ZERO, &open), "and a wrong one is not");
        let salted = shown(&start);
        assert!(!explains(&truth, start.digest, F::ZERO, &salted), "under a salt a true guess looks wrong");
        // It is the salt alone that the outsider lacks.
        assert!(explains(&truth, start.digest, start.salt, &salted));
    }
}

// --- The mask ---

/// The hidden polynomials' part of `y`, of a guess: all that the outsider does not know.
fn hidden_part(witness: &Witness<'_>, shown: &Exposed) -> F {
    let layout = witness.layout;
    let at = |opened: Opened| eq_table(&opened.point(layout, &shown.point));
    let value = |weights: &[F], values: &[i32]| -> F {
        weights.iter().zip(values).filter(|(_, value)| **value != 0).map(|(w, v)| *w * F::from(*v)).sum()
    };
    let stack = value(&at(Opened::Witness), &witness.stack);
    let width = 1 << layout.data_variables;
    let data: F = at(Opened::Data)
        .chunks(1 << layout.column_variables)
        .zip(witness.data.chunks(width))
        .map(|(weights, row)| value(weights, row))
        .sum();
    shown.coefficients[0] * stack + shown.coefficients[1] * data
}

/// Whether a guess explains `y` without a mask.
fn value_is(guess: &Witness<'_>, shown: &Exposed) -> bool {
    let Witness { program, layout, base, update, .. } = guess;
    let public = public::share(layout, program, base, update, &shown.point, &shown.coefficients);
    public + hidden_part(guess, shown) == shown.value
}

#[test]
fn without_its_mask_the_opened_value_confirms_a_guess() {
    let guesses = guesses();
    let [truth, wrong] = [&guesses[0], &guesses[1]].map(|guess| witness(guess, 0));
    let case = &guesses[0];
    for seed in [3, 4] {
        let mut bare = witness(case, seed);
        bare.mask.iter_mut().for_each(|entry| *entry = F::ZERO);
        let shown = native(case, &send(&bare, Sent::start(seed))).1;
        assert!(value_is(&truth, &shown), "a true guess is confirmed, whatever the salt");
        assert!(!value_is(&wrong, &shown), "and a wrong one is not");
        let masked = witness(case, seed);
        let shown = native(case, &send(&masked, Sent::start(seed))).1;
        assert!(!value_is(&truth, &shown), "under a mask a true guess looks wrong");
        // It is the mask alone that the outsider lacks.
        let weights = eq_table(&Opened::Mask.point(&case.layout, &shown.point));
        let mask: F = weights.iter().zip(&masked.mask).map(|(w, v)| *w * v).sum();
        let rest = Exposed { value: shown.value - shown.coefficients[5] * mask, ..shown };
        assert!(value_is(&truth, &rest));
    }
}

/// A mask with one entry that is not zero, known in place but not in value, used twice: two values give it away.
#[test]
fn a_mask_that_is_used_twice_confirms_a_guess() {
    let guesses = guesses();
    let case = &guesses[0];
    let [truth, wrong] = [&guesses[0], &guesses[1]].map(|guess| witness(guess, 0));
    let share = |guess: &Witness<'_>, shown: &Exposed| {
        let Witness { program, layout, base, update, .. } = guess;
        let public = public::share(layout, program, base, update, &shown.point, &shown.coefficients);
        let weight = eq_table(&Opened::Mask.point(layout, &shown.point))[0] * shown.coefficients[5];
        (shown.value - public - hidden_part(guess, shown)) * weight.inverse().expect("nonzero")
    };
    let shown = |seed: u64, mask_seed: u64| {
        let mut masked = witness(case, mask_seed);
        masked.mask[1..].iter_mut().for_each(|entry| *entry = F::ZERO);
        native(case, &send(&masked, Sent::start(seed))).1
    };
    let [a, again, fresh] = [shown(5, 1), shown(6, 1), shown(7, 2)];
    assert_eq!(share(&truth, &a), share(&truth, &again), "the true guess gives one mask twice");
    assert_ne!(share(&wrong, &a), share(&wrong, &again));
    assert_ne!(share(&truth, &a), share(&truth, &fresh), "fresh masks agree under no guess");
}

// --- Blindings ---

/// Every row of the witness is committed under a blinding of its own: without it a row is what a guess commits to.
#[test]
fn without_their_blindings_rows_confirm_a_guess() {
    let Honest { fixture, runs: [run, _], proofs: [proof, _] } = shared();
    let case = &fixture.case;
    let committer = Committer::new(&case.generators);
    let witness = case.witness(run);
    let width = 1usize << case.layout.column_variables;
    let commit = |stack: &[i32], blindings: &[F]| {
        committer.rows(stack, width, blindings, &Silent).expect("nobody stops it")
    };
    let rows = proof.witness_rows.len();
    let bare = commit(&witness.stack, &vec![F::ZERO; rows]);
    let mut wrong = witness.stack.clone();
    wrong[0] += 1;
    // The control: bare rows tell a true guess from a wrong one.
    assert_ne!(bare, commit(&wrong, &vec![F::ZERO; rows]));
    let blinded = &proof.witness_rows;
    let all: BTreeSet<[u8; 32]> = bare.iter().chain([&Point::identity()]).map(point_to_bytes).collect();
    assert!(blinded.iter().chain([&proof.mask]).all(|row| !all.contains(&point_to_bytes(row))));
    // Nor do two rows share a blinding: padding rows would be equal, and differences of rows would confirm guesses.
    let differences: BTreeSet<[u8; 32]> =
        blinded.iter().zip(&bare).map(|(row, bare)| point_to_bytes(&(*row - *bare).into())).collect();
    assert_eq!(differences.len(), rows);
}

/// All 32-byte elements at their places.
fn elements(bytes: &[u8]) -> BTreeSet<&[u8]> {
    bytes.chunks(32).collect()
}

/// halo2's blindings come from the prover's entropy and nothing else: the same table under the same entropy is the same
/// proof, which a guess of the table would confirm; under other entropy no element of the proof is the same.
#[test]
fn blindings_of_halo2_come_from_the_entropy() {
    let Fixture { case, prover } = &shared().fixture;
    let instance = Instance {
        program: case.program.clone(),
        layout: case.layout.clone(),
        ..common::instance(case.program.clone(), 3)
    };
    let table = Table::new(&honest(&instance, 8).plan(&instance));
    let prove = |prover: &SealProver, seed: u64| {
        prover.prove_table(&table, &mut Entropy::from_seed(seed)).expect("the table is satisfied")
    };
    let (first, again, other) = (prove(prover, 1), prove(prover, 1), prove(prover, 2));
    assert_eq!(first, again, "known entropy confirms a guess of the table");
    assert!(elements(&first).is_disjoint(&elements(&other)));
}

/// Everything that a proof shows but its dataset rows, as elements.
fn shown(proof: &CompactProof) -> Vec<[u8; 32]> {
    let mut all: Vec<[u8; 32]> = proof.witness_rows.iter().chain([&proof.mask]).map(point_to_bytes).collect();
    all.extend(proof.exposed.values().iter().map(to_bytes));
    all.extend(proof.seal.as_chunks::<32>().0);
    let opening = &proof.opening;
    all.extend(opening.rounds.iter().flat_map(|(left, right)| [left, right]).map(point_to_bytes));
    all.extend([point_to_bytes(&opening.mask), to_bytes(&opening.response), to_bytes(&opening.blinding)]);
    all
}

/// Beside the dataset's own commitments, no element of a proof comes again: not in another proof, and not in itself.
#[test]
fn two_proofs_of_one_contribution_share_nothing() {
    let Honest { fixture, runs: [run, _], proofs } = shared();
    let mut witness = fixture.case.witness(run);
    let [a, b] = [70, 71].map(|seed| fixture.seal(&mut witness, run, seed));
    for (a, b) in [(&a, &b), (&a, &proofs[0]), (&proofs[0], &proofs[1])] {
        // Beside the rows that the beacon chose, which are public.
        let length = |proof: &CompactProof| {
            proof.encode().len() - 32 * (proof.dataset_rows.len() + proof.membership.hashes.len())
        };
        assert_eq!(length(a), length(b), "the length depends on the shape alone");
        let (a, b) = (shown(a), shown(b));
        assert_eq!(a.len(), b.len());
        let common: Vec<[u8; 32]> = a.iter().filter(|value| b.contains(value)).copied().collect();
        assert!(common.is_empty(), "{} elements are shared", common.len());
        let distinct: BTreeSet<&[u8; 32]> = a.iter().collect();
        assert_eq!(distinct.len(), a.len(), "nor does a proof show an element twice");
    }

    // The outsider's attacks on the salt and the mask, against the prover as it is.
    let mut guess = fixture.case.witness(run);
    guess.mask = vec![F::ZERO; 1 << fixture.case.layout.column_variables];
    assert!(!value_is(&guess, &a.exposed), "the opened value is masked");
    // That guess is the truth: with the mask left out the same test confirms it.
    let sent = send(&guess, Sent::start(9));
    let instance = Instance {
        program: fixture.case.program.clone(),
        layout: fixture.case.layout.clone(),
        ..common::instance(fixture.case.program.clone(), 3)
    };
    assert!(value_is(&guess, &native(&instance, &sent).1));
}
