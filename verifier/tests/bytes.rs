//! Hostile bytes: whatever is flipped, cut, added, spliced or invented is refused with a code, never a panic.

mod common;

use std::alloc::{GlobalAlloc, Layout as Allocation, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ark_ff::{BigInteger, PrimeField};
use common::{Draw, GOLDEN, Golden, Kind, Section};
use weightproof_circuits::curve::{Base, Generators, point_from_bytes, point_to_bytes};
use weightproof_circuits::encoding::Writer;
use weightproof_circuits::error::ErrorCode::{self, *};
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::{SEAL_HALO2, SEAL_SIGMA};
use weightproof_verifier::contribution::ProofShape;
use weightproof_verifier::{Contribution, Proof, verify, verify_with};

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Allocation) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Allocation) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Allocation, size: usize) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + size));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn golden(index: usize) -> Golden {
    let (file, base, _) = GOLDEN[index];
    Golden::load(file, base)
}

/// The verdict on bytes that are not the golden ones: a code, and no panic.
fn refused(golden: &Golden, bytes: &[u8], what: &str) -> ErrorCode {
    match catch_unwind(AssertUnwindSafe(|| golden.verify(bytes).map(drop))) {
        Ok(Err(error)) => {
            assert!(error.to_string().starts_with('E'), "{what}: {error}");
            error.code()
        }
        Ok(Ok(())) => panic!("{what}: accepted"),
        Err(_) => panic!("{what}: panicked"),
    }
}

/// The codes that a change inside a section may lead to.
fn codes(section: &str) -> &'static [ErrorCode] {
    match section {
        "header" => &[E101, E105],
        "program" => &[E101, E102, E103, E105, E106, E201, E207],
        "update" => &[E101, E102, E103, E106, E105, E201],
        "statement" => &[E101, E102, E103, E105, E106, E201, E203, E204, E206, E307, E308],
        "witness rows" => &[E104, E307],
        "dataset rows" => &[E104, E206],
        // A changed number of hashes shifts everything behind it.
        "membership" => &[E101, E102, E103, E104, E106, E206],
        "messages" | "masks" | "cross terms" => &[E104, E307],
        "linear mask" | "responses" | "blindings" | "cross blinding" => &[E101, E307],
        "opening rounds" | "opening mask" => &[E104, E305],
        "opening response" | "opening blinding" => &[E101, E305],
        other => panic!("no codes for {other}"),
    }
}

fn section_of(sections: &[Section], position: usize) -> &Section {
    sections.iter().find(|s| s.range.contains(&position)).expect("sections cover the file")
}

/// Flips one byte at each position, on all cores.
fn flip(golden: &Golden, positions: &[usize], seed: u64) {
    let sections = golden.sections();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut bytes = golden.bytes.clone();
                while let Some(position) = positions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mask = 1 + Draw(seed ^ *position as u64).below(255) as u8;
                    bytes[*position] ^= mask;
                    let section = section_of(&sections, *position).name;
                    let what = format!("byte {position} ({section}) ^ {mask:#04x}");
                    let code = refused(golden, &bytes, &what);
                    assert!(codes(section).contains(&code), "{what}: {code}");
                    bytes[*position] ^= mask;
                }
            });
        }
    });
}

#[test]
fn a_sample_of_flipped_bytes_is_refused() {
    let golden = golden(0);
    let sections = golden.sections();
    let start = sections.iter().find(|s| s.name == "witness rows").map(|s| s.range.start).expect("a section");
    let mut positions: Vec<usize> = (0..start).collect();
    let mut draw = Draw(1);
    for section in sections.iter().filter(|s| s.range.start >= start) {
        let length = section.range.len();
        positions.extend((0..24).map(|_| section.range.start + draw.below(length)));
        positions.extend([section.range.start, section.range.end - 1]);
    }
    flip(&golden, &positions, 0x5eed);
}

fn flip_every_byte(index: usize) {
    let golden = golden(index);
    let positions: Vec<usize> = (0..golden.bytes.len()).collect();
    flip(&golden, &positions, 0xa11 + index as u64);
}

#[test]
#[ignore = "every byte of a proof: minutes"]
fn every_flipped_byte_of_a_classifier_is_refused() {
    flip_every_byte(0);
}

