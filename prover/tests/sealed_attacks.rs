//! Cheating provers against the real verifier, on whole sealed contributions.
//!
//! Each attack has a live control: the same cheat is accepted when its one defence is left out. [`replay`] is the
//! verifier's own pieces put together with a defence missing: the seal's equations, the opening's, the beacon's choice of
//! rows, or the binding of the statement.

mod common;
mod sealing;

use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, Field, Zero};
use sealing::{Case, Run};
use weightproof_circuits::algebra::{ArgumentError, Check, Clear, Powers};
use weightproof_circuits::argument;
use weightproof_circuits::curve::{Point, multi_exponentiation};
use weightproof_circuits::error::ErrorCode::{self, *};
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Tensor;
use weightproof_circuits::merkle::MultiProof;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::seal::equation::GroupEquation;
use weightproof_circuits::seal::sigma::{
    self, Committed, MessageKind, SigmaProof, System, draw_batching, draw_challenge,
};
use weightproof_circuits::statement::{SEAL_HALO2, Statement};
use weightproof_circuits::transcript::Transcript;
use weightproof_prover::argument::{ClearChannel, Witness, prove};
use weightproof_prover::contribute::gather;
use weightproof_prover::progress::Silent;
use weightproof_verifier::binding::{distinct_rows, transcript};
use weightproof_verifier::contribution::Proof;
use weightproof_verifier::opening::{self, Commitments, OpeningProof, OpeningStatement};
use weightproof_verifier::{generator_counts, public, verify_with};

/// A softmax program of four examples over `rows` rows.
fn case(rows: usize) -> Case {
    let program = common::program("[3, 4, 2]", "relu", "softmax-cross-entropy", 2, 2, "0.5");
    let wide = common::program("[3, 4, 2]", "relu", "softmax-cross-entropy", rows, 1, "0.5");
    let (features, labels) = common::batches(&wide, 5);
    Case::new(program, features, labels, 5)
}

/// What a replay leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    Seal,
    Opening,
}

/// The verifier after its digests and its Merkle proof, under a given binding and choice of rows.
fn replay(
    case: &Case,
    bound: &Statement,
    chosen: &[u32],
    base: &Parameters,
    update: &Parameters,
    proof: &Proof,
    without: Without,
) -> bool {
    let (layout, program) = (&case.layout, &case.program);
    let (_, places) = distinct_rows(chosen);
    let mut transcript = transcript(bound, &proof.witness_rows, &proof.dataset_rows);
    let mut algebra = Committed::new(&mut transcript, &proof.messages);
    let claim = argument::check(&mut algebra, layout, program).expect("shapes are right");
    let system = algebra.finish().expect("nothing is left over");
    let (point, coefficients) = (claim.point, claim.coefficients);
    let seal = sigma::verify(&mut transcript, &system, &proof.messages, &proof.seal);
    let statement = OpeningStatement {
        layout,
        point: &point,
        witness_coefficient: coefficients[0],
        data_coefficient: coefficients[1],
        mask_coefficient: F::ZERO,
        public_share: public::share(layout, program, base, update, &point, &coefficients),
    };
    let opening = opening::verify(&mut transcript, statement, &proof.opening).expect("rounds are right");
    let (rows, messages) = generator_counts(layout, program);
    let mut equation = GroupEquation::new(rows, messages);
    let mut powers = Powers::new(transcript.challenge("equations"));
    match (seal, without) {
        (_, Without::Seal) => {}
        (Ok(seal), _) => seal.add_to(&mut equation, &mut powers).expect("generators for every message"),
        (Err(_), _) => return false,
    }
    if without != Without::Opening {
        let value = *proof.messages.last().expect("there are messages");
        let commitments = Commitments {
            witness: &proof.witness_rows,
            data: &proof.dataset_rows,
            places: &places,
            mask: None,
            value,
        };
        opening.add_to(&mut equation, commitments, &mut powers).expect("generators for every column");
    }
    let (bases, scalars) = equation.terms(&case.generators);
    multi_exponentiation(&bases, &scalars).is_zero()
}

