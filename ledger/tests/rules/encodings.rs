//! Encodings: one value, one string of bytes, of everything that is signed or logged.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use sha2::Digest;
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::{
    Action, Envelope, Possession, Receipt, SignedReceipt, SignedSubmission, Submission,
};
use weightproof_ledger::canonical::{Bytes, Canonical};
use weightproof_ledger::event::{Effect, Entry, Event, Outcome, Quality, SpaceSpec};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::signed::Message;
use weightproof_ledger::state::{
    Account, Contributed, Dataset, Member, Round, Rounds, Space, State, Supply, Unbonding,
};

fn id(byte: u8) -> [u8; 32] {
    [byte; 32]
}

fn submission() -> SignedSubmission {
    let submission =
        Submission { network: id(1), statement: Bytes(vec![2, 3]), file_digest: id(4), file_length: 5 };
    SignedSubmission { submission, signature: [6; 64] }
}

fn actions() -> Vec<Action> {
    vec![
        Action::Join { space: id(1), stake: 2 },
        Action::RegisterDataset { space: id(1), root: id(2), rows: 3 },
        Action::Stake { space: id(1), amount: 2 },
        Action::Unstake { space: id(1), amount: 2 },
        Action::Transfer { to: id(1), amount: 2 },
        Action::RotateKey { key: id(1), proof: [2; 64] },
        Action::RevokeKey {},
        Action::ReportEquivocation { first: submission(), second: submission() },
    ]
}

fn spec() -> SpaceSpec {
    SpaceSpec {
        name: "space".into(),
        program: Bytes(vec![1, 2]),
        seed: id(3),
        schema: Bytes(vec![4]),
        validation: Some(id(5)),
        policy: Policy::with_tokens(),
    }
}

fn envelope(action: Action) -> Envelope {
    Envelope { network: id(1), account: id(2), nonce: 3, expires: 4, action }
}

fn events() -> Vec<Event> {
    let quality = Some(Quality { before: 1, after: 2, rows: 3 });
    let mut events = vec![
        Event::Genesis { network: id(1), operator: id(2), allocations: vec![(id(3), 4), (id(3), 5)] },
        Event::CreateSpace { spec: spec() },
        Event::OpenRound { space: id(1), randomness: id(2) },
        Event::Contribution {
            signed: submission(),
            outcome: Outcome::Valid { candidate: id(1), largest: 2, quality },
        },
        Event::Contribution { signed: submission(), outcome: Outcome::Invalid { code: 307 } },
        Event::CloseRound { space: id(1) },
        Event::Release { space: id(1) },
        Event::Revert { space: id(1), version: 2, reason: "reason".into() },
    ];
    events.extend(
        actions().into_iter().map(|action| Event::Signed { envelope: envelope(action), signature: [5; 64] }),
    );
    events
}

fn effects() -> Vec<Effect> {
    let (space, account) = (id(1), id(2));
    let cause = || "cause".to_owned();
    vec![
        Effect::Credited { account, amount: 3, cause: cause() },
        Effect::Debited { account, amount: 3, cause: cause() },
        Effect::Minted { amount: 3 },
        Effect::Burned { amount: 3 },
        Effect::StakeChanged { space, account, before: 3, after: 4, cause: cause() },
        Effect::SpaceCreated { space, program_digest: id(3), model_digest: id(4) },
        Effect::RoundOpened { space, round: 2, beacon: id(3), version: 4, digest: id(5), closes: 6 },
        Effect::Accepted { space, round: 2, account, statement_digest: id(3), weight: 4, reward: 5 },
        Effect::Forfeited { space, round: 2, account, amount: 3, code: 307 },
        Effect::Slashed { space, round: 2, account, amount: 3 },
        Effect::RoundClosed { space, round: 2, version: 3, digest: id(4), contributions: 5, state: id(6) },
        Effect::Reverted { space, version: 2, to: 1, digest: id(3) },
        Effect::Joined { space, account },
        Effect::DatasetRegistered { space, account, root: id(3), rows: 4 },
        Effect::KeyChanged { account, key: Some(id(3)) },
        Effect::KeyChanged { account, key: None },
    ]
}

fn state() -> State {
    let dataset = Dataset { root: id(1), rows: 2 };
    let member = Member {
        stake: 1,
        unbonding: vec![Unbonding { amount: 2, release: 3 }],
        accepted: 4,
        misses: 5,
        dataset: Some(dataset.clone()),
    };
    let contributed = Contributed { statement_digest: id(1), entry: 2, reward: 3 };
    let round = Round {
        number: 1,
        version: 2,
        digest: id(3),
        beacon: id(4),
        opened: 5,
        closes: 6,
        closed: true,
        admitted: [(id(1), dataset.clone()), (id(2), dataset)].into(),
        accepted: [(id(1), contributed)].into(),
        forfeited: [id(2)].into(),
        slashed: [id(1), id(2)].into(),
        candidate: id(7),
        contributions: 8,
        minted: 9,
    };
    let space = Space {
        spec: Arc::new(spec()),
        program_digest: id(1),
        examples: 2,
        versions: vec![id(3), id(4)],
        members: [(id(1), member)].into(),
        rounds: Rounds(VecDeque::from([round.into()])),
        round_count: 5,
        reverted: 4,
    };
    let account = Account { key: None, former_keys: vec![(id(1), 2)], nonce: 3, balance: 4 };
    State {
        network: id(1),
        operator: id(2),
        time: 3,
        entries: 4,
        accounts: [(id(1), account)].into(),
        spaces: [(id(2), space)].into(),
        supply: Supply { genesis: 1, emitted: 2, burned: 3 },
    }
}

