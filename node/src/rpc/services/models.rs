//! `ModelsService`: versions, lineage, downloads.
use std::sync::Arc;

use tonic::{Request, Response, Status};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::program::Program;
use weightproof_ledger::Refusal;
use weightproof_ledger::state::Space;
use weightproof_prover::data::Schema;
use weightproof_prover::model_file::ModelFile;

use super::{Answers, PATIENCE, Pipe, ROOM, Sending, Services, blocking, enter, refused, send_parts};
use crate::core::{Version, read};
use crate::rpc::context::{Context, bundle_refusal, space};
use crate::rpc::v1;

/// Versions on a page.
const PAGE: u32 = 100;
/// Contributions that are named in one answer, at 34 bytes each: it is made in memory, while the index is held.
const NAMED: usize = 20_000;

#[tonic::async_trait]
impl v1::models_service_server::ModelsService for Services {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let v1::ListModelsRequest { space: wanted, page_size, before } = request.into_inner();
        let (id, _) = space(&self.0.snapshot(), &wanted).map(|(id, _)| (id, ())).map_err(refused)?;
        let before = if before == 0 { u64::MAX } else { before };
        let count = if page_size == 0 { PAGE } else { page_size.min(PAGE) } as usize;
        let index = read(&self.0.handle.shared.index);
        let older = index.versions(&id).iter().rev().filter(|version| version.version < before);
        Ok(Response::new(v1::ListModelsResponse { versions: page(older.take(count)).0 }))
    }

    async fn get_lineage(
        &self,
        request: Request<v1::GetLineageRequest>,
    ) -> Result<Response<v1::GetLineageResponse>, Status> {
        let v1::GetLineageRequest { space: wanted, version } = request.into_inner();
        let (id, _) = space(&self.0.snapshot(), &wanted).map(|(id, _)| (id, ())).map_err(refused)?;
        let index = read(&self.0.handle.shared.index);
        let versions = index.versions(&id);
        let newest = versions.len() as u64;
        if version >= newest {
            return Err(refused(no_version(version, newest)));
        }
        let (lineage, whole) = page(versions.iter().rev().filter(|known| known.version <= version));
        if !whole {
            let text = format!(
                "expected a lineage of at most {NAMED} contributions, found more; list the versions page by page"
            );
            return Err(refused(Refusal::new(ErrorCode::E103, text)));
        }
        Ok(Response::new(v1::GetLineageResponse { versions: lineage }))
    }

    type DownloadModelStream = Answers<v1::DownloadModelResponse>;

    async fn download_model(
        &self,
        request: Request<v1::DownloadModelRequest>,
    ) -> Result<Response<Self::DownloadModelStream>, Status> {
        let pass = enter(&self.0.model_downloads, &request, PATIENCE, "download").await?;
        let v1::DownloadModelRequest { space: wanted, version } = request.into_inner();
        let snapshot = self.0.snapshot();
        let (_, space) = space(&snapshot, &wanted).map_err(refused)?;
        let version = version.unwrap_or_else(|| space.version());
        let (context, space) = (self.0.clone(), space.clone());
        let made = blocking(&pass, move || model_file(&context, &space, version)).await?;
        let bytes = made.map_err(refused)?;
        let (mut sending, stream) = Sending::open(self.0.limits.request_deadline, ROOM, pass);
        let part = self.0.limits.chunk_size();
        tokio::spawn(async move {
            send_parts(&mut sending, &bytes, part, |part| v1::DownloadModelResponse { part }).await;
        });
        Ok(Response::new(stream))
    }

    type DownloadBundleStream = Answers<v1::DownloadBundleResponse>;

    async fn download_bundle(
        &self,
        request: Request<v1::DownloadBundleRequest>,
    ) -> Result<Response<Self::DownloadBundleStream>, Status> {
        let pass = enter(&self.0.downloads, &request, PATIENCE, "download").await?;
        let v1::DownloadBundleRequest { space: wanted, version } = request.into_inner();
        let snapshot = self.0.snapshot();
        let (id, version) = {
            let (id, space) = space(&snapshot, &wanted).map_err(refused)?;
            (id, version.unwrap_or_else(|| space.version()))
        };
        let plan = self.0.plan_bundle(&snapshot, &id, version).map_err(refused)?;
        let (mut sending, stream) = Sending::open(self.0.limits.request_deadline, ROOM, Arc::clone(&pass));
        let (reader, part) = (Arc::clone(&self.0.reader), self.0.limits.chunk_size());
        tokio::spawn(async move {
            // As long as the whole log: it goes out as it is made, and nothing of it is kept here.
            let (pipe, mut parts) = Pipe::new(part);
            let making = blocking(&pass, move || {
                let mut out = std::io::BufWriter::with_capacity(part.max(1), pipe);
                plan.write(&reader, &mut out).and_then(|()| Ok(std::io::Write::flush(&mut out)?))
            });
            let mut taken = true;
            let sending_parts = async {
                while let Some(part) = parts.recv().await {
                    let length = part.len();
                    if !sending.part(v1::DownloadBundleResponse { part }, length).await {
                        taken = false;
                        // The maker finds nobody to write for.
                        return drop(parts);
                    }
                }
            };
            let (made, ()) = tokio::join!(making, sending_parts);
            let failed = match made {
                Ok(Ok(())) => return,
                _ if !taken => return,
                Ok(Err(error)) => refused(bundle_refusal(&error)),
                Err(status) => status,
            };
            sending.send(Err(failed)).await;
        });
        Ok(Response::new(stream))
    }
}

