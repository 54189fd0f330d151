//! `join`: meet a node, remember how to recognise it, and become a member of a space.
use crate::bars::Bars;
use crate::cli::Join;
use crate::client::profile::{Profile, Profiles, SpaceName, Trust, check_name, name_of};
use crate::client::space::Space;
use crate::client::{Node, fetch_certificate};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex};
use crate::transport::pin;
use crate::{keys, locations};
use serde_json::json;
use std::path::{Path, PathBuf};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::Action;

/// Joins; doing it again changes nothing.
pub fn run(arguments: &Join, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let profiles = Profiles::of_user()?;
    let address = pin::address(&arguments.address).map_err(|error| Failure::Usage(error.to_string()))?;
    let name = arguments.name.clone().unwrap_or_else(|| name_of(&address));
    check_name(&name)?;
    let known = profiles.load(&name)?;
    let trust = trust(arguments, &address, known.as_ref(), &bars, output)?;
    let mut profile = match known {
        Some(mut known) => {
            (known.address, known.trust) = (address, trust);
            known
        }
        None => Profile::new(name, address, trust, [0; 32], String::new()),
    };
    if let (Some(certificate), Some(key)) = (&arguments.client_cert, &arguments.client_key) {
        profile.client = Some((absolute(certificate)?, absolute(key)?));
    }
    let mut node = Node::meet(profiles, profile, &bars)?;
    node.adopt()?;
    let described = node.described();
    output.line(
        "node",
        format!(
            "{}   {} at {}   weightproof {}",
            node.profile().name,
            described.origin,
            node.profile().address,
            described.software
        ),
    );
    output.line("network", format!("{}   every signature names it", hex(&node.network())));
    node.change_profile(|_| ())?;
    let Some(space) = &arguments.space else {
        output.line("joined", "no space: `weightproof spaces` lists them, `join --space` becomes a member");
        if output.json() {
            output.envelope(&envelope(&node, None, None))?;
        }
        return Ok(Exit::Success);
    };
    let space = node.space(Some(space))?;
    // By name: the identity in the profile must not decide which space is meant when another is asked for.
    let joined = SpaceName { name: space.spec.name.clone(), id: space.id };
    node.change_profile(|profile| profile.space = Some(joined))?;
    output.line("space", space.describe());
    let entry = member(arguments, &node, &space, output)?;
    if output.json() {
        output.envelope(&envelope(&node, Some(&space), entry))?;
    }
    Ok(Exit::Success)
}

/// Becomes a member; the entry is `None` for one that was a member before.
fn member(arguments: &Join, node: &Node<'_>, space: &Space, output: &Output) -> Result<Option<u64>, Failure> {
    let directory = locations::configuration()?;
    let account = keys::account(&directory)?.ok_or_else(|| keys::no_key(&directory))?;
    let is_member = || -> Result<bool, Failure> {
        Ok(node.account(&account)?.memberships.iter().any(|member| member.space.as_ref() == space.id))
    };
    let already = || {
        output.line(
            "member",
            format!("{} is one already; `weightproof stake` adds to its stake", hex(&account)),
        );
        Ok(None)
    };
    if is_member()? {
        return already();
    }
    let stake = arguments.stake.unwrap_or(space.spec.policy.minimum_stake);
    let mut signer = node.signer(arguments.unlock.passphrase_file.as_deref())?;
    match node.act(&mut signer, Action::Join { space: space.id, stake }) {
        Ok(logged) => {
            output.line("member", format!("{}   stake {stake}   entry {}", hex(&account), logged.entry));
            Ok(Some(logged.entry))
        }
        // Another process of the same account was quicker.
        Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::E501 && is_member()? => already(),
        Err(failure) => Err(failure),
    }
}

/// How the node is to be recognised from now on.
fn trust(
    arguments: &Join,
    address: &str,
    known: Option<&Profile>,
    bars: &Bars,
    output: &Output,
) -> Result<Trust, Failure> {
    if let Some(path) = &arguments.ca {
        let ca_pem = std::fs::read_to_string(path).map_err(Failure::read(path))?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let domain = arguments.domain.clone().unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
        output.line("trust", format!("certificates for {domain} of the authority in {}", path.display()));
        return Ok(Trust::Authority { ca_pem, domain });
    }
    if let (None, Some(Profile { trust: trust @ Trust::Authority { .. }, .. })) = (arguments.pin, known) {
        output.line("trust", format!("{}, as before", trust.describe()));
        return Ok(trust.clone());
    }
    let shown = fetch_certificate(address, bars)?;
    let found = pin::fingerprint(&shown);
    let trust = Trust::certificate(&shown);
    let how = match (arguments.pin, known) {
        (Some(expected), _) if expected == found => "as given with --pin",
        (Some(expected), _) => {
            return Err(Failure::Untrusted(format!("at {address}: {}", pin::Changed { expected, found })));
        }
        (None, Some(known)) if known.trust == trust => "as pinned before",
        (None, Some(known)) => {
            return Err(Failure::Untrusted(format!(
                "expected the certificate {} that {} showed before, found {found}; if the operator announced this one, join with --pin {found}, else somebody stands between you and the node",
                known.trust.describe(),
                known.name
            )));
        }
        (None, None) => "trusted on first use: compare it with what the operator published (--pin checks it)",
    };
    output.line("trust", format!("certificate {found}   {how}"));
    Ok(trust)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(Failure::read(path))
}

fn envelope(node: &Node<'_>, space: Option<&Space>, entry: Option<u64>) -> serde_json::Value {
    let profile = node.profile();
    json!({
        "node": profile.name,
        "address": profile.address,
        "trust": profile.trust.describe(),
        "network": hex(&profile.network),
        "origin": profile.origin,
        "space": space.map(|space| json!({ "name": space.spec.name, "id": hex(&space.id) })),
        "member": space.map(|_| if entry.is_some() { "new" } else { "already" }),
        "entry": entry,
    })
}
