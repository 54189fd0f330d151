//! Every target on every `cargo test`: valid bytes are taken, and changed ones are never a panic, never another encoding
//! of a value, and never expensive to refuse.
//!
//! The mutator is seeded: a failure names its input and comes again. `WEIGHTPROOF_FUZZ_SECONDS` plays each target for so
//! long instead, under another seed each time that `WEIGHTPROOF_FUZZ_SEED` is another.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use weightproof_fuzz::{TARGETS, Target, Verdict};

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + size));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What refusing malformed bytes may take beyond what the bytes themselves are worth.
const ROOM: usize = 64 << 10;

/// What a byte of the input may be worth in memory.
fn worth(target: &Target) -> usize {
    match target.name {
        // A point of 32 bytes becomes one of 72, and the first bad one may be the last of many.
        "proof" | "compact_proof" | "verify" => 4,
        // Ten kinds of message are tried.
        "request" => 20,
        // A text becomes a tree and a list of all that is wrong with it; texts are one's own.
        _ if target.text => 16,
        _ => 2,
    }
}

/// The seeds, after the target has prepared what it keeps for all inputs.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seed", target.name);
    play(target, &seeds[0]);
    seeds
}

/// What became of bytes, and what it took.
fn play(target: &Target, bytes: &[u8]) -> (Verdict, usize) {
    let before = ALLOCATED.with(Cell::get);
    let played = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let allocated = ALLOCATED.with(Cell::get) - before;
    match played {
        Ok(verdict) => (verdict, allocated),
        Err(_) => panic!("{} broke a rule on {} bytes: {}", target.name, bytes.len(), bytes.escape_ascii()),
    }
}

/// Plays bytes, and asks that refusing them was cheap.
fn hostile(target: &Target, bytes: &[u8]) -> (Verdict, usize) {
    let (verdict, allocated) = play(target, bytes);
    let most = ROOM + worth(target) * bytes.len();
    assert!(
        verdict != Verdict::Malformed || allocated <= most,
        "{}: {allocated} bytes allocated to refuse {}, at most {most}: {}",
        target.name,
        bytes.len(),
        bytes.get(..300).unwrap_or(bytes).escape_ascii()
    );
    (verdict, allocated)
}

/// A deterministic stream of integers.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
    /// A place, as often as not near the beginning: that is where lengths and kinds are.
    fn place(&mut self, length: usize) -> usize {
        let near = self.below(2) == 0;
        self.below(if near { length.min(256) } else { length })
    }
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.place(length + 1);
        start..start + self.below((length - start).min(64) + 1)
    }
}

/// Lengths that nothing can have, spelled as varints.
const LENGTHS: &[&[u8]] = &[
    b"\xff\xff\x03",
    b"\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x20",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\x00",
];

const NUMBERS: &[u64] =
    &[0, 1, 0x7f, 0x80, 0xff, 0xffff, 1 << 31, 1 << 32, 1 << 40, 1 << 63, u64::MAX, u64::MAX - 1];

const WORDS: &[&str] = &[
    "\n",
    "\n\n",
    "\"",
    "'''",
    "\\",
    "\0",
    "\u{2028}",
    "é",
    "\u{feff}",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    "+",
    " ",
    "— ",
    "[policy]\n",
    "-1",
    "1e999",
    "nan",
    "9223372036854775807",
    "18446744073709551616",
    "true",
    "null",
    "\\u0000",
    "#",
];

/// One change of bytes.
fn mutate(bytes: &mut Vec<u8>, draw: &mut Draw, seeds: &[Vec<u8>], text: bool) {
    let length = bytes.len();
    match draw.below(if text { 10 } else { 8 }) {
        0 if length > 0 => bytes[draw.place(length)] ^= 1 << draw.below(8),
        1 if length > 0 => bytes[draw.place(length)] = NUMBERS[draw.below(5)] as u8,
        2 => bytes.truncate(draw.place(length + 1)),
        3 => {
            let range = draw.range(length);
            bytes.drain(range);
        }
        4 => {
            let (range, at) = (draw.range(length), draw.place(length + 1));
            let copied = bytes[range].to_vec();
            bytes.splice(at..at, copied);
        }
        5 => {
            let other = &seeds[draw.below(seeds.len())];
            let (keep, from) = (draw.place(length + 1), draw.below(other.len() + 1));
            bytes.truncate(keep);
            bytes.extend_from_slice(&other[from..]);
        }
        6 => {
            let at = draw.place(length + 1);
            let end = (at + draw.below(3)).min(length);
            bytes.splice(at..end, draw.of(LENGTHS).iter().copied());
        }
        7 if length > 8 => {
            let at = draw.place(length - 8);
            bytes[at..at + 8].copy_from_slice(&NUMBERS[draw.below(NUMBERS.len())].to_le_bytes());
        }
        8 | 9 => {
            let at = draw.place(length + 1);
            bytes.splice(at..at, draw.of(WORDS).bytes());
        }
        _ => bytes.push(draw.next() as u8),
    }
}