#[test]
#[ignore = "every byte of a proof: minutes"]
fn every_flipped_byte_of_a_regression_is_refused() {
    flip_every_byte(2);
}

#[test]
fn truncated_and_extended_files_are_refused() {
    let golden = golden(0);
    let mut lengths: Vec<usize> = (0..600).collect();
    let mut draw = Draw(2);
    lengths.extend((0..400).map(|_| draw.below(golden.bytes.len())));
    lengths.extend(golden.sections().iter().map(|s| s.range.start));
    lengths.extend((1..=64).map(|missing| golden.bytes.len() - missing));
    for length in lengths {
        let code = refused(&golden, &golden.bytes[..length], &format!("cut at {length}"));
        assert!(matches!(code, E106 | E102), "cut at {length}: {code}");
    }
    for extra in [vec![0], vec![0xff], vec![0; 32], golden.contribution.proof.clone(), golden.bytes.clone()] {
        let code = refused(&golden, &[&golden.bytes[..], &extra].concat(), "extended");
        assert_eq!(code, E102, "extended by {}", extra.len());
    }
    for leading in [vec![0], golden.bytes.clone()] {
        refused(&golden, &[&leading[..], &golden.bytes].concat(), "bytes before the header");
    }
    let mut short = golden.bytes.clone();
    short.remove(0);
    assert_eq!(refused(&golden, &short, "first byte missing"), E101);
}

#[test]
fn parts_of_another_proof_do_not_fit() {
    let (first, second) = (golden(0), golden(1));
    assert_eq!(first.bytes.len(), second.bytes.len(), "the second proof has the shape of the first");
    let sections = first.sections();
    for (index, section) in sections.iter().enumerate().skip(2) {
        let range = section.range.clone();
        // Both proofs are of one program and one model: only the header and the program agree.
        assert_ne!(first.bytes[range.clone()], second.bytes[range.clone()], "{}", section.name);
        let mut spliced = first.bytes.clone();
        spliced[range.clone()].copy_from_slice(&second.bytes[range.clone()]);
        let code = refused(&first, &spliced, &format!("{} of another proof", section.name));
        assert!(codes(section.name).contains(&code), "{}: {code}", section.name);

        let mut tail = first.bytes.clone();
        tail[range.start..].copy_from_slice(&second.bytes[range.start..]);
        // From the update on, the tail is the whole of the second file.
        if index > 2 {
            refused(&first, &tail, &format!("another proof from {} on", section.name));
        }
    }
    assert!(first.verify(&second.bytes).is_ok(), "the control: the second proof is valid as it is");
    // Another program's proof under this statement.
    let other = golden(2);
    let mut mixed = first.contribution.clone();
    mixed.proof = other.contribution.proof.clone();
    let code = refused(&first, &mixed.encode(), "another program's proof");
    assert!(matches!(code, E102 | E106), "{code}");
}

#[test]
fn sections_of_points_and_scalars_are_told_apart() {
    // Parts of one proof moved within it: masks as messages, cross terms swapped, rounds swapped, rows rotated.
    let golden = golden(0);
    let sections = golden.sections();
    let find = |name: &str| sections.iter().find(|s| s.name == name).expect("a section").range.clone();
    let mut swaps: Vec<(&str, usize, usize, usize)> = vec![
        ("messages and masks", find("messages").start, find("masks").start, find("messages").len()),
        ("cross terms", find("cross terms").start, find("cross terms").start + 32, 32),
        ("halves of an opening round", find("opening rounds").start, find("opening rounds").start + 32, 32),
        ("opening rounds", find("opening rounds").start, find("opening rounds").start + 64, 64),
        ("opening scalars", find("opening response").start, find("opening blinding").start, 32),
        ("linear mask and cross blinding", find("linear mask").start, find("cross blinding").start, 32),
    ];
    for name in ["witness rows", "dataset rows", "messages", "masks", "responses", "blindings"] {
        swaps.push((name, find(name).start, find(name).start + 32, 32));
    }
    for (what, a, b, length) in swaps {
        let mut bytes = golden.bytes.clone();
        let part = bytes[a..a + length].to_vec();
        bytes.copy_within(b..b + length, a);
        bytes[b..b + length].copy_from_slice(&part);
        assert_ne!(bytes, golden.bytes, "{what}");
        let code = refused(&golden, &bytes, what);
        assert!(matches!(code, E206 | E305 | E307), "{what}: {code}");
    }
}

