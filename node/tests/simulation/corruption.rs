//! A disk that is not what was written is refused when the node starts, with E506, whatever is wrong with it.
use weightproof_circuits::error::ErrorCode;
use weightproof_node::core::Core;
use weightproof_node::store::StoreError;

use crate::disk::{Disk, SimStore};
use crate::play;
use crate::random::Random;
use crate::scenario::{BEGINNING, ORIGIN, key, node_key};

fn disk() -> Disk {
    let (checked, report) = play(5, None);
    checked.expect("a seed that holds");
    report.disk
}

fn open(disk: Disk) -> Result<Core<SimStore>, StoreError> {
    Core::open(SimStore::new(disk, Random::new(0), 0), node_key(), ORIGIN, None, &[], BEGINNING + 10_000)
}

#[track_caller]
fn refused(what: &str, disk: Disk) {
    match open(disk) {
        Err(error @ StoreError::Corrupt(_)) => assert_eq!(error.code(), ErrorCode::E506),
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what}: the node starts"),
    }
}

#[test]
fn a_sound_disk_is_taken() {
    let disk = disk();
    let size = disk.entries.len() as u64;
    assert_eq!(open(disk).map(|core| core.snapshot().size).map_err(|error| error.to_string()), Ok(size));
}

#[test]
fn one_flipped_bit_or_missing_byte_in_any_entry() {
    let disk = disk();
    let mut random = Random::new(1);
    for place in 0..disk.entries.len() {
        let mut flipped = disk.clone();
        let bit = random.below(flipped.entries[place].len() as u64 * 8) as usize;
        flipped.entries[place][bit / 8] ^= 1 << (bit % 8);
        refused(&format!("entry {place}, bit {bit}"), flipped);
        let mut cut = disk.clone();
        let length = random.below(cut.entries[place].len() as u64) as usize;
        cut.entries[place].truncate(length);
        refused(&format!("entry {place}, cut to {length}"), cut);
    }
}

#[test]
fn entries_that_are_missing_added_or_moved() {
    let disk = disk();
    let count = disk.entries.len();
    for place in 0..count {
        let mut shorter = disk.clone();
        shorter.entries.remove(place);
        refused(&format!("without entry {place}"), shorter);
    }
    let change = |what: &str, change: &dyn Fn(&mut Disk)| {
        let mut changed = disk.clone();
        change(&mut changed);
        refused(what, changed);
    };
    change("no entries", &|disk| disk.entries.clear());
    change("half of the entries", &|disk| disk.entries.truncate(count / 2));
    change("the last entry twice", &|disk| disk.entries.push(disk.entries[count - 1].clone()));
    change("two entries swapped", &|disk| disk.entries.swap(count / 2, count / 2 + 1));
    change("an empty entry", &|disk| disk.entries.push(Vec::new()));
}

#[test]
fn a_checkpoint_that_is_missing_changed_or_anothers() {
    let disk = disk();
    let with = |what: &str, checkpoint: Option<String>| refused(what, Disk { checkpoint, ..disk.clone() });
    with("no checkpoint", None);
    let note = disk.checkpoint.clone().expect("a checkpoint");
    // The note is text: each of its characters counts.
    for place in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        with(&format!("character {place}"), String::from_utf8(bytes).ok());
    }
    let size = disk.entries.len() as u64;
    let sign = |origin: &str, size, key: &ed25519_dalek::SigningKey| {
        let mut replay = weightproof_ledger::replay::Replay::new();
        disk.entries.iter().for_each(|entry| drop(replay.play(entry).expect("a sound log")));
        weightproof_ledger::log::Checkpoint::new(origin, size, replay.root())
            .and_then(|made| made.sign(key))
            .ok()
    };
    with("another size", sign(ORIGIN, size - 1, &node_key()));
    with("another key", sign(ORIGIN, size, &key(99, 0)));
    with("another log", sign("another.example/log", size, &node_key()));
}

#[test]
fn another_nodes_key() {
    let store = SimStore::new(disk(), Random::new(0), 0);
    let opened = Core::open(store, key(99, 0), ORIGIN, None, &[], BEGINNING + 10_000);
    assert!(matches!(opened, Err(StoreError::Corrupt(_))));
}

#[test]
fn a_model_that_is_missing_or_another() {
    let disk = disk();
    let open = open(disk.clone()).map_err(|error| error.to_string()).expect("a sound disk").snapshot().state;
    for space in open.spaces.values() {
        let digest = space.open_round().map_or_else(|| space.digest(), |round| round.candidate);
        let mut without = disk.clone();
        without.models.remove(&digest);
        refused("without the present model", without);
        for bit in 0..disk.models[&digest].len() * 8 {
            let mut flipped = disk.clone();
            flipped.models.entry(digest).and_modify(|bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            refused(&format!("model, bit {bit}"), flipped);
        }
    }
}