/// As many versions as fit into an answer, and whether that is all of them. The first is always among them: a round has at
/// most as many contributions as a space has members.
fn page<'a>(versions: impl Iterator<Item = &'a Version>) -> (Vec<v1::ModelVersion>, bool) {
    let (mut page, mut named) = (Vec::new(), 0);
    for version in versions {
        // A version without contributions takes room too.
        named += version.contributions.len() + 3;
        if named > NAMED && !page.is_empty() {
            return (page, false);
        }
        page.push(describe(version));
    }
    (page, true)
}

fn describe(version: &Version) -> v1::ModelVersion {
    v1::ModelVersion {
        version: version.version,
        digest: version.digest.to_vec().into(),
        round: version.round,
        contributions: version.contributions.iter().map(|(digest, _)| digest.to_vec().into()).collect(),
        reverted_to: version.reverted_to,
        entry: version.entry,
    }
}

fn no_version(found: u64, newest: u64) -> Refusal {
    Refusal::new(
        ErrorCode::E203,
        format!("expected a version below {newest}, found {found}; `weightproof models` lists them"),
    )
}

/// A version as a model file.
fn model_file(context: &Context, space: &Space, version: u64) -> Result<Vec<u8>, Refusal> {
    let digest = usize::try_from(version).ok().and_then(|place| space.versions.get(place));
    let digest = digest.ok_or_else(|| no_version(version, space.versions.len() as u64))?;
    let unusable = |text: String| {
        Refusal::new(
            ErrorCode::E506,
            format!(
                "expected the space's program and schema to make a model file, found: {text}; the operator must look at the space file"
            ),
        )
    };
    let program = Program::decode(&space.spec.program.0).map_err(|error| unusable(error.to_string()))?;
    let schema: Schema =
        serde_json::from_slice(&space.spec.schema.0).map_err(|error| unusable(error.to_string()))?;
    let parameters = context.model(digest, &program)?.as_ref().clone();
    let file = ModelFile { parameters, program, model_version: version, schema };
    file.to_bytes().map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn version(version: u64, contributions: usize) -> Version {
        let contributions = vec![([7; 32], u64::MAX); contributions];
        Version {
            version,
            digest: [1; 32],
            round: u64::MAX,
            entry: u64::MAX,
            contributions,
            reverted_to: None,
        }
    }

    #[test]
    fn a_page_is_short_whatever_the_versions_hold() {
        let numbers = |versions: &[Version]| {
            let (page, whole) = page(versions.iter());
            let answer = v1::ListModelsResponse { versions: page.clone() };
            assert!(answer.encoded_len() < 1 << 20);
            (page.iter().map(|version| version.version).collect::<Vec<_>>(), whole)
        };
        assert_eq!(numbers(&[]), (vec![], true));
        assert_eq!(numbers(&[version(3, 9_000), version(2, 9_000), version(1, 9_000)]), (vec![3, 2], false));
        assert_eq!(numbers(&[version(2, 9_000), version(1, 9_000)]), (vec![2, 1], true));
        assert_eq!(numbers(&[version(2, NAMED + 1), version(1, 0)]), (vec![2], false));
        let many: Vec<Version> = (0..100_000).map(|number| version(number, 0)).collect();
        assert!(!numbers(&many).1);
    }
}
