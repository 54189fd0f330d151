//! Zero-knowledge, tested: what travels has one distribution, whatever the data.
//!
//! The statistics are those of the seal and of the opening, over a small system and a narrow row, so that hundreds of
//! proofs of two very different data sets are cheap; a second look takes the system of a whole contribution. Features
//! are all field elements and points of a proof, answers divided by their challenge, differences of answers of successive
//! proofs divided by the difference of their challenges, and commitments with the divided blinding taken off: what an
//! observer would compute to strip a mask that is missing, used twice, or zero.
//!
//! Each feature's high and low four bits are counted in 16 cells over [`SAMPLES`] proofs and compared with the uniform
//! distribution for each data set, and the two data sets with each other, by chi-square. [`LIMIT`] is passed by chance
//! once in 10^9, so a fresh set of seeds would fail one of the some 300 comparisons of a test once in about three million
//! runs. The seeds are fixed: the verdict is the same in every run. The live controls are seals with one blinding left out.

mod common;
mod sealing;

use std::collections::BTreeMap;

use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, Field, Zero};
use rayon::prelude::*;
use sealing::Case;
use weightproof_circuits::algebra::{Algebra, ArgumentError, Check, Powers};
use weightproof_circuits::argument;
use weightproof_circuits::curve::{Generators, Point, multi_exponentiation, point_to_bytes};
use weightproof_circuits::field::{F, to_bytes};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::multilinear::eq_table;
use weightproof_circuits::seal::equation::GroupEquation;
use weightproof_circuits::seal::sigma::{
    self, Committed, MessageKind, SigmaProof, System, absorb_responses, draw_batching, draw_challenge,
    quadratic_value,
};
use weightproof_circuits::transcript::Transcript;
use weightproof_prover::argument::{Channel, prove};
use weightproof_prover::entropy::Entropy;
use weightproof_prover::opening::{self, CombinedRow};
use weightproof_prover::progress::Silent;
use weightproof_prover::seal::{self, SealedChannel};
use weightproof_prover::{CommittedDataset, Committer};
use weightproof_verifier::binding::{distinct_rows, transcript};
use weightproof_verifier::contribution::{Proof, ProofShape};
use weightproof_verifier::opening::{
    Commitments, OpeningProof, OpeningStatement, absorb_response, draw_mask_challenge, draw_round_challenge,
    draw_value_challenge,
};

/// Proofs of each data set.
const SAMPLES: usize = 512;
/// Cells of a histogram.
const CELLS: usize = 16;
/// Chi-square with 15 degrees of freedom is above this once in 10^9.
const LIMIT: f64 = 76.0;

// --- Statistics ---

/// What one proof shows an observer: named values.
type Features = Vec<(String, [u8; 32])>;

/// Bits 250 to 253 and bits 0 to 3. Both moduli are 2^254 and a little, so both fields are uniform up to 2^-125.
fn cells(bytes: &[u8; 32]) -> [usize; 2] {
    [usize::from(bytes[31] >> 2) & 15, usize::from(bytes[0]) & 15]
}

type Histograms = BTreeMap<(String, usize), [f64; CELLS]>;

fn histograms(samples: &[Features]) -> Histograms {
    let mut all = Histograms::new();
    for (name, bytes) in samples.iter().flatten() {
        for (end, cell) in cells(bytes).into_iter().enumerate() {
            all.entry((name.clone(), end)).or_default()[cell] += 1.0;
        }
    }
    all
}

fn uniformity(counts: &[f64; CELLS]) -> f64 {
    let expected = counts.iter().sum::<f64>() / CELLS as f64;
    counts.iter().map(|count| (count - expected).powi(2) / expected).sum()
}

fn homogeneity(a: &[f64; CELLS], b: &[f64; CELLS]) -> f64 {
    // Both have the same number of samples.
    a.iter().zip(b).filter(|(a, b)| *a + *b > 0.0).map(|(a, b)| (a - b).powi(2) / (a + b)).sum()
}

/// The features by which two sets of proofs are told apart from uniform or from one another.
fn telling(first: &[Features], second: &[Features]) -> Vec<String> {
    let (first, second) = (histograms(first), histograms(second));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>(), "proofs have one shape");
    let mut telling: Vec<String> = first
        .iter()
        .filter(|(key, a)| {
            let b = &second[*key];
            [uniformity(a), uniformity(b), homogeneity(a, b)].into_iter().any(|statistic| statistic > LIMIT)
        })
        .map(|((name, _), _)| name.clone())
        .collect();
    telling.dedup();
    telling
}

#[test]
fn the_statistics_tell_what_they_should() {
    let mut entropy = Entropy::from_seed(1);
    let mut draw = |change: &dyn Fn(F) -> F| -> Vec<Features> {
        (0..SAMPLES).map(|_| vec![("x".to_owned(), to_bytes(&change(entropy.scalar())))]).collect()
    };
    let (a, b) = (draw(&|x| x), draw(&|x| x));
    assert!(telling(&a, &b).is_empty());
    let constant = draw(&|_| F::ONE);
    assert_eq!(telling(&a, &constant), ["x"]);
    assert_eq!(telling(&constant, &constant), ["x"]);
    // A quarter of the samples in one cell is enough.
    let mut skewed = a.clone();
    skewed.iter_mut().step_by(4).for_each(|features| features[0].1 = [0; 32]);
    assert_eq!(telling(&skewed, &b), ["x"]);
}

