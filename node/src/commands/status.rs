//! `status` and `spaces`: a node, its log, its spaces, and the own account on it.
use crate::bars::Bars;
use crate::cli::{AtNode, Spaces, Status};
use crate::client::profile::{Profile, Profiles, Trust, name_of};
use crate::client::space::Space;
use crate::client::{Node, fetch_certificate};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, counted, duration, hex, short, utc};
use crate::rpc::v1;
use crate::transport::pin;
use crate::{keys, locations};
use serde_json::json;
use weightproof_ledger::Id;

/// A checked connection to the node that is meant.
///
/// # Errors
/// As for [`Profiles::choose`] and [`Node::open`].
pub fn open<'a>(at: &AtNode, bars: &'a Bars) -> Result<Node<'a>, Failure> {
    let profiles = Profiles::of_user()?;
    let profile = profiles.choose(at.node.as_deref())?;
    Node::open(profiles, profile, bars)
}

/// The account of this user, if there is a key.
///
/// # Errors
/// As for [`keys::account`].
pub fn own_account() -> Result<Option<Id>, Failure> {
    keys::account(&locations::configuration()?)
}

/// Shows everything about a node at a glance.
pub fn run(arguments: &Status, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let mut node = open(&arguments.at, &bars)?;
    let checkpoint = node.look_at_log()?;
    let profile = node.profile().clone();
    let described = node.described().clone();
    output
        .line("node", format!("{}   {}   weightproof {}", profile.name, profile.address, described.software));
    output.line("trust", profile.trust.describe());
    output.line("network", format!("{}   log {}", hex(&profile.network), profile.origin));
    output.line(
        "log",
        format!(
            "{}   root {}   signed, continues what was seen before",
            if checkpoint.size() == 1 {
                "1 entry".to_owned()
            } else {
                format!("{} entries", checkpoint.size())
            },
            short(checkpoint.root())
        ),
    );
    let account = own_account()?;
    let known = account.map(|account| node.account(&account)).transpose()?;
    match (&account, &known) {
        (Some(account), Some(known)) => show_account(account, known, output),
        _ => output.line("account", "none: `weightproof init` makes a key"),
    }
    let spaces = node.list_spaces(v1::ListSpacesRequest {})?.spaces;
    let mut described_spaces = Vec::new();
    for summary in &spaces {
        let member = known
            .as_ref()
            .and_then(|known| known.memberships.iter().find(|member| member.space == summary.space));
        let is_default = profile.space.as_ref().is_some_and(|space| space.id == summary.space.as_ref());
        // A node may have many spaces: those of others are a line of `weightproof spaces`.
        if member.is_none() && !is_default {
            continue;
        }
        let space = node.space(Some(&hex(&summary.space)))?;
        let request = v1::GetCurrentRoundRequest {
            space: summary.space.clone(),
            account: account.map_or_else(Vec::new, |account| account.to_vec()).into(),
        };
        let round = node.get_current_round(request)?;
        show_space(&space, member, &round, output);
        described_spaces.push(space_json(&space, member, &round));
    }
    if output.json() {
        output.envelope(&json!({
            "node": profile.name,
            "address": profile.address,
            "software": described.software,
            "network": hex(&profile.network),
            "operator": hex(&described.operator),
            "origin": profile.origin,
            "trust": profile.trust.describe(),
            "checkpoint": profile.checkpoint,
            "entries": checkpoint.size(),
            "account": account.map(|account| hex(&account)),
            "known": known.as_ref().is_some_and(|known| known.known),
            "key": known.as_ref().map(|known| hex(&known.key)),
            "balance": known.as_ref().map(|known| known.balance),
            "spaces": described_spaces,
        }))?;
    }
    Ok(Exit::Success)
}

fn show_account(account: &Id, known: &v1::DescribeAccountResponse, output: &Output) {
    output.line("account", hex(account));
    match (known.known, known.key.as_ref()) {
        (false, _) => {
            output.line("key", "the node does not know the account yet: `weightproof join --space` makes it")
        }
        (true, []) => output.line("key", "revoked: the account can sign no more"),
        (true, key) if key == account => output.line("key", "the account's first"),
        (true, key) => output.line("key", format!("{}   since a rotation", hex(key))),
    }
    if known.known {
        output.line("balance", known.balance.to_string());
    }
}

