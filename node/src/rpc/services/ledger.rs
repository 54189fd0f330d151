//! `LedgerService`: tokens.
use tonic::{Request, Response, Status};
use weightproof_ledger::action::Action;

use super::{Services, refused};
use crate::rpc::context::id;
use crate::rpc::v1;

/// Movements on a page.
const PAGE: u32 = 100;

#[tonic::async_trait]
impl v1::ledger_service_server::LedgerService for Services {
    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::GetBalanceResponse>, Status> {
        let id = id("account", &request.get_ref().account).map_err(refused)?;
        let snapshot = self.0.snapshot();
        let members = snapshot.state.spaces.values().filter_map(|space| space.members.get(&id));
        let (mut staked, mut unbonding) = (0u64, 0u64);
        for member in members {
            staked = staked.saturating_add(member.stake);
            unbonding = member.unbonding.iter().fold(unbonding, |sum, part| sum.saturating_add(part.amount));
        }
        let balance = snapshot.state.accounts.get(&id).map_or(0, |account| account.balance);
        Ok(Response::new(v1::GetBalanceResponse { balance, staked, unbonding }))
    }

    async fn stake(&self, request: Request<v1::StakeRequest>) -> Result<Response<v1::StakeResponse>, Status> {
        let v1::StakeRequest { authorization, space, amount } = request.into_inner();
        let action = Action::Stake { space: id("space", &space).map_err(refused)?, amount };
        Ok(Response::new(v1::StakeResponse { logged: self.0.act(authorization, action).await? }))
    }

    async fn unstake(
        &self,
        request: Request<v1::UnstakeRequest>,
    ) -> Result<Response<v1::UnstakeResponse>, Status> {
        let v1::UnstakeRequest { authorization, space, amount } = request.into_inner();
        let action = Action::Unstake { space: id("space", &space).map_err(refused)?, amount };
        Ok(Response::new(v1::UnstakeResponse { logged: self.0.act(authorization, action).await? }))
    }

    async fn transfer(
        &self,
        request: Request<v1::TransferRequest>,
    ) -> Result<Response<v1::TransferResponse>, Status> {
        let v1::TransferRequest { authorization, to, amount } = request.into_inner();
        let action = Action::Transfer { to: id("to", &to).map_err(refused)?, amount };
        Ok(Response::new(v1::TransferResponse { logged: self.0.act(authorization, action).await? }))
    }

    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        let v1::ListHistoryRequest { account, page_size, before_entry } = request.into_inner();
        let account = id("account", &account).map_err(refused)?;
        let before = if before_entry == 0 { u64::MAX } else { before_entry };
        let count = if page_size == 0 { PAGE } else { page_size.min(PAGE) };
        let movements = self.0.read(move |reader| reader.movements(&account, before, count)).await?;
        let movements = movements
            .into_iter()
            .map(|movement| v1::Movement {
                entry: movement.entry,
                time: movement.time,
                amount: movement.amount,
                cause: movement.cause,
            })
            .collect();
        Ok(Response::new(v1::ListHistoryResponse { movements }))
    }

    async fn get_supply(
        &self,
        _request: Request<v1::GetSupplyRequest>,
    ) -> Result<Response<v1::GetSupplyResponse>, Status> {
        let supply = self.0.snapshot().state.supply.clone();
        Ok(Response::new(v1::GetSupplyResponse {
            genesis: supply.genesis,
            emitted: supply.emitted,
            burned: supply.burned,
        }))
    }
}