// --- The seal over a small system ---

/// `y₀ = x₀·x₁`, `y₁ = x₂·x₃`, and the opened value is `x₀ + c·x₂ + 5`: two messages, an opened value, all three
/// kinds of checks.
fn small_check<A: Algebra>(algebra: &mut A) -> Result<(), ArgumentError> {
    let x = algebra.receive("x", 4)?;
    let y = algebra.receive("y", 2)?;
    let c = algebra.challenge("c");
    let value = algebra.receive_opening_value()?;
    let minus = <A::Public as weightproof_circuits::field::Scalar>::constant(-F::ONE);
    for (check, i) in [(Check::MatrixProducts, 0), (Check::Gates, 1)] {
        let product = (x[2 * i].clone(), x[2 * i + 1].clone());
        let linear = algebra.scale(&y[i], &minus);
        algebra.check_zero(check, &[product], &linear)?;
    }
    let five = <A::Public as weightproof_circuits::field::Scalar>::constant(F::from(5u64));
    let sum = algebra.combine(
        &[(<A::Public as weightproof_circuits::field::Scalar>::one(), &x[0]), (c, &x[2]), (minus, &value)],
        five,
    );
    algebra.check_zero(Check::OpeningValue, &[], &sum)
}

fn small_send(channel: &mut dyn Channel, x: [F; 4]) {
    channel.send("x", x.to_vec());
    channel.send("y", vec![x[0] * x[1], x[2] * x[3]]);
    let c = channel.challenge("c");
    channel.send_opening_value(x[0] + c * x[2] + F::from(5u64));
}

/// What a broken prover leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    Masks,
    MaskBlindings,
    CrossBlindings,
    CommitmentBlindings,
    MasksUsedTwice,
}

/// What a seal's masks are drawn from.
struct Masks {
    values: Vec<F>,
    blindings: Vec<F>,
    cross: [F; 2],
}

impl Masks {
    fn draw(system: &System, entropy: &mut Entropy) -> Self {
        let values = entropy.scalars(system.values);
        let blindings = entropy.scalars(system.messages.len());
        Self { values, blindings, cross: [entropy.scalar(), entropy.scalar()] }
    }
}

/// The prover's first message, from masks given.
fn first_message(
    system: &System,
    batching: F,
    values: &[F],
    masks: &Masks,
    committer: &Committer<'_>,
) -> (Vec<Point>, [Point; 2], F) {
    let points = system
        .messages
        .iter()
        .zip(&masks.blindings)
        .map(|(message, blinding)| {
            let own = &masks.values[message.offset..message.offset + message.length];
            match message.kind {
                MessageKind::Message => committer.message(own, blinding),
                MessageKind::Value => committer.value(&own[0], blinding),
            }
            .into_affine()
        })
        .collect();
    let shifted: Vec<F> = masks.values.iter().zip(values).map(|(s, x)| *s + x).collect();
    let at_zero = quadratic_value(system, batching, &masks.values, &F::ZERO);
    let at_one = quadratic_value(system, batching, &shifted, &F::ONE);
    let cross = [at_zero, at_one - at_zero];
    let cross_terms = [0, 1].map(|i| committer.message(&cross[i..=i], &masks.cross[i]).into_affine());
    let mut powers = Powers::new(batching);
    let linear_mask =
        system.linear.iter().map(|(_, form)| powers.draw() * form.linear_part(&masks.values)).sum();
    (points, cross_terms, linear_mask)
}

/// The prover's second message.
fn answers(challenge: F, values: &[F], blindings: &[F], masks: &Masks) -> (Vec<F>, Vec<F>, F) {
    let line =
        |masks: &[F], secrets: &[F]| masks.iter().zip(secrets).map(|(s, x)| *s + challenge * x).collect();
    (
        line(&masks.values, values),
        line(&masks.blindings, blindings),
        masks.cross[0] + challenge * masks.cross[1],
    )
}

/// `seal::prove` with masks given; as the real one where they are fresh.
fn prove_with_masks(
    transcript: &mut Transcript,
    system: &System,
    values: &[F],
    blindings: &[F],
    masks: &Masks,
    committer: &Committer<'_>,
) -> SigmaProof {
    let batching = draw_batching(transcript);
    let (points, cross_terms, linear_mask) = first_message(system, batching, values, masks, committer);
    let challenge = draw_challenge(transcript, &points, &cross_terms, &linear_mask);
    let (responses, response_blindings, cross_blinding) = answers(challenge, values, blindings, masks);
    absorb_responses(transcript, &responses, &response_blindings, &cross_blinding);
    SigmaProof {
        masks: points,
        cross_terms,
        linear_mask,
        responses,
        blindings: response_blindings,
        cross_blinding,
    }
}

/// A sealed run of the small system.
struct Sealed {
    commitments: Vec<Point>,
    proof: SigmaProof,
    challenge: F,
}