fn add(encoding: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    let mut carry = 0u16;
    let sum: Vec<u8> = encoding
        .iter()
        .zip(modulus)
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(*b) + carry;
            carry = sum >> 8;
            sum as u8
        })
        .collect();
    (carry == 0).then_some(sum)
}

/// Adds the modulus to scalars; `stride` of them are passed over each time.
fn second_spellings_of_scalars(stride: usize) {
    let golden = golden(2);
    let modulus = F::MODULUS.to_bytes_le();
    for section in golden.sections().into_iter().filter(|s| s.kind == Kind::Scalars) {
        for position in section.range.clone().step_by(32 * stride) {
            let mut bytes = golden.bytes.clone();
            let element = position..position + 32;
            // Scalars are below 2^254 + 2^126, so that two moduli fit 256 bits and the sum is never cut.
            let mut sum = add(&bytes[element.clone()], &modulus).expect("no carry");
            bytes[element.clone()].copy_from_slice(&sum);
            assert_eq!(refused(&golden, &bytes, "scalar + p"), E101, "{} at {position}", section.name);
            sum = vec![0xff; 32];
            bytes[element].copy_from_slice(&sum);
            assert_eq!(refused(&golden, &bytes, "2^256 - 1"), E101, "{} at {position}", section.name);
        }
    }
}

#[test]
fn a_scalar_has_one_spelling() {
    second_spellings_of_scalars(9);
}

#[test]
#[ignore = "every scalar of a proof: a minute"]
fn every_scalar_has_one_spelling() {
    second_spellings_of_scalars(1);
}

#[test]
fn points_have_one_spelling_and_lie_on_the_curve() {
    let golden = golden(2);
    let modulus = Base::MODULUS.to_bytes_le();
    let mut draw = Draw(3);
    let mut off_curve = [0u8; 32];
    while point_from_bytes(&off_curve).is_some() {
        off_curve[0] += 1;
    }
    for section in golden.sections().into_iter().filter(|s| s.kind == Kind::Points) {
        let count = section.range.len() / 32;
        for index in [0, count - 1, draw.below(count)] {
            let element = section.range.start + 32 * index..section.range.start + 32 * (index + 1);
            let own = &golden.bytes[element.clone()];
            let mut negated = own.to_vec();
            negated[31] ^= 0x80;
            let mut above = own.to_vec();
            above[31] &= 0x7f;
            let above = add(&above, &modulus).expect("no carry");
            let identity_with_sign = [&[0u8; 31][..], &[0x80]].concat();
            let cases: [(&str, Vec<u8>, bool); 6] = [
                ("other sign", negated, true),
                ("identity", vec![0; 32], true),
                ("x + q", above, false),
                ("x = q", modulus.clone(), false),
                ("identity with a sign", identity_with_sign, false),
                ("off the curve", off_curve.to_vec(), false),
            ];
            for (what, encoding, is_point) in cases {
                let mut bytes = golden.bytes.clone();
                // The identity may stand there already: a row of zeros is blinded, so it does not.
                assert_ne!(&bytes[element.clone()], &encoding[..]);
                bytes[element.clone()].copy_from_slice(&encoding);
                let code = refused(&golden, &bytes, what);
                let place = section.name;
                // With the sign bit in x + q lost in the top bit, some sums are points again.
                if is_point || what == "x + q" {
                    assert!(codes(place).contains(&code), "{what} in {place} {index}: {code}");
                } else {
                    assert_eq!(code, E104, "{what} in {place} {index}");
                }
            }
        }
    }
}

#[test]
fn every_top_byte_of_a_point_decodes_to_itself_or_not_at_all() {
    let golden = golden(2);
    let rows = golden.sections().into_iter().find(|s| s.name == "witness rows").expect("a section").range;
    let mut points = 0;
    for start in rows.step_by(32).take(8) {
        for top in 0..=255 {
            let mut encoding = [0u8; 32];
            encoding.copy_from_slice(&golden.bytes[start..start + 32]);
            encoding[31] = top;
            if let Some(point) = point_from_bytes(&encoding) {
                assert!(point.is_on_curve());
                assert_eq!(point_to_bytes(&point), encoding);
                points += 1;
            }
        }
    }
    // x below the modulus in a quarter of each half, and on the curve every other time.
    assert!((256..768).contains(&points), "{points} of 2048");
}

