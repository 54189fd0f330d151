//! `keys`: show, back up, restore, rotate and revoke.
use super::status::open;
use crate::bars::Bars;
use crate::cli::{AtNode, KeysAction};
use crate::client::Node;
use crate::client::profile::Profiles;
use crate::client::signer::Signer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys::backup::{self, Places};
use crate::keys::rotation::{self, Begun};
use crate::output::{Output, counted, hex};
use crate::{keys, locations};
use age::secrecy::SecretString;
use ed25519_dalek::SigningKey;
use serde_json::json;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use weightproof_ledger::Id;
use weightproof_ledger::action::Action;

/// Does what is asked.
pub fn run(action: &KeysAction, output: &Output) -> Result<Exit, Failure> {
    match action {
        KeysAction::Show { .. } => show(output),
        KeysAction::Backup { file, passphrase_file } => back_up(file, passphrase_file.as_deref(), output),
        KeysAction::Restore { file, passphrase_file } => restore(file, passphrase_file.as_deref(), output),
        KeysAction::Rotate { node, unlock } => {
            rotate(node.as_deref(), unlock.passphrase_file.as_deref(), output)
        }
        KeysAction::Revoke { node, unlock, .. } => revoke(node, unlock.passphrase_file.as_deref(), output),
    }
}

fn show(output: &Output) -> Result<Exit, Failure> {
    let directory = locations::configuration()?;
    let (Some(public), Some(account)) = (keys::public(&directory)?, keys::account(&directory)?) else {
        return Err(keys::no_key(&directory));
    };
    let pending = rotation::pending(&directory)?;
    let old = rotation::old_secrets(&directory)?.len();
    output.line("account", hex(&account));
    output.line("key", format!("{}   in {}", hex(&public), directory.join("key.age").display()));
    output.line("print", keys::fingerprint(&public));
    if let Some(pending) = &pending {
        output.line("pending", format!("{}   `weightproof keys rotate` goes on", hex(pending)));
    }
    if old > 0 {
        output.line("old", format!("{} kept as key-old-N.age", counted(old as u64, "earlier key")));
    }
    if output.json() {
        output.envelope(&json!({
            "account": hex(&account),
            "key": hex(&public),
            "fingerprint": keys::fingerprint(&public),
            "pending": pending.map(|key| hex(&key)),
            "old": old,
        }))?;
    }
    Ok(Exit::Success)
}

fn places() -> Result<Places, Failure> {
    Ok(Places { configuration: locations::configuration()?, data: locations::data()? })
}

fn back_up(file: &Path, passphrase_file: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let places = places()?;
    let passphrase = keys::new_passphrase(passphrase_file)?;
    let names = backup::write(&places, file, passphrase)?;
    let datasets = names.iter().filter(|name| name.ends_with(".secret")).count() as u64;
    output.line(
        "wrote",
        format!(
            "{}   {}, of them {} with rows and salts (encrypted, mode 0600)",
            file.display(),
            counted(names.len() as u64, "file"),
            counted(datasets, "dataset")
        ),
    );
    output.line("keep", "it away from this machine; the key inside needs its own passphrase as well");
    Ok(Exit::Success)
}

fn restore(file: &Path, passphrase_file: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let places = places()?;
    let passphrase = keys::known_passphrase(passphrase_file)?;
    let names = backup::restore(&places, file, &passphrase)?;
    output.line(
        "restored",
        format!(
            "{} below {} and {}",
            counted(names.len() as u64, "file"),
            places.configuration.display(),
            places.data.display()
        ),
    );
    if let Some(account) = keys::account(&places.configuration)? {
        output.line("account", hex(&account));
    }
    Ok(Exit::Success)
}

/// One rotation at a time.
fn lock(directory: &Path) -> Result<File, Failure> {
    let path: PathBuf = directory.join(".keys.lock");
    let lock = File::create(&path).map_err(Failure::write(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let text = "expected no other command that changes the key, found one; wait for it";
            Err(Failure::Key(format!("{}: {text}", directory.display())))
        }
        Err(TryLockError::Error(source)) => Err(Failure::write(&path)(source)),
    }
}

fn rotate(only: Option<&str>, passphrase_file: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let directory = locations::configuration()?;
    let profiles = Profiles::of_user()?;
    let names = match only {
        Some(name) => vec![profiles.choose(Some(name))?.name],
        None => profiles.names()?,
    };
    let Some(account) = keys::account(&directory)? else { return Err(keys::no_key(&directory)) };
    let _lock = lock(&directory)?;
    let passphrase = keys::known_passphrase(passphrase_file)?;
    let new = match rotation::begin(&directory, &passphrase)? {
        Begun::Pending(new) => new,
        Begun::Finished => {
            output.line("key", "a rotation that was cut short at its last step is finished now");
            return show(output);
        }
    };
    output.line(
        "key",
        format!("{}   new, on the disk before any node hears of it", hex(new.verifying_key().as_bytes())),
    );
    let bars = Bars::new();
    let mut behind = None;
    for name in names {
        let teller = Teller { directory: &directory, passphrase: &passphrase, account, new: &new };
        match teller.tell(&profiles, &name, &bars) {
            Ok(text) => output.line("node", format!("{name}   {text}")),
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => {
                output.line("node", format!("{name}   [{}] {failure}", failure.code()));
                behind.get_or_insert(failure);
            }
        }
    }
    if let Some(failure) = behind {
        output.line(
            "pending",
            "both keys are kept, and each node gets the one that it knows; `weightproof keys rotate` goes on",
        );
        return Err(failure);
    }
    rotation::take_over(&directory)?;
    show(output)
}

/// What it takes to tell one node after the other of a new key.
struct Teller<'a> {
    directory: &'a Path,
    passphrase: &'a SecretString,
    account: Id,
    new: &'a SigningKey,
}

impl Teller<'_> {
    /// Asks the node which key it knows, and tells it of the new one unless it does.
    fn tell(&self, profiles: &Profiles, name: &str, bars: &Bars) -> Result<String, Failure> {
        let node = Node::open(profiles.clone(), profiles.choose(Some(name))?, bars)?;
        if !node.account(&self.account)?.known {
            return Ok("does not know the account".to_owned());
        }
        let present = node.key_of(&self.account)?;
        if present == *self.new.verifying_key().as_bytes() {
            return Ok("knows the new key already".to_owned());
        }
        let key = keys::unlock(self.directory, &present, self.passphrase)?;
        let mut signer = Signer::new(key, self.account, node.network());
        let action = signer.rotation_to(self.new);
        let logged = node.act(&mut signer, action)?;
        Ok(format!("knows the new key since entry {}", logged.entry))
    }
}

fn revoke(name: &str, passphrase_file: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let node = open(&AtNode { node: Some(name.to_owned()) }, &bars)?;
    let mut signer = node.signer(passphrase_file)?;
    let logged = node.act(&mut signer, Action::RevokeKey {})?;
    output.line(
        "revoked",
        format!("{} can sign no more on {name}   entry {}", hex(&signer.account()), logged.entry),
    );
    Ok(Exit::Success)
}
