//! What the services share.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tonic::Status;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_ledger::action::{Action, Envelope};
use weightproof_ledger::signed::Message;
use weightproof_ledger::state::Space;
use weightproof_ledger::{Id, Refusal};

use super::gate::Gate;
use super::latency::Latencies;
use super::status::to_status;
use super::uploads::Uploads;
use super::v1;
use crate::audit::bundle;
use crate::core::{Handle, Logged, Snapshot, read};
use crate::judge::Judge;
use crate::observe::metrics;
use crate::store::{Reader, StoreError};
use crate::transport::limits::Limits;
use crate::transport::quota::Quotas;

/// Downloads that may be under way at a time, and those of one peer: each holds a model or a file in memory.
const DOWNLOADS: (usize, usize) = (16, 4);
/// Streams of log entries at a time, and those of one peer: each holds some entries in memory.
const LOGS: (usize, usize) = (64, 32);
/// Connections that send a contribution at a time, and those of one peer: each holds a part in memory.
const UPLOADING: (usize, usize) = (256, 128);
/// Contributions that wait for the verifier or are in it; more are refused with `E401`.
const QUEUE: usize = 256;
/// Base models that are kept in memory.
const KEPT_MODELS: usize = 8;

/// What the services share.
pub struct Context {
    /// The writer.
    pub handle: Handle,
    /// The database.
    pub reader: Arc<Reader>,
    /// The verifier.
    pub judge: Arc<Judge>,
    /// Limits.
    pub limits: Limits,
    /// First line of checkpoints.
    pub origin: String,
    /// Unfinished contributions.
    pub uploads: Uploads,
    /// Verdicts that are in no log.
    pub unlogged: super::verdicts::Unlogged,
    /// Milliseconds of the last verifications.
    pub latencies: Latencies,
    /// Verifications at a time: one for each core.
    pub verifiers: Arc<Semaphore>,
    /// Verifications that wait or run.
    pub queue: Arc<Semaphore>,
    /// Watchers at a time.
    pub watchers: Arc<Gate>,
    /// Downloads at a time.
    pub downloads: Arc<Gate>,
    /// Downloads of models at a time: members must get theirs whoever fetches bundles.
    pub model_downloads: Arc<Gate>,
    /// Streams of log entries at a time.
    pub logs: Arc<Gate>,
    /// Connections that send a contribution at a time.
    pub uploading: Arc<Gate>,
    quotas: Mutex<Quotas>,
    models: Mutex<BTreeMap<Id, (Instant, Arc<Parameters>)>>,
    started: Instant,
}

