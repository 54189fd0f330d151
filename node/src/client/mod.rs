//! The client's half of a node's services, as the commands use it.
//!
//! A [`Node`] is a connection that was checked: the certificate or authority that was pinned, the node's own key, and a
//! log that continues the one seen last. Its methods block, end at their deadlines and notice an interrupt; [`patience`]
//! repeats what may succeed later. [`signer`] makes signatures, [`work`] trains, proves and submits.
pub mod checkpoint;
pub mod download;
pub mod folder;
pub mod patience;
pub mod profile;
pub mod receipt;
pub mod signer;
pub mod space;
pub mod upload;
pub mod work;

use crate::bars::Bars;
use crate::failure::Failure;
use crate::output::hex;
use crate::rpc::status::from_status;
use crate::rpc::v1;
use crate::rpc::v1::contributions_service_client::ContributionsServiceClient;
use crate::rpc::v1::datasets_service_client::DatasetsServiceClient;
use crate::rpc::v1::ledger_service_client::LedgerServiceClient;
use crate::rpc::v1::log_service_client::LogServiceClient;
use crate::rpc::v1::members_service_client::MembersServiceClient;
use crate::rpc::v1::models_service_client::ModelsServiceClient;
use crate::rpc::v1::rounds_service_client::RoundsServiceClient;
use crate::rpc::v1::spaces_service_client::SpacesServiceClient;
use crate::transport::limits::Limits;
use crate::transport::pin::{self, ClientIdentity, PinError};
use crate::{keys, locations};
use profile::{Profile, Profiles};
use signer::Signer;
use std::error::Error as _;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use weightproof_ledger::action::Action;
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::progress::Progress;

/// How often a wait looks for the user's interrupt.
const GLANCE: Duration = Duration::from_millis(200);

/// A checked connection to a joined node.
pub struct Node<'a> {
    runtime: Runtime,
    channel: Channel,
    limits: Limits,
    bars: &'a Bars,
    profiles: Profiles,
    profile: Profile,
    described: v1::DescribeNodeResponse,
}

impl<'a> Node<'a> {
    /// Connects to a joined node and checks that it is the one that was joined and that its log continues the one that
    /// it showed last.
    ///
    /// # Errors
    /// [`Failure::Unreachable`], [`Failure::Untrusted`], [`Failure::Fork`], [`Failure::Interrupted`].
    pub fn open(profiles: Profiles, profile: Profile, bars: &'a Bars) -> Result<Node<'a>, Failure> {
        let mut node = Node::meet(profiles, profile, bars)?;
        node.recognise()?;
        Ok(node)
    }

    /// Connects to a node that may not have been joined: only its certificate is checked, and what it says of itself is
    /// in [`Node::described`].
    ///
    /// # Errors
    /// [`Failure::Unreachable`], [`Failure::Untrusted`], [`Failure::Interrupted`].
    pub fn meet(profiles: Profiles, profile: Profile, bars: &'a Bars) -> Result<Node<'a>, Failure> {
        let runtime = runtime()?;
        let limits = Limits::default();
        let channel = connect(&runtime, &profile, &limits, bars)?;
        let described = v1::DescribeNodeResponse::default();
        let mut node = Node { runtime, channel, limits, bars, profiles, profile, described };
        node.described = node.describe()?;
        Ok(node)
    }

    /// Connects again, with all checks.
    ///
    /// # Errors
    /// As for [`Node::open`].
    pub fn reopen(&mut self) -> Result<(), Failure> {
        self.channel = connect(&self.runtime, &self.profile, &self.limits, self.bars)?;
        self.described = self.describe()?;
        self.recognise()
    }

    fn describe(&self) -> Result<v1::DescribeNodeResponse, Failure> {
        let found = self.describe_node(v1::DescribeNodeRequest {})?;
        // The origin is shown only once a checkpoint has it, where no such character may stand.
        Ok(v1::DescribeNodeResponse { software: printable(&found.software), ..found })
    }

    fn recognise(&mut self) -> Result<(), Failure> {
        let found = &self.described;
        if found.network.as_ref() != self.profile.network || found.origin != self.profile.origin {
            return Err(Failure::Untrusted(format!(
                "expected the node {} ({}) at {}, found {} ({}); if the operator made a new node, join it under another --name",
                hex(&self.profile.network),
                self.profile.origin,
                self.profile.address,
                hex(&found.network),
                found.origin.escape_debug()
            )));
        }
        self.look_at_log()?;
        Ok(())
    }

    /// Takes a node that was met for the first time as what it says it is; one that was joined must be the same.
    ///
    /// # Errors
    /// As for [`Node::open`].
    pub fn adopt(&mut self) -> Result<(), Failure> {
        if self.profile.origin.is_empty() {
            self.profile.network = id("network", &self.described.network)?;
            self.profile.origin = self.described.origin.clone();
        }
        self.recognise()
    }

    /// What the node says of itself.
    pub fn described(&self) -> &v1::DescribeNodeResponse {
        &self.described
    }

    /// What this machine remembers of it.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Remembers something about the node.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn change_profile(&mut self, change: impl FnOnce(&mut Profile)) -> Result<(), Failure> {
        change(&mut self.profile);
        self.profiles.save(&self.profile)
    }

    /// The node's public key.
    pub fn network(&self) -> Id {
        self.profile.network
    }

    /// Progress and interrupt of the command.
    pub fn bars(&self) -> &'a Bars {
        self.bars
    }