fn numbered(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

#[test]
fn valid_bytes_are_taken() {
    for target in TARGETS {
        for (index, seed) in seeds(target).iter().enumerate() {
            let (verdict, _) = play(target, seed);
            assert_eq!(verdict, Verdict::Accepted, "{} {index}", target.name);
        }
    }
}

#[test]
fn changed_bytes_are_refused_cheaply_or_mean_something_else() {
    let time = from_environment("WEIGHTPROOF_FUZZ_SECONDS").map(Duration::from_secs);
    let seed = from_environment("WEIGHTPROOF_FUZZ_SEED").unwrap_or_default();
    for target in TARGETS {
        let seeds = seeds(target);
        let mut draw = Draw(numbered(target.name) ^ seed);
        let started = Instant::now();
        // So many rounds, or what half a second has room for: a busy machine plays fewer, always the same first ones.
        let (limit, rounds) =
            (time.unwrap_or(Duration::from_millis(500)), if time.is_some() { u64::MAX } else { 20_000 });
        let (mut counts, mut most, mut round) = ([0u64; 3], 0, 0);
        while round < rounds && started.elapsed() < limit {
            round += 1;
            let mut bytes = seeds[draw.below(seeds.len())].clone();
            for _ in 0..=draw.below(4) {
                mutate(&mut bytes, &mut draw, &seeds, target.text);
            }
            let (verdict, allocated) = hostile(target, &bytes);
            counts[verdict as usize] += 1;
            if verdict == Verdict::Malformed {
                most = most.max(allocated.saturating_sub(bytes.len()));
            }
        }
        let [accepted, malformed, refused] = counts;
        println!(
            "{:18} {round:7} inputs: {accepted:6} accepted {malformed:6} malformed {refused:6} refused, {most} bytes beyond the input at most",
            target.name
        );
        assert!(malformed + refused > 0, "{}: nothing was refused", target.name);
    }
}

#[test]
fn every_cut_and_every_addition_is_refused_or_means_something_else() {
    for target in TARGETS {
        for seed in seeds(target) {
            // All of the short ones, and a thousand places of the long ones.
            let step = 1 + seed.len() / 200;
            for end in (0..seed.len()).step_by(step) {
                hostile(target, &seed[..end]);
            }
            for byte in [0, 1, b'\n', 0x80, 0xff] {
                let longer: Vec<u8> = seed.iter().copied().chain([byte]).collect();
                let (verdict, _) = hostile(target, &longer);
                // Text may end in more white space; a contribution ends in its proof, which is decoded by itself.
                let framed = target.text || matches!(target.name, "contribution" | "request");
                assert!(framed || verdict != Verdict::Accepted, "{}: {byte} was added", target.name);
            }
        }
    }
}

#[test]
fn bombs_do_not_go_off() {
    let deep = |open: &str, count: usize| open.repeat(count).into_bytes();
    let mut bombs = vec![Vec::new(), vec![0; 300], vec![0xff; 300], vec![0x80; 100_000], vec![0; 100_000]];
    for open in [
        "[", "{", "{\"a\":", "a=[", "a={b=", "[[a]]\n", "[a.", "a.", "\"", "'''", "(", "\n", "a,", ",\n",
        "\\u",
    ] {
        bombs.push(deep(open, 100_000));
    }
    // Nested protobuf groups and messages (RUSTSEC-2024-0437).
    bombs.extend([vec![0x0b; 100_000], vec![0x0a; 100_000], b"\x0a\xff\xff\x03".repeat(30_000)]);
    for target in TARGETS {
        let seeds = seeds(target);
        for bomb in &bombs {
            let started = Instant::now();
            let (verdict, allocated) = play(target, bomb);
            assert!(started.elapsed() < Duration::from_secs(5), "{}: {:?}", target.name, started.elapsed());
            // A text's problems are listed, a line each.
            let most = if target.text { ROOM + 1024 * bomb.len() } else { ROOM + worth(target) * bomb.len() };
            assert!(
                verdict != Verdict::Malformed || allocated <= most,
                "{}: {allocated} bytes allocated for {:?}…",
                target.name,
                bomb.get(..10).unwrap_or(bomb).escape_ascii().to_string()
            );
        }
        // A length that nothing can have, wherever one may stand.
        for seed in seeds.iter().take(3) {
            for at in (0..seed.len()).step_by(1 + seed.len() / 300) {
                for length in LENGTHS {
                    let mut bytes = seed[..at].to_vec();
                    bytes.extend_from_slice(length);
                    bytes.extend_from_slice(&seed[(at + 1).min(seed.len())..]);
                    hostile(target, &bytes);
                }
            }
        }
    }
}

#[test]
fn the_counter_counts_and_the_mutator_repeats_itself() {
    let before = ALLOCATED.with(Cell::get);
    drop(std::hint::black_box(vec![0_u8; 1 << 20]));
    assert!(ALLOCATED.with(Cell::get) - before >= 1 << 20);
    let seeds = vec![vec![1; 100], vec![2; 50]];
    let run = || {
        let (mut draw, mut bytes) = (Draw(7), seeds[0].clone());
        (0..1000).for_each(|_| mutate(&mut bytes, &mut draw, &seeds, true));
        bytes
    };
    assert_eq!(run(), run());
}

#[test]
fn each_fault_of_a_decoder_is_seen() {
    fn panics(bytes: &[u8]) -> Verdict {
        assert_ne!(bytes.first(), Some(&9));
        Verdict::Malformed
    }
    fn believes_a_length(bytes: &[u8]) -> Verdict {
        let length = usize::from(bytes.first().copied().unwrap_or_default()) << 16;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(length)));
        Verdict::Malformed
    }
    let target = |run| Target { name: "planted", run, seeds: || vec![vec![0; 8]], text: false };
    for run in [panics as fn(&[u8]) -> Verdict, believes_a_length] {
        hostile(&target(run), &[0; 8]);
        assert!(catch_unwind(AssertUnwindSafe(|| hostile(&target(run), &[9; 8]))).is_err());
    }
}

#[test]
fn cargo_fuzz_knows_every_target() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"\n", target.name)), "{} is missing", target.name);
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
