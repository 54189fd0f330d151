//! What this machine remembers of a node that was joined: how to recognise it, and the log that it showed last.
use crate::failure::Failure;
use crate::locations;
use crate::output::hex;
use crate::transport::pin;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use weightproof_ledger::Id;
use weightproof_prover::atomic_file::{Access, write_atomic};

/// The layout that this version writes and reads.
const FORMAT: u32 = 1;
/// Longest name of a profile.
const MAXIMUM_NAME: usize = 64;

/// A joined node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    format: u32,
    /// What this machine calls it; the file's name.
    #[serde(skip)]
    pub name: String,
    /// Host and port.
    pub address: String,
    /// How its connection is recognised.
    pub trust: Trust,
    /// The client's own certificate, where the node asks for one: PEM files of certificate and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<(PathBuf, PathBuf)>,
    /// The node's public key.
    #[serde(with = "hex32")]
    pub network: Id,
    /// Name of its log.
    pub origin: String,
    /// The space that was joined last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceName>,
    /// The newest checkpoint that it has shown, as signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// A space by name and identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceName {
    /// Its name on the node.
    pub name: String,
    /// Its identity.
    #[serde(with = "hex32")]
    pub id: Id,
}

/// How a node's connection is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trust {
    /// Exactly this certificate: DER in base64.
    Certificate(String),
    /// Any certificate of this authority for this name.
    Authority {
        /// The authority's certificates.
        ca_pem: String,
        /// The name.
        domain: String,
    },
}

impl Trust {
    /// Exactly this certificate.
    pub fn certificate(der: &[u8]) -> Trust {
        Trust::Certificate(STANDARD.encode(der))
    }

    /// As the transport takes it.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the certificate is no base64.
    pub fn for_transport(&self) -> Result<pin::Trust, Failure> {
        Ok(match self {
            Trust::Certificate(text) => {
                let certificate_der = STANDARD.decode(text).map_err(|error| {
                    Failure::Usage(format!(
                        "expected a pinned certificate in base64, found: {error}; join again"
                    ))
                })?;
                pin::Trust::Pinned(pin::Pinned { certificate_der })
            }
            Trust::Authority { ca_pem, domain } => {
                pin::Trust::Authority { ca_pem: ca_pem.clone(), domain: domain.clone() }
            }
        })
    }

    /// For people to compare: the pinned fingerprint, or the authority's domain.
    pub fn describe(&self) -> String {
        match self.for_transport() {
            Ok(pin::Trust::Pinned(pinned)) => pinned.fingerprint().to_string(),
            Ok(pin::Trust::Authority { domain, .. }) => format!("authority for {domain}"),
            Err(_) => "a damaged pin".to_owned(),
        }
    }
}

impl Profile {
    /// A node that was just met.
    pub fn new(name: String, address: String, trust: Trust, network: Id, origin: String) -> Profile {
        Profile {
            format: FORMAT,
            name,
            address,
            trust,
            client: None,
            network,
            origin,
            space: None,
            checkpoint: None,
        }
    }
}

/// All joined nodes: one file each, `nodes/<name>.json` below the configuration directory.
#[derive(Clone, Debug)]
pub struct Profiles {
    directory: PathBuf,
}

impl Profiles {
    /// Those of this user.
    ///
    /// # Errors
    /// As for [`locations::configuration`].
    pub fn of_user() -> Result<Profiles, Failure> {
        Ok(Profiles::in_directory(&locations::configuration()?))
    }

    /// Those below a configuration directory.
    pub fn in_directory(configuration: &Path) -> Profiles {
        Profiles { directory: configuration.join("nodes") }
    }

    /// Where a file of a node lies.
    pub fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.directory.join(format!("{name}{ending}"))
    }

    /// The names, sorted.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn names(&self) -> Result<Vec<String>, Failure> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Failure::read(&self.directory)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Failure::read(&self.directory))?;
            let name = entry.file_name().into_string().ok();
            let name = name.as_deref().and_then(|name| name.strip_suffix(".json"));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// A joined node, if there is one of this name.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the file is damaged, [`Failure::File`].
    pub fn load(&self, name: &str) -> Result<Option<Profile>, Failure> {
        check_name(name)?;
        let path = self.path(name, ".json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::read(&path)(error)),
        };
        let damaged = |found: String| {
            let text = "expected what `weightproof join` wrote";
            Failure::Usage(format!("{}: {text}, found: {found}; restore it or join again", path.display()))
        };
        let mut profile: Profile = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if profile.format != FORMAT {
            return Err(damaged(format!("format {} where {FORMAT} is known", profile.format)));
        }
        name.clone_into(&mut profile.name);
        Ok(Some(profile))
    }

    /// The node that is meant: the named one, or the only one.
    ///
    /// # Errors
    /// [`Failure::Usage`] when there is none, or several and none is named.
    pub fn choose(&self, name: Option<&str>) -> Result<Profile, Failure> {
        let names = self.names()?;
        let name = match (name, names.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, []) => {
                let text = "expected a joined node, found none; begin with `weightproof join HOST:PORT`";
                return Err(Failure::Usage(text.to_owned()));
            }
            (None, several) => {
                let text = format!("expected --node with one of {}, found none; add it", several.join(", "));
                return Err(Failure::Usage(text));
            }
        };
        self.load(name)?.ok_or_else(|| {
            let known = if names.is_empty() {
                "none is".to_owned()
            } else {
                format!("known are {}", names.join(", "))
            };
            Failure::Usage(format!("expected --node with a joined node, found {name}; {known}"))
        })
    }

    /// Writes a joined node.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a name that is no file name, [`Failure::File`].
    pub fn save(&self, profile: &Profile) -> Result<(), Failure> {
        check_name(&profile.name)?;
        std::fs::create_dir_all(&self.directory).map_err(Failure::write(&self.directory))?;
        let path = self.path(&profile.name, ".json");
        let text = serde_json::to_vec_pretty(profile).map_err(|error| Failure::write(&path)(error.into()))?;
        write_atomic(&path, &text, Access::Owner).map_err(Failure::write(&path))
    }

    /// Remembers a checkpoint that continues the remembered one, unless another process has seen `newer` since.
    ///
    /// # Errors
    /// [`Failure::File`], [`Failure::Usage`].
    pub fn remember(
        &self,
        profile: &mut Profile,
        checkpoint: &str,
        newer: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.directory).map_err(Failure::write(&self.directory))?;
        // Held for two file operations only; a killed process lets go of it.
        let path = self.directory.join(".lock");
        let lock = File::create(&path).map_err(Failure::write(&path))?;
        lock.lock().map_err(Failure::write(&path))?;
        let mut stored = self.load(&profile.name)?.unwrap_or_else(|| profile.clone());
        if !stored.checkpoint.as_deref().is_some_and(newer) {
            stored.checkpoint = Some(checkpoint.to_owned());
            self.save(&stored)?;
        }
        profile.checkpoint = Some(checkpoint.to_owned());
        Ok(())
    }
}