    /// Unlocks the key that the node knows for this user's account.
    ///
    /// # Errors
    /// [`Failure::Key`] without a key, with another passphrase, or when the account's key was revoked; and those of a call.
    pub fn signer(&self, passphrase_file: Option<&Path>) -> Result<Signer, Failure> {
        let directory = locations::configuration()?;
        let account = keys::account(&directory)?.ok_or_else(|| keys::no_key(&directory))?;
        let key = self.key_of(&account)?;
        self.bars.clear();
        let passphrase = keys::known_passphrase(passphrase_file)?;
        Ok(Signer::new(keys::unlock(&directory, &key, &passphrase)?, account, self.network()))
    }

    /// The key by which the node checks an account's signatures.
    ///
    /// # Errors
    /// [`Failure::Key`] when it was revoked; and those of a call.
    pub fn key_of(&self, account: &Id) -> Result<Id, Failure> {
        let known = self.account(account)?;
        match (known.known, <Id>::try_from(known.key.as_ref())) {
            // An account that the node does not know yet signs with the key that it is.
            (false, _) => Ok(*account),
            (true, Ok(key)) => Ok(key),
            (true, Err(_)) => Err(Failure::Key(format!(
                "expected an account with a key, found that the key of {} was revoked on this node; join with another key",
                hex(account)
            ))),
        }
    }

    /// What the node knows of an account.
    ///
    /// # Errors
    /// Those of a call.
    pub fn account(&self, account: &Id) -> Result<v1::DescribeAccountResponse, Failure> {
        self.describe_account(v1::DescribeAccountRequest { account: account.to_vec().into() })
    }

    /// Asks for a change in the account's name.
    ///
    /// # Errors
    /// [`Failure::Refused`] with the node's reason. After [`Failure::Unreachable`] the change may or may not have been made.
    pub fn act(&self, signer: &mut Signer, action: Action) -> Result<v1::Logged, Failure> {
        let known = self.account(&signer.account())?;
        let authorization = Some(signer.authorize(&action, signer::now(), known.nonce));
        let bytes = |id: Id| id.to_vec().into();
        let logged = match action {
            Action::Join { space, stake } => {
                self.join(v1::JoinRequest { authorization, space: bytes(space), stake })?.logged
            }
            Action::RegisterDataset { space, root, rows } => {
                let request = v1::RegisterDatasetRequest {
                    authorization,
                    space: bytes(space),
                    root: bytes(root),
                    rows,
                };
                self.register_dataset(request)?.logged
            }
            Action::Stake { space, amount } => {
                self.stake(v1::StakeRequest { authorization, space: bytes(space), amount })?.logged
            }
            Action::Unstake { space, amount } => {
                self.unstake(v1::UnstakeRequest { authorization, space: bytes(space), amount })?.logged
            }
            Action::Transfer { to, amount } => {
                self.transfer(v1::TransferRequest { authorization, to: bytes(to), amount })?.logged
            }
            Action::RotateKey { key, proof } => {
                let proof = proof.to_vec().into();
                self.rotate_key(v1::RotateKeyRequest { authorization, key: bytes(key), proof })?.logged
            }
            Action::RevokeKey {} => self.revoke_key(v1::RevokeKeyRequest { authorization })?.logged,
            Action::ReportEquivocation { first, second } => {
                let travelling =
                    |signed: weightproof_ledger::action::SignedSubmission| v1::SignedSubmission {
                        statement: signed.submission.statement.0.into(),
                        file_digest: bytes(signed.submission.file_digest),
                        file_length: signed.submission.file_length,
                        signature: signed.signature.to_vec().into(),
                    };
                let (first, second) = (Some(travelling(first)), Some(travelling(second)));
                let request = v1::ReportEquivocationRequest { authorization, first, second };
                self.report_equivocation(request)?.logged
            }
        };
        Ok(logged.unwrap_or_default())
    }

