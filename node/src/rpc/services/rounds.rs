//! `RoundsService`: the present round and every change of it.
use tonic::{Request, Response, Status};
use weightproof_ledger::Id;
use weightproof_ledger::state::Space;

use super::{Answers, Services, busy, channel, refused};
use crate::rpc::context::{id, space};
use crate::rpc::v1;

#[tonic::async_trait]
impl v1::rounds_service_server::RoundsService for Services {
    async fn get_current_round(
        &self,
        request: Request<v1::GetCurrentRoundRequest>,
    ) -> Result<Response<v1::GetCurrentRoundResponse>, Status> {
        self.0.admit(&request)?;
        let request = request.into_inner();
        let snapshot = self.0.snapshot();
        let (space_id, space) = space(&snapshot, &request.space).map_err(refused)?;
        let (mut admitted, mut contributed) = (false, false);
        if !request.account.is_empty() {
            let account = id("account", &request.account).map_err(refused)?;
            if let Some(round) = space.open_round() {
                admitted = round.admitted.contains_key(&account);
                contributed = round.accepted.contains_key(&account) || round.forfeited.contains(&account);
            }
        }
        let round = Some(describe(&space_id, space));
        Ok(Response::new(v1::GetCurrentRoundResponse { round, admitted, contributed }))
    }

    type WatchRoundsStream = Answers<v1::WatchRoundsResponse>;

    async fn watch_rounds(
        &self,
        request: Request<v1::WatchRoundsRequest>,
    ) -> Result<Response<Self::WatchRoundsStream>, Status> {
        self.0.admit(&request)?;
        let (space_id, _) = space(&self.0.snapshot(), &request.get_ref().space).map(|(id, _)| (id, ())).map_err(refused)?;
        let permit = self.0.watchers.clone().try_acquire_owned().map_err(|_| busy("watcher"))?;
        let mut snapshots = self.0.handle.snapshots.clone();
        let (sender, stream) = channel();
        tokio::spawn(async move {
            let _permit = permit;
            let mut last = None;
            loop {
                let round = {
                    let snapshot = snapshots.borrow_and_update();
                    snapshot.state.spaces.get(&space_id).map(|space| describe(&space_id, space))
                };
                if round.is_some() && round != last {
                    last.clone_from(&round);
                    if sender.send(Ok(v1::WatchRoundsResponse { round })).await.is_err() {
                        break;
                    }
                }
                tokio::select! {
                    changed = snapshots.changed() => if changed.is_err() { break },
                    () = sender.closed() => break,
                }
            }
        });
        Ok(Response::new(stream))
    }
}

fn describe(id: &Id, space: &Space) -> v1::Round {
    let Some(round) = space.rounds.0.back() else {
        return v1::Round { space: id.to_vec().into(), ..v1::Round::default() };
    };
    v1::Round {
        space: id.to_vec().into(),
        number: round.number,
        open: !round.closed,
        model_version: round.version,
        model_digest: round.digest.to_vec().into(),
        beacon: round.beacon.to_vec().into(),
        opened: round.opened,
        closes: round.closes,
        admitted: round.admitted.len() as u64,
        contributions: round.contributions,
    }
}