fn small_seal(x: [F; 4], session: u64, flaw: Flaw, committer: &Committer<'_>) -> Sealed {
    let mut entropy = Entropy::from_seed(session);
    let bound = bound_with(session);
    let mut channel = SealedChannel::new(bound.clone(), committer, &mut entropy);
    small_send(&mut channel, x);
    let (values, mut blindings, mut commitments) = (
        std::mem::take(&mut channel.values),
        std::mem::take(&mut channel.blindings),
        std::mem::take(&mut channel.commitments),
    );
    drop(channel);
    if flaw == Flaw::CommitmentBlindings {
        // The values depend on a challenge over commitments; without blindings they are made again.
        blindings.fill(F::ZERO);
        let zero = F::ZERO;
        let mut bound = bound.clone();
        commitments = vec![
            committer.message(&values[..4], &zero).into_affine(),
            committer.message(&values[4..6], &zero).into_affine(),
        ];
        bound.absorb_points("x", &commitments[..1]);
        bound.absorb_points("y", &commitments[1..]);
        let c = bound.challenge("c");
        let value = x[0] + c * x[2] + F::from(5u64);
        commitments.push(committer.value(&value, &zero).into_affine());
        let values = [&values[..6], &[value]].concat();
        return finish(bound_with(session), &values, &blindings, commitments, flaw, committer, entropy);
    }
    finish(bound, &values, &blindings, commitments, flaw, committer, entropy)
}

fn bound_with(session: u64) -> Transcript {
    let mut statement = [0u8; 32];
    statement[..8].copy_from_slice(&session.to_le_bytes());
    Transcript::new("zero knowledge", &statement)
}

fn finish(
    mut bound: Transcript,
    values: &[F],
    blindings: &[F],
    commitments: Vec<Point>,
    flaw: Flaw,
    committer: &Committer<'_>,
    mut entropy: Entropy,
) -> Sealed {
    let mut algebra = Committed::new(&mut bound, &commitments);
    small_check(&mut algebra).expect("shapes are right");
    let system = algebra.finish().expect("nothing is left over");
    assert_eq!(system.violated(values), None);
    let mut replayed = bound.clone();
    let mut verifying = bound.clone();
    let proof = if flaw == Flaw::None || flaw == Flaw::CommitmentBlindings {
        seal::prove(&mut bound, &system, values, blindings, committer, &mut entropy)
    } else {
        // Used twice: the same masks in every proof.
        let mut fixed = Entropy::from_seed(999);
        let source = if flaw == Flaw::MasksUsedTwice { &mut fixed } else { &mut entropy };
        let mut masks = Masks::draw(&system, source);
        match flaw {
            Flaw::Masks => masks.values.fill(F::ZERO),
            Flaw::MaskBlindings => masks.blindings.fill(F::ZERO),
            Flaw::CrossBlindings => masks.cross = [F::ZERO; 2],
            _ => {}
        }
        prove_with_masks(&mut bound, &system, values, blindings, &masks, committer)
    };
    draw_batching(&mut replayed);
    let challenge = draw_challenge(&mut replayed, &proof.masks, &proof.cross_terms, &proof.linear_mask);
    // Every seal, flawed or not, is one that the verifier accepts.
    let pending =
        sigma::verify(&mut verifying, &system, &commitments, &proof).expect("the linear checks hold");
    let mut equation = GroupEquation::new(0, 4);
    pending.add_to(&mut equation, &mut Powers::new(F::from(7u64))).expect("generators for every message");
    let (bases, scalars) = equation.terms(committer.generators);
    assert!(multi_exponentiation(&bases, &scalars).is_zero());
    Sealed { commitments, proof, challenge }
}

/// Everything an observer computes from a seal and the one before it.
fn seal_features(sealed: &Sealed, before: &Sealed, blinding: Point) -> Features {
    let Sealed { commitments, proof, challenge } = sealed;
    let SigmaProof { masks, cross_terms, linear_mask, responses, blindings, cross_blinding } = proof;
    let inverse = challenge.inverse().expect("not zero");
    let between = (*challenge - before.challenge).inverse().expect("challenges differ");
    let mut all = Features::new();
    let mut scalar = |name: String, now: &F, then: &F| {
        all.push((name.clone(), to_bytes(now)));
        all.push((format!("{name} / e"), to_bytes(&(*now * inverse))));
        all.push((format!("Δ{name} / Δe"), to_bytes(&((*now - then) * between))));
    };
    for (i, (z, then)) in responses.iter().zip(&before.proof.responses).enumerate() {
        scalar(format!("z[{i}]"), z, then);
    }
    for (j, (z, then)) in blindings.iter().zip(&before.proof.blindings).enumerate() {
        scalar(format!("ζ[{j}]"), z, then);
    }
    scalar("t".into(), linear_mask, &before.proof.linear_mask);
    scalar("ϑ".into(), cross_blinding, &before.proof.cross_blinding);
    let mut point = |name: String, point: &Point| all.push((name, point_to_bytes(point)));
    for (j, commitment) in commitments.iter().enumerate() {
        point(format!("C[{j}]"), commitment);
        point(format!("S[{j}]"), &masks[j]);
        let stripped = *commitment - blinding * (blindings[j] * inverse);
        point(format!("C[{j}] - ζ/e·H"), &stripped.into_affine());
    }
    for (i, term) in cross_terms.iter().enumerate() {
        point(format!("T[{i}]"), term);
    }
    all
}

fn small_samples(x: [u64; 4], first: u64, flaw: Flaw, committer: &Committer<'_>) -> Vec<Features> {
    let x = x.map(F::from);
    let sealed: Vec<Sealed> =
        (0..=SAMPLES as u64).into_par_iter().map(|i| small_seal(x, first + i, flaw, committer)).collect();
    let blinding = committer.generators.blinding();
    sealed.par_windows(2).map(|pair| seal_features(&pair[1], &pair[0], blinding)).collect()
}