impl Context {
    /// A context.
    pub fn new(
        handle: Handle,
        reader: Reader,
        judge: Arc<Judge>,
        limits: Limits,
        origin: String,
        data_folder: PathBuf,
    ) -> std::io::Result<Context> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Context {
            uploads: Uploads::open(&data_folder.join("uploads"))?,
            unlogged: super::verdicts::Unlogged::default(),
            latencies: Latencies::default(),
            verifiers: Arc::new(Semaphore::new(cores)),
            queue: Arc::new(Semaphore::new(QUEUE)),
            watchers: Gate::new(limits.max_connections, limits.max_connections_per_peer),
            downloads: Gate::new(DOWNLOADS.0, DOWNLOADS.1),
            model_downloads: Gate::new(DOWNLOADS.0, DOWNLOADS.1),
            logs: Gate::new(LOGS.0, LOGS.1),
            uploading: Gate::new(UPLOADING.0, UPLOADING.1),
            quotas: Mutex::new(limits.quotas()),
            models: Mutex::default(),
            started: Instant::now(),
            handle,
            reader: Arc::new(reader),
            judge,
            limits,
            origin,
        })
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.handle.snapshot()
    }

    /// Contributions that wait for the verifier or are in it.
    pub fn waiting(&self) -> usize {
        QUEUE.saturating_sub(self.queue.available_permits())
    }

    /// Watchers that are connected.
    pub fn watching(&self) -> usize {
        self.watchers.taken()
    }

    /// What a bundle of a version will hold.
    ///
    /// # Errors
    /// `E201` when there is no such version.
    pub fn plan_bundle(
        &self,
        snapshot: &Snapshot,
        space: &Id,
        version: u64,
    ) -> Result<bundle::Plan, Refusal> {
        bundle::plan(snapshot, &read(&self.handle.shared.index), space, version)
            .map_err(|error| bundle_refusal(&error))
    }

    /// Counts a request of a peer.
    ///
    /// # Errors
    /// `E404`.
    pub fn count_peer(&self, address: IpAddr) -> Result<(), Refusal> {
        let taken = self.quotas().peer(address, 1, self.started.elapsed());
        taken.map_err(|error| {
            metrics::rate_limited(metrics::RateOf::Peer);
            Refusal::new(ErrorCode::E404, error.to_string())
        })
    }

    /// Counts a request of an account, whose signature was checked.
    ///
    /// # Errors
    /// `E404`.
    pub fn count_account(&self, account: &Id) -> Result<(), Refusal> {
        let taken = self.quotas().account(*account, 1, self.started.elapsed());
        taken.map_err(|error| {
            metrics::rate_limited(metrics::RateOf::Account);
            Refusal::new(ErrorCode::E404, error.to_string())
        })
    }

    fn quotas(&self) -> std::sync::MutexGuard<'_, Quotas> {
        // A bucket is one number: a panic between two leaves each of them whole.
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signed change.
    ///
    /// # Errors
    /// `E106` without an authorization, `E404`, the rules' refusal.
    pub async fn act(
        &self,
        authorization: Option<v1::Authorization>,
        action: Action,
    ) -> Result<Option<v1::Logged>, Status> {
        let refused = |refusal: Refusal| to_status(&refusal);
        let authorization = authorization.ok_or_else(|| {
            refused(Refusal::new(ErrorCode::E106, "expected an authorization, found none; sign the request"))
        })?;
        let account = id("account", &authorization.account).map_err(refused)?;
        let signature = bytes("signature", &authorization.signature).map_err(refused)?;
        let envelope = Envelope {
            network: self.snapshot().state.network,
            account,
            nonce: authorization.nonce,
            expires: authorization.expires,
            action,
        };
        if let Err(refusal) = self.check_signature(&envelope, &signature) {
            // A key that ended with this very action signed it: whoever repeats it for a lost answer gets that.
            let known = read(&self.handle.shared.index).action(&account, &envelope.digest());
            return known
                .map(|Logged { entry, time }| Some(v1::Logged { entry, time }))
                .ok_or_else(|| refused(refusal));
        }
        self.count_account(&account).map_err(refused)?;
        let Logged { entry, time } = self.handle.commands.act(envelope, signature).await.map_err(refused)?;
        // A round may begin because of it, or end.
        self.handle.commands.tick();
        Ok(Some(v1::Logged { entry, time }))
    }

    /// Checks what an account signed before it is counted and before the writer is asked: strangers can neither use up an
    /// account's rate nor keep the writer busy. The writer checks again.
    fn check_signature(&self, envelope: &Envelope, signature: &[u8; 64]) -> Result<(), Refusal> {
        let snapshot = self.snapshot();
        // An account begins with the key that it is named after.
        let key = snapshot
            .state
            .accounts
            .get(&envelope.account)
            .map_or(Some(envelope.account), |account| account.key);
        let key = key.ok_or_else(|| {
            let text =
                "expected an account with a key, found one whose key was revoked; join with another key";
            Refusal::new(ErrorCode::E205, text)
        })?;
        envelope.verify(&key, signature)
    }

    /// The integers of a model of a program.
    ///
    /// # Errors
    /// `E203` when the node does not have them, `E505`, `E506`.
    pub fn model(&self, digest: &Id, program: &Program) -> Result<Arc<Parameters>, Refusal> {
        let known = {
            let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
            models.get_mut(digest).map(|(used, model)| {
                *used = Instant::now();
                Arc::clone(model)
            })
        };
        if let Some(model) = known {
            return Ok(model);
        }
        let bytes = self.reader.model(digest).map_err(|error| Refusal::from(&error))?.ok_or_else(|| {
            Refusal::new(
                ErrorCode::E203,
                "expected a model that the node keeps, found none with this digest; fetch the present one",
            )
        })?;
        let corrupt = || {
            Refusal::new(
                ErrorCode::E506,
                "expected the model's integers, found others; the operator must restore the data folder",
            )
        };
        let model = Parameters::decode(&bytes, program).map_err(|_| corrupt())?;
        if model.digest(program).ok() != Some(*digest) {
            return Err(corrupt());
        }
        let model = Arc::new(model);
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.len() >= KEPT_MODELS {
            let oldest = models.iter().min_by_key(|(_, (used, _))| *used).map(|(digest, _)| *digest);
            oldest.map(|digest| models.remove(&digest));
        }
        models.insert(*digest, (Instant::now(), Arc::clone(&model)));
        Ok(model)
    }

    /// Runs a read of the database where it may block.
    ///
    /// # Errors
    /// `E505`, `E506`.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let reader = Arc::clone(&self.reader);
        let result = tokio::task::spawn_blocking(move || read(&reader)).await;
        let result = result.map_err(|_| {
            to_status(&Refusal::new(ErrorCode::E505, "a read of the database ended unexpectedly"))
        })?;
        result.map_err(|error| to_status(&Refusal::from(&error)))
    }
}

/// Why there is no bundle.
pub fn bundle_refusal(error: &bundle::WriteError) -> Refusal {
    Refusal::new(error.code(), error.to_string())
}

/// 32 bytes.
///
/// # Errors
/// `E101`.
pub fn id(what: &str, found: &[u8]) -> Result<Id, Refusal> {
    bytes(what, found)
}

/// So many bytes.
///
/// # Errors
/// `E101`; `E106` when there are none.
pub fn bytes<const N: usize>(what: &str, found: &[u8]) -> Result<[u8; N], Refusal> {
    <[u8; N]>::try_from(found).map_err(|_| {
        let code = if found.is_empty() { ErrorCode::E106 } else { ErrorCode::E101 };
        Refusal::new(code, format!("{what}: expected {N} bytes, found {}", found.len()))
    })
}

/// A space by identity.
///
/// # Errors
/// `E101`, `E201`.
pub fn space<'a>(snapshot: &'a Snapshot, found: &[u8]) -> Result<(Id, &'a Space), Refusal> {
    let id = id("space", found)?;
    let space = snapshot.state.spaces.get(&id).ok_or_else(no_space)?;
    Ok((id, space))
}

/// There is none.
pub fn no_space() -> Refusal {
    Refusal::new(
        ErrorCode::E201,
        "expected a space of this node, found another; `weightproof spaces` lists them",
    )
}