#[test]
fn other_versions_are_refused_as_such() {
    let golden = golden(2);
    for version in (0..=255u8).filter(|version| *version != b'1') {
        let mut bytes = golden.bytes.clone();
        bytes[3] = version;
        assert_eq!(refused(&golden, &bytes, "file version"), E105);
    }
    for position in 0..3 {
        let mut bytes = golden.bytes.clone();
        bytes[position] = b'X';
        assert_eq!(refused(&golden, &bytes, "another file"), E101);
    }
    let alter = |change: fn(&mut Contribution)| {
        let mut contribution = golden.contribution.clone();
        change(&mut contribution);
        refused(&golden, &contribution.encode(), "statement")
    };
    for version in [0, 2, u16::MAX] {
        let mut contribution = golden.contribution.clone();
        contribution.statement.protocol_version = version;
        assert_eq!(refused(&golden, &contribution.encode(), "protocol version"), E105);
    }
    assert_eq!(alter(|c| c.statement.mode = 2), E105);
    assert_eq!(alter(|c| c.statement.seal = 3), E105);
    // The halo2 seal is known; its proofs are shorter, and no key is asked for before that is seen.
    assert_eq!(alter(|c| c.statement.seal = 2), E102);
    assert_eq!(alter(|c| c.statement.seal_key_digest[0] = 1), E308);
    // The program's encoding has a version of its own, behind the length byte.
    let mut bytes = golden.bytes.clone();
    bytes[5] = 2;
    assert_eq!(refused(&golden, &bytes, "program version"), E105);
}

/// Code, bytes allocated and seconds of one refusal.
fn cost(golden: &Golden, bytes: &[u8], what: &str) -> (ErrorCode, usize, f64) {
    let before = ALLOCATED.with(Cell::get);
    let clock = Instant::now();
    let result = golden.verify(bytes);
    let (seconds, allocated) = (clock.elapsed().as_secs_f64(), ALLOCATED.with(Cell::get) - before);
    match result {
        Err(error) => (error.code(), allocated, seconds),
        Ok(_) => panic!("{what}: accepted"),
    }
}

#[test]
fn declared_lengths_cost_nothing() {
    let golden = golden(0);
    let program = golden.contribution.program.encode();
    let file = |parts: &[&[u8]]| [&b"WPF1"[..], &parts.concat()].concat();
    let varint = |value: u64| {
        let mut writer = Writer::new();
        writer.varint(value);
        writer.into_bytes()
    };
    let sized = |bytes: &[u8]| [&varint(bytes.len() as u64)[..], bytes].concat();
    let update = golden.contribution.update.encode();
    let statement = golden.contribution.statement.encode();
    let mut widths = program.clone();
    widths[2] = 65;
    let mut wide = program.clone();
    wide[3..7].copy_from_slice(&65_537u32.to_le_bytes());
    // The payout's length is the byte before the account, at the end of the statement.
    let mut payout = statement.clone();
    let place = payout.len() - golden.contribution.statement.payout.len() - 1;
    payout[place] = 65;
    let mut tensor = update.clone();
    tensor[0] = 9;
    let cases: Vec<(&str, ErrorCode, Vec<u8>)> = vec![
        ("nothing", E106, Vec::new()),
        ("a header alone", E106, file(&[])),
        ("a program of 2^40 bytes", E103, file(&[&varint(1 << 40)])),
        ("a program of 2^64 - 1 bytes", E103, file(&[&varint(u64::MAX)])),
        ("a program of 2^16 bytes that are not there", E106, file(&[&varint(1 << 16)])),
        ("an endless varint", E101, file(&[&[0xff; 300]])),
        ("a varint with a final zero", E101, file(&[&[0x80, 0]])),
        ("a program of 65 widths", E103, file(&[&sized(&widths)])),
        ("a layer too wide", E207, file(&[&sized(&wide)])),
        ("an update of 2^40 bytes", E103, file(&[&sized(&program), &varint(1 << 40)])),
        ("an update of 2^31 bytes that are not there", E106, file(&[&sized(&program), &varint(1 << 31)])),
        ("a statement of 2^40 bytes", E103, file(&[&sized(&program), &sized(&update), &varint(1 << 40)])),
        ("a statement of 1025 bytes", E103, file(&[&sized(&program), &sized(&update), &varint(1025)])),
        ("a payout of 65 bytes", E103, file(&[&sized(&program), &sized(&update), &sized(&payout)])),
        ("integers of nine bytes", E103, file(&[&sized(&program), &sized(&tensor), &sized(&statement)])),
        ("an update cut short", E106, file(&[&sized(&program), &sized(&update[..3]), &sized(&statement)])),
        ("no proof", E106, file(&[&sized(&program), &sized(&update), &sized(&statement)])),
    ];
    for (what, expected, bytes) in cases {
        let (code, allocated, seconds) = cost(&golden, &bytes, what);
        assert_eq!(code, expected, "{what}");
        assert!(allocated <= 64 << 10, "{what}: {allocated} bytes allocated");
        // A millisecond, with room for a loaded machine.
        assert!(seconds <= 0.1, "{what}: {seconds} s");
    }
}

