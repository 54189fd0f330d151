//! `ContributionsService`: announce, upload, verdict.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tonic::{Request, Response, Status, Streaming};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::program::Program;
use weightproof_ledger::Refusal;
use weightproof_ledger::action::{SignedSubmission, Submission};
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::signed::Message;
use weightproof_ledger::step::{Admitted, admit};
use weightproof_verifier::longest_contribution;

use super::{Answers, BEAT, PATIENCE, ROOM, Sending, Services, busy, enter, refused, send_parts};
use crate::observe::metrics;
use crate::rpc::context::{Context, bytes, id, no_space};
use crate::rpc::status::typed;
use crate::rpc::v1;
use crate::rpc::verdicts::may_be_logged;
use crate::store::{Reader, crash_point};
use crate::transport::units::show_duration;

/// Longest encoded statement.
const MAXIMUM_STATEMENT: usize = 1 << 10;
/// Time for the part that names an upload.
const FIRST_PART: Duration = Duration::from_secs(5);
/// What a part is counted as beyond its bytes.
const PART_COST: u64 = 256;
/// Verdicts in one message to a watcher; each is below 2 KiB.
const VERDICTS: usize = 256;

#[tonic::async_trait]
impl v1::contributions_service_server::ContributionsService for Services {
    async fn begin_contribution(
        &self,
        request: Request<v1::BeginContributionRequest>,
    ) -> Result<Response<v1::BeginContributionResponse>, Status> {
        let signed = submission(&self.0, request.into_inner()).map_err(refused)?;
        let upload = signed.submission.digest();
        let answer = |offset: u64, verdict: Option<v1::Verdict>| {
            Ok(Response::new(v1::BeginContributionResponse {
                upload: upload.to_vec().into(),
                offset,
                maximum_part: self.0.limits.chunk_size() as u32,
                verdict,
            }))
        };
        let snapshot = self.0.snapshot();
        let admitted = match admit(&snapshot.state, &signed) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                metrics::submission(Some(refusal.code));
                return match self.replayed(&signed, &refusal).await? {
                    Some(verdict) => answer(signed.submission.file_length, Some(verdict)),
                    None => Err(refused(refusal)),
                };
            }
        };
        self.0.count_account(&admitted.statement.contributor).map_err(refused)?;
        if let Some(verdict) = self.0.unlogged.get(&upload) {
            return answer(signed.submission.file_length, Some(verdict));
        }
        check_length(&self.0, &signed, &admitted).map_err(refused)?;
        let account = admitted.statement.contributor;
        let begun = self.0.uploads.begin(upload, account, signed).map_err(refused)?;
        metrics::uploads(self.0.uploads.len());
        answer(begun.received(), None)
    }

    async fn upload_contribution(
        &self,
        request: Request<Streaming<v1::UploadContributionRequest>>,
    ) -> Result<Response<v1::UploadContributionResponse>, Status> {
        let pass = enter(&self.0.uploading, &request, PATIENCE, "upload").await?;
        let deadline = self.0.limits.request_deadline;
        let mut parts = request.into_inner();
        // Until an upload is named this may be anybody, and there are few places: whoever waits for one outlasts this.
        let mut next = next_part(&mut parts, deadline.min(FIRST_PART)).await?;
        let first = next.as_ref().map(|part| part.upload.clone()).unwrap_or_default();
        let name = id("upload", &first).map_err(refused)?;
        let upload = self.0.uploads.find(&name).ok_or_else(|| {
            refused(Refusal::new(
                ErrorCode::E106,
                "expected an announced upload, found none of this name; begin again",
            ))
        })?;
        let mut writing = upload.write().map_err(refused)?;
        // Parts may come again, and may be small; without end they would keep a core busy for one announcement.
        let mut budget = upload.submission.file_length.saturating_mul(4).saturating_add(PART_COST * 256);
        while let Some(part) = next {
            budget = budget.checked_sub(part.part.len() as u64 + PART_COST).ok_or_else(|| {
                let text = "expected parts that add up to the file, found far more or far smaller ones; begin again and send larger ones";
                refused(Refusal::new(ErrorCode::E403, text))
            })?;
            if part.part.len() > self.0.limits.chunk_size() {
                let text = format!(
                    "expected parts of at most {} bytes, found {}",
                    self.0.limits.chunk_size(),
                    part.part.len()
                );
                return Err(refused(Refusal::new(ErrorCode::E403, text)));
            }
            metrics::upload_bytes(part.part.len());
            // Parts are small and land in the system's cache: this does not hold the runtime up.
            writing.part(part.offset, &part.part).map_err(refused)?;
            crash_point("part-written");
            next = tokio::select! {
                next = next_part(&mut parts, deadline) => next?,
                refusal = writing.taken_over() => return Err(refused(refusal)),
            };
        }
        // What follows needs the file and no part of it in memory.
        drop((pass, parts));
        if !upload.is_complete() {
            let (received, length) = (upload.received(), upload.submission.file_length);
            let text = format!("expected {length} bytes, found {received}; begin again and go on from there");
            return Err(refused(Refusal::new(ErrorCode::E501, text)));
        }
        crash_point("upload-complete");
        // What is decided is decided, also when the client goes away meanwhile.
        let context = Arc::clone(&self.0);
        let decided = tokio::spawn(async move { context.decide(&upload).await }).await;
        let verdict = decided.map_err(|_| busy("verification"))?.map_err(refused)?;
        metrics::uploads(self.0.uploads.len());
        Ok(Response::new(v1::UploadContributionResponse { verdict: Some(verdict) }))
    }

    async fn get_verdict(
        &self,
        request: Request<v1::GetVerdictRequest>,
    ) -> Result<Response<v1::GetVerdictResponse>, Status> {
        let digest = id("statement_digest", &request.get_ref().statement_digest).map_err(refused)?;
        let receipt = self.0.read(move |reader| reader.receipt(&digest)).await?;
        let verdict = receipt.and_then(|bytes| self.0.describe_receipt(&bytes));
        Ok(Response::new(v1::GetVerdictResponse { verdict }))
    }

    type WatchVerdictsStream = Answers<v1::WatchVerdictsResponse>;

    async fn watch_verdicts(
        &self,
        request: Request<v1::WatchVerdictsRequest>,
    ) -> Result<Response<Self::WatchVerdictsStream>, Status> {
        let pass = enter(&self.0.watchers, &request, Duration::ZERO, "watcher").await?;
        let wanted = request.into_inner().space;
        if !wanted.is_empty() {
            id("space", &wanted).map_err(refused)?;
        }
        let mut verdicts = self.0.handle.verdicts.subscribe();
        let (sending, stream) = Sending::open(self.0.limits.request_deadline, ROOM, pass);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = verdicts.recv() => event,
                    () = sending.closed() => break,
                };
                let mut event = match event {
                    Ok(event) => Ok(event),
                    Err(RecvError::Lagged(_)) => Err(true),
                    Err(RecvError::Closed) => break,
                };
                // What came meanwhile goes out in one message: a thousand watchers share one thread of a small machine.
                let mut together = Vec::new();
                let lost = loop {
                    match event {
                        Ok(event) if wanted.is_empty() || event.verdict.space == wanted => {
                            together.push(event.verdict);
                        }
                        Ok(_) => {}
                        Err(lagged) => break lagged,
                    }
                    if together.len() == VERDICTS {
                        break false;
                    }
                    event = match verdicts.try_recv() {
                        Ok(event) => Ok(event),
                        Err(TryRecvError::Lagged(_)) => Err(true),
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break false,
                    };
                };
                if !together.is_empty()
                    && !sending.send(Ok(v1::WatchVerdictsResponse { verdicts: together })).await
                {
                    break;
                }
                if lost {
                    metrics::watcher_dropped();
                    let text = "expected a watcher that keeps up, found one that lost verdicts; watch again";
                    sending.send(Err(refused(Refusal::new(ErrorCode::E401, text)))).await;
                    break;
                }
                if verdicts.is_empty() {
                    tokio::time::sleep(BEAT).await;
                }
            }
        });
        Ok(Response::new(stream))
    }

    type DownloadContributionStream = Answers<v1::DownloadContributionResponse>;

    async fn download_contribution(
        &self,
        request: Request<v1::DownloadContributionRequest>,
    ) -> Result<Response<Self::DownloadContributionStream>, Status> {
        let digest = id("statement_digest", &request.get_ref().statement_digest).map_err(refused)?;
        let pass = enter(&self.0.downloads, &request, PATIENCE, "download").await?;
        let held = Arc::clone(&pass);
        let read = move |reader: &Reader| {
            let _held = held;
            reader.contribution(&digest)
        };
        let file = self.0.read(read).await?;
        let file = file.ok_or_else(|| {
            refused(Refusal::new(
                ErrorCode::E201,
                "expected an accepted contribution, found none with this statement",
            ))
        })?;
        let (mut sending, stream) = Sending::open(self.0.limits.request_deadline, ROOM, pass);
        let part = self.0.limits.chunk_size();
        tokio::spawn(async move {
            send_parts(&mut sending, &file, part, |part| v1::DownloadContributionResponse { part }).await;
        });
        Ok(Response::new(stream))
    }
}

