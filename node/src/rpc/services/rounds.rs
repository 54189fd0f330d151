//! `RoundsService`: the present round and every change of it.
use tonic::{Request, Response, Status};
use weightproof_ledger::Id;
use weightproof_ledger::state::Space;

use super::{Answers, BEAT, ROOM, Sending, Services, enter, refused};
use std::sync::Arc;
use std::time::Duration;

use crate::core::read;
use crate::rpc::context::{Context, id, space};
use crate::rpc::v1;

#[tonic::async_trait]
impl v1::rounds_service_server::RoundsService for Services {
    async fn get_current_round(
        &self,
        request: Request<v1::GetCurrentRoundRequest>,
    ) -> Result<Response<v1::GetCurrentRoundResponse>, Status> {
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
        let round = Some(describe(&self.0, &space_id, space));
        Ok(Response::new(v1::GetCurrentRoundResponse { round, admitted, contributed }))
    }

    type WatchRoundsStream = Answers<v1::WatchRoundsResponse>;

    async fn watch_rounds(
        &self,
        request: Request<v1::WatchRoundsRequest>,
    ) -> Result<Response<Self::WatchRoundsStream>, Status> {
        let (space_id, _) =
            space(&self.0.snapshot(), &request.get_ref().space).map(|(id, _)| (id, ())).map_err(refused)?;
        let pass = enter(&self.0.watchers, &request, Duration::ZERO, "watcher").await?;
        let (context, mut snapshots) = (Arc::clone(&self.0), self.0.handle.snapshots.clone());
        let (sending, stream) = Sending::open(self.0.limits.request_deadline, ROOM, pass);
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let round = {
                    let snapshot = snapshots.borrow_and_update();
                    snapshot.state.spaces.get(&space_id).map(|space| describe(&context, &space_id, space))
                };
                if round.is_some() && round != last {
                    last.clone_from(&round);
                    if !sending.send(Ok(v1::WatchRoundsResponse { round })).await {
                        break;
                    }
                }
                tokio::select! {
                    changed = snapshots.changed() => if changed.is_err() { break },
                    () = sending.closed() => break,
                }
                // A contribution counts many watchers' turns: those of a moment are told together.
                let counted = |snapshot: &crate::core::Snapshot| {
                    let round = snapshot
                        .state
                        .spaces
                        .get(&space_id)
                        .map(|space| describe(&context, &space_id, space));
                    match (&round, &last) {
                        (Some(round), Some(last)) => (round.number, round.open) == (last.number, last.open),
                        _ => false,
                    }
                };
                let waits = counted(&snapshots.borrow());
                if waits {
                    tokio::time::sleep(2 * BEAT).await;
                }
            }
        });
        Ok(Response::new(stream))
    }
}

fn describe(context: &Context, id: &Id, space: &Space) -> v1::Round {
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
        entry: read(&context.handle.shared.index).opened(id, round.number).unwrap_or_default(),
    }
}
