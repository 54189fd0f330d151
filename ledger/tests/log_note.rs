//! Signed notes and checkpoints against what is published, and against every flipped bit.
#![allow(clippy::unwrap_used)]
use ed25519_dalek::{SigningKey, VerifyingKey};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::log::note::{self, MAX_NOTE_BYTES, MAX_SIGNATURES};
use weightproof_ledger::log::{Checkpoint, LogError, VerifierKey, leaf_hash};

fn seeded(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(0x5eed), failure_persistence: None, ..Config::default() }
}

// golang.org/x/mod/sumdb/note, note_test.go: TestNewVerifier, TestSign and TestOpen. PETER_SEED is the signer
// key's seed there.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const PETER_SEED: [u8; 32] = [
    0x81, 0x0a, 0x14, 0x02, 0xd5, 0x14, 0x6c, 0x8d, 0x84, 0xf2, 0x44, 0x33, 0x30, 0xf5, 0x40, 0x80, 0xeb,
    0xf9, 0x8e, 0xe1, 0x7d, 0x9c, 0x74, 0xf6, 0x25, 0x2f, 0xc5, 0xd5, 0xc7, 0x28, 0x31, 0x73,
];
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_NOTE: &str = include_str!("vectors/go-note.txt");
const GO_NOTE_TWO: &str = include_str!("vectors/go-note-two.txt");

// The Go toolchain's key of its checksum database, cmd/go/internal/modfetch/key.go.
const SUM: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const SUM_CHECKPOINT: &str = include_str!("vectors/go-sum-checkpoint.txt");
// C2SP, tlog-checkpoint.md and signed-note.md.
const C2SP_CHECKPOINT: &str = include_str!("vectors/c2sp-checkpoint.txt");
const C2SP_NOTE: &str = include_str!("vectors/c2sp-note.txt");

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

fn our_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn ours(name: &str) -> VerifierKey {
    VerifierKey::new(name, our_key().verifying_key()).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, LogError>) -> ErrorCode {
    result.unwrap_err().code()
}

/// The same bytes with one bit changed, for every bit.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn published_keys_read_and_write() {
    for text in [PETER, ENOCH, SUM] {
        assert_eq!(key(text).to_string(), text);
    }
    assert_eq!(key(PETER).name(), "PeterNeumann");
    assert_eq!(key(PETER).id(), [0xc7, 0x4f, 0x20, 0xa3]);
    assert_eq!(note::key_id("PeterNeumann", key(PETER).key()), [0xc7, 0x4f, 0x20, 0xa3]);
}

#[test]
fn mangled_keys_are_refused() {
    // The manglings of TestNewVerifier: every other part of the text, and every byte one higher.
    for start in 0..=PETER.len() {
        for end in start..=PETER.len() {
            assert_eq!(PETER[start..end].parse::<VerifierKey>().is_ok(), (start, end) == (0, PETER.len()));
        }
    }
    for at in 0..PETER.len() {
        let mut bytes = PETER.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(String::from_utf8(bytes).unwrap().parse::<VerifierKey>().is_err(), "{at}");
    }
    for flipped in flips(PETER.as_bytes()).filter_map(|bytes| String::from_utf8(bytes).ok()) {
        assert!(flipped.parse::<VerifierKey>().is_err(), "{flipped}");
    }
    // A longer key and an unknown algorithm, each with the id that goes with it, from the same test.
    let longer = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    assert_eq!(code(longer.parse::<VerifierKey>()), ErrorCode::E101);
    let other = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(code(other.parse::<VerifierKey>()), ErrorCode::E105);
    let upper = PETER.replace("c74f20a3", "C74F20A3");
    assert_eq!(code(upper.parse::<VerifierKey>()), ErrorCode::E101);
}

