//! The whole product: three holders with thirds of the digits, ten rounds, over TLS, as commands that people type; an auditor
//! after them; and a fourth member who never trains.
use super::harness::*;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::transport::Channel;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::action::Action;
use weightproof_ledger::policy::Policy;
use weightproof_ledger::replay::Replay;
use weightproof_node::rpc::v1;
use weightproof_node::spaces;
use weightproof_verifier::Contribution;

const ROUNDS: u64 = 10;

const PROGRAM: &str = r#"
[model]
layers = [64, 64, 10]
activation = "relu"
loss = "softmax-cross-entropy"
[arithmetic]
activation_bits = 6
[optimizer]
learning_rate = 0.25
[contribution]
steps = 24
batch = 32
weight = 0.34
"#;

/// A command at work; it ends with the test, however that ends.
struct Work(Child);

impl Deref for Work {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Work {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A holder's machine: a home folder, and the command.
struct Machine {
    home: PathBuf,
}

impl Machine {
    fn new(folder: &Path, name: &str) -> Machine {
        let home = folder.join(name);
        std::fs::create_dir_all(&home).unwrap();
        Machine { home }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weightproof"));
        command
            .args(arguments)
            .current_dir(&self.home)
            .env_clear()
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", cache())
            .env("WEIGHTPROOF_PASSPHRASE", "correct horse")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {:?}\n{said}{errors}", output.status);
        said
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments)).unwrap()
    }

    fn start(&self, arguments: &[&str], log: &str) -> Work {
        let log = std::fs::File::create(self.home.join(log)).unwrap();
        Work(self.command(arguments).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// The contribution that the command keeps for a round.
    fn file(&self, round: u64) -> File {
        let wanted = format!("round-{round}.wpf");
        let mut folders = vec![self.home.join(".local/share/weightproof")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().unwrap() == wanted.as_str() {
                    let bytes = std::fs::read(path).unwrap();
                    let statement = Contribution::decode(&bytes).unwrap().statement;
                    return File { bytes, statement };
                }
            }
        }
        panic!("no {wanted} in {}", self.home.display());
    }
}

/// Rows of the digits: a test set and three thirds of the rest, in a fixed shuffle.
fn split(folder: &Path) -> (PathBuf, Vec<PathBuf>) {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/digits.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let mut rows: Vec<&str> = rows.lines().collect();
    let mut random = 7u64;
    for last in (1..rows.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        rows.swap(last, (random >> 33) as usize % (last + 1));
    }
    let (test, rest) = rows.split_at(rows.len() / 5);
    let write = |name: &str, rows: Vec<&str>| {
        let path = folder.join(name);
        std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        path
    };
    let test = write("test.csv", test.to_vec());
    let thirds = (0..3).map(|holder| {
        write(&format!("third-{holder}.csv"), rest.iter().skip(holder).step_by(3).copied().collect())
    });
    (test, thirds.collect())
}

fn public_key(machine: &Machine) -> [u8; 32] {
    let text = std::fs::read_to_string(machine.home.join(".config/weightproof/key.pub")).unwrap();
    let text = text.trim();
    std::array::from_fn(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap())
}

#[test]
fn three_holders_train_the_digits_and_an_auditor_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let (test, thirds) = split(folder.path());
    let operator = Machine::new(folder.path(), "operator");
    std::fs::write(operator.home.join("program.toml"), PROGRAM).unwrap();
    let sample = thirds[0].display().to_string();
    let arguments = ["space", "init", &sample, "--label", "digit", "--name", "digits", "--policy", "tokens"];
    operator.run(&[&arguments[..], &["--model", "program.toml", "--out", "digits.toml"]].concat());
    let mut spec =
        spaces::parse(&std::fs::read_to_string(operator.home.join("digits.toml")).unwrap()).unwrap();
    spec.policy = Policy {
        minimum_stake: 100,
        bond: 40,
        minimum_datasets: 4,
        // A machine under load must not lose a round.
        round_seconds: 3600,
        ..spec.policy
    };