#[test]
fn a_seal_says_nothing_about_its_data_and_flawed_ones_are_caught() {
    let generators = Generators::derive(0, 4);
    let committer = Committer::new(&generators);
    let pair = |flaw| {
        let zeros = small_samples([0; 4], 10_000, flaw, &committer);
        let others = small_samples([3, 1 << 15, 77, 255], 20_000, flaw, &committer);
        telling(&zeros, &others)
    };
    assert_eq!(pair(Flaw::None), Vec::<String>::new());
    for (flaw, caught) in [
        (Flaw::Masks, ["t", "z[0] / e"]),
        (Flaw::MaskBlindings, ["C[0] - ζ/e·H", "C[1] - ζ/e·H"]),
        (Flaw::CrossBlindings, ["ϑ", "ϑ / e"]),
        (Flaw::CommitmentBlindings, ["C[0]", "C[1]"]),
        (Flaw::MasksUsedTwice, ["S[0]", "Δz[0] / Δe"]),
    ] {
        let telling = pair(flaw);
        for feature in caught {
            assert!(
                telling.iter().any(|name| name == feature),
                "{flaw:?} is not caught by {feature}: {telling:?}"
            );
        }
    }
}

#[test]
fn answers_without_masks_are_the_data() {
    // What the statistics look for, in one proof.
    let generators = Generators::derive(0, 4);
    let committer = Committer::new(&generators);
    let x = [3u64, 1 << 15, 77, 255].map(F::from);
    let read = |flaw| {
        let sealed = small_seal(x, 5, flaw, &committer);
        let inverse = sealed.challenge.inverse().expect("not zero");
        sealed.proof.responses[..4].iter().map(|z| *z * inverse).collect::<Vec<F>>()
    };
    assert_eq!(read(Flaw::Masks), x);
    assert!(read(Flaw::None).iter().zip(&x).all(|(read, x)| read != x));
}

// --- The seal of a whole contribution ---

fn tiny(rows: usize, labels_of: u64, features_of: impl Fn(i16) -> i16, seed: u64) -> Case {
    let program = common::program("[3, 2]", "relu", "softmax-cross-entropy", 2, 2, "0.0");
    let wide = common::program("[3, 2]", "relu", "softmax-cross-entropy", rows, 1, "0.0");
    let (features, labels) = common::batches(&wide, labels_of);
    Case::new(program, features.into_iter().map(features_of).collect(), labels, seed)
}

#[test]
fn a_whole_argument_is_sealed_alike_for_different_data() {
    // All positions of a kind together: some thousands of responses in each of a few proofs.
    const PROOFS: u64 = 12;
    let samples = |case: &Case, first: u64| -> Vec<Features> {
        let run = case.run(case.statement(1));
        let witness = case.witness(&run);
        let committer = Committer::new(&case.generators);
        let mut entropy = Entropy::from_seed(first);
        let bound = transcript(&run.statement, &[], &[]);
        let mut channel = SealedChannel::new(bound.clone(), &committer, &mut entropy);
        prove(&common::on_cpu(&witness), &mut channel, &Silent, &mut Vec::new())
            .expect("an honest run is provable");
        let (values, blindings, commitments) =
            (channel.values.clone(), channel.blindings.clone(), channel.commitments.clone());
        drop(channel);
        let mut bound = bound;
        let mut algebra = Committed::new(&mut bound, &commitments);
        argument::check(&mut algebra, &case.layout, &case.program).expect("shapes are right");
        let system = algebra.finish().expect("nothing is left over");
        assert_eq!(system.violated(&values), None);
        let mut all = vec![Features::new()];
        let mut ratios: Vec<Vec<F>> = Vec::new();
        for _ in 0..PROOFS {
            let mut replayed = bound.clone();
            let proof =
                seal::prove(&mut bound.clone(), &system, &values, &blindings, &committer, &mut entropy);
            draw_batching(&mut replayed);
            let challenge =
                draw_challenge(&mut replayed, &proof.masks, &proof.cross_terms, &proof.linear_mask);
            let inverse = challenge.inverse().expect("not zero");
            let features = &mut all[0];
            for z in &proof.responses {
                features.push(("z".into(), to_bytes(z)));
                features.push(("z / e".into(), to_bytes(&(*z * inverse))));
            }
            for z in &proof.blindings {
                features.push(("ζ".into(), to_bytes(z)));
                features.push(("ζ / e".into(), to_bytes(&(*z * inverse))));
            }
            proof.masks.iter().for_each(|point| features.push(("S".into(), point_to_bytes(point))));
            ratios.push(proof.responses.iter().map(|z| *z * inverse).collect());
        }
        commitments.iter().for_each(|point| all[0].push(("C".into(), point_to_bytes(point))));
        // No position shows the same quotient twice, and none shows its value.
        for (i, x) in values.iter().enumerate() {
            let mut seen: Vec<[u8; 32]> = ratios.iter().map(|r| to_bytes(&r[i])).collect();
            assert!(!seen.contains(&to_bytes(x)), "value {i} shows");
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len() as u64, PROOFS, "value {i}");
        }
        all
    };
    let zeros = samples(&tiny(4, 1, |_| 0, 1), 100);
    let others = samples(&tiny(4, 2, |x| x, 2), 200);
    assert_eq!(telling(&zeros, &others), Vec::<String>::new());
    // The control: the values themselves are nothing like uniform, and would be seen.
    let clear = |samples: &[Features]| -> Vec<Features> {
        samples.iter().map(|s| s.iter().map(|(name, _)| (name.clone(), [0; 32])).collect()).collect()
    };
    assert!(!telling(&clear(&zeros), &others).is_empty());
}

