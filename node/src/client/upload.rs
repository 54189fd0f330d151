//! Submitting: announce, upload from where the node is, and wait for the verdict.
use super::Node;
use super::receipt::Settled;
use super::signer::Signer;
use crate::engine;
use crate::failure::Failure;
use crate::rpc::v1;
use crate::rpc::v1::contributions_service_client::ContributionsServiceClient;
use prost::bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::progress::Progress;

/// Bytes of a part, or fewer if the node says so: small parts share a line fairly.
const PART: usize = 256 << 10;

/// How often a file is announced whose upload lost its way.
const TRIES: u32 = 3;

/// Whether an upload's refusal is about the upload and not about the file: another connection took over, the node was
/// started again in between, or bytes were lost. Announcing again tells where to go on.
fn lost_on_the_way(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::E101 | ErrorCode::E106 | ErrorCode::E501)
}

/// A contribution file ready to be sent.
#[derive(Clone, Debug)]
pub struct Parcel {
    bytes: Bytes,
    statement: Vec<u8>,
    /// Digest of its statement.
    pub statement_digest: Id,
    /// SHA-256 of the file.
    pub file_digest: Id,
    /// The space that it is for.
    pub space: Id,
    /// The round that it is for.
    pub round: u64,
    /// Who made it.
    pub contributor: Id,
}

impl Parcel {
    /// Reads a contribution file's statement.
    ///
    /// # Errors
    /// [`Failure::Refused`] with the code by which a node would refuse it.
    pub fn new(bytes: Vec<u8>) -> Result<Parcel, Failure> {
        let statement = engine::statement(&bytes).map_err(|refusal| {
            let code = ErrorCode::ALL.iter().copied().find(|code| code.as_str() == refusal.code);
            Failure::Refused(Refusal::new(code.unwrap_or(ErrorCode::E101), refusal.message))
        })?;
        Ok(Parcel {
            statement: statement.encode(),
            statement_digest: statement.digest(),
            file_digest: Sha256::digest(&bytes).into(),
            space: statement.space,
            round: statement.round,
            contributor: statement.contributor,
            bytes: bytes.into(),
        })
    }

    /// Length of the file.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// The parts from `offset` on. The first names the upload and is short: the node gives it little time, since until then the
/// sender may be anybody.
fn parts(
    bytes: &Bytes,
    upload: Bytes,
    offset: u64,
    size: usize,
) -> impl Iterator<Item = v1::UploadContributionRequest> + use<> {
    let bytes = bytes.clone();
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let mut offset = start;
    let mut upload = Some(upload);
    std::iter::from_fn(move || {
        // Even an upload that is complete is named, so that its verdict can be waited for.
        if offset == bytes.len() && upload.is_none() {
            return None;
        }
        let size = if upload.is_some() { 0 } else { size.max(1) };
        let end = offset.saturating_add(size).min(bytes.len());
        let part = bytes.slice(offset..end);
        let request = v1::UploadContributionRequest {
            upload: upload.take().unwrap_or_default(),
            offset: offset as u64,
            part,
        };
        offset = end;
        Some(request)
    })
}

impl Node<'_> {
    /// Announces a contribution, uploads what the node does not have and waits for the verdict, whose receipt is checked.
    /// Doing it again after a failure goes on where the node is.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the node refuses before it looks at the proof; and those of a call.
    pub fn submit(&self, signer: &Signer, parcel: &Parcel) -> Result<Settled, Failure> {
        let mut tries = 1;
        let verdict = loop {
            match self.announce_and_upload(signer, parcel)? {
                Err(Failure::Refused(refusal)) if lost_on_the_way(refusal.code) && tries < TRIES => {
                    tries += 1
                }
                outcome => break outcome?,
            }
        };
        let (statement, file) = (&parcel.statement_digest, &parcel.file_digest);
        Settled::by_verdict(&self.profile.network, &verdict, parcel.round, statement, file)
    }

