//! `MembersService`: joining, keys, evidence.
use tonic::{Request, Response, Status};
use weightproof_ledger::action::{Action, SignedSubmission, Submission};
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::{Id, Refusal};

use super::{Services, refused};
use crate::rpc::context::{bytes, id};
use crate::rpc::v1;

#[tonic::async_trait]
impl v1::members_service_server::MembersService for Services {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinResponse>, Status> {
        let v1::JoinRequest { authorization, space, stake } = request.into_inner();
        let action = Action::Join { space: id("space", &space).map_err(refused)?, stake };
        Ok(Response::new(v1::JoinResponse { logged: self.0.act(authorization, action).await? }))
    }

    async fn describe_account(
        &self,
        request: Request<v1::DescribeAccountRequest>,
    ) -> Result<Response<v1::DescribeAccountResponse>, Status> {
        let id = id("account", &request.get_ref().account).map_err(refused)?;
        let snapshot = self.0.snapshot();
        let Some(account) = snapshot.state.accounts.get(&id) else {
            return Ok(Response::new(v1::DescribeAccountResponse::default()));
        };
        let memberships = snapshot.state.spaces.iter().filter_map(|(space_id, space)| {
            let member = space.members.get(&id)?;
            Some(v1::Membership {
                space: space_id.to_vec().into(),
                name: space.spec.name.clone(),
                stake: member.stake,
                unbonding: member
                    .unbonding
                    .iter()
                    .map(|part| v1::Unbonding { amount: part.amount, release: part.release })
                    .collect(),
                accepted: member.accepted,
                misses: member.misses,
                dataset_root: member
                    .dataset
                    .as_ref()
                    .map_or_else(Vec::new, |dataset| dataset.root.to_vec())
                    .into(),
                dataset_rows: member.dataset.as_ref().map_or(0, |dataset| dataset.rows),
            })
        });
        Ok(Response::new(v1::DescribeAccountResponse {
            known: true,
            key: account.key.map_or_else(Vec::new, |key| key.to_vec()).into(),
            nonce: account.nonce,
            balance: account.balance,
            memberships: memberships.collect(),
        }))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let v1::RotateKeyRequest { authorization, key, proof } = request.into_inner();
        let key = id("key", &key).map_err(refused)?;
        let action = Action::RotateKey { key, proof: bytes("proof", &proof).map_err(refused)? };
        Ok(Response::new(v1::RotateKeyResponse { logged: self.0.act(authorization, action).await? }))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let logged = self.0.act(request.into_inner().authorization, Action::RevokeKey {}).await?;
        Ok(Response::new(v1::RevokeKeyResponse { logged }))
    }

    async fn report_equivocation(
        &self,
        request: Request<v1::ReportEquivocationRequest>,
    ) -> Result<Response<v1::ReportEquivocationResponse>, Status> {
        let v1::ReportEquivocationRequest { authorization, first, second } = request.into_inner();
        let network = self.0.snapshot().state.network;
        let first = submission(network, first.unwrap_or_default()).map_err(refused)?;
        let second = submission(network, second.unwrap_or_default()).map_err(refused)?;
        let action = Action::ReportEquivocation { first, second };
        Ok(Response::new(v1::ReportEquivocationResponse { logged: self.0.act(authorization, action).await? }))
    }
}

/// Evidence about a submission to this node.
fn submission(network: Id, signed: v1::SignedSubmission) -> Result<SignedSubmission, Refusal> {
    let v1::SignedSubmission { statement, file_digest, file_length, signature } = signed;
    Ok(SignedSubmission {
        signature: bytes("signature", &signature)?,
        submission: Submission {
            network,
            statement: Bytes(statement.to_vec()),
            file_digest: id("file_digest", &file_digest)?,
            file_length,
        },
    })
}