/// What a node at an address is called when nobody says: its host, and its port unless it is the usual one.
pub fn name_of(address: &str) -> String {
    let usual = format!(":{}", pin::DEFAULT_PORT);
    let text = address.strip_suffix(&usual).unwrap_or(address).to_ascii_lowercase();
    let plain = |character: char| if is_plain(character) { character } else { '-' };
    let name: String = text.chars().map(plain).take(MAXIMUM_NAME).collect();
    name.trim_matches(['-', '.']).to_owned()
}

fn is_plain(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '-' | '.')
}

/// Names become file names.
///
/// # Errors
/// [`Failure::Usage`].
pub fn check_name(name: &str) -> Result<(), Failure> {
    let good =
        (1..=MAXIMUM_NAME).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with('.');
    if good {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "expected a name of 1 to {MAXIMUM_NAME} lower-case letters, digits, dots and hyphens, found `{}`; choose another with --name",
        name.escape_debug()
    )))
}

/// 32 bytes as hexadecimal text.
pub(super) mod hex32 {
    use crate::output::parse_hex32;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::hex(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_hex32(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(name: &str) -> Profile {
        let trust = Trust::certificate(b"not really a certificate");
        Profile::new(
            name.to_owned(),
            "verifier.example:7443".to_owned(),
            trust,
            [3; 32],
            "verifier.example/log".to_owned(),
        )
    }

    #[test]
    fn a_profile_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let profiles = Profiles::in_directory(directory.path());
        assert!(matches!(profiles.choose(None), Err(Failure::Usage(_))));
        let mut profile = sample("verifier.example");
        profile.space = Some(SpaceName { name: "sepsis".to_owned(), id: [5; 32] });
        profile.client = Some(("/a.pem".into(), "/b.pem".into()));
        profiles.save(&profile).unwrap();
        assert_eq!(profiles.choose(None).unwrap(), profile);
        assert_eq!(profiles.load("verifier.example").unwrap(), Some(profile));
        let authority = Trust::Authority { ca_pem: "pem".to_owned(), domain: "a.b".to_owned() };
        let other = Profile { trust: authority, ..sample("other") };
        profiles.save(&other).unwrap();
        assert_eq!(profiles.choose(Some("other")).unwrap(), other);
        let text = profiles.choose(None).unwrap_err().to_string();
        assert!(text.contains("other, verifier.example"), "{text}");
        assert!(matches!(profiles.choose(Some("third")), Err(Failure::Usage(_))));
    }

    #[test]
    fn damaged_and_newer_profiles_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let profiles = Profiles::in_directory(directory.path());
        let mut newer = sample("a");
        newer.format += 1;
        profiles.save(&newer).unwrap();
        assert!(matches!(profiles.load("a"), Err(Failure::Usage(text)) if text.contains("format")));
        std::fs::write(profiles.path("a", ".json"), "{").unwrap();
        assert!(matches!(profiles.load("a"), Err(Failure::Usage(_))));
    }

    #[test]
    fn names_are_file_names() {
        let cases = [
            ("verifier.example:7443", "verifier.example"),
            ("Verifier.Example:7000", "verifier.example-7000"),
            ("[::1]:7443", "1"),
            ("[fe80::2]:1", "fe80--2--1"),
            ("127.0.0.1:7443", "127.0.0.1"),
        ];
        for (address, name) in cases {
            assert_eq!(name_of(address), name);
            check_name(name).unwrap();
        }
        for wrong in ["", ".", "..", "a/b", "A", "a b", "../x", &"a".repeat(65)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_newest_checkpoint_of_all_processes_stays() {
        let directory = tempfile::tempdir().unwrap();
        let profiles = Profiles::in_directory(directory.path());
        let mut one = sample("a");
        profiles.save(&one).unwrap();
        let mut other = one.clone();
        let longer_than = |length: usize| move |text: &str| text.len() > length;
        profiles.remember(&mut one, "12", longer_than(2)).unwrap();
        profiles.remember(&mut other, "1", longer_than(1)).unwrap();
        assert_eq!(profiles.load("a").unwrap().unwrap().checkpoint.as_deref(), Some("12"));
        profiles.remember(&mut other, "123", longer_than(3)).unwrap();
        assert_eq!(profiles.load("a").unwrap().unwrap().checkpoint.as_deref(), Some("123"));
    }
}