/// A contribution that is right in all its digests, of a model and an update of zeros, for a dataset of `rows` rows.
fn hostile(program: &Program, rows: u64, seal: u8, proof: Vec<u8>) -> (Vec<u8>, Parameters) {
    let zeros = Parameters::zeros(program);
    let digest = zeros.digest(program).expect("the program's shape");
    let mut contribution = golden(0).contribution;
    let statement = &mut contribution.statement;
    (statement.seal, statement.dataset_rows) = (seal, rows);
    (statement.program_digest, statement.model_digest) = (program.digest(), digest);
    (statement.update_digest, contribution.program) = (digest, program.clone());
    (contribution.update, contribution.proof) = (zeros.clone(), proof);
    (contribution.encode(), zeros)
}

/// What a rejected file costs: code and bytes allocated.
fn rejection(bytes: &[u8], base: &Parameters, generators: &Generators) -> (ErrorCode, usize) {
    let before = ALLOCATED.with(Cell::get);
    let code = verify_with(bytes, base, generators).map(drop).expect_err("hostile").code();
    (code, ALLOCATED.with(Cell::get) - before)
}

#[test]
fn a_small_file_cannot_ask_for_a_large_program() {
    // The longest contributions, the deepest models, the most examples, the momenta whose powers are longest.
    let spec = |steps: usize, batch, widths: usize, rate: &str, momentum: &str| {
        let mut spec = golden(0).contribution.program.spec();
        (spec.steps, spec.batch, spec.weight_bits) = (steps, batch, None);
        spec.layers = vec![2; widths];
        spec.learning_rate = rate.parse().expect("a decimal");
        spec.momentum = momentum.parse().expect("a decimal");
        spec.weight = "0.123456789012345678".parse().expect("a decimal");
        spec
    };
    let few = Generators::derive(1, 1);
    for (steps, batch, widths, momentum) in [
        (4096, 1, 2, "0"),
        (4096, 1, 2, "0.999999999"),
        (4096, 256, 2, "0.98"),
        (1, 1, 64, "0.5"),
        (256, 4096, 64, "0.9"),
        (4096, 256, 64, "0.999999999"),
    ] {
        let program = Program::validate(spec(steps, batch, widths, "64.123456789", momentum));
        let program = program.unwrap_or_else(|error| panic!("{error}"));
        let what = format!("{steps} steps of {batch}, {widths} widths, momentum {momentum}");
        // A program holds its rates and what is published of them, two integers a step; nothing else grows with it.
        let coefficients = 16 * steps;
        let encoding = program.encode();
        let before = ALLOCATED.with(Cell::get);
        let read = Program::decode(&encoding);
        let allocated = ALLOCATED.with(Cell::get) - before;
        assert_eq!(read.as_ref(), Ok(&program), "{what}");
        assert!(allocated <= coefficients + (16 << 10), "{what}: {allocated} bytes to read it");
        for rows in [1, 2, 1 << 20, 1 << 32] {
            for seal in [SEAL_SIGMA, SEAL_HALO2] {
                let (bytes, base) = hostile(&program, rows, seal, Vec::new());
                let (code, allocated) = rejection(&bytes, &base, &few);
                assert_eq!(code, E106, "{what}");
                assert!(allocated <= coefficients + (80 << 10), "{what}: {allocated} bytes allocated");
                // Nor does deriving what is missing come first.
                assert_eq!(verify(&bytes, &base).map(drop).expect_err("hostile").code(), E106, "{what}");
            }
            // As long as its rows need and no longer: messages are counted, rows are not drawn.
            let layout = Layout::new(&program);
            let least = *ProofShape::lengths(&layout, &[], rows).start();
            if least < 1 << 20 {
                let (bytes, base) = hostile(&program, rows, SEAL_SIGMA, vec![0; least]);
                let (code, allocated) = rejection(&bytes, &base, &few);
                assert_eq!(code, E106, "{what}");
                let most = coefficients + 2 * bytes.len() + (768 << 10);
                assert!(allocated <= most, "{what}: {allocated} bytes for {}", bytes.len());
            }
        }
    }
    // Programs that are not valid, after as much work as can be asked for.
    let golden = golden(0);
    let valid = Program::validate(spec(4096, 1, 2, "64", "0.999999999")).expect("a valid program").encode();
    // The learning rate is behind version, widths and choices.
    let rate = 2 + 1 + 2 * 4 + 5;
    for (what, digits, exponent) in [
        ("a coefficient too large at once", 999_999_999_999_999_999u64, 0i8),
        ("a coefficient too large at a late step", 12_345_678_901, -2),
        ("a rate that no grid suits", 123_456_789_012_345_679, -18),
    ] {
        let mut program = valid.clone();
        program[rate + 1..rate + 9].copy_from_slice(&digits.to_le_bytes());
        program[rate + 9] = exponent as u8;
        if what.starts_with("a rate") {
            program[rate - 1] = 20;
        }
        let bytes = [&b"WPF1"[..], &[program.len() as u8], &program].concat();
        let (code, allocated) = rejection(&bytes, &golden.base, &golden.generators);
        assert_eq!(code, E207, "{what}");
        assert!(allocated <= 48 << 10, "{what}: {allocated} bytes allocated");
    }
}

