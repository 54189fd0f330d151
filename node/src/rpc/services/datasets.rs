//! `DatasetsService`: commitments to datasets.
use tonic::{Request, Response, Status};
use weightproof_ledger::action::Action;

use super::{Services, refused};
use crate::rpc::context::id;
use crate::rpc::v1;

#[tonic::async_trait]
impl v1::datasets_service_server::DatasetsService for Services {
    async fn register_dataset(
        &self,
        request: Request<v1::RegisterDatasetRequest>,
    ) -> Result<Response<v1::RegisterDatasetResponse>, Status> {
        let v1::RegisterDatasetRequest { authorization, space, root, rows } = request.into_inner();
        let space = id("space", &space).map_err(refused)?;
        let root = id("root", &root).map_err(refused)?;
        let action = Action::RegisterDataset { space, root, rows };
        Ok(Response::new(v1::RegisterDatasetResponse { logged: self.0.act(authorization, action).await? }))
    }
}