    /// Waits for an answer until its deadline or the user's interrupt.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Failure> {
        let address = &self.profile.address;
        wait(&self.runtime, self.bars, async { answer.await.map_err(|status| failure(address, &status)) })
    }

    /// A request that ends at the usual deadline.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.limits.request_deadline);
        request
    }

    /// The next message of a stream; `None` at its end.
    ///
    /// # Errors
    /// Those of a call.
    pub fn next<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>, Failure> {
        self.wait(stream.message())
    }
}

/// Declares the blocking form of each call, so that none lacks a deadline.
macro_rules! calls {
    ($($method:ident: $client:ident, $request:ident => $response:ident;)*) => {
        impl Node<'_> {$(
            #[doc = concat!("`", stringify!($method), "` of the node.")]
            ///
            /// # Errors
            /// [`Failure::Refused`], [`Failure::Unreachable`], [`Failure::Untrusted`], [`Failure::Interrupted`].
            pub fn $method(&self, request: v1::$request) -> Result<v1::$response, Failure> {
                let mut client = $client::new(self.channel.clone());
                let request = self.request(request);
                self.wait(async move { Ok(client.$method(request).await?.into_inner()) })
            }
        )*}
    };
}

/// The same for calls that are answered by a stream, whose messages may come for ever.
macro_rules! streams {
    ($($method:ident: $client:ident, $request:ident => $response:ident;)*) => {
        impl Node<'_> {$(
            #[doc = concat!("`", stringify!($method), "` of the node; [`Node::next`] gives the messages.")]
            ///
            /// # Errors
            /// [`Failure::Refused`], [`Failure::Unreachable`], [`Failure::Untrusted`], [`Failure::Interrupted`].
            pub fn $method(&self, request: v1::$request) -> Result<Streaming<v1::$response>, Failure> {
                let mut client = $client::new(self.channel.clone());
                self.wait(async move { Ok(client.$method(request).await?.into_inner()) })
            }
        )*}
    };
}

calls! {
    describe_node: SpacesServiceClient, DescribeNodeRequest => DescribeNodeResponse;
    list_spaces: SpacesServiceClient, ListSpacesRequest => ListSpacesResponse;
    describe_space: SpacesServiceClient, DescribeSpaceRequest => DescribeSpaceResponse;
    join: MembersServiceClient, JoinRequest => JoinResponse;
    describe_account: MembersServiceClient, DescribeAccountRequest => DescribeAccountResponse;
    rotate_key: MembersServiceClient, RotateKeyRequest => RotateKeyResponse;
    revoke_key: MembersServiceClient, RevokeKeyRequest => RevokeKeyResponse;
    report_equivocation: MembersServiceClient, ReportEquivocationRequest => ReportEquivocationResponse;
    register_dataset: DatasetsServiceClient, RegisterDatasetRequest => RegisterDatasetResponse;
    get_current_round: RoundsServiceClient, GetCurrentRoundRequest => GetCurrentRoundResponse;
    begin_contribution: ContributionsServiceClient, BeginContributionRequest => BeginContributionResponse;
    list_models: ModelsServiceClient, ListModelsRequest => ListModelsResponse;
    get_lineage: ModelsServiceClient, GetLineageRequest => GetLineageResponse;
    get_balance: LedgerServiceClient, GetBalanceRequest => GetBalanceResponse;
    stake: LedgerServiceClient, StakeRequest => StakeResponse;
    unstake: LedgerServiceClient, UnstakeRequest => UnstakeResponse;
    transfer: LedgerServiceClient, TransferRequest => TransferResponse;
    list_history: LedgerServiceClient, ListHistoryRequest => ListHistoryResponse;
    get_checkpoint: LogServiceClient, GetCheckpointRequest => GetCheckpointResponse;
    get_inclusion_proof: LogServiceClient, GetInclusionProofRequest => GetInclusionProofResponse;
    get_consistency_proof: LogServiceClient, GetConsistencyProofRequest => GetConsistencyProofResponse;
}

streams! {
    watch_rounds: RoundsServiceClient, WatchRoundsRequest => WatchRoundsResponse;
    watch_verdicts: ContributionsServiceClient, WatchVerdictsRequest => WatchVerdictsResponse;
    download_model: ModelsServiceClient, DownloadModelRequest => DownloadModelResponse;
    download_bundle: ModelsServiceClient, DownloadBundleRequest => DownloadBundleResponse;
    stream_entries: LogServiceClient, StreamEntriesRequest => StreamEntriesResponse;
}

/// One thread beside the command's own: it answers pings while this one trains and proves.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| {
        Failure::Unreachable(format!(
            "expected a thread for the connection, found: {error}; check the system's limits"
        ))
    })
}