impl Services {
    /// The first verdict, when a refused announcement is that of a contribution that was decided on. The signature was checked
    /// before any of the refusals that lead here.
    async fn replayed(
        &self,
        signed: &SignedSubmission,
        refusal: &Refusal,
    ) -> Result<Option<v1::Verdict>, Status> {
        if !may_be_logged(refusal.code) {
            return Ok(None);
        }
        let statement = signed.submission.statement().map_err(refused)?;
        self.0.logged(&statement, true).await.map_err(refused)
    }
}

/// The next part, within its time: a connection that trickles holds a place for nothing.
async fn next_part(
    parts: &mut Streaming<v1::UploadContributionRequest>,
    deadline: Duration,
) -> Result<Option<v1::UploadContributionRequest>, Status> {
    match tokio::time::timeout(deadline, parts.message()).await {
        Ok(part) => part.map_err(typed),
        Err(_) => {
            let limit = show_duration(deadline);
            let text = format!(
                "expected the next part within {limit}, found none; begin again and go on from there"
            );
            Err(refused(Refusal::new(ErrorCode::E402, text)))
        }
    }
}

fn submission(context: &Context, request: v1::BeginContributionRequest) -> Result<SignedSubmission, Refusal> {
    let v1::BeginContributionRequest { statement, file_digest, file_length, signature } = request;
    if statement.len() > MAXIMUM_STATEMENT {
        let text =
            format!("statement: expected at most {MAXIMUM_STATEMENT} bytes, found {}", statement.len());
        return Err(Refusal::new(ErrorCode::E103, text));
    }
    Ok(SignedSubmission {
        signature: bytes("signature", &signature)?,
        submission: Submission {
            network: context.snapshot().state.network,
            statement: Bytes(statement.to_vec()),
            file_digest: id("file_digest", &file_digest)?,
            file_length,
        },
    })
}

/// A file longer than any contribution of the program is refused before it is sent.
fn check_length(context: &Context, signed: &SignedSubmission, admitted: &Admitted) -> Result<(), Refusal> {
    let snapshot = context.snapshot();
    let space = snapshot.state.spaces.get(&admitted.statement.space).ok_or_else(no_space)?;
    let program = Program::decode(&space.spec.program.0)
        .map_err(|error| Refusal::new(error.code(), error.to_string()))?;
    let longest = longest_contribution(&program, admitted.statement.dataset_rows, admitted.statement.seal);
    let found = signed.submission.file_length;
    if found == 0 || found > longest {
        let text = format!("expected a contribution of 1 to {longest} bytes, found {found}");
        return Err(Refusal::new(ErrorCode::E403, text));
    }
    Ok(())
}