    /// Inside is what became of the upload.
    fn announce_and_upload(
        &self,
        signer: &Signer,
        parcel: &Parcel,
    ) -> Result<Result<v1::Verdict, Failure>, Failure> {
        let signature = signer.submission(parcel.statement.clone(), parcel.file_digest, parcel.length());
        let begun = self.begin_contribution(v1::BeginContributionRequest {
            statement: parcel.statement.clone().into(),
            file_digest: parcel.file_digest.to_vec().into(),
            file_length: parcel.length(),
            signature: signature.to_vec().into(),
        })?;
        Ok(match begun.verdict {
            Some(verdict) => Ok(verdict),
            None => self.upload(parcel, begun),
        })
    }

    fn upload(&self, parcel: &Parcel, begun: v1::BeginContributionResponse) -> Result<v1::Verdict, Failure> {
        let size = match begun.maximum_part as usize {
            0 => PART,
            maximum => maximum.min(PART),
        };
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let stream = parts(&parcel.bytes, begun.upload, begun.offset, size)
            .inspect(move |request| _ = counter.fetch_add(request.part.len() as u64, Ordering::Relaxed));
        let mut client = ContributionsServiceClient::new(self.channel.clone());
        let mut request = tonic::Request::new(tokio_stream::iter(stream));
        request.set_timeout(self.limits.upload_deadline);
        self.bars.begin("upload", parcel.length());
        self.bars.advance(begun.offset);
        let answer = async move { Ok(client.upload_contribution(request).await?.into_inner()) };
        let answered = self.wait(async {
            let mut answer = std::pin::pin!(answer);
            let mut shown = 0;
            loop {
                match tokio::time::timeout(super::GLANCE, &mut answer).await {
                    Ok(answer) => return answer,
                    Err(_) => {
                        let now = sent.load(Ordering::Relaxed);
                        self.bars.advance(now - shown);
                        shown = now;
                    }
                }
            }
        })?;
        answered.verdict.ok_or_else(|| {
            let text = "expected a verdict after the upload, found none; check both versions";
            Failure::Untrusted(text.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(length: usize, offset: u64, size: usize) -> Vec<(usize, u64, usize)> {
        let bytes: Bytes = (0..length).map(|byte| byte as u8).collect::<Vec<_>>().into();
        let requests: Vec<_> = parts(&bytes, Bytes::from_static(b"name"), offset, size).collect();
        for request in &requests {
            let start = request.offset as usize;
            assert_eq!(request.part, bytes.slice(start..start + request.part.len()));
        }
        requests.iter().map(|request| (request.upload.len(), request.offset, request.part.len())).collect()
    }

    #[test]
    fn parts_cover_what_the_node_lacks_and_the_first_names_the_upload() {
        assert_eq!(all(10, 0, 4), [(4, 0, 0), (0, 0, 4), (0, 4, 4), (0, 8, 2)]);
        assert_eq!(all(10, 6, 4), [(4, 6, 0), (0, 6, 4)]);
        assert_eq!(all(10, 9, 4), [(4, 9, 0), (0, 9, 1)]);
        assert_eq!(all(10, 10, 4), [(4, 10, 0)]);
        assert_eq!(all(10, u64::MAX, 4), [(4, 10, 0)]);
        assert_eq!(all(2, 0, 0), [(4, 0, 0), (0, 0, 1), (0, 1, 1)]);
    }

    #[test]
    fn what_is_lost_on_the_way_is_sent_again_and_a_verdict_is_not_asked_for_twice() {
        assert!([ErrorCode::E101, ErrorCode::E106, ErrorCode::E501].into_iter().all(lost_on_the_way));
        let verdicts = [ErrorCode::E201, ErrorCode::E202, ErrorCode::E307, ErrorCode::E502, ErrorCode::E603];
        assert!(!verdicts.into_iter().any(lost_on_the_way));
    }

    #[test]
    fn a_file_that_is_no_contribution_is_refused_here() {
        let failure = Parcel::new(b"no contribution".to_vec()).unwrap_err();
        assert!(
            matches!(&failure, Failure::Refused(refusal) if refusal.code.as_str().starts_with("E1")),
            "{failure:?}"
        );
    }
}
