//! What hostile bytes cost before they are refused: at most 64 KiB of memory (C06, I4).
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use weightproof_circuits::encoding::Writer;
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::{Action, Envelope, SignedSubmission};
use weightproof_ledger::canonical::{Bytes, Canonical};
use weightproof_ledger::event::{Effect, Entry, Event, SpaceSpec};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::state::State;

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: as for this function.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as for this function.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + size);
        // SAFETY: as for this function.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Decodes as everything there is; the most that one attempt allocated.
fn decode_all(bytes: &[u8]) -> usize {
    fn one<T: Canonical>(bytes: &[u8]) -> usize {
        let before = ALLOCATED.get();
        let _ = std::hint::black_box(T::decode(bytes, "value"));
        ALLOCATED.get() - before
    }
    [
        one::<Entry>(bytes),
        one::<Event>(bytes),
        one::<State>(bytes),
        one::<Action>(bytes),
        one::<Envelope>(bytes),
        one::<SignedSubmission>(bytes),
        one::<SpaceSpec>(bytes),
        one::<Policy>(bytes),
        one::<Vec<Effect>>(bytes),
        one::<String>(bytes),
        one::<Bytes>(bytes),
    ]
    .into_iter()
    .max()
    .unwrap_or(0)
}

fn varint(value: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.varint(value);
    writer.into_bytes()
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATED.get();
    drop(std::hint::black_box(vec![0_u8; 1 << 20]));
    assert!(ALLOCATED.get() - before >= 1 << 20);
}

#[test]
fn hostile_lengths_make_no_room() {
    for length in [1 << 10, 1 << 20, 1 << 31, (1 << 31) + 1, 1 << 40, u64::MAX] {
        for lead in 0..=16_u8 {
            // The length where each of the encodings has one: at the beginning, behind a tag, behind a tag and identities.
            for gap in [0, 1, 32, 64, 72, 73, 80, 89, 112, 200] {
                let mut bytes = vec![lead; 1];
                bytes.resize(1 + gap, 0);
                bytes.extend(varint(length));
                bytes.resize(300, 1);
                let most = decode_all(&bytes);
                assert!(most <= 1 << 16, "length {length} after {lead} and {gap}: {most} bytes");
            }
        }
    }
}

#[test]
fn a_length_is_refused_by_name_before_its_elements_are_read() {
    let mut bytes = varint(1 << 40);
    bytes.resize(300, 0);
    assert_eq!(Vec::<Effect>::decode(&bytes, "effects").unwrap_err().code, ErrorCode::E103);
    let mut bytes = varint(200);
    bytes.resize(300, 0);
    // As many as there are bytes, but longer ones: the room grows with what is read.
    let before = ALLOCATED.get();
    assert_eq!(Vec::<Effect>::decode(&bytes, "effects").unwrap_err().code, ErrorCode::E106);
    assert!(ALLOCATED.get() - before <= 1 << 16);
}