#[test]
fn weak_keys_and_bad_names_are_refused() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = VerifyingKey::from_bytes(&neutral).unwrap();
    assert_eq!(code(VerifierKey::new("log", weak)), ErrorCode::E104);
    for name in ["a b", "a+b", "a\tb", "a\u{a0}b", "a\u{2003}b", "a\0b", "a\nb", "a\u{85}b"] {
        assert_eq!(code(VerifierKey::new(name, our_key().verifying_key())), ErrorCode::E101, "{name:?}");
        assert_eq!(code(note::sign("text\n", name, &our_key())), ErrorCode::E101, "{name:?}");
    }
    assert_eq!(code(VerifierKey::new("", our_key().verifying_key())), ErrorCode::E106);
}

#[test]
fn the_published_notes_open() {
    assert_eq!(note::open(GO_NOTE, &key(PETER)), Ok(GO_TEXT));
    assert_eq!(note::open(GO_NOTE_TWO, &key(PETER)), Ok(GO_TEXT));
    assert_eq!(note::open(GO_NOTE_TWO, &key(ENOCH)), Ok(GO_TEXT));
    let error = note::open(GO_NOTE, &key(ENOCH)).unwrap_err();
    assert_eq!(error.to_string(), "expected a signature by EnochRoot+af0cfe78, found 1 by others");
    assert_eq!(error.code(), ErrorCode::E205);
    // Nobody has this one's key, but its form is right: it fails for that reason only.
    assert_eq!(
        note::open(C2SP_NOTE, &key(PETER)).unwrap_err(),
        LogError::Unsigned { expected: "PeterNeumann+c74f20a3".into(), found: 1 }
    );
}

#[test]
fn signing_gives_the_published_note() {
    let signer = SigningKey::from_bytes(&PETER_SEED);
    assert_eq!(note::sign(GO_TEXT, "PeterNeumann", &signer).unwrap(), GO_NOTE);
}

#[test]
fn every_bit_of_a_note_counts() {
    let signed = note::sign("one\n\nthree — ü\n", "example.com/log", &our_key()).unwrap();
    let key = ours("example.com/log");
    assert_eq!(note::open(&signed, &key), Ok("one\n\nthree — ü\n"));
    for note in [GO_NOTE, &signed] {
        for flipped in flips(note.as_bytes()) {
            assert!(note::open(&flipped, &key).is_err() && note::open(&flipped, &self::key(PETER)).is_err());
        }
        for end in 0..note.len() {
            assert!(note::open(&note.as_bytes()[..end], &key).is_err());
        }
    }
}

#[test]
fn malformed_notes_are_refused() {
    let peter = GO_NOTE.strip_prefix(GO_TEXT).and_then(|rest| rest.strip_prefix('\n')).unwrap();
    let enoch = GO_NOTE_TWO.strip_prefix(GO_NOTE).unwrap();
    let cases: [(Vec<u8>, ErrorCode); 16] = [
        // badMsgs of TestOpen.
        (GO_TEXT.into(), ErrorCode::E106),
        (format!("{GO_TEXT}\n").into(), ErrorCode::E106),
        (GO_NOTE.trim_end().into(), ErrorCode::E106),
        (format!("\x01{GO_NOTE}").into(), ErrorCode::E101),
        ([b"\xff", GO_NOTE.as_bytes()].concat(), ErrorCode::E101),
        (GO_NOTE.replace("PeterNeumann", "Bad Name").into(), ErrorCode::E101),
        (format!("{GO_NOTE}Unexpected line.\n").into(), ErrorCode::E101),
        // Others.
        (Vec::new(), ErrorCode::E106),
        (format!("\n{peter}").into(), ErrorCode::E106),
        (GO_NOTE.replace('\n', "\r\n").into(), ErrorCode::E101),
        (format!("{GO_NOTE}\n").into(), ErrorCode::E106),
        (format!("{GO_NOTE}— Someone AAAAAA=\n").into(), ErrorCode::E101),
        (format!("{GO_NOTE}— Someone AAAAAA==\n").into(), ErrorCode::E106),
        (format!("{GO_NOTE}— Someone\n").into(), ErrorCode::E101),
        (format!("{GO_NOTE}-- Someone AAAAAAA=\n").into(), ErrorCode::E101),
        // Bits of the last base64 digit that no byte has.
        (GO_NOTE.replace("JnAM=", "JnAN=").into(), ErrorCode::E101),
    ];
    for (note, expected) in cases {
        assert_eq!(code(note::open(&note, &key(PETER))), expected, "{}", String::from_utf8_lossy(&note));
    }
    // Another's signature is passed over whatever it says, before or after; a wrong one of ours is not.
    let other = format!("{GO_TEXT}\n— PeterNeumann AAAAAAA=\n{enoch}{peter}— Someone AAAAAAA=\n");
    assert_eq!(note::open(&other, &key(PETER)), Ok(GO_TEXT));
    let wrong = format!("{GO_NOTE}{}", peter.replace("x08go/Z", "x08go/Y"));
    assert_eq!(code(note::open(&wrong, &key(PETER))), ErrorCode::E205);
    let short = format!("{GO_TEXT}\n— PeterNeumann x08go/ZJkg==\n");
    assert_eq!(
        note::open(&short, &key(PETER)),
        Err(LogError::Signature { expected: "PeterNeumann+c74f20a3".into() })
    );
}