/// Changes bytes at random places: overwritten, inserted, removed, repeated.
fn mutate(bytes: &mut Vec<u8>, within: usize, draw: &mut Draw) {
    for _ in 0..1 + draw.below(4) {
        let limit = within.min(bytes.len()).max(1);
        let position = draw.below(limit).min(bytes.len().saturating_sub(1));
        let length = (1 + draw.below(40)).min(bytes.len() - position);
        match draw.below(5) {
            0 => bytes[position] = draw.below(256) as u8,
            1 => bytes.insert(position, draw.below(256) as u8),
            2 => drop(bytes.drain(position..position + length)),
            3 => {
                let part = bytes[position..position + length].to_vec();
                bytes.splice(position..position, part);
            }
            _ => bytes[position..position + length].fill([0, 0xff, 0x80, 0x7f][draw.below(4)]),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

#[test]
fn random_and_mutated_bytes_never_panic() {
    let golden = golden(0);
    let mut draw = Draw(4);
    for round in 0..3000 {
        let mut bytes: Vec<u8> = (0..draw.below(400)).map(|_| draw.below(256) as u8).collect();
        if round % 2 == 0 {
            // Behind a header and a program that are right, more is read.
            bytes
                .splice(0..0, golden.bytes[..golden.sections()[1 + round / 2 % 3].range.end].iter().copied());
        }
        refused(&golden, &bytes, &format!("random bytes {round}"));
    }
    let head = golden.sections()[4].range.start;
    for round in 0..4000 {
        let mut bytes = golden.bytes.clone();
        mutate(&mut bytes, if round % 20 == 0 { usize::MAX } else { head }, &mut draw);
        if bytes != golden.bytes {
            refused(&golden, &bytes, &format!("mutation {round}"));
        }
    }
    // The proof's own decoder, under shapes that are not its own.
    let other = self::golden(2);
    for round in 0..200 {
        let mut bytes = golden.contribution.proof.clone();
        mutate(&mut bytes, usize::MAX, &mut draw);
        let shape = if round % 2 == 0 { &golden.shape } else { &other.shape };
        if let Ok(proof) = Proof::decode(&bytes, shape) {
            assert_eq!(proof.encode(), bytes, "what decodes is canonical");
        }
    }
}
