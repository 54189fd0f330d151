//! Rows of commitments.

use std::sync::atomic::{AtomicUsize, Ordering};

use ark_ec::AffineRepr;
use weightproof_circuits::curve::{Domain, Point, Projective, generator, multi_exponentiation, normalize};
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::kernels::KernelError;

use crate::support::{Draw, Instance};

/// Points without a known relation would take long to derive: multiples of two by drawn numbers serve as well.
fn bases(count: usize, draw: &mut Draw) -> Vec<Point> {
    let (g, h) = (generator(Domain::Row, 0), generator(Domain::Row, 1));
    let mut sum = Projective::from(g);
    let points: Vec<Projective> = (0..count)
        .map(|_| {
            sum += if draw.word().is_multiple_of(2) { g } else { h };
            sum
        })
        .collect();
    normalize(&points)
}

fn check(instance: &Instance, bases: &[Point], width: usize) {
    let expected: Vec<Projective> = instance
        .stack
        .chunks(width)
        .map(|row| multi_exponentiation(bases, &row.iter().map(|v| F::from(*v)).collect::<Vec<_>>()))
        .collect();
    instance.on_devices(|session| {
        let heard = AtomicUsize::new(0);
        let watch = || {
            heard.fetch_add(1, Ordering::Relaxed);
            true
        };
        assert_eq!(session.commit_rows(bases, width, &watch).unwrap(), expected, "{width} wide");
        assert_eq!(heard.into_inner(), expected.len(), "each row is heard of once");
    });
}

#[test]
fn rows_are_sums_of_multiples() {
    let mut draw = Draw(9);
    let bases = bases(2048, &mut draw);
    let mut instance = Instance::new(11, 31, &mut draw);
    // Every row its own magnitude, some of them only of extremes.
    for (row, values) in instance.stack.chunks_mut(64).enumerate() {
        let limit = 1i64 << row;
        for (index, value) in values.iter_mut().enumerate() {
            let drawn = match index {
                0 => limit - 1,
                1 => -limit,
                2 => limit / 2,
                3 => 1,
                _ => draw.signed(limit - 1),
            };
            *value = drawn.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        }
    }
    instance.stack[64 * 5..64 * 6].fill(0);
    instance.stack[64 * 6..64 * 7].fill(1);
    instance.stack[64 * 7..64 * 8].fill(i32::MIN);
    for width in [1, 2, 64, 128, 2048] {
        check(&instance, &bases, width);
    }
}

#[test]
fn repeated_and_absent_bases_are_still_summed() {
    let mut draw = Draw(10);
    let base = generator(Domain::Row, 0);
    let mut all = vec![base; 64];
    all[3] = -base;
    all[9] = -base;
    all[20] = Point::zero();
    let mut instance = Instance::new(8, 4, &mut draw);
    instance.stack[..64].fill(1);
    instance.stack[64..128].iter_mut().enumerate().for_each(|(i, v)| *v = if i % 2 == 0 { 7 } else { -7 });
    check(&instance, &all, 64);
    check(&instance, &all, 16);
}

#[test]
fn a_watcher_stops_the_work_and_misfits_are_refused() {
    let mut draw = Draw(11);
    let instance = Instance::new(6, 8, &mut draw);
    let bases = bases(16, &mut draw);
    instance.on_devices(|session| {
        assert_eq!(session.commit_rows(&bases, 16, &|| false), Err(KernelError::Cancelled));
        for (bases, width) in [(&bases[..], 0), (&bases[..], 15), (&bases[..15], 16)] {
            assert!(matches!(session.commit_rows(bases, width, &|| true), Err(KernelError::Device { .. })));
        }
    });
}
