//! A space as the node describes it, bound to the identity that it was joined by.
use super::{Node, printable};
use crate::failure::Failure;
use crate::output::{hex, short};
use crate::rpc::v1;
use weightproof_circuits::program::Program;
use weightproof_ledger::Id;
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::policy::Policy;
use weightproof_ledger::step::{MAXIMUM_NAME, space_id};
use weightproof_prover::data::Schema;

/// A learning task: its identity is the digest of everything in `spec`, so a node cannot change it unseen.
#[derive(Clone, Debug)]
pub struct Space {
    /// Its identity.
    pub id: Id,
    /// Everything that the identity binds.
    pub spec: SpaceSpec,
    /// Its program.
    pub program: Program,
    /// Its columns.
    pub schema: Schema,
    /// Figures of the moment.
    pub health: v1::Health,
    /// Version, members and round of the moment.
    pub summary: v1::SpaceSummary,
}

impl Space {
    /// Checks that a description is of the space that it names.
    ///
    /// # Errors
    /// [`Failure::Untrusted`].
    pub fn check(network: &Id, described: v1::DescribeSpaceResponse) -> Result<Space, Failure> {
        let untrusted = |what: &str, found: String| {
            Failure::Untrusted(format!(
                "expected {what} of the space, found {}; check both versions, and do not send anything until the operator explains it",
                printable(&found)
            ))
        };
        let summary = described.summary.unwrap_or_default();
        // It becomes part of file names and is shown.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=MAXIMUM_NAME).contains(&summary.name.len()) || !summary.name.bytes().all(plain) {
            return Err(untrusted("a name", format!("`{}`", summary.name.escape_debug())));
        }
        let id = super::id("space", &summary.space)?;
        let program = Program::parse(&described.program_toml)
            .map_err(|error| untrusted("a program", error.to_string()))?;
        let schema: Schema = serde_json::from_str(&described.schema_json)
            .map_err(|error| untrusted("columns as JSON", error.to_string()))?;
        let columns = serde_json::from_str(&described.schema_json)
            .map_err(|error: serde_json::Error| untrusted("columns as JSON", error.to_string()))?;
        if let Some(text) = unprintable(&columns) {
            return Err(untrusted("names of columns that can be shown", format!("`{text}`")));
        }
        let policy = described.policy.unwrap_or_default();
        let spec = SpaceSpec {
            name: summary.name.clone(),
            program: Bytes(program.encode()),
            seed: super::id("seed", &described.seed)?,
            schema: Bytes(described.schema_json.into_bytes()),
            validation: match described.validation_digest.as_ref() {
                [] => None,
                bytes => Some(super::id("validation digest", bytes)?),
            },
            policy: policy_of(&policy)
                .ok_or_else(|| untrusted("thousandths up to 65535", format!("{policy:?}")))?,
        };
        let found = space_id(network, &spec);
        if found != id {
            return Err(untrusted(
                &format!("the description {}", hex(&id)),
                format!("one of {}", hex(&found)),
            ));
        }
        if (program.inputs(), program.outputs(), program.activation_bits())
            != (schema.inputs(), schema.outputs(), schema.activation_bits)
        {
            return Err(untrusted("columns that fit the program", "others".to_owned()));
        }
        Ok(Space { id, spec, program, schema, health: described.health.unwrap_or_default(), summary })
    }

    /// `sepsis  4f2a9c01…`.
    pub fn describe(&self) -> String {
        format!("{}  {}", self.spec.name, short(&self.id))
    }
}

/// A text in a value that a terminal would not show as it is.
fn unprintable(value: &serde_json::Value) -> Option<&str> {
    use serde_json::Value;
    let bad = |text: &str| printable(text) != *text;
    match value {
        Value::String(text) => bad(text).then_some(text.as_str()),
        Value::Array(values) => values.iter().find_map(unprintable),
        Value::Object(members) => members
            .iter()
            .find_map(|(name, value)| if bad(name) { Some(name.as_str()) } else { unprintable(value) }),
        _ => None,
    }
}

/// The policy in a message; `None` when a number does not fit the ledger's.
fn policy_of(policy: &v1::Policy) -> Option<Policy> {
    let permille = |value: u32| u16::try_from(value).ok();
    Some(Policy {
        tokens: policy.tokens,
        minimum_stake: policy.minimum_stake,
        bond: policy.bond,
        slash_permille: permille(policy.slash_permille)?,
        miss_cost: policy.miss_cost,
        reward_per_example: policy.reward_per_example,
        emission: policy.emission,
        halving_rounds: policy.halving_rounds,
        burn_permille: permille(policy.burn_permille)?,
        fee_permille: permille(policy.fee_permille)?,
        transfer_fee: policy.transfer_fee,
        reputation_contributions: policy.reputation_contributions,
        improvement_gain: policy.improvement_gain,
        maximum_drop_permille: permille(policy.maximum_drop_permille)?,
        round_seconds: policy.round_seconds,
        close_when_complete: policy.close_when_complete,
        minimum_datasets: policy.minimum_datasets,
        maximum_members: policy.maximum_members,
        minimum_rows: policy.minimum_rows,
        weights: policy.weights.clone(),
        maximum_update: policy.maximum_update,
        unbonding_seconds: policy.unbonding_seconds,
        evidence_seconds: policy.evidence_seconds,
        sigma: policy.sigma,
        halo2: policy.halo2,
    })
}

