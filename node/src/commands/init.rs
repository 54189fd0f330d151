//! `init`: a key of one's own.
use crate::cli::Init;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex};
use crate::{keys, locations};

/// Makes the key and prints its fingerprint.
pub fn run(arguments: &Init, output: &Output) -> Result<Exit, Failure> {
    let directory = locations::configuration()?;
    let passphrase = keys::new_passphrase(arguments.passphrase_file.as_deref())?;
    let key = keys::create(&directory, passphrase)?;
    output.line("key", format!("{}  (encrypted, mode 0600)", key.path.display()));
    output.line("account", format!("{}  (an operator needs it to give you tokens)", hex(&key.public)));
    output.line("print", keys::fingerprint(&key.public));
    Ok(Exit::Success)
}