// --- The opening of a narrow row ---

/// What a broken opening leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpeningFlaw {
    None,
    Mask,
    MaskBlinding,
    RoundBlindings,
}

struct Opened {
    proof: OpeningProof,
    commitment: Point,
    value: Point,
    challenge: F,
}

/// `opening::prove` with a flaw; slow and plain.
#[allow(clippy::too_many_arguments)]
fn flawed_opening(
    transcript: &mut Transcript,
    statement: OpeningStatement<'_>,
    row: CombinedRow,
    value_blinding: F,
    committer: &Committer<'_>,
    entropy: &mut Entropy,
    flaw: OpeningFlaw,
) -> OpeningProof {
    let mut weights = eq_table(statement.columns());
    let mut vector = row.values;
    let mut bases: Vec<Point> = committer.generators.rows()[..vector.len()].to_vec();
    let value_challenge = draw_value_challenge(transcript, &statement.public_share);
    let mut blinding = row.blinding + value_challenge * value_blinding;
    let mut rounds = Vec::new();
    while vector.len() > 1 {
        let half = vector.len() / 2;
        let zero = flaw == OpeningFlaw::RoundBlindings;
        let blindings = [0, 1].map(|_| if zero { F::ZERO } else { entropy.scalar() });
        let cross = |values: &[F], bases: &[Point], weights: &[F], blinding: &F| {
            let value: F = values.iter().zip(weights).map(|(v, b)| *v * b).sum();
            (multi_exponentiation(bases, values) + committer.value(&(value * value_challenge), blinding))
                .into_affine()
        };
        let left = cross(&vector[..half], &bases[half..], &weights[half..], &blindings[0]);
        let right = cross(&vector[half..], &bases[..half], &weights[..half], &blindings[1]);
        let u = draw_round_challenge(transcript, &left, &right);
        let inverse = u.inverse().expect("not zero");
        let fold = |array: &[F], factor: F| -> Vec<F> {
            let (low, high) = array.split_at(half);
            low.iter().zip(high).map(|(l, h)| *l + factor * h).collect()
        };
        vector = fold(&vector, inverse);
        weights = fold(&weights, u);
        bases = bases[..half].iter().zip(&bases[half..]).map(|(l, h)| (*h * u + l).into_affine()).collect();
        blinding += u * blindings[0] + inverse * blindings[1];
        rounds.push((left, right));
    }
    let mask = if flaw == OpeningFlaw::Mask { F::ZERO } else { entropy.scalar() };
    let mask_blinding = if flaw == OpeningFlaw::MaskBlinding { F::ZERO } else { entropy.scalar() };
    let mask_point = (bases[0] * mask
        + committer.value(&(mask * weights[0] * value_challenge), &mask_blinding))
    .into_affine();
    let c = draw_mask_challenge(transcript, &mask_point);
    let (response, blinding) = (mask + c * vector[0], mask_blinding + c * blinding);
    absorb_response(transcript, &response, &blinding);
    OpeningProof { rounds, mask: mask_point, response, blinding }
}

/// Opens one row of four values at a fixed point.
fn narrow_opening(
    row: [u64; 4],
    session: u64,
    flaw: OpeningFlaw,
    layout: &Layout,
    committer: &Committer<'_>,
) -> Opened {
    let mut entropy = Entropy::from_seed(session);
    let point = [F::from(11u64), F::from(13u64)];
    let values = row.map(F::from).to_vec();
    let opened: F = values.iter().zip(eq_table(&point)).map(|(v, b)| *v * b).sum();
    let (blinding, value_blinding) = (entropy.scalar(), entropy.scalar());
    let commitment = (multi_exponentiation(committer.generators.rows(), &values)
        + committer.blinding(&blinding))
    .into_affine();
    let value = committer.value(&opened, &value_blinding).into_affine();
    let statement = OpeningStatement {
        layout,
        point: &point,
        witness_coefficient: F::ONE,
        data_coefficient: F::ZERO,
        mask_coefficient: F::ZERO,
        public_share: F::ZERO,
    };
    let mut bound = bound_with(session);
    bound.absorb_points("row and value", &[commitment, value]);
    let (mut replayed, mut verifying) = (bound.clone(), bound.clone());
    let row = CombinedRow { values, blinding };
    let proof = if flaw == OpeningFlaw::None {
        opening::prove(
            &mut bound,
            statement,
            row,
            value_blinding,
            committer.generators,
            committer,
            &mut entropy,
        )
        .expect("no challenge is zero")
    } else {
        flawed_opening(&mut bound, statement, row, value_blinding, committer, &mut entropy, flaw)
    };
    draw_value_challenge(&mut replayed, &F::ZERO);
    for (left, right) in &proof.rounds {
        draw_round_challenge(&mut replayed, left, right);
    }
    let challenge = draw_mask_challenge(&mut replayed, &proof.mask);
    let pending =
        weightproof_verifier::opening::verify(&mut verifying, statement, &proof).expect("rounds are right");
    let mut equation = GroupEquation::new(4, 0);
    let commitments = Commitments { witness: &[commitment], data: &[], places: &[], mask: None, value };
    pending
        .add_to(&mut equation, commitments, &mut Powers::new(F::ONE))
        .expect("generators for every column");
    let (bases, scalars) = equation.terms(committer.generators);
    assert!(
        multi_exponentiation(&bases, &scalars).is_zero(),
        "{flaw:?}: an opening that the verifier accepts"
    );
    Opened { proof, commitment, value, challenge }
}