impl Node<'_> {
    /// A space of the node: the named one, else the one that was joined last. One that was joined must still be the same.
    ///
    /// # Errors
    /// [`Failure::Usage`] when none is named and none was joined; [`Failure::Untrusted`]; and those of a call.
    pub fn space(&self, name: Option<&str>) -> Result<Space, Failure> {
        let joined = self.profile.space.as_ref();
        let name = match (name, joined) {
            (Some(name), _) => name,
            (None, Some(joined)) => joined.name.as_str(),
            (None, None) => {
                let text = "expected --space, found none and no space that was joined; `weightproof spaces` lists them";
                return Err(Failure::Usage(text.to_owned()));
            }
        };
        let described = self.describe_space(v1::DescribeSpaceRequest { space: name.to_owned() })?;
        let space = Space::check(&self.profile.network, described)?;
        let asked = name == space.spec.name || name.eq_ignore_ascii_case(&hex(&space.id));
        let changed = joined.is_some_and(|joined| joined.name == space.spec.name && joined.id != space.id);
        if !asked || changed {
            return Err(Failure::Untrusted(format!(
                "expected the space {name} as it was joined, found {}; ask the operator",
                space.describe()
            )));
        }
        Ok(space)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_description_is_bound_to_its_identity() {
        let (network, spec) = ([8; 32], crate::spaces::tests::sample());
        let program = Program::decode(&spec.program.0).unwrap();
        let described = v1::DescribeSpaceResponse {
            summary: Some(v1::SpaceSummary {
                space: space_id(&network, &spec).to_vec().into(),
                name: spec.name.clone(),
                ..Default::default()
            }),
            program_toml: program.to_toml(),
            program_digest: program.digest().to_vec().into(),
            schema_json: String::from_utf8(spec.schema.0.clone()).unwrap(),
            seed: spec.seed.to_vec().into(),
            validation_digest: Default::default(),
            policy: Some(v1::Policy::from(&spec.policy)),
            health: None,
        };
        let space = Space::check(&network, described.clone()).unwrap();
        assert_eq!(space.spec, spec);
        type Change = fn(&mut v1::DescribeSpaceResponse);
        let changes: [(&str, Change); 7] = [
            ("name", |described| described.summary.as_mut().unwrap().name.push('x')),
            ("program", |described| {
                described.program_toml = described.program_toml.replace("steps = ", "steps = 1")
            }),
            ("schema", |described| described.schema_json.push(' ')),
            ("seed", |described| described.seed = vec![1; 32].into()),
            ("validation", |described| described.validation_digest = vec![1; 32].into()),
            ("policy", |described| described.policy.as_mut().unwrap().bond += 1),
            ("share", |described| described.policy.as_mut().unwrap().fee_permille += 1 << 16),
        ];
        for (what, change) in changes {
            let mut other = described.clone();
            change(&mut other);
            assert!(matches!(Space::check(&network, other), Err(Failure::Untrusted(_))), "{what}");
        }
        assert!(Space::check(&[9; 32], described.clone()).is_err());
        // A node may give columns and a space any name, and an identity that fits.
        let schema = described.schema_json.replacen("\"name\":\"", "\"name\":\"\\u001b[2J", 1);
        assert_ne!(schema, described.schema_json);
        let spec_of = SpaceSpec { schema: Bytes(schema.clone().into_bytes()), ..spec.clone() };
        let mut other = v1::DescribeSpaceResponse { schema_json: schema, ..described.clone() };
        other.summary.as_mut().unwrap().space = space_id(&network, &spec_of).to_vec().into();
        let refused = Space::check(&network, other).unwrap_err().to_string();
        assert!(refused.contains("names of columns") && !refused.contains(char::is_control), "{refused:?}");
        for name in ["../../evil", "a/b", "", "\x1b[2J", "a\nb", "Name"] {
            let spec = SpaceSpec { name: name.to_owned(), ..spec.clone() };
            let mut other = described.clone();
            let summary = other.summary.as_mut().unwrap();
            (summary.name, summary.space) = (name.to_owned(), space_id(&network, &spec).to_vec().into());
            assert!(matches!(Space::check(&network, other), Err(Failure::Untrusted(_))), "{name:?}");
        }
    }
}