    let holders: Vec<Machine> =
        (0..3).map(|number| Machine::new(folder.path(), &format!("holder-{number}"))).collect();
    holders.iter().for_each(|holder| drop(holder.run(&["init"])));
    let liar = signing_key(77);
    let mut allocations: Vec<_> = holders.iter().map(|holder| (public_key(holder), 1_000)).collect();
    allocations.push((account(&liar), 1_000));
    let mut node = Node::new(&folder.path().join("node"), &spec, &allocations);
    node.start();

    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        for holder in &holders {
            holder.run(&["join", &node.address, "--space", "digits"]);
        }
        let space = enter(&channel, &network, &liar).await;
        let mut working: Vec<Work> = holders
            .iter()
            .zip(&thirds)
            .map(|(holder, third)| {
                let rounds = ROUNDS.to_string();
                let third = third.display().to_string();
                holder.start(&["contribute", &third, "--every-round", "--rounds", &rounds], "contribute.txt")
            })
            .collect();
        for number in 1..=ROUNDS {
            wait_for(&channel, space, number, 3, &holders, &mut working).await;
            lie(&channel, &network, &liar, &holders, number).await;
        }
        for (child, holder) in working.iter_mut().zip(&holders) {
            let said = || std::fs::read_to_string(holder.home.join("contribute.txt")).unwrap();
            assert!(child.wait().unwrap().success(), "{}", said());
        }

        // The model is good, and it is the one that the log says.
        let holder = &holders[0];
        wait_for_version(&channel, space, ROUNDS).await;
        holder.run(&["pull", "--out", "model.safetensors"]);
        let test = test.display().to_string();
        let quality = holder.json(&["evaluate", "model.safetensors", &test, "--label", "digit", "--json"]);
        let accuracy = quality["accuracy"].as_f64().unwrap();
        assert!(accuracy >= 0.95, "{accuracy}");

        // Balances: what the node says is what the log says; the liar earned nothing and lost ten bonds.
        let mut replay = Replay::new();
        for entry in entries(&channel).await {
            replay.play(&entry).unwrap();
        }
        replay.state().check_invariants().unwrap();
        for holder in &holders {
            let account = public_key(holder);
            let told = balance(&channel, account).await;
            assert_eq!(told.balance, replay.state().accounts[&account].balance);
            assert!(told.balance > 1_000 - 100, "nothing earned: {told:?}");
        }
        let lost = balance(&channel, account(&liar)).await;
        assert_eq!((lost.balance, lost.staked), (0, 1_000 - ROUNDS * 40));
        assert_eq!(replay.state().spaces[&space].version(), ROUNDS);

        // The auditor has one file and trusts nobody.
        holder.run(&["pull", "--bundle", "--out", "v10.wpbundle"]);
        let key: String = network.iter().map(|byte| format!("{byte:02x}")).collect();
        let verified = holder.run(&["audit", "verify", "v10.wpbundle", "--key", &key]);
        assert!(verified.contains("30/30 contributions proven, lineage depth 10, 0 gaps"), "{verified}");
        let replayed = holder.run(&["log", "replay", "v10.wpbundle"]);
        assert!(replayed.contains("conserved"), "{replayed}");
    });
    assert_eq!(node.stop(), Some(0));
}

/// Joins and registers a root that stands for no rows.
async fn enter(channel: &Channel, network: &[u8], key: &ed25519_dalek::SigningKey) -> [u8; 32] {
    let mut spaces = v1::spaces_service_client::SpacesServiceClient::new(channel.clone());
    let listed = spaces.list_spaces(v1::ListSpacesRequest {}).await.unwrap().into_inner();
    let space: [u8; 32] = listed.spaces[0].space.to_vec().try_into().unwrap();
    let join = authorize(key, account(key), 1, network, Action::Join { space, stake: 1_000 });
    let request = v1::JoinRequest { authorization: Some(join), space: space.to_vec().into(), stake: 1_000 };
    v1::members_service_client::MembersServiceClient::new(channel.clone()).join(request).await.unwrap();
    let (root, rows) = ([9; 32], 479);
    let register = authorize(key, account(key), 2, network, Action::RegisterDataset { space, root, rows });
    let request = v1::RegisterDatasetRequest {
        authorization: Some(register),
        space: space.to_vec().into(),
        root: root.to_vec().into(),
        rows,
    };
    let mut datasets = v1::datasets_service_client::DatasetsServiceClient::new(channel.clone());
    datasets.register_dataset(request).await.unwrap();
    space
}

