//! A node as a process, and holders who talk to it over TLS as any client would: generated messages, their own signatures,
//! real proofs.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use tonic::transport::Channel;
use tonic::{Code, Status};
use weightproof_circuits::curve::Generators;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::Id;
use weightproof_ledger::action::{Action, Envelope, Submission};
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::policy::Policy;
use weightproof_ledger::signed::Message;
use weightproof_node::rpc::v1;
use weightproof_node::spaces;
use weightproof_node::transport::limits::Limits;
use weightproof_node::transport::pin::{self, Pinned};
use weightproof_prover::data::Examples;
use weightproof_prover::model_file::ModelFile;
use weightproof_prover::progress::Silent;
use weightproof_prover::{CommittedDataset, Committer, Job, Seal, contribute, cpu, derive_generators};
use weightproof_verifier::generator_counts;

/// A network whose proofs take a fraction of a second.
const PROGRAM: &str = r#"
[model]
layers = [4, 3, 2]
activation = "relu"
loss = "softmax-cross-entropy"
[optimizer]
learning_rate = 0.125
[contribution]
steps = 2
batch = 4
"#;

const SCHEMA: &str = r#"{"columns":[
    {"name":"a","kind":{"numeric":{"mean":0.0,"deviation":1.0}}},
    {"name":"b","kind":{"numeric":{"mean":0.0,"deviation":1.0}}},
    {"name":"c","kind":{"numeric":{"mean":0.0,"deviation":1.0}}},
    {"name":"d","kind":{"numeric":{"mean":0.0,"deviation":1.0}}}],
    "label":{"name":"y","target":{"classes":{"classes":["no","yes"]}}},"activation_bits":8}"#;

pub fn program() -> Program {
    Program::parse(PROGRAM).unwrap()
}

/// A policy with tokens whose rounds close as soon as everybody has contributed.
pub fn policy(members: u32) -> Policy {
    Policy {
        minimum_stake: 100,
        bond: 40,
        reward_per_example: 500,
        minimum_datasets: members,
        round_seconds: 3600,
        reputation_contributions: 0,
        ..Policy::with_tokens()
    }
}

pub fn space(policy: Policy) -> SpaceSpec {
    SpaceSpec {
        name: "tiny".to_owned(),
        program: Bytes(program().encode()),
        seed: [7; 32],
        schema: Bytes(SCHEMA.replace(['\n', ' '], "").into_bytes()),
        validation: None,
        policy,
    }
}

/// A node process on a folder of its own.
pub struct Node {
    child: Option<Child>,
    pub folder: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    pub address: String,
    pub metrics: String,
}

impl Node {
    /// A node that is not started yet, with one space and first balances.
    pub fn new(folder: &Path, spec: &SpaceSpec, allocations: &[(Id, u64)]) -> Node {
        std::fs::create_dir_all(folder).unwrap();
        let task = folder.join("task.toml");
        std::fs::write(&task, spaces::to_toml(spec).unwrap()).unwrap();
        let mut config = format!("spaces = [{:?}]\n[genesis.allocations]\n", task.display().to_string());
        for (account, amount) in allocations {
            let hex: String = account.iter().map(|byte| format!("{byte:02x}")).collect();
            config.push_str(&format!("{hex} = {amount}\n"));
        }
        let file = folder.join("node.toml");
        std::fs::write(&file, config).unwrap();
        let data = folder.join("data").display().to_string();
        let arguments =
            ["node", "--config", &file.display().to_string(), "--data", &data].map(str::to_owned).to_vec();
        Node {
            child: None,
            folder: folder.to_owned(),
            arguments,
            environment: Vec::new(),
            address: "127.0.0.1:0".to_owned(),
            metrics: "127.0.0.1:0".to_owned(),
        }
    }