fn opening_features(opened: &Opened, blinding: Point) -> Features {
    let Opened { proof, commitment, value, challenge } = opened;
    let OpeningProof { rounds, mask, response, blinding: answer } = proof;
    let inverse = challenge.inverse().expect("not zero");
    let mut all: Features = vec![
        ("z".into(), to_bytes(response)),
        ("z / c".into(), to_bytes(&(*response * inverse))),
        ("z_ρ".into(), to_bytes(answer)),
        ("z_ρ / c".into(), to_bytes(&(*answer * inverse))),
        ("A".into(), point_to_bytes(mask)),
        ("A - z_ρ·H".into(), point_to_bytes(&(*mask - blinding * answer).into_affine())),
        ("row".into(), point_to_bytes(commitment)),
        ("value".into(), point_to_bytes(value)),
    ];
    for (i, (left, right)) in rounds.iter().enumerate() {
        all.push((format!("L[{i}]"), point_to_bytes(left)));
        all.push((format!("R[{i}]"), point_to_bytes(right)));
    }
    all
}

#[test]
fn an_opening_says_nothing_about_its_row_and_flawed_ones_are_caught() {
    let generators = Generators::derive(4, 0);
    let committer = Committer::new(&generators);
    let program = common::program("[3, 2]", "relu", "softmax-cross-entropy", 1, 1, "0.0");
    let mut layout = Layout::new(&program);
    (layout.variables, layout.column_variables) = (2, 2);
    let samples = |row, first: u64, flaw| -> Vec<Features> {
        (0..SAMPLES as u64)
            .into_par_iter()
            .map(|i| {
                opening_features(
                    &narrow_opening(row, first + i, flaw, &layout, &committer),
                    generators.blinding(),
                )
            })
            .collect()
    };
    let pair = |flaw| telling(&samples([0; 4], 30_000, flaw), &samples([1, 2, 3, 40_000], 40_000, flaw));
    assert_eq!(pair(OpeningFlaw::None), Vec::<String>::new());
    for (flaw, caught) in [(OpeningFlaw::Mask, "z"), (OpeningFlaw::RoundBlindings, "L[0]")] {
        let telling = pair(flaw);
        assert!(telling.iter().any(|name| name == caught), "{flaw:?} is not caught by {caught}: {telling:?}");
    }
    // Without m_ρ the row's blinding shows: what is left of the combined commitment is a function of the row alone.
    let strip = |flaw, session| {
        let opened = narrow_opening([0; 4], session, flaw, &layout, &committer);
        let folded = opened.proof.blinding * opened.challenge.inverse().expect("not zero");
        let mut replayed = bound_with(session);
        replayed.absorb_points("row and value", &[opened.commitment, opened.value]);
        let mu = draw_value_challenge(&mut replayed, &F::ZERO);
        let mut combined = opened.commitment + opened.value * mu;
        for (left, right) in &opened.proof.rounds {
            let u = draw_round_challenge(&mut replayed, left, right);
            combined += *left * u + *right * u.inverse().expect("not zero");
        }
        (combined - generators.blinding() * folded).is_zero()
    };
    assert!(strip(OpeningFlaw::MaskBlinding, 1), "the control: a row of zeros is recognised");
    assert!((1..20).all(|session| !strip(OpeningFlaw::None, session)));
}

// --- Perfect zero-knowledge of the Σ-protocol, by its bijection (G01) ---

/// The verifier's equations for given challenges: steps 4 to 6 of the seal.
fn accepts(
    system: &System,
    commitments: &[Point],
    batching: F,
    e: F,
    proof: &SigmaProof,
    g: &Generators,
) -> bool {
    let mut powers = Powers::new(batching);
    let linear: F =
        system.linear.iter().map(|(_, form)| powers.draw() * form.homogenised(&proof.responses, &e)).sum();
    let messages = system.messages.iter().enumerate().all(|(j, message)| {
        let z = &proof.responses[message.offset..message.offset + message.length];
        let left = match message.kind {
            MessageKind::Message => multi_exponentiation(g.messages(), z),
            MessageKind::Value => g.value() * z[0],
        } + g.blinding() * proof.blindings[j];
        (left - proof.masks[j] - commitments[j] * e).is_zero()
    });
    let quadratic = quadratic_value(system, batching, &proof.responses, &e);
    let cross = g.messages()[0] * quadratic + g.blinding() * proof.cross_blinding;
    let terms = proof.cross_terms[0] + proof.cross_terms[1] * e;
    linear == proof.linear_mask && messages && (cross - terms).is_zero()
}

