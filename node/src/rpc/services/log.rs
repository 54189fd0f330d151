//! `LogService`: checkpoints, proofs, entries.
use tonic::{Request, Response, Status};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;
use weightproof_ledger::log::{Hash, LogError};

use super::{Answers, PATIENCE, ROOM, Sending, Services, enter, refused};
use crate::core::read;
use crate::rpc::v1;

/// Entries read at a time.
const BATCH: u64 = 64;

#[tonic::async_trait]
impl v1::log_service_server::LogService for Services {
    async fn get_checkpoint(
        &self,
        _request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let checkpoint = self.0.snapshot().checkpoint.to_string();
        Ok(Response::new(v1::GetCheckpointResponse { checkpoint }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        let v1::GetInclusionProofRequest { index, size } = request.into_inner();
        self.within(size)?;
        let tree = read(&self.0.handle.shared.tree);
        let hashes = tree.inclusion_proof(index, size).map_err(|error| refused(log_refusal(&error)))?;
        let leaf = tree.leaf(index).unwrap_or_default();
        Ok(Response::new(v1::GetInclusionProofResponse {
            leaf_hash: leaf.to_vec().into(),
            hashes: list(&hashes),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        let v1::GetConsistencyProofRequest { old_size, new_size } = request.into_inner();
        self.within(new_size)?;
        let hashes = read(&self.0.handle.shared.tree).consistency_proof(old_size, new_size);
        let hashes = hashes.map_err(|error| refused(log_refusal(&error)))?;
        Ok(Response::new(v1::GetConsistencyProofResponse { hashes: list(&hashes) }))
    }

    type StreamEntriesStream = Answers<v1::StreamEntriesResponse>;

    async fn stream_entries(
        &self,
        request: Request<v1::StreamEntriesRequest>,
    ) -> Result<Response<Self::StreamEntriesStream>, Status> {
        let pass = enter(&self.0.logs, &request, PATIENCE, "stream of entries").await?;
        let v1::StreamEntriesRequest { start, end } = request.into_inner();
        let size = self.0.snapshot().size;
        let end = if end == 0 { size } else { end.min(size) };
        let (mut sending, stream) = Sending::open(self.0.limits.request_deadline, ROOM, pass);
        let context = self.0.clone();
        tokio::spawn(async move {
            let mut next = start;
            while next < end {
                let count = BATCH.min(end - next);
                let entries = match context.read(move |reader| reader.entries(next, count)).await {
                    Ok(entries) if entries.is_empty() => break,
                    Ok(entries) => entries,
                    Err(status) => {
                        sending.send(Err(status)).await;
                        break;
                    }
                };
                for (index, entry) in entries {
                    next = index + 1;
                    let length = entry.len();
                    if !sending.part(v1::StreamEntriesResponse { index, entry: entry.into() }, length).await {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(stream))
    }
}

impl Services {
    /// What is not acknowledged yet is not shown: the tree may be ahead for a moment.
    fn within(&self, size: u64) -> Result<(), Status> {
        let present = self.0.snapshot().size;
        if size <= present {
            return Ok(());
        }
        Err(refused(Refusal::new(
            ErrorCode::E103,
            format!("expected a size of at most {present}, found {size}"),
        )))
    }
}

fn list(hashes: &[Hash]) -> Vec<prost::bytes::Bytes> {
    hashes.iter().map(|hash| hash.to_vec().into()).collect()
}

fn log_refusal(error: &LogError) -> Refusal {
    Refusal::of(error.code(), error)
}