/// The certificate that a node shows now: whose it is, a person must say.
///
/// # Errors
/// [`Failure::Unreachable`], [`Failure::Usage`] for an address that is none.
pub fn fetch_certificate(address: &str, bars: &Bars) -> Result<Vec<u8>, Failure> {
    let timeout = Limits::default().handshake_timeout;
    wait(&runtime()?, bars, async {
        pin::fetch_certificate(address, timeout).await.map_err(|error| unconnected(&error))
    })
}

fn connect(runtime: &Runtime, profile: &Profile, limits: &Limits, bars: &Bars) -> Result<Channel, Failure> {
    let trust = profile.trust.for_transport()?;
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Failure::read(path));
    let identity = match &profile.client {
        None => None,
        Some((certificate, key)) => {
            let certificate_pem = read(certificate)?;
            Some(ClientIdentity { certificate_pem, key_pem: read(key)?.into() })
        }
    };
    wait(runtime, bars, async {
        let channel = pin::channel(&profile.address, &trust, identity.as_ref(), limits).await;
        channel.map_err(|error| unconnected(&error))
    })
}

/// Blocks until `answer` is there or the user interrupts.
fn wait<T>(
    runtime: &Runtime,
    bars: &Bars,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    runtime.block_on(async {
        let mut answer = std::pin::pin!(answer);
        loop {
            match tokio::time::timeout(GLANCE, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) if bars.cancelled() => return Err(Failure::Interrupted),
                Err(_) => {}
            }
        }
    })
}

fn unconnected(error: &PinError) -> Failure {
    let text = error.to_string();
    match error {
        PinError::Address { .. } | PinError::Files { .. } => Failure::Usage(text),
        PinError::Unreachable { .. } | PinError::Handshake { .. } => Failure::Unreachable(text),
        PinError::Changed { .. } | PinError::Authority { .. } => Failure::Untrusted(text),
    }
}

/// A node's text, which may be anything, as it may be shown: without line ends, control sequences of terminals and marks
/// that turn the direction of writing.
pub fn printable(text: &str) -> String {
    let turns = |character: char| matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || turns(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// What a status means to a command.
fn failure(address: &str, status: &Status) -> Failure {
    if let Some(refusal) = from_status(status) {
        return Failure::Refused(Refusal::new(refusal.code, printable(&refusal.message)));
    }
    if let Some(changed) = pin::changed(status) {
        return Failure::Untrusted(format!("at {address}: {changed}"));
    }
    let message = status.message().escape_debug();
    // A status with a cause was made on this side: the connection failed.
    if status.source().is_some()
        || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
    {
        return Failure::Unreachable(format!(
            "expected an answer from {address}, found: {message}; check the network and that the node runs, or try again later"
        ));
    }
    Failure::Untrusted(format!(
        "expected an answer of a weightproof node at {address}, found {:?}: {message}; check the address and both versions",
        status.code()
    ))
}

/// 32 bytes that a node sent.
///
/// # Errors
/// [`Failure::Untrusted`].
pub fn id(what: &str, bytes: &[u8]) -> Result<Id, Failure> {
    bytes.try_into().map_err(|_| {
        Failure::Untrusted(format!(
            "{what}: expected 32 bytes from the node, found {}; check both versions",
            bytes.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use weightproof_circuits::error::ErrorCode;

    #[test]
    fn texts_of_a_node_cannot_steer_a_terminal() {
        let text = "expected `this`, found \u{1b}[2J\naccepted\r\u{9b}x\u{202e}y";
        let refusal = Refusal::new(ErrorCode::E203, text);
        let shown = failure("a:1", &crate::rpc::status::to_status(&refusal)).to_string();
        assert!(!shown.contains(char::is_control) && !shown.contains('\u{202e}'), "{shown:?}");
        assert!(shown.starts_with("expected `this`, found \\u{1b}[2J\\naccepted"), "{shown}");
        let verdict =
            v1::Verdict { code: "E777\u{7}".to_owned(), message: text.to_owned(), ..Default::default() };
        assert!(!receipt::refusal(&verdict).message.contains(char::is_control));
    }

    #[test]
    fn every_refusal_keeps_its_code_and_exit() {
        for &code in ErrorCode::ALL {
            let refusal = Refusal::new(code, "expected this, found that");
            let failure = failure("a:1", &crate::rpc::status::to_status(&refusal));
            assert_eq!((failure.code(), failure.exit()), (code.as_str(), Exit::Refused));
            assert_eq!(failure.to_string(), "expected this, found that");
        }
        let unreachable = failure("a:1", &Status::unavailable("gone"));
        assert_eq!((unreachable.code(), unreachable.exit()), ("E012", Exit::Unreachable));
        let odd = failure("a:1", &Status::unimplemented("what"));
        assert_eq!((odd.code(), odd.exit()), ("E013", Exit::Untrusted));
    }
}