/// An accepting transcript without any witness: answers and `T₁` first, the rest from the equations.
fn simulate(
    system: &System,
    commitments: &[Point],
    batching: F,
    e: F,
    g: &Generators,
    entropy: &mut Entropy,
) -> (SigmaProof, F) {
    let responses = entropy.scalars(system.values);
    let blindings = entropy.scalars(system.messages.len());
    let cross_blinding = entropy.scalar();
    // T₁ = b·H is any point of the group; its logarithm lets the test find the masks below.
    let b = entropy.scalar();
    let second = (g.blinding() * b).into_affine();
    let masks = system
        .messages
        .iter()
        .enumerate()
        .map(|(j, message)| {
            let z = &responses[message.offset..message.offset + message.length];
            let left = match message.kind {
                MessageKind::Message => multi_exponentiation(g.messages(), z),
                MessageKind::Value => g.value() * z[0],
            } + g.blinding() * blindings[j];
            (left - commitments[j] * e).into_affine()
        })
        .collect();
    let quadratic = quadratic_value(system, batching, &responses, &e);
    let first = (g.messages()[0] * quadratic + g.blinding() * cross_blinding - second * e).into_affine();
    let mut powers = Powers::new(batching);
    let linear_mask =
        system.linear.iter().map(|(_, form)| powers.draw() * form.homogenised(&responses, &e)).sum();
    (SigmaProof { masks, cross_terms: [first, second], linear_mask, responses, blindings, cross_blinding }, b)
}

#[test]
fn each_witness_has_exactly_one_mask_for_each_simulated_transcript() {
    // M₀ = k·H with a known k (a test's generators only), so that every point has a known opening for every value.
    let mut entropy = Entropy::from_seed(77);
    let derived = Generators::derive(0, 4);
    let k = entropy.scalar();
    let mut messages = derived.messages().to_vec();
    messages[0] = (derived.blinding() * k).into_affine();
    let generators = Generators::from_parts(Vec::new(), messages);
    let committer = Committer::new(&generators);

    for round in 0..20 {
        // One list of commitments that opens to either data set, as perfectly hiding ones do: found by the trapdoor for
        // the messages on M₀ alone, so both data sets share the values on the other generators.
        let (first, second) = ([F::from(0u64), F::from(9u64), F::from(4u64), F::from(5u64)], F::from(8u64));
        let c = F::from(3u64 + round);
        let witness = |x0: F| -> Vec<F> {
            let x = [x0, F::ZERO, first[2], first[3]];
            vec![x[0], x[1], x[2], x[3], x[0] * x[1], x[2] * x[3], x[0] + c * x[2] + F::from(5u64)]
        };
        let (a, b) = (witness(first[0]), witness(second));
        let rho_a = entropy.scalars(3);
        let commit = |values: &[F], rho: &[F]| -> Vec<Point> {
            vec![
                committer.message(&values[..4], &rho[0]).into_affine(),
                committer.message(&values[4..6], &rho[1]).into_affine(),
                committer.message(&values[6..], &rho[2]).into_affine(),
            ]
        };
        let commitments = commit(&a, &rho_a);
        // x₀ moves by d: d·k comes off the blinding; the opened value is committed on M₀ here as well.
        let d = second - first[0];
        let rho_b = vec![rho_a[0] - d * k, rho_a[1], rho_a[2] - d * k];
        assert_eq!(commit(&b, &rho_b), commitments, "the commitments hide which data set it is");

        let mut system = System::default();
        {
            let mut bound = bound_with(round);
            let mut algebra = Committed::new(&mut bound, &commitments);
            let x = algebra.receive("x", 4).expect("three messages");
            let y = algebra.receive("y", 2).expect("three messages");
            let v = algebra.receive("v", 1).expect("three messages");
            for i in 0..2 {
                let linear = algebra.scale(&y[i], &-F::ONE);
                let product = (x[2 * i].clone(), x[2 * i + 1].clone());
                algebra.check_zero(Check::Gates, &[product], &linear).expect("recorded");
            }
            let sum = algebra.combine(&[(F::ONE, &x[0]), (c, &x[2]), (-F::ONE, &v[0])], F::from(5u64));
            algebra.check_zero(Check::OpeningValue, &[], &sum).expect("recorded");
            system.clone_from(&algebra.finish().expect("nothing is left over"));
        }
        assert_eq!((system.violated(&a), system.violated(&b)), (None, None));

        let (batching, e) = (entropy.scalar(), entropy.scalar());
        let (simulated, t1) = simulate(&system, &commitments, batching, e, &generators, &mut entropy);
        assert!(
            accepts(&system, &commitments, batching, e, &simulated, &generators),
            "simulated, and accepted"
        );
        let mut false_one = simulated.clone();
        false_one.linear_mask += F::ONE;
        assert!(!accepts(&system, &commitments, batching, e, &false_one, &generators));

        // For each data set the masks s = z − e·x, σ = ζ − e·ρ and the cross terms' blindings are determined, and the
        // honest prover with them sends the simulated transcript, element for element.
        for (values, rho) in [(&a, &rho_a), (&b, &rho_b)] {
            let minus = |answers: &[F], secrets: &[F]| -> Vec<F> {
                answers.iter().zip(secrets).map(|(z, x)| *z - e * x).collect()
            };
            let mut masks = Masks {
                values: minus(&simulated.responses, values),
                blindings: minus(&simulated.blindings, rho),
                cross: [F::ZERO; 2],
            };
            let shifted: Vec<F> = masks.values.iter().zip(values).map(|(s, x)| *s + x).collect();
            let at_zero = quadratic_value(&system, batching, &masks.values, &F::ZERO);
            let cross = quadratic_value(&system, batching, &shifted, &F::ONE) - at_zero;
            masks.cross[1] = t1 - cross * k;
            masks.cross[0] = simulated.cross_blinding - e * masks.cross[1];
            let (points, cross_terms, linear_mask) =
                first_message(&system, batching, values, &masks, &committer);
            let (responses, blindings, cross_blinding) = answers(e, values, rho, &masks);
            let real =
                SigmaProof { masks: points, cross_terms, linear_mask, responses, blindings, cross_blinding };
            assert_eq!(real, simulated, "one transcript, whichever the data");
        }
    }
}