#[test]
fn limits_are_exact() {
    let peter = GO_NOTE.strip_prefix(GO_TEXT).and_then(|rest| rest.strip_prefix('\n')).unwrap();
    let repeated = |count| format!("{GO_TEXT}\n{}", peter.repeat(count));
    assert_eq!(note::open(&repeated(MAX_SIGNATURES), &key(PETER)), Ok(GO_TEXT));
    assert_eq!(code(note::open(&repeated(MAX_SIGNATURES + 1), &key(PETER))), ErrorCode::E103);

    let overhead = note::sign("\n", "log", &our_key()).unwrap().len() - 1;
    let text = |bytes: usize| format!("{}\n", "a".repeat(bytes - overhead - 1));
    let largest = note::sign(&text(MAX_NOTE_BYTES), "log", &our_key()).unwrap();
    assert_eq!(largest.len(), MAX_NOTE_BYTES);
    assert!(note::open(&largest, &ours("log")).is_ok());
    assert_eq!(code(note::sign(&text(MAX_NOTE_BYTES + 1), "log", &our_key())), ErrorCode::E103);
    assert_eq!(code(note::open(&format!("a{largest}"), &ours("log"))), ErrorCode::E103);
    assert_eq!(code(note::sign("no newline", "log", &our_key())), ErrorCode::E106);
    assert_eq!(code(note::sign("tab\t\n", "log", &our_key())), ErrorCode::E101);
}

#[test]
fn the_published_checkpoints_open() {
    let checkpoint = Checkpoint::open(SUM_CHECKPOINT, "go.sum database tree", &key(SUM)).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("go.sum database tree", 20_852_163));
    assert!(SUM_CHECKPOINT.starts_with(&checkpoint.to_note_text()));
    // An origin with spaces is an origin, but no key's name.
    assert_eq!(code(checkpoint.sign(&our_key())), ErrorCode::E101);

    let error = Checkpoint::open(SUM_CHECKPOINT, "example.com/log", &key(SUM)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a checkpoint of \"example.com/log\", found one of \"go.sum database tree\""
    );
    assert_eq!(error.code(), ErrorCode::E201);

    let text = C2SP_CHECKPOINT.split_inclusive('\n').take(3).collect::<String>();
    let example = Checkpoint::parse(&text).unwrap();
    assert_eq!(
        (example.origin(), example.size(), example.root()),
        ("example.com/behind-the-sofa", 20_852_163, checkpoint.root())
    );
    assert_eq!(example.to_note_text(), text);
    assert_eq!(code(Checkpoint::open(C2SP_CHECKPOINT, example.origin(), &key(SUM))), ErrorCode::E205);
}