/// The real verifier refuses with a code; the same proof passes a verifier without the one defence and no other.
fn defended_by(case: &Case, run: &Run, proof: &Proof, what: &str, code: ErrorCode, defence: Without) {
    let error = case.verify(&case.file(&run.statement, &run.update, proof)).map(drop).expect_err(what);
    assert_eq!(error.code(), code, "{what}: {error}");
    let accepted =
        |without| replay(case, &run.statement, &run.chosen, &case.base, &run.update, proof, without);
    assert!(!accepted(Without::Nothing), "{what}: the replay is the verifier");
    for without in [Without::Seal, Without::Opening] {
        assert_eq!(
            accepted(without),
            without == defence,
            "{what} without {without:?} (VACUOUS if its defence is not it)"
        );
    }
}

/// The checks that a witness fails in the clear: those that have to be passed over before all others hold.
fn failing_in_the_clear(case: &Case, witness: &Witness<'_>) -> Vec<Check> {
    let transcript = Transcript::new("attack", &[1; 32]);
    let mut channel = ClearChannel::new(transcript.clone());
    prove(&common::on_cpu(witness), &mut channel, &Silent, &mut Vec::new()).expect("a cheat is provable");
    let mut skipped = Vec::new();
    loop {
        let mut clear = Clear::new(transcript.clone(), &channel.messages);
        clear.skipped = skipped.clone();
        match argument::check(&mut clear, &case.layout, &case.program) {
            Ok(_) => return skipped,
            Err(ArgumentError::Check(check)) => skipped.push(check),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn false_witnesses_are_refused_by_the_seal() {
    let case = case(9);
    let honest = case.run(case.statement(1));
    let proof = case.seal(&case.witness(&honest), &honest.statement, &honest.chosen, 1);
    assert!(case.verify(&case.file(&honest.statement, &honest.update, &proof)).is_ok());
    assert!(failing_in_the_clear(&case, &case.witness(&honest)).is_empty());

    // One entry of a block is another entry of its table.
    for (tensor, check) in [
        (Tensor::ForwardRemainder(2, 0), Check::MatrixProducts),
        (Tensor::ForwardRemainder(1, 0), Check::MatrixProducts),
        (Tensor::BackwardRemainder(1, 1), Check::MatrixProducts),
        (Tensor::DivisionComplement(0), Check::DivisionComplement),
    ] {
        let mut witness = case.witness(&honest);
        let place = case.layout.block(tensor).expect("the block is there").offset;
        witness.stack[place] ^= 1;
        witness.count_multiplicities().expect("still in its table");
        let what = format!("{tensor:?} off by one");
        assert_eq!(failing_in_the_clear(&case, &witness), [check], "{what}");
        let proof = case.seal(&witness, &honest.statement, &honest.chosen, 2);
        defended_by(&case, &honest, &proof, &what, E307, Without::Seal);
    }

    // A remainder outside its table, counted nowhere.
    let mut witness = case.witness(&honest);
    let limb = case.layout.block(Tensor::ForwardRemainder(2, 0)).expect("the block is there").offset;
    let high = case.layout.block(Tensor::ForwardRemainder(2, 1)).expect("the block is there").offset;
    let size = 1 << case.layout.remainder_limbs[0];
    let (shift, other) = if witness.stack[high] > 0 { (size, -1) } else { (-size, 1) };
    witness.stack[limb] += shift;
    witness.stack[high] += other;
    witness.count_multiplicities_within().expect("outside its table");
    assert_eq!(failing_in_the_clear(&case, &witness), [Check::LookupRoot], "a limb out of range");
    let proof = case.seal(&witness, &honest.statement, &honest.chosen, 3);
    defended_by(&case, &honest, &proof, "a limb out of range", E307, Without::Seal);

    // Trained on a label that the dataset does not hold; the committed rows are shown as they are.
    let mut y = honest.y.clone();
    y.swap(0, 1);
    let cheat = case.run_on(honest.statement.clone(), honest.chosen.clone(), &case.base, honest.x.clone(), y);
    let mut witness = case.witness(&cheat);
    witness.data = case.witness(&honest).data.clone();
    assert_eq!(failing_in_the_clear(&case, &witness), [Check::DatasetLink], "wrong label");
    let proof = case.seal(&witness, &cheat.statement, &cheat.chosen, 4);
    defended_by(&case, &cheat, &proof, "wrong label", E307, Without::Seal);

    // Another update under its own digest.
    let mut cheat = case.run(case.statement(1));
    cheat.update.layers[0].weights[0] += 1;
    cheat.statement.update_digest = cheat.update.digest(&case.program).expect("the same shape");
    let proof = case.seal(&case.witness(&cheat), &cheat.statement, &cheat.chosen, 5);
    defended_by(&case, &cheat, &proof, "a larger update", E307, Without::Seal);
}

#[test]
fn false_openings_are_refused() {
    let case = case(9);
    let honest = case.run(case.statement(1));

    // The honest update in the argument, another one in the file.
    let honest_witness = case.witness(&honest);
    let mut cheat = case.run(case.statement(1));
    cheat.update = Parameters::zeros(&case.program);
    cheat.statement.update_digest = cheat.update.digest(&case.program).expect("the same shape");
    let proof = case.seal(&honest_witness, &cheat.statement, &cheat.chosen, 1);
    // The prover's share of the public polynomials is not the verifier's, whose challenges part from there.
    defended_by(&case, &cheat, &proof, "a zero update", E305, Without::Opening);

    // Trained from another model.
    let mut base = case.base.clone();
    base.layers[1].weights[0] += 1 << 20;
    let cheat =
        case.run_on(case.statement(1), honest.chosen.clone(), &base, honest.x.clone(), honest.y.clone());
    let mut witness = case.witness(&cheat);
    witness.base = &base;
    assert!(failing_in_the_clear(&case, &witness).is_empty(), "true of the other model");
    let proof = case.seal(&witness, &cheat.statement, &cheat.chosen, 2);
    defended_by(&case, &cheat, &proof, "another base model", E305, Without::Opening);

    // Trained on other data than the rows that are shown, in each of three ways.
    let mut altered = honest.y.clone();
    altered.swap(0, 1);
    let mut swapped = honest.chosen.clone();
    swapped.swap(0, 3);
    let mut repeated = honest.chosen.clone();
    repeated[1] = repeated[0];
    let ways = [
        ("wrong label", honest.x.clone(), altered),
        ("swapped rows", gather(&case.dataset, &swapped).0, gather(&case.dataset, &swapped).1),
        ("repeated row", gather(&case.dataset, &repeated).0, gather(&case.dataset, &repeated).1),
    ];
    for (what, x, y) in ways {
        let cheat = case.run_on(case.statement(1), honest.chosen.clone(), &case.base, x, y);
        let witness = case.witness(&cheat);
        assert!(failing_in_the_clear(&case, &witness).is_empty(), "{what}: true of the other data");
        let proof = case.seal(&witness, &cheat.statement, &cheat.chosen, 3);
        defended_by(&case, &cheat, &proof, what, E305, Without::Opening);
    }
}

#[test]
fn rows_are_those_that_the_beacon_chose() {
    let case = case(9);
    let honest = case.run(case.statement(1));
    let length = |chosen: &[u32]| {
        case.dataset.membership(&distinct_rows(chosen).0).expect("rows of the dataset").hashes.len()
    };
    // Another member in place of one row, wherever the Merkle proof keeps its length.
    let replaced = (0..9u32)
        .filter(|row| !honest.chosen.contains(row))
        .flat_map(|row| (0..4).map(move |place| (row, place)))
        .map(|(row, place)| {
            let mut chosen = honest.chosen.clone();
            chosen[place] = row;
            chosen
        })
        .find(|chosen| length(chosen) == length(&honest.chosen))
        .expect("some row has a proof of the same length");
    let (x, y) = gather(&case.dataset, &replaced);
    let cheat = case.run_on(case.statement(1), replaced.clone(), &case.base, x, y);
    let proof = case.seal(&case.witness(&cheat), &cheat.statement, &replaced, 1);
    let error = case.verify(&case.file(&cheat.statement, &cheat.update, &proof)).map(drop).unwrap_err();
    assert_eq!(error.code(), E206, "{error}");
    let accepted = |chosen: &[u32]| {
        replay(&case, &cheat.statement, chosen, &case.base, &cheat.update, &proof, Without::Nothing)
    };
    assert!(accepted(&replaced), "the control: accepted by a verifier that lets the prover choose");

    // The same rows in another order.
    let mut order = honest.chosen.clone();
    order.swap(0, 2);
    let (x, y) = gather(&case.dataset, &order);
    let cheat = case.run_on(case.statement(1), order.clone(), &case.base, x, y);
    let proof = case.seal(&case.witness(&cheat), &cheat.statement, &order, 2);
    let error = case.verify(&case.file(&cheat.statement, &cheat.update, &proof)).map(drop).unwrap_err();
    assert_eq!(error.code(), E305, "{error}");
    assert!(replay(&case, &cheat.statement, &order, &case.base, &cheat.update, &proof, Without::Nothing));

    // Rows that are not of the registered dataset: a dataset of the same data, committed again.
    let other = Case::new(
        case.program.clone(),
        case.dataset.examples().features.clone(),
        case.dataset.examples().labels.clone(),
        6,
    );
    let proof = other.seal(&case.witness(&honest), &honest.statement, &honest.chosen, 3);
    let error = case.verify(&case.file(&honest.statement, &honest.update, &proof)).map(drop).unwrap_err();
    assert_eq!(error.code(), E206, "{error}");
    assert!(replay(
        &case,
        &honest.statement,
        &honest.chosen,
        &case.base,
        &honest.update,
        &proof,
        Without::Nothing
    ));
}

/// The statement with one field changed to a value that is valid where possible, and the code that must follow.
///
/// A new field of the statement has no attack here and fails the test.
fn altered(statement: &Statement, field: &str) -> (Statement, ErrorCode) {
    let mut s = statement.clone();
    let code = match field {
        "protocol_version" => (s.protocol_version += 1, E105).1,
        // The other seal's proofs are shorter.
        "seal" => (s.seal = SEAL_HALO2, E102).1,
        "seal_key_digest" => (s.seal_key_digest[0] ^= 1, E308).1,
        "mode" => (s.mode = 2, E105).1,
        "space" => (s.space[31] ^= 1, E307).1,
        "round" => (s.round += 1, E307).1,
        "beacon" => (s.beacon[0] ^= 1, E307).1,
        "program_digest" => (s.program_digest[0] ^= 1, E201).1,
        "dataset_root" => (s.dataset_root[0] ^= 1, E206).1,
        // Four of five rows: the proof has no room for the missing one's hash.
        "dataset_rows" => (s.dataset_rows += 1, E106).1,
        "model_version" => (s.model_version += 1, E307).1,
        "model_digest" => (s.model_digest[0] ^= 1, E203).1,
        "update_digest" => (s.update_digest[0] ^= 1, E201).1,
        "contributor" => (s.contributor[0] ^= 1, E307).1,
        "payout" => (s.payout[0] ^= 1, E307).1,
        other => panic!("the statement's field {other} has no attack"),
    };
    (s, code)
}

#[test]
fn every_field_of_the_statement_is_bound() {
    // As many rows as examples: whatever the beacon, all rows are used, and only the binding is left to tell.
    let case = case(4);
    let run = case.run(case.statement(1));
    let proof = case.seal(&case.witness(&run), &run.statement, &run.chosen, 1);
    assert!(
        case.verify(&case.file(&run.statement, &run.update, &proof)).is_ok(),
        "the control: unaltered, it is valid"
    );
    assert_eq!(Statement::FIELDS.len(), 15);
    for field in Statement::FIELDS {
        let (statement, code) = altered(&run.statement, field);
        let error = case.verify(&case.file(&statement, &run.update, &proof)).map(drop).expect_err(field);
        assert_eq!(error.code(), code, "{field}: {error}");
        let accepted =
            |bound| replay(&case, bound, &run.chosen, &case.base, &run.update, &proof, Without::Nothing);
        assert!(!accepted(&statement), "{field}: refused by its binding alone");
        assert!(accepted(&run.statement), "{field}: the control: accepted where the field is not bound");
    }
    // A payout of another length, and none.
    for payout in [Vec::new(), vec![7; 64]] {
        let statement = Statement { payout, ..run.statement.clone() };
        let error = case.verify(&case.file(&statement, &run.update, &proof)).map(drop).unwrap_err();
        assert_eq!(error.code(), E307);
    }
}

#[test]
fn what_travels_with_a_proof_is_bound() {
    let case = case(9);
    let run = case.run(case.statement(1));
    let proof = case.seal(&case.witness(&run), &run.statement, &run.chosen, 1);
    let file = case.file(&run.statement, &run.update, &proof);
    assert!(case.verify(&file).is_ok());
    let code = |bytes: &[u8], base: &Parameters| {
        verify_with(bytes, base, &case.generators).map(drop).expect_err("altered").code()
    };

    // A model that has moved on, and one that is altered.
    let stale = case.base.checked_add(&run.update).expect("in range");
    assert_eq!(code(&file, &stale), E203);
    let mut base = case.base.clone();
    base.layers[0].biases[0] += 1;
    assert_eq!(code(&file, &base), E203);
    // Altered, scaled and zero updates.
    let mut larger = run.update.clone();
    larger.layers[1].biases[0] += 1;
    let doubled = run.update.checked_add(&run.update).expect("in range");
    for update in [larger, doubled, Parameters::zeros(&case.program)] {
        assert_eq!(code(&case.file(&run.statement, &update, &proof), &case.base), E201);
    }
    // Another learning rate, in the file and then in the statement too.
    let mut other = self::case(9);
    let mut spec = case.program.spec();
    spec.learning_rate = "0.25".parse().expect("a decimal");
    other.program = weightproof_circuits::program::Program::validate(spec).expect("a valid program");
    assert_eq!(code(&other.file(&run.statement, &run.update, &proof), &case.base), E201);
    let statement = Statement {
        program_digest: other.program.digest(),
        model_digest: case.base.digest(&other.program).expect("the same layers"),
        update_digest: run.update.digest(&other.program).expect("the same layers"),
        ..run.statement.clone()
    };
    let mut rows = Vec::new();
    for contributor in 0..=u8::MAX {
        // The model's digest names its scale: where the beacon now chooses other rows, try another thief.
        let statement = Statement { contributor: [contributor; 32], ..statement.clone() };
        rows.push(code(&other.file(&statement, &run.update, &proof), &case.base));
        if rows.last() == Some(&E307) {
            break;
        }
    }
    assert!(rows.iter().all(|code| matches!(code, E102 | E106 | E206 | E307)), "{rows:?}");
    // The data's root, replaced by that of a dataset of the thief's.
    let mut statement = run.statement.clone();
    statement.dataset_root = self::case(10).dataset.root();
    assert!(matches!(code(&case.file(&statement, &run.update, &proof), &case.base), E102 | E106 | E206));
    // A stolen proof, under the thief's key and account.
    let mut statement = run.statement.clone();
    (statement.contributor, statement.payout) = ([8; 32], b"thief".to_vec());
    assert!(matches!(
        code(&case.file(&statement, &run.update, &proof), &case.base),
        E102 | E106 | E206 | E307
    ));
}

/// First, middle and last.
fn picks(length: usize) -> Vec<usize> {
    let mut picks = vec![0, length / 2, length - 1];
    picks.dedup();
    picks
}

/// Every field of a proof, altered. A new field does not compile here.
fn tampered(proof: &Proof, delta: Point) -> Vec<(String, Proof, ErrorCode)> {
    let Proof { witness_rows, dataset_rows, membership, messages, seal, opening } = proof;
    let SigmaProof { masks, cross_terms, linear_mask, responses, blindings, cross_blinding } = seal;
    let OpeningProof { rounds, mask, response, blinding } = opening;
    let MultiProof { hashes } = membership;
    let moved = |point: &Point| (*point + delta).into_affine();
    let one = F::ONE;
    let mut all = Vec::new();
    let mut push = |what: String, code, change: &dyn Fn(&mut Proof)| {
        let mut altered = proof.clone();
        change(&mut altered);
        assert_ne!(&altered, proof, "{what}");
        all.push((what, altered, code));
    };
    for i in picks(witness_rows.len()) {
        push(format!("witness row {i}"), E307, &|p| p.witness_rows[i] = moved(&witness_rows[i]));
    }
    for i in picks(dataset_rows.len()) {
        push(format!("dataset row {i}"), E206, &|p| p.dataset_rows[i] = moved(&dataset_rows[i]));
    }
    push("swapped dataset rows".into(), E206, &|p| p.dataset_rows.swap(0, 1));
    for i in picks(hashes.len()) {
        push(format!("Merkle hash {i}"), E206, &|p| p.membership.hashes[i][31] ^= 1);
    }
    for i in picks(messages.len()) {
        push(format!("message {i}"), E307, &|p| p.messages[i] = moved(&messages[i]));
        push(format!("zero message {i}"), E307, &|p| p.messages[i] = Point::identity());
    }
    push("swapped messages".into(), E307, &|p| p.messages.swap(0, 1));
    for i in picks(masks.len()) {
        push(format!("mask {i}"), E307, &|p| p.seal.masks[i] = moved(&masks[i]));
    }
    for (i, term) in cross_terms.iter().enumerate() {
        push(format!("cross term {i}"), E307, &|p| p.seal.cross_terms[i] = moved(term));
    }
    push("linear mask".into(), E307, &|p| p.seal.linear_mask = *linear_mask + one);
    for i in picks(responses.len()) {
        push(format!("response {i}"), E307, &|p| p.seal.responses[i] = responses[i] + one);
    }
    for i in picks(blindings.len()) {
        push(format!("blinding {i}"), E307, &|p| p.seal.blindings[i] = blindings[i] + one);
    }
    push("cross blinding".into(), E307, &|p| p.seal.cross_blinding = *cross_blinding + one);
    push("a seal of zeros".into(), E307, &|p| {
        p.seal.masks.fill(Point::identity());
        p.seal.cross_terms = [Point::identity(); 2];
        p.seal.linear_mask = F::ZERO;
        p.seal.responses.fill(F::ZERO);
        p.seal.blindings.fill(F::ZERO);
        p.seal.cross_blinding = F::ZERO;
    });
    for i in picks(rounds.len()) {
        push(format!("left half of round {i}"), E305, &|p| p.opening.rounds[i].0 = moved(&rounds[i].0));
        push(format!("right half of round {i}"), E305, &|p| p.opening.rounds[i].1 = moved(&rounds[i].1));
    }
    push("opening mask".into(), E305, &|p| p.opening.mask = moved(mask));
    push("opening response".into(), E305, &|p| p.opening.response = *response + one);
    push("opening blinding".into(), E305, &|p| p.opening.blinding = *blinding + one);
    push("an opening of zeros".into(), E305, &|p| {
        p.opening.rounds.fill((Point::identity(), Point::identity()));
        p.opening.mask = Point::identity();
        (p.opening.response, p.opening.blinding) = (F::ZERO, F::ZERO);
    });
    // Omitted and added parts.
    push("a witness row too few".into(), E106, &|p| p.witness_rows.truncate(p.witness_rows.len() - 1));
    push("a dataset row too few".into(), E106, &|p| p.dataset_rows.truncate(p.dataset_rows.len() - 1));
    push("a Merkle hash too few".into(), E106, &|p| {
        p.membership.hashes.truncate(p.membership.hashes.len() - 1)
    });
    push("a message too many".into(), E102, &|p| p.messages.push(delta));
    push("a message too few".into(), E106, &|p| p.messages.truncate(p.messages.len() - 1));
    push("a mask too few".into(), E106, &|p| p.seal.masks.truncate(p.seal.masks.len() - 1));
    push("a response too many".into(), E102, &|p| p.seal.responses.push(one));
    push("a response too few".into(), E106, &|p| p.seal.responses.truncate(p.seal.responses.len() - 1));
    push("a blinding too few".into(), E106, &|p| p.seal.blindings.truncate(p.seal.blindings.len() - 1));
    push("a round too many".into(), E102, &|p| p.opening.rounds.push((delta, delta)));
    push("no rounds".into(), E106, &|p| p.opening.rounds.clear());
    all
}

#[test]
fn every_field_of_the_proof_is_checked() {
    let case = case(9);
    let run = case.run(case.statement(1));
    let proof = case.seal(&case.witness(&run), &run.statement, &run.chosen, 1);
    assert!(case.verify(&case.file(&run.statement, &run.update, &proof)).is_ok(), "the control");
    // Moves along the blinding generator are those that leave every committed value as it is.
    for delta in [case.generators.blinding(), case.generators.messages()[0], case.generators.rows()[0]] {
        for (what, altered, code) in tampered(&proof, delta) {
            let error =
                case.verify(&case.file(&run.statement, &run.update, &altered)).map(drop).expect_err(&what);
            assert_eq!(error.code(), code, "{what}: {error}");
        }
    }
}

/// The challenge `e` that a proof's own transcript yields, and its system.
fn sigma_challenge(case: &Case, statement: &Statement, proof: &Proof) -> (System, F) {
    let mut transcript = transcript(statement, &proof.witness_rows, &proof.dataset_rows);
    let mut algebra = Committed::new(&mut transcript, &proof.messages);
    argument::check(&mut algebra, &case.layout, &case.program).expect("shapes are right");
    let system = algebra.finish().expect("nothing is left over");
    draw_batching(&mut transcript);
    let SigmaProof { masks, cross_terms, linear_mask, .. } = &proof.seal;
    let challenge = draw_challenge(&mut transcript, masks, cross_terms, linear_mask);
    (system, challenge)
}

/// `⟨z_j, M⟩ + ζ_j·H = S_j + e·C_j` for one message.
fn message_holds(case: &Case, system: &System, proof: &Proof, j: usize, e: F) -> bool {
    let message = &system.messages[j];
    let z = &proof.seal.responses[message.offset..message.offset + message.length];
    let left = match message.kind {
        MessageKind::Message => multi_exponentiation(case.generators.messages(), z),
        MessageKind::Value => case.generators.value() * z[0],
    } + case.generators.blinding() * proof.seal.blindings[j];
    (left - proof.seal.masks[j] - proof.messages[j] * e).is_zero()
}

#[test]
fn changes_that_cancel_under_known_challenges_are_refused() {
    let case = case(9);
    let run = case.run(case.statement(1));
    let proof = case.seal(&case.witness(&run), &run.statement, &run.chosen, 1);
    let (system, e) = sigma_challenge(&case, &run.statement, &proof);
    let delta = case.generators.messages()[0];
    let refused = |altered: &Proof, code| {
        let error = case.verify(&case.file(&run.statement, &run.update, altered)).map(drop).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };

    // A message moves and its mask takes the move back: holds under the e that was, and e is no longer that.
    for j in picks(system.messages.len()) {
        let mut altered = proof.clone();
        altered.messages[j] = (altered.messages[j] + delta).into_affine();
        assert!(!message_holds(&case, &system, &altered, j, e));
        altered.seal.masks[j] = (altered.seal.masks[j].into_group() - delta * e).into_affine();
        assert!(
            message_holds(&case, &system, &altered, j, e),
            "the control: accepted under the old challenge"
        );
        assert_ne!(sigma_challenge(&case, &run.statement, &altered).1, e);
        refused(&altered, E307);
    }
    // The cross terms against each other.
    let mut altered = proof.clone();
    altered.seal.cross_terms[1] = (altered.seal.cross_terms[1] + delta).into_affine();
    altered.seal.cross_terms[0] = (altered.seal.cross_terms[0].into_group() - delta * e).into_affine();
    let sum = |p: &Proof| p.seal.cross_terms[0] + p.seal.cross_terms[1] * e;
    assert_eq!(sum(&altered), sum(&proof), "the control: the same sum under the old challenge");
    refused(&altered, E307);
    // The last challenge: the opening's mask takes back what its blinding adds.
    let mut altered = proof.clone();
    altered.opening.mask = (altered.opening.mask + case.generators.blinding()).into_affine();
    altered.opening.blinding += F::ONE;
    let rest = |p: &Proof| case.generators.blinding() * p.opening.blinding - p.opening.mask;
    assert_eq!(rest(&altered), rest(&proof), "the control: the same equation under the old challenge");
    refused(&altered, E305);
    // Two equations against each other, as if their weights were equal: a blinding moves from one to the next.
    let mut altered = proof.clone();
    altered.seal.blindings[0] += F::ONE;
    altered.seal.blindings[1] -= F::ONE;
    refused(&altered, E307);
    let mut altered = proof.clone();
    altered.seal.cross_blinding += F::ONE;
    altered.opening.blinding -= F::ONE;
    refused(&altered, E307);
}