// --- Sizes, commitments ---

#[test]
fn size_and_shape_depend_on_the_program_and_the_rows_alone() {
    let mut lengths = Vec::new();
    for (index, case) in [tiny(4, 1, |_| 0, 1), tiny(4, 2, |x| x, 2), tiny(4, 3, |x| x.saturating_mul(9), 3)]
        .iter()
        .enumerate()
    {
        let run = case.run(case.statement(index as u8));
        let proof = case.seal(&case.witness(&run), &run.statement, &run.chosen, index as u64);
        assert!(case.verify(&case.file(&run.statement, &run.update, &proof)).is_ok());
        let shape = ProofShape::new(&case.layout, &case.program, 4, 0);
        assert_eq!(proof.encode().len(), shape.bytes());
        assert_eq!(Proof::decode(&proof.encode(), &shape).expect("its own encoding"), proof);
        lengths.push(proof.encode().len());
    }
    assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{lengths:?}");
    // With more rows than examples the Merkle proof's length follows from the positions that the beacon chose: public,
    // and the same for all data under one list of positions.
    let cases = [tiny(9, 1, |_| 0, 4), tiny(9, 2, |x| x, 5)];
    for chosen in [[0u32, 1, 2, 3], [0, 3, 5, 8]] {
        let (distinct, _) = distinct_rows(&chosen);
        let [a, b] = [0, 1].map(|i: usize| {
            cases[i].dataset.membership(&distinct).expect("rows of the dataset").hashes.len()
        });
        assert_eq!(a, b);
    }
}

#[test]
fn equal_data_have_unequal_commitments_that_no_dictionary_opens() {
    // Equal rows of one label in two.
    let program = common::program("[3, 2]", "relu", "softmax-cross-entropy", 2, 2, "0.0");
    let features = [5i16, 0, -3].repeat(8);
    let labels: Vec<i16> = (0..8).flat_map(|row| if row % 3 == 0 { [1, 0] } else { [0, 1] }).collect();
    let first = Case::new(program.clone(), features.clone(), labels.clone(), 1);
    let committer = Committer::new(&first.generators);
    let examples = first.dataset.examples();
    let again = CommittedDataset::commit(
        weightproof_prover::data::Examples {
            inputs: examples.inputs,
            outputs: examples.outputs,
            features: features.clone(),
            labels: labels.clone(),
        },
        &first.layout,
        &committer,
        b"",
        &Silent,
    )
    .expect("the data fit");
    assert_ne!(first.dataset.root(), again.root(), "committed again, the same data are another dataset");
    let mut all: Vec<[u8; 32]> = (0..8u64)
        .flat_map(|row| [&first.dataset, &again].map(|d| point_to_bytes(&d.row(row).expect("a row").0)))
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 16, "no two commitments are equal");

    // An attacker who knows everything but the labels tries them all, alone and as differences of rows.
    let width = 1usize << first.layout.data_variables;
    let guess = |label: usize| -> Vec<i32> {
        let mut row = vec![0; width];
        row[..3].copy_from_slice(&[5, 0, -3]);
        row[first.layout.label_offset + label] = 1;
        row
    };
    let zero = [F::ZERO];
    let plain: Vec<Point> = (0..2)
        .map(|label| committer.rows(&guess(label), width, &zero, &Silent).expect("not cancelled")[0])
        .collect();
    let opens = |commitments: &[Point]| {
        let alone = commitments.iter().filter(|c| plain.contains(c)).count();
        let pairs = commitments
            .iter()
            .flat_map(|a| commitments.iter().map(move |b| (*a, *b)))
            .filter(|(a, b)| a != b)
            .filter(|(a, b)| {
                let difference = (*a - *b).into_affine();
                [(0, 1), (1, 0), (0, 0)]
                    .iter()
                    .any(|(i, j)| (plain[*i] - plain[*j]).into_affine() == difference)
            })
            .count();
        alone + pairs
    };
    let rows = |dataset: &CommittedDataset| -> Vec<Point> {
        (0..8).map(|row| dataset.row(row).expect("a row").0).collect()
    };
    assert_eq!(opens(&rows(&first.dataset)), 0);
    // The controls: without blindings every label is read, and with one blinding for all, whose labels agree.
    let committed = |blindings: &[F]| -> Vec<Point> {
        let values: Vec<i32> = labels.chunks(2).flat_map(|label| guess(usize::from(label[1] == 1))).collect();
        committer.rows(&values, width, blindings, &Silent).expect("not cancelled")
    };
    assert_eq!(committed(&[F::ZERO; 8]).iter().filter(|c| plain.contains(c)).count(), 8);
    assert!(opens(&committed(&[F::from(42u64); 8])) > 0);
    let opened: Vec<F> = (0..8).map(|row| first.dataset.row(row).expect("a row").1).collect();
    assert_eq!(committed(&opened), rows(&first.dataset), "the rows are what they are said to be");
}
