//! `SpacesService`: who the node is and what it hosts.
use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use weightproof_circuits::program::Program;
use weightproof_ledger::Id;
use weightproof_ledger::policy::Policy;
use weightproof_ledger::state::{Space, State};

use super::{Services, refused};
use crate::core::{Index, Snapshot, read};
use crate::output::parse_hex32;
use crate::rpc::context::{Context, no_space};
use crate::rpc::v1;

#[tonic::async_trait]
impl v1::spaces_service_server::SpacesService for Services {
    async fn describe_node(
        &self,
        _request: Request<v1::DescribeNodeRequest>,
    ) -> Result<Response<v1::DescribeNodeResponse>, Status> {
        let snapshot = self.0.snapshot();
        Ok(Response::new(v1::DescribeNodeResponse {
            network: snapshot.state.network.to_vec().into(),
            origin: self.0.origin.clone(),
            operator: snapshot.state.operator.to_vec().into(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            time: crate::core::now(),
        }))
    }

    async fn list_spaces(
        &self,
        _request: Request<v1::ListSpacesRequest>,
    ) -> Result<Response<v1::ListSpacesResponse>, Status> {
        let snapshot = self.0.snapshot();
        let spaces = snapshot.state.spaces.iter().map(|(id, space)| summary(id, space)).collect();
        Ok(Response::new(v1::ListSpacesResponse { spaces }))
    }

    async fn describe_space(
        &self,
        request: Request<v1::DescribeSpaceRequest>,
    ) -> Result<Response<v1::DescribeSpaceResponse>, Status> {
        let snapshot = self.0.snapshot();
        let wanted = &request.get_ref().space;
        let named =
            |(id, space): &(&Id, &Space)| space.spec.name == *wanted || parse_hex32(wanted) == Ok(**id);
        let (id, space) = snapshot.state.spaces.iter().find(named).ok_or_else(|| refused(no_space()))?;
        let program = Program::decode(&space.spec.program.0).map_err(|_| refused(no_space()))?;
        Ok(Response::new(v1::DescribeSpaceResponse {
            summary: Some(summary(id, space)),
            program_toml: program.to_toml(),
            program_digest: space.program_digest.to_vec().into(),
            schema_json: String::from_utf8_lossy(&space.spec.schema.0).into_owned(),
            seed: space.spec.seed.to_vec().into(),
            validation_digest: space.spec.validation.map_or_else(Vec::new, |digest| digest.to_vec()).into(),
            policy: Some((&space.spec.policy).into()),
            health: Some(health(&self.0, &snapshot, id, space)),
        }))
    }
}

fn summary(id: &Id, space: &Space) -> v1::SpaceSummary {
    v1::SpaceSummary {
        space: id.to_vec().into(),
        name: space.spec.name.clone(),
        model_version: space.version(),
        members: space.members.len() as u64,
        round: space.open_round().map_or(0, |round| round.number),
    }
}

impl From<&Policy> for v1::Policy {
    fn from(policy: &Policy) -> v1::Policy {
        // Every field by name, so that a new one cannot be left out.
        let Policy {
            tokens,
            minimum_stake,
            bond,
            slash_permille,
            miss_cost,
            reward_per_example,
            emission,
            halving_rounds,
            burn_permille,
            fee_permille,
            transfer_fee,
            reputation_contributions,
            improvement_gain,
            maximum_drop_permille,
            round_seconds,
            close_when_complete,
            minimum_datasets,
            maximum_members,
            minimum_rows,
            weights,
            maximum_update,
            unbonding_seconds,
            evidence_seconds,
            sigma,
            halo2,
        } = policy.clone();
        v1::Policy {
            tokens,
            minimum_stake,
            bond,
            slash_permille: slash_permille.into(),
            miss_cost,
            reward_per_example,
            emission,
            halving_rounds,
            burn_permille: burn_permille.into(),
            fee_permille: fee_permille.into(),
            transfer_fee,
            reputation_contributions,
            improvement_gain,
            maximum_drop_permille: maximum_drop_permille.into(),
            round_seconds,
            close_when_complete,
            minimum_datasets,
            maximum_members,
            minimum_rows,
            weights,
            maximum_update,
            unbonding_seconds,
            evidence_seconds,
            sigma,
            halo2,
        }
    }
}

fn health(context: &Context, snapshot: &Snapshot, id: &Id, space: &Space) -> v1::Health {
    let index = read(&context.handle.shared.index);
    let last = space.rounds.0.iter().rev().find(|round| round.closed);
    let churn = last.map_or(0.0, |round| {
        let admitted = round.admitted.len();
        let silent = round.admitted.keys().filter(|account| !round.accepted.contains_key(*account)).count();
        if admitted == 0 { 0.0 } else { silent as f64 / admitted as f64 }
    });
    v1::Health {
        verify_median_ms: context.latencies.quantile(0.5),
        verify_p95_ms: context.latencies.quantile(0.95),
        contributor_entropy_bits: entropy(&index, id),
        gini: gini(wealth(&snapshot.state, space)),
        churn,
        token_velocity: index.velocity(snapshot.state.tokens()),
        provenance_depth: depth(&index, id),
        slashing_rate: index.slashing_rate(),
    }
}

/// Entropy of accepted contributions per owner, in bits: 0 when one owner made them all.
fn entropy(index: &Index, space: &Id) -> f64 {
    let counts: Vec<f64> = index.accepted(space).map(|(_, count)| count as f64).collect();
    let total: f64 = counts.iter().sum();
    counts.iter().map(|count| -(count / total) * (count / total).log2()).sum()
}

/// Balance and stake in the space, by member.
fn wealth(state: &State, space: &Space) -> Vec<u64> {
    let owned: BTreeMap<&Id, u64> = space
        .members
        .iter()
        .map(|(account, member)| {
            let balance = state.accounts.get(account).map_or(0, |account| account.balance);
            (account, balance.saturating_add(member.stake))
        })
        .collect();
    owned.into_values().collect()
}

/// The Gini coefficient: 0 when all own the same, towards 1 when one owns everything.
fn gini(mut owned: Vec<u64>) -> f64 {
    owned.sort_unstable();
    let (count, total) = (owned.len() as f64, owned.iter().map(|amount| *amount as f64).sum::<f64>());
    if total == 0.0 {
        return 0.0;
    }
    let ranked: f64 =
        owned.iter().enumerate().map(|(place, amount)| (place as f64 + 1.0) * *amount as f64).sum();
    2.0 * ranked / (count * total) - (count + 1.0) / count
}

/// Versions in a row, up to the present one, that contributions made.
fn depth(index: &Index, space: &Id) -> u64 {
    index.versions(space).iter().rev().take_while(|version| !version.contributions.is_empty()).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gini_of_known_distributions() {
        assert_eq!(gini(vec![]), 0.0);
        assert_eq!(gini(vec![0, 0]), 0.0);
        assert!(gini(vec![5, 5, 5, 5]).abs() < 1e-12);
        assert!((gini(vec![0, 0, 0, 8]) - 0.75).abs() < 1e-12);
        assert!((gini(vec![1, 2, 3, 4]) - 0.25).abs() < 1e-12);
    }
}