    /// Another configuration key.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Node {
        self.arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    /// A variable of the environment for the next starts, or none of this name.
    pub fn environment(&mut self, name: &str, value: Option<&str>) -> &mut Node {
        self.environment.retain(|(known, _)| known != name);
        self.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// Starts and waits until it listens. The port stays the same over restarts.
    pub fn start(&mut self) {
        let errors = self.folder.join("stderr.txt");
        let said = || std::fs::read_to_string(&errors).unwrap_or_default();
        assert!(self.try_start(), "the node ended before it listened:\n{}", said());
    }

    /// Whether it came to listen before it ended.
    pub fn try_start(&mut self) -> bool {
        assert!(self.child.is_none());
        let errors =
            std::fs::File::options().create(true).append(true).open(self.folder.join("stderr.txt")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_weightproof"))
            .args(&self.arguments)
            .args(["--listen", &self.address, "--metrics", &self.metrics])
            .env("XDG_CACHE_HOME", cache())
            .env("HOME", &self.folder)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.child = Some(child);
        let mut listening = false;
        for line in &mut lines {
            let Ok(line) = line else { break };
            if let Some(rest) = line.strip_prefix("listen") {
                self.address = rest.split_whitespace().next().unwrap().to_owned();
                listening = true;
            }
            if let Some(rest) = line.strip_prefix("metrics") {
                self.metrics = rest.split_whitespace().next().unwrap().to_owned();
                break;
            }
        }
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        if !listening {
            self.wait();
        }
        listening
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to end and gives its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let child = self.child.as_ref().unwrap();
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.take().and_then(|mut child| child.wait().unwrap().code())
    }

    /// Whether it has ended; a node that has is forgotten.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
        }
        ended
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Bytes that the process holds in memory.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// A figure of the process's memory by its name in `/proc`, in bytes.
    pub fn memory(&self, name: &str) -> u64 {
        let id = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// Seconds of processor time that the process has used.
    pub fn processor(&self) -> f64 {
        processor(&self.child.as_ref().unwrap().id().to_string())
    }

    /// A connection that accepts exactly the node's own certificate.
    pub async fn connect(&self) -> Result<Channel, String> {
        self.connection().await
    }

    /// As [`Node::connect`], without holding on to the node.
    pub fn connection(&self) -> impl Future<Output = Result<Channel, String>> + Send + use<> {
        let (address, path) = (self.address.clone(), self.data().join("tls-cert.pem"));
        async move {
            let chain = weightproof_node::transport::certificate::certificates(&path)
                .map_err(|error| error.to_string())?;
            let trust = pin::Trust::Pinned(Pinned { certificate_der: chain[0].to_vec() });
            pin::channel(&address, &trust, None, &Limits::default()).await.map_err(|error| error.to_string())
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Seconds of processor time that a process has used; `self` is this one.
pub fn processor(id: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let after = text.rsplit(')').next().unwrap();
    let ticks = after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    // A tick is a hundredth of a second on every Linux in use.
    ticks.sum::<f64>() / 100.0
}

/// Generators are the same for all nodes and derived once.
pub fn cache() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn generators() -> &'static Generators {
    static GENERATORS: OnceLock<Generators> = OnceLock::new();
    GENERATORS.get_or_init(|| {
        let program = program();
        let (rows, messages) = generator_counts(&Layout::new(&program).masked(), &program);
        derive_generators(rows, messages)
    })
}

/// A data holder.
pub struct Holder {
    pub key: SigningKey,
    pub dataset: Arc<CommittedDataset>,
    pub space: Id,
    nonce: u64,
}

/// A round with the integers that it starts from.
pub struct Task {
    pub round: v1::Round,
    pub base: Parameters,
}

/// A contribution file and what it says.
#[derive(Clone)]
pub struct File {
    pub bytes: Vec<u8>,
    pub statement: Statement,
}

pub fn account(key: &SigningKey) -> Id {
    key.verifying_key().to_bytes()
}

pub fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

impl Holder {
    /// A holder with rows of its own.
    pub fn new(number: u8) -> Holder {
        let program = program();
        let rows = 12usize;
        let value =
            |row: usize, column: usize| ((row * 37 + column * 101 + number as usize * 13) % 512) as i16 - 256;
        let features = (0..rows).flat_map(|row| (0..4).map(move |column| value(row, column))).collect();
        let labels = (0..rows).flat_map(|row| if value(row, 0) > 0 { [0, 1] } else { [1, 0] }).collect();
        let examples = Examples { inputs: 4, outputs: 2, features, labels };
        let committer = Committer::new(generators());
        let dataset =
            CommittedDataset::commit(examples, &Layout::new(&program), &committer, &[number], &Silent)
                .unwrap();
        Holder::with(number, Arc::new(dataset))
    }

    /// A holder of rows that are committed already.
    pub fn with(number: u8, dataset: Arc<CommittedDataset>) -> Holder {
        Holder { key: signing_key(number), dataset, space: [0; 32], nonce: 0 }
    }

    pub fn account(&self) -> Id {
        account(&self.key)
    }

    /// What the holder signs for an action.
    pub fn authorize(&mut self, network: &[u8], action: Action) -> v1::Authorization {
        // Above all that it used before, also before a restart of the test.
        self.nonce = self.nonce.max(now_millis()) + 1;
        authorize(&self.key, self.account(), self.nonce, network, action)
    }

    /// Joins, stakes and registers its rows.
    pub async fn enter(&mut self, channel: &Channel, stake: u64) -> Result<(), Status> {
        let mut spaces = v1::spaces_service_client::SpacesServiceClient::new(channel.clone());
        let node = spaces.describe_node(v1::DescribeNodeRequest {}).await?.into_inner();
        let listed = spaces.list_spaces(v1::ListSpacesRequest {}).await?.into_inner();
        self.space = listed.spaces[0].space.to_vec().try_into().unwrap();
        let mut members = v1::members_service_client::MembersServiceClient::new(channel.clone());
        let authorization = self.authorize(&node.network, Action::Join { space: self.space, stake });
        let request =
            v1::JoinRequest { authorization: Some(authorization), space: self.space.to_vec().into(), stake };
        members.join(request).await?;
        self.register(channel, &node.network).await
    }

    /// Registers its rows.
    pub async fn register(&mut self, channel: &Channel, network: &[u8]) -> Result<(), Status> {
        let (space, root, rows) = (self.space, self.dataset.root(), self.dataset.rows() as u64);
        let authorization = self.authorize(network, Action::RegisterDataset { space, root, rows });
        let request = v1::RegisterDatasetRequest {
            authorization: Some(authorization),
            space: space.to_vec().into(),
            root: root.to_vec().into(),
            rows,
        };
        let mut datasets = v1::datasets_service_client::DatasetsServiceClient::new(channel.clone());
        datasets.register_dataset(request).await.map(|_| ())
    }

    /// The round that is open, once it is another than `last` and admits the holder.
    pub async fn next_task(&self, channel: &Channel, last: u64) -> Result<Task, Status> {
        let started = Instant::now();
        loop {
            let (round, admitted, _) = self.round(channel).await?;
            if round.open && round.number > last && admitted {
                let base = model(channel, self.space, Some(round.model_version)).await?;
                return Ok(Task { round, base: base.parameters });
            }
            if started.elapsed() > Duration::from_secs(60) {
                return Err(Status::deadline_exceeded(format!(
                    "no round after {last}: {round:?} {admitted}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The present round, whether it admits the holder, and whether the holder has contributed.
    pub async fn round(&self, channel: &Channel) -> Result<(v1::Round, bool, bool), Status> {
        let mut rounds = v1::rounds_service_client::RoundsServiceClient::new(channel.clone());
        let request = v1::GetCurrentRoundRequest {
            space: self.space.to_vec().into(),
            account: self.account().to_vec().into(),
        };
        let found = rounds.get_current_round(request).await?.into_inner();
        Ok((found.round.unwrap(), found.admitted, found.contributed))
    }

    /// Trains and proves.
    pub fn prove(&self, task: &Task) -> File {
        self.prove_as(task, self.account(), task.round.beacon.to_vec().try_into().unwrap())
    }

    /// Trains and proves under another name or beacon.
    pub fn prove_as(&self, task: &Task, contributor: Id, beacon: Id) -> File {
        let program = program();
        let job = Job {
            program: &program,
            base: &task.base,
            model_version: task.round.model_version,
            dataset: &self.dataset,
            space: self.space,
            round: task.round.number,
            beacon,
            contributor,
            payout: Vec::new(),
            secret: &[],
            seal: Seal::Sigma,
            kernels: cpu(),
        };
        let made = contribute(&job, &Committer::new(generators()), &Silent).unwrap();
        File { bytes: made.bytes, statement: made.statement }
    }

    /// Signs and uploads a file, and waits for the verdict.
    pub async fn submit(
        &self,
        channel: &Channel,
        network: &[u8],
        file: &File,
    ) -> Result<v1::Verdict, Status> {
        submit(channel, &self.key, network, file, &file.bytes).await
    }
}

pub fn authorize(
    key: &SigningKey,
    account: Id,
    nonce: u64,
    network: &[u8],
    action: Action,
) -> v1::Authorization {
    let network = network.try_into().unwrap();
    let expires = now_millis() / 1000 + 600;
    let signature = Envelope { network, account, nonce, expires, action }.sign(key);
    v1::Authorization {
        account: account.to_vec().into(),
        nonce,
        expires,
        signature: signature.to_vec().into(),
    }
}

pub fn now_millis() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

/// What a key signs about a file.
pub fn begin(key: &SigningKey, network: &[u8], file: &File) -> v1::BeginContributionRequest {
    let submission = Submission {
        network: network.try_into().unwrap(),
        statement: Bytes(file.statement.encode()),
        file_digest: Sha256::digest(&file.bytes).into(),
        file_length: file.bytes.len() as u64,
    };
    v1::BeginContributionRequest {
        signature: submission.sign(key).to_vec().into(),
        statement: submission.statement.0.into(),
        file_digest: submission.file_digest.to_vec().into(),
        file_length: submission.file_length,
    }
}

/// Announces `file` and uploads `bytes`.
pub async fn submit(
    channel: &Channel,
    key: &SigningKey,
    network: &[u8],
    file: &File,
    bytes: &[u8],
) -> Result<v1::Verdict, Status> {
    let mut client = v1::contributions_service_client::ContributionsServiceClient::new(channel.clone());
    let begun = client.begin_contribution(begin(key, network, file)).await?.into_inner();
    if let Some(verdict) = begun.verdict {
        return Ok(verdict);
    }
    let part = begun.maximum_part as usize;
    let mut offset = begun.offset as usize;
    let mut parts = Vec::new();
    loop {
        let end = bytes.len().min(offset + part);
        parts.push(v1::UploadContributionRequest {
            upload: begun.upload.clone(),
            offset: offset as u64,
            part: bytes[offset..end].to_vec().into(),
        });
        offset = end;
        if offset == bytes.len() {
            break;
        }
    }
    let answer = client.upload_contribution(tokio_stream::iter(parts)).await?.into_inner();
    Ok(answer.verdict.unwrap())
}

/// The node's public key.
pub async fn network(channel: &Channel) -> Result<Vec<u8>, Status> {
    let mut spaces = v1::spaces_service_client::SpacesServiceClient::new(channel.clone());
    Ok(spaces.describe_node(v1::DescribeNodeRequest {}).await?.into_inner().network.to_vec())
}

/// A model of the space.
pub async fn model(channel: &Channel, space: Id, version: Option<u64>) -> Result<ModelFile, Status> {
    let mut models = v1::models_service_client::ModelsServiceClient::new(channel.clone());
    let request = v1::DownloadModelRequest { space: space.to_vec().into(), version };
    let mut stream = models.download_model(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = stream.message().await? {
        bytes.extend_from_slice(&part.part);
    }
    Ok(ModelFile::from_bytes(&bytes).unwrap())
}

pub async fn balance(channel: &Channel, account: Id) -> v1::GetBalanceResponse {
    let mut ledger = v1::ledger_service_client::LedgerServiceClient::new(channel.clone());
    ledger.get_balance(v1::GetBalanceRequest { account: account.to_vec().into() }).await.unwrap().into_inner()
}

pub async fn checkpoint(channel: &Channel) -> String {
    let mut log = v1::log_service_client::LogServiceClient::new(channel.clone());
    log.get_checkpoint(v1::GetCheckpointRequest {}).await.unwrap().into_inner().checkpoint
}

/// All entries of the log.
pub async fn entries(channel: &Channel) -> Vec<Vec<u8>> {
    let mut log = v1::log_service_client::LogServiceClient::new(channel.clone());
    let request = v1::StreamEntriesRequest { start: 0, end: 0 };
    let mut stream = log.stream_entries(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(entry) = stream.message().await.unwrap() {
        assert_eq!(entry.index, entries.len() as u64);
        entries.push(entry.entry.to_vec());
    }
    entries
}

/// The stable code in a status: its message begins with it, and the trailer has it alone.
pub fn code(status: &Status) -> String {
    let code = status.metadata().get("weightproof-code").map(|value| value.to_str().unwrap().to_owned());
    let code = code.unwrap_or_else(|| format!("no code in {status:?}"));
    assert!(status.message().starts_with(&code), "{status:?}");
    code
}

pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (String, Code) {
    let status = result.unwrap_err();
    (code(&status), status.code())
}

/// Runs a test's client side. Unoptimised futures are large: they get a stack of their own.
pub fn run(future: impl Future<Output = ()> + Send) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    std::thread::scope(|scope| {
        let body = || runtime.block_on(future);
        let thread = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, body).unwrap();
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
