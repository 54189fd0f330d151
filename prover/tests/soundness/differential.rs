//! Random mutations of an honest trace: the argument refuses exactly those that the plain predicate refuses.
//!
//! Most mutations fall before the lookup, so the cheap pieces are proved first and the rest only when they all hold.

use weightproof_circuits::algebra::ArgumentError;
use weightproof_circuits::exact::{Trace, check, run};
use weightproof_circuits::layout::Tensor;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Loss;

use crate::common::Draw;
use crate::forge::Site;
use crate::harness::{Case, Cheat, linear, long, opened_value, relu, shapes, tied, verify};

/// The trace as a prover's material, untruncated: the highest limb takes what does not fit.
fn material(case: &'static Case, trace: &Trace, update: &Parameters) -> Option<Cheat> {
    let mut cheat = case.honest();
    let layout = &case.layout;
    let rows = layout.steps * layout.batch;
    cheat.update = update.clone();
    let mut put = |tensor: Tensor, values: &mut dyn Iterator<Item = i128>| -> Option<()> {
        let units = layout.block(tensor)?.units;
        for (index, value) in values.take(rows * units).enumerate() {
            let site = Site::new(tensor, index / units, index % units);
            // The harness holds 32 bits a position; the rare larger limb is not played.
            cheat.stack[site.position(layout)] = i32::try_from(value).ok()?;
        }
        Some(())
    };
    let limb = |limbs: &[u32], index: usize, value: u64| -> i128 {
        let shift: u32 = limbs[..index].iter().sum();
        let left = i128::from(value) >> shift;
        if index + 1 == limbs.len() { left } else { left & ((1 << limbs[index]) - 1) }
    };
    put(Tensor::Input, &mut trace.x.iter().map(|v| i128::from(*v)))?;
    put(Tensor::Label, &mut trace.y.iter().map(|v| i128::from(*v)))?;
    for (layer, values) in (1..).zip(&trace.layers) {
        let hidden = layer < layout.depth();
        put(Tensor::PreActivation(layer), &mut values.q.iter().map(|v| i128::from(*v)))?;
        if hidden {
            put(Tensor::BackSum(layer), &mut values.p.iter().map(|v| i128::from(*v)))?;
        }
        if hidden && layout.has_signs() {
            put(Tensor::Sign(layer), &mut values.q.iter().map(|v| i128::from(*v >= 0)))?;
        }
        for index in 0..layout.remainder_limbs.len() {
            let of = |v: &u64| limb(&layout.remainder_limbs, index, *v);
            put(Tensor::ForwardRemainder(layer, index), &mut values.r.iter().map(of))?;
            if hidden {
                put(Tensor::BackwardRemainder(layer, index), &mut values.s.iter().map(of))?;
            }
        }
    }
    if let Some(softmax) = &trace.softmax {
        put(Tensor::Maximum, &mut softmax.max.iter().map(|v| i128::from(*v)))?;
        put(Tensor::Hot, &mut softmax.hot.iter().map(|v| i128::from(*v)))?;
        put(Tensor::Distance, &mut softmax.d.iter().map(|v| i128::from(*v)))?;
        put(Tensor::Exponential, &mut softmax.e.iter().map(|v| i128::from(*v)))?;
        put(Tensor::Probability, &mut softmax.p.iter().map(|v| i128::from(*v)))?;
        for index in 0..layout.division_limbs.len() {
            let of = |v: &u64| limb(&layout.division_limbs, index, *v);
            put(Tensor::DivisionRemainder(index), &mut softmax.rho.iter().map(of))?;
            put(Tensor::DivisionComplement(index), &mut softmax.rho_complement.iter().map(of))?;
        }
    }
    Some(cheat)
}

/// Whether the argument accepts, and the opened value is true.
fn accepted(cheat: &Cheat) -> bool {
    let case = cheat.case;
    let sent = cheat.prove_without_lookup();
    match verify(case, &sent.messages, &[]) {
        Err(ArgumentError::Check(_)) => return false,
        // All that was sent holds, and the fractions are missed: prove it all.
        Err(ArgumentError::Shape { label: "fractions", found: 0, .. }) => {}
        other => panic!("the first pieces end before the fractions: {other:?}"),
    }
    let sent = cheat.clone().counted().prove();
    let cheat = cheat.clone().counted();
    match verify(case, &sent.messages, &[]) {
        Err(_) => false,
        Ok(claim) => {
            assert_eq!(opened_value(&cheat, &case.base, &case.exponential, &claim), claim.value);
            true
        }
    }
}