#[test]
fn checkpoints_have_one_spelling() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let parse = |text: String| Checkpoint::parse(&text);
    assert_eq!(parse(format!("log\n0\n{root}\n")).unwrap().size(), 0);
    assert_eq!(parse(format!("log\n18446744073709551615\n{root}\n")).unwrap().size(), u64::MAX);
    for size in ["", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "1_0", "١", "18446744073709551616"] {
        assert_eq!(code(parse(format!("log\n{size}\n{root}\n"))), ErrorCode::E101, "{size:?}");
    }
    for other in [
        &root[..43],
        &root[..40],
        "",
        "CsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I=",
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=",
    ] {
        assert_eq!(code(parse(format!("log\n1\n{other}\n"))), ErrorCode::E101, "{other:?}");
    }
    for cut in ["", "\n", "log\n", "log\n1\n", "log"] {
        assert_eq!(code(parse(cut.into())), ErrorCode::E106, "{cut:?}");
    }
    assert_eq!(code(parse(format!("\n1\n{root}\n"))), ErrorCode::E106);
    assert_eq!(code(parse(format!("log\n1\n{root}"))), ErrorCode::E106);
    // Extensions.
    assert_eq!(parse(format!("log\n1\n{root}\nmore\nand more\n")).unwrap().size(), 1);
    assert_eq!(code(parse(format!("log\n1\n{root}\n\n"))), ErrorCode::E101);
    assert_eq!(code(parse(format!("log\n1\n{root}\n\nmore\n"))), ErrorCode::E101);
    for (origin, expected) in [("", ErrorCode::E106), ("a\nb", ErrorCode::E101), ("a\tb", ErrorCode::E101)] {
        assert_eq!(code(Checkpoint::new(origin, 1, [0; 32])), expected);
    }
}

#[test]
fn every_bit_of_a_checkpoint_counts() {
    let checkpoint = Checkpoint::new("example.com/log", 5, leaf_hash(b"root")).unwrap();
    let signed = checkpoint.sign(&our_key()).unwrap();
    let key = ours("example.com/log");
    assert_eq!(Checkpoint::open(&signed, "example.com/log", &key), Ok(checkpoint.clone()));
    for flipped in flips(signed.as_bytes()) {
        assert!(Checkpoint::open(&flipped, "example.com/log", &key).is_err());
    }
    // The size, which no proof binds, in particular.
    let larger = signed.replace("\n5\n", "\n8\n");
    assert_eq!(code(Checkpoint::open(&larger, "example.com/log", &key)), ErrorCode::E205);
    // One key under two names is two keys.
    assert_eq!(
        code(Checkpoint::open(&signed, "example.com/log", &ours("example.com/other"))),
        ErrorCode::E205
    );
}

proptest! {
    #![proptest_config(seeded(500))]

    #[test]
    fn checkpoints_round_trip(origin in "[a-z./0-9]{1,40}", size in any::<u64>(), root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint::new(origin.clone(), size, root).unwrap();
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_note_text()).unwrap(), checkpoint.clone());
        let signed = checkpoint.sign(&our_key()).unwrap();
        prop_assert_eq!(Checkpoint::open(&signed, &origin, &ours(&origin)), Ok(checkpoint));
    }

    #[test]
    fn notes_round_trip(text in "([ -~üß—\n]|\n\n){0,80}", name in "[^\\s+\\p{Cc}]{1,20}") {
        let text = format!("{text}\n");
        let signed = note::sign(&text, &name, &our_key()).unwrap();
        prop_assert_eq!(note::open(&signed, &ours(&name)), Ok(text.as_str()));
    }
}

proptest! {
    #![proptest_config(seeded(5_000))]

    #[test]
    fn hostile_text_never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        text in "([a+ 0-9\n—=]|\n\n— a |AAAA|\\PC){0,60}",
    ) {
        let key = key(PETER);
        prop_assert!(note::open(&bytes, &key).is_err());
        prop_assert!(note::open(&text, &key).is_err());
        prop_assert!(text.parse::<VerifierKey>().is_err());
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert!(text.starts_with(&checkpoint.to_note_text()));
        }
    }
}