fn show_space(
    space: &Space,
    member: Option<&v1::Membership>,
    current: &v1::GetCurrentRoundResponse,
    output: &Output,
) {
    output.line("space", format!("{}   {}", space.describe(), counted(space.summary.members, "member")));
    if let Some(member) = member {
        let unbonding: u64 = member.unbonding.iter().map(|part| part.amount).sum();
        let dataset = match member.dataset_root.as_ref() {
            [] => "no dataset: `weightproof register`".to_owned(),
            root => format!("dataset {} with {} rows", short(root), member.dataset_rows),
        };
        output.line(
            "member",
            format!(
                "stake {} of the {} needed   unbonding {unbonding}   {} accepted   {} missed in a row   {dataset}",
                member.stake, space.spec.policy.minimum_stake, member.accepted, member.misses
            ),
        );
    }
    let round = current.round.clone().unwrap_or_default();
    let state = match (round.number, round.open) {
        (0, _) => "none yet".to_owned(),
        (number, true) => format!("{number}, open until {}", utc(round.closes)),
        (number, false) => format!("{number}, over"),
    };
    let mine = match (round.open, current.admitted, current.contributed) {
        (true, _, true) => "   contributed",
        (true, true, false) => "   waits for your contribution",
        (true, false, false) if member.is_some() => "   does not admit your dataset",
        _ => "",
    };
    output.line(
        "round",
        format!(
            "{state}   model version {}   {} of {} contributed{mine}",
            round.model_version, round.contributions, round.admitted
        ),
    );
    let health = &space.health;
    output.line(
        "health",
        format!(
            "verify {} median, {} p95   {} proven in a row   contributors {:.2} bits   gini {:.2}   churn {:.2}   velocity {:.2}   slashing {:.2}",
            duration(health.verify_median_ms / 1000.0),
            duration(health.verify_p95_ms / 1000.0),
            counted(health.provenance_depth, "version"),
            health.contributor_entropy_bits,
            health.gini,
            health.churn,
            health.token_velocity,
            health.slashing_rate
        ),
    );
}

fn space_json(
    space: &Space,
    member: Option<&v1::Membership>,
    current: &v1::GetCurrentRoundResponse,
) -> serde_json::Value {
    let round = current.round.clone().unwrap_or_default();
    let health = &space.health;
    json!({
        "name": space.spec.name,
        "id": hex(&space.id),
        "members": space.summary.members,
        "model_version": space.summary.model_version,
        "member": member.map(|member| json!({
            "stake": member.stake,
            "unbonding": member.unbonding.iter()
                .map(|part| json!({ "amount": part.amount, "release": part.release })).collect::<Vec<_>>(),
            "accepted": member.accepted,
            "misses": member.misses,
            "dataset_root": hex(&member.dataset_root),
            "dataset_rows": member.dataset_rows,
        })),
        "round": json!({
            "number": round.number,
            "open": round.open,
            "model_version": round.model_version,
            "model_digest": hex(&round.model_digest),
            "closes": round.closes,
            "admitted": round.admitted,
            "contributions": round.contributions,
            "admits_own": current.admitted,
            "contributed_own": current.contributed,
        }),
        "health": json!({
            "verify_median_ms": health.verify_median_ms,
            "verify_p95_ms": health.verify_p95_ms,
            "contributor_entropy_bits": health.contributor_entropy_bits,
            "gini": health.gini,
            "churn": health.churn,
            "token_velocity": health.token_velocity,
            "provenance_depth": health.provenance_depth,
            "slashing_rate": health.slashing_rate,
        }),
    })
}

/// `spaces`: a line each.
pub fn spaces(arguments: &Spaces, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let node = match &arguments.address {
        None => open(&arguments.at, &bars)?,
        Some(address) => {
            let address = pin::address(address).map_err(|error| Failure::Usage(error.to_string()))?;
            let shown = fetch_certificate(&address, &bars)?;
            let fingerprint = pin::fingerprint(&shown);
            output.line(
                "trust",
                format!("certificate {fingerprint}   for this once; `weightproof join` remembers it"),
            );
            let profile =
                Profile::new(name_of(&address), address, Trust::certificate(&shown), [0; 32], String::new());
            Node::meet(Profiles::of_user()?, profile, &bars)?
        }
    };
    let spaces = node.list_spaces(v1::ListSpacesRequest {})?.spaces;
    for space in &spaces {
        let round =
            if space.round == 0 { "no round open".to_owned() } else { format!("round {} open", space.round) };
        output.line(
            "space",
            format!(
                "{}   {}   model version {}   {}   {round}",
                space.name.escape_debug(),
                short(&space.space),
                space.model_version,
                counted(space.members, "member")
            ),
        );
    }
    if spaces.is_empty() {
        output.line("space", "none");
    }
    if output.json() {
        let list: Vec<_> = spaces
            .iter()
            .map(|space| {
                json!({
                    "name": space.name,
                    "id": hex(&space.space),
                    "model_version": space.model_version,
                    "members": space.members,
                    "round": space.round,
                })
            })
            .collect();
        output.envelope(&list)?;
    }
    Ok(Exit::Success)
}