async fn round(channel: &Channel, space: [u8; 32]) -> v1::Round {
    let mut rounds = v1::rounds_service_client::RoundsServiceClient::new(channel.clone());
    let request = v1::GetCurrentRoundRequest { space: space.to_vec().into(), ..Default::default() };
    rounds.get_current_round(request).await.unwrap().into_inner().round.unwrap()
}

/// Waits until a round has so many contributions.
async fn wait_for(
    channel: &Channel,
    space: [u8; 32],
    number: u64,
    contributions: u64,
    holders: &[Machine],
    working: &mut [Work],
) {
    let started = Instant::now();
    loop {
        let round = round(channel, space).await;
        if round.number == number && round.contributions == contributions {
            return;
        }
        let ended =
            working.iter_mut().any(|child| child.try_wait().unwrap().is_some_and(|status| !status.success()));
        if ended || started.elapsed() > Duration::from_secs(180) {
            let said = holders
                .iter()
                .map(|holder| std::fs::read_to_string(holder.home.join("contribute.txt")).unwrap());
            panic!("round {number}: {round:?}\n{}", said.collect::<Vec<_>>().join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_for_version(channel: &Channel, space: [u8; 32], version: u64) {
    let started = Instant::now();
    while round(channel, space).await.model_version < version {
        assert!(started.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Everything that somebody who never trains can try with others' files.
async fn lie(
    channel: &Channel,
    network: &[u8],
    key: &ed25519_dalek::SigningKey,
    holders: &[Machine],
    number: u64,
) {
    let own = account(key);
    let before = (checkpoint(channel).await, balance(channel, own).await);
    // One with as many rows as the liar claims, or the length of its proof would give the forgery away at once.
    let victim = &holders[1 + number as usize % 2];
    let file = victim.file(number);

    // Stolen: as it is, and under the liar's name.
    assert_eq!(refused(submit(channel, key, network, &file, &file.bytes).await).0, "E205");
    let mut renamed = Contribution::decode(&file.bytes).unwrap();
    renamed.statement =
        Statement { contributor: own, dataset_root: [9; 32], dataset_rows: 479, ..renamed.statement.clone() };
    let claimed = File { bytes: file.bytes.clone(), statement: renamed.statement.clone() };
    let verdict = submit(channel, key, network, &claimed, &claimed.bytes).await.unwrap();
    assert_eq!((verdict.accepted, verdict.code.as_str()), (false, "E201"));
    // Stale: made on the model of the round before.
    if number > 1 {
        let old = victim.file(number - 1);
        let (round, beacon) = (file.statement.round, file.statement.beacon);
        let own =
            Statement { contributor: own, dataset_root: [9; 32], dataset_rows: 479, ..old.statement.clone() };
        let statement = Statement { round, beacon, ..own };
        let old = File { bytes: old.bytes, statement };
        assert_eq!(refused(submit(channel, key, network, &old, &old.bytes).await).0, "E203");
    }
    // Replayed: whoever replays a submission has the owner's signature, and the node has the first receipt.
    let mut contributions =
        v1::contributions_service_client::ContributionsServiceClient::new(channel.clone());
    let digest = file.statement.digest().to_vec();
    let request = v1::GetVerdictRequest { statement_digest: digest.into() };
    let known = contributions.get_verdict(request).await.unwrap().into_inner().verdict.unwrap();
    assert!(known.accepted);
    assert_eq!((checkpoint(channel).await, balance(channel, own).await), before, "a lie changed the state");

    // Forged: a file of the liar's own with another's proof in it. It costs a bond and gives up the slot.
    let bytes = renamed.encode();
    let forged = File { bytes, statement: renamed.statement };
    let verdict = submit(channel, key, network, &forged, &forged.bytes).await.unwrap();
    assert!(!verdict.accepted && ["E206", "E305", "E307"].contains(&verdict.code.as_str()), "{verdict:?}");
    assert_eq!(verdict.receipt.unwrap().reward, 0);
    // The round may be over by now; the lie is not heard twice.
    let again = submit(channel, key, network, &forged, &forged.bytes).await;
    assert!(again.is_err() || !again.unwrap().accepted);
}