/// Round trip, strictness at every bit and every length, and the digest of the bytes.
fn check<T: Canonical + PartialEq + Debug>(name: &str, value: &T) -> String {
    let bytes = value.encode();
    assert_eq!(T::decode(&bytes, "value").as_ref(), Ok(value), "{name}");
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            if let Ok(other) = T::decode(&flipped, "value") {
                assert_ne!(other, *value, "{name}: bit {bit} of byte {position} says nothing");
                assert_eq!(other.encode(), flipped, "{name}: two encodings, bit {bit} of byte {position}");
            }
        }
    }
    for end in 0..bytes.len() {
        let code = T::decode(&bytes[..end], "value").unwrap_err().code;
        assert!(
            matches!(code, ErrorCode::E103 | ErrorCode::E106 | ErrorCode::E101),
            "{name} cut at {end}: {code}"
        );
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(T::decode(&longer, "value").unwrap_err().code, ErrorCode::E102, "{name}");
    sha2::Sha256::digest(&bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn everything_has_one_encoding_and_it_is_the_published_one() {
    let mut digests = BTreeMap::new();
    let mut add = |name: &str, digest: String| {
        let entry: &mut String = digests.entry(name.to_owned()).or_default();
        entry.push_str(&digest);
    };
    for action in actions() {
        add("Action", check(action.name(), &action));
        add("Envelope", check("Envelope", &envelope(action)));
    }
    for event in events() {
        add("Event", check(event.name(), &event));
    }
    for effect in effects() {
        add("Effect", check(effect.name(), &effect));
    }
    let receipt = Receipt {
        network: id(1),
        statement_digest: id(2),
        file_digest: id(3),
        verdict: 307,
        entry: 4,
        reward: 5,
        time: 6,
    };
    add("Possession", check("Possession", &Possession { network: id(1), account: id(2), key: id(3) }));
    add("Submission", check("Submission", &submission().submission));
    add("SignedSubmission", check("SignedSubmission", &submission()));
    add("Receipt", check("Receipt", &receipt));
    add("SignedReceipt", check("SignedReceipt", &SignedReceipt { receipt, signature: [7; 64] }));
    add("Policy", check("Policy", &Policy::with_tokens()));
    add("Policy", check("Policy", &Policy::without_tokens()));
    add("SpaceSpec", check("SpaceSpec", &spec()));
    add("Entry", check("Entry", &Entry { index: 1, time: 2, event: events().remove(3), effects: effects() }));
    add("State", check("State", &state()));
    add("State", check("State", &State::empty()));
    let published: BTreeMap<String, String> = PUBLISHED
        .iter()
        .map(|(name, digests)| ((*name).to_owned(), digests.replace(char::is_whitespace, "")))
        .collect();
    assert_eq!(digests, published, "an encoding changed: old logs and signatures do not read any more");
}

/// The first four bytes of the SHA-256 of each sample's encoding. A change here is a change of the format.
const PUBLISHED: &[(&str, &str)] = &[
    ("Action", "f5a37cb4 9cddb9f3 d7783143 4eb4ebb9 56f4a157 d4028a3f ca358758 b87a287a"),
    (
        "Effect",
        "14c546cc c996ba35 405667d5 adc95ff0 aa393777 bbb1345d 59c5641f 5f1c2b6d 06356133 52763c63 2f2e28f5 e6bcb907 07488bf6 b398573a d8dec2b8 cb959f81",
    ),
    ("Entry", "5161e6f3"),
    ("Envelope", "20ead46c e24ffe13 a9220b65 b45b2ea4 68063f93 4d4ddddf 96806272 5d2983f4"),
    (
        "Event",
        "48813913 34e5852b 3be03247 97aa757e 9d544c89 06b34ba4 0b552a05 ba72daaf 5b8576d1 fc5e68c5 0e369057 0c0cf15a d2242b27 3dc3ce7f 7d0c638e caaf970a",
    ),
    ("Policy", "82f89b45 396bd644"),
    ("Possession", "8a2e4913"),
    ("Receipt", "a2db81b7"),
    ("SignedReceipt", "6115dd10"),
    ("SignedSubmission", "a41a7b64"),
    ("SpaceSpec", "bc72a425"),
    ("State", "f7482ecb 34dbd6bf"),
    ("Submission", "e58b9a03"),
];

#[test]
fn the_samples_cover_every_kind() {
    let names = |all: Vec<&'static str>| all.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(names(actions().iter().map(Action::name).collect()), names(Action::VARIANTS.to_vec()));
    assert_eq!(names(events().iter().map(Event::name).collect()), names(Event::VARIANTS.to_vec()));
    assert_eq!(names(effects().iter().map(Effect::name).collect()), names(Effect::VARIANTS.to_vec()));
}

/// An envelope by hand, as specs/ledger.md §9 has it.
#[test]
fn the_bytes_of_an_action_are_the_documented_ones() {
    let mut bytes = Vec::new();
    bytes.extend([1; 32]);
    bytes.extend([2; 32]);
    bytes.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    bytes.push(5);
    bytes.extend([9; 32]);
    bytes.extend([7, 1, 0, 0, 0, 0, 0, 0]);
    let envelope = envelope(Action::Transfer { to: id(9), amount: 263 });
    assert_eq!(envelope.encode(), bytes);
    let mut preimage = vec![21];
    preimage.extend(b"weightproof action v1");
    preimage.extend(&bytes);
    assert_eq!(envelope.digest(), <[u8; 32]>::from(sha2::Sha256::digest(&preimage)));
}