/// What a mutation adds: small steps, powers of two near the scales, and anything.
fn delta(draw: &mut Draw) -> i64 {
    match draw.next(6) {
        0 => 1,
        1 => -1,
        2 => 1 << draw.next(16),
        3 => -(1 << draw.next(16)),
        4 => 1 << draw.next(30),
        _ => draw.next(1 << 16) - (1 << 15),
    }
}

macro_rules! mutate {
    ($values:expr, $draw:expr) => {{
        let values = &mut $values;
        let index = $draw.next(values.len() as i64) as usize;
        let moved = delta($draw);
        values[index] = values[index].wrapping_add(moved as _);
    }};
}

/// Changes one entry of one field.
fn mutate(trace: &mut Trace, update: &mut Parameters, draw: &mut Draw) -> &'static str {
    let depth = trace.layers.len();
    let any = draw.next(depth as i64) as usize;
    // A network without hidden layers has no back-propagated sums: its forward values are taken instead.
    let hidden = if depth > 1 { Some(draw.next(depth as i64 - 1) as usize) } else { None };
    match (draw.next(if trace.softmax.is_some() { 15 } else { 8 }), hidden) {
        (0, _) => mutate!(trace.x, draw),
        (1, _) => mutate!(trace.y, draw),
        (2, _) | (4, None) => mutate!(trace.layers[any].q, draw),
        (3, _) | (5, None) => mutate!(trace.layers[any].r, draw),
        (4, Some(hidden)) => mutate!(trace.layers[hidden].p, draw),
        (5, Some(hidden)) => mutate!(trace.layers[hidden].s, draw),
        (6, _) => mutate!(update.layers[any].weights, draw),
        (7, _) => mutate!(update.layers[any].biases, draw),
        (field, _) => {
            let softmax = trace.softmax.as_mut().expect("a softmax trace");
            match field {
                8 => mutate!(softmax.max, draw),
                // Another choice of the maximum: right where logits tie.
                9 => {
                    let index = draw.next(softmax.hot.len() as i64) as usize;
                    let classes = softmax.hot.len() / softmax.max.len();
                    let row = index / classes * classes;
                    softmax.hot[row..row + classes].fill(0);
                    softmax.hot[index] = 1;
                }
                10 => mutate!(softmax.hot, draw),
                11 => mutate!(softmax.d, draw),
                12 => mutate!(softmax.e, draw),
                13 => mutate!(softmax.p, draw),
                _ if draw.next(2) == 0 => mutate!(softmax.rho, draw),
                _ => mutate!(softmax.rho_complement, draw),
            }
        }
    }
    if trace.softmax.is_some() { "softmax" } else { "squared error" }
}

#[test]
fn the_argument_refuses_what_the_predicate_refuses() {
    let count = if long() { 400 } else { 60 };
    let (mut played, mut right, mut wrong) = (0, 0, 0);
    for (seed, case) in [relu(), linear(), tied()].into_iter().chain(shapes()).enumerate() {
        let (trace, update) = run(&case.program, &case.base, &case.x, &case.y).expect("in range");
        let whole = material(case, &trace, &update).expect("an honest trace");
        assert_eq!(whole.counted().stack, case.honest().stack, "two layouts of one trace agree");
        let mut draw = Draw(1_000 + seed as u64);
        for number in 0..count {
            let (mut mutant, mut claimed) = (trace.clone(), update.clone());
            let kind = mutate(&mut mutant, &mut claimed, &mut draw);
            let verdict = check(&case.program, &case.base, &case.x, &case.y, &mutant, &claimed);
            let Some(cheat) = material(case, &mutant, &claimed) else { continue };
            played += 1;
            if case.program.loss() == Loss::SquaredError {
                assert_eq!(kind, "squared error");
            }
            assert_eq!(
                accepted(&cheat),
                verdict.is_ok(),
                "SOUNDNESS or completeness: {kind}, mutation {number} of seed {seed}: the predicate says {verdict:?}"
            );
            *if verdict.is_ok() { &mut right } else { &mut wrong } += 1;
        }
    }
    assert!(played >= 300 && right >= 5 && wrong >= 250, "{played} played, {right} right, {wrong} wrong");
}
