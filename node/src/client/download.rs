//! Models and their versions: what is downloaded is checked against digests, and digests against the log.
use super::space::Space;
use super::{Node, printable};
use crate::cache::Cache;
use crate::failure::Failure;
use crate::output::{hex, short, size};
use crate::rpc::v1;
use tonic::Streaming;
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Effect, Entry};
use weightproof_ledger::log::{leaf_hash, verify_inclusion};
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::model_file::ModelFile;
use weightproof_prover::progress::Progress;

impl Node<'_> {
    /// A version of a space's model, with the digest that it must have; the last one of each space is kept on this machine.
    ///
    /// # Errors
    /// [`Failure::Untrusted`] for another model than asked for; and those of a call.
    pub fn model(&self, space: &Space, version: u64, digest: &Id) -> Result<ModelFile, Failure> {
        let cache = Cache::new(crate::locations::cache());
        let name = format!("model-{}", hex(&space.id));
        let check = |bytes: &[u8]| check_model(bytes, space, version, digest);
        if let Some(model) = cache.load(&name).and_then(|bytes| check(&bytes).ok()) {
            return Ok(model);
        }
        self.bars.begin("model", 0);
        let request = v1::DownloadModelRequest { space: space.id.to_vec().into(), version: Some(version) };
        let stream = self.download_model(request)?;
        let mut bytes = Vec::new();
        self.receive(stream, longest_model(space), |message| {
            bytes.extend_from_slice(&message.part);
            Ok(message.part.len())
        })?;
        let model = check(&bytes)?;
        cache.store(&name, &bytes);
        Ok(model)
    }

    /// Takes the parts of a download; `take` says how long each was.
    ///
    /// # Errors
    /// [`Failure::Untrusted`] when they are more than `maximum` bytes; those of `take` and of a call.
    pub fn receive<T>(
        &self,
        mut stream: Streaming<T>,
        maximum: usize,
        mut take: impl FnMut(T) -> Result<usize, Failure>,
    ) -> Result<usize, Failure> {
        let mut length = 0usize;
        while let Some(message) = self.next(&mut stream)? {
            length = length.saturating_add(take(message)?);
            if length > maximum {
                let limit = size(maximum as u64);
                return Err(Failure::Untrusted(format!(
                    "expected a download of at most {limit}, found more; ask the operator"
                )));
            }
        }
        Ok(length)
    }

    /// All versions of a space's model, newest first.
    ///
    /// # Errors
    /// Those of a call.
    pub fn versions(&self, space: &Id) -> Result<Vec<v1::ModelVersion>, Failure> {
        let mut all: Vec<v1::ModelVersion> = Vec::new();
        loop {
            let before = all.last().map_or(0, |oldest| oldest.version);
            let request = v1::ListModelsRequest { space: space.to_vec().into(), page_size: 0, before };
            let page = self.list_models(request)?.versions;
            // A page that does not go down would never end.
            let descends = page.first().is_none_or(|first| all.is_empty() || first.version < before);
            if page.is_empty() || !descends {
                return Ok(all);
            }
            all.extend(page);
            if all.last().is_some_and(|oldest| oldest.version == 0) {
                return Ok(all);
            }
        }
    }

    /// The version asked for, or the present one.
    ///
    /// # Errors
    /// [`Failure::Usage`] when there is none of that number; and those of a call.
    pub fn version(&self, space: &Space, version: Option<u64>) -> Result<v1::ModelVersion, Failure> {
        let before = version.map_or(0, |version| version.saturating_add(1));
        let request = v1::ListModelsRequest { space: space.id.to_vec().into(), page_size: 1, before };
        let found = self.list_models(request)?.versions.into_iter().next();
        found.filter(|found| version.is_none_or(|version| found.version == version)).ok_or_else(|| {
            let asked =
                version.map_or_else(|| "a version".to_owned(), |version| format!("version {version}"));
            Failure::Usage(format!(
                "expected {asked} of {}'s model, found none; `weightproof models` lists them",
                space.spec.name
            ))
        })
    }

    /// Checks that the log, as this client has seen it signed, published a version with this digest.
    ///
    /// # Errors
    /// [`Failure::Fork`] with `E506` when it did not; and those of a call.
    pub fn check_published(&mut self, space: &Id, version: &v1::ModelVersion) -> Result<(), Failure> {
        let index = version.entry;
        let corrupt = |found: String| {
            let text = format!(
                "expected entry {index} of the log to publish version {} of the model, found {found}; keep the model file apart and ask the operator",
                version.version
            );
            Failure::Fork(Refusal::new(ErrorCode::E506, text))
        };
        let entry = self.entry(index)?.map_err(corrupt)?;
        let digest = super::id("model digest", &version.digest)?;
        match published(&entry, space) {
            Some(found) if found == (version.version, digest) => Ok(()),
            Some((found, other)) => Err(corrupt(format!("version {found} with digest {}", short(&other)))),
            None => Err(corrupt("an entry about something else".to_owned())),
        }
    }

    /// Checks that the log, as this client has seen it signed, opened a round with this beacon and model: what a member
    /// trains on, and by which batches, must be what everybody is shown.
    ///
    /// # Errors
    /// [`Failure::Fork`] with `E506` when it did not; and those of a call.
    pub fn check_opened(&mut self, space: &Id, round: &v1::Round) -> Result<(), Failure> {
        let corrupt = |found: String| {
            let text = format!(
                "expected entry {} of the log to open round {} with the beacon and the model that the node names, found {found}; nothing was trained and nothing sent: ask the operator",
                round.entry, round.number
            );
            Failure::Fork(Refusal::new(ErrorCode::E506, text))
        };
        let entry = self.entry(round.entry)?.map_err(corrupt)?;
        opens(&entry, space, round).map_err(|found| corrupt(found.to_owned()))
    }

    /// An entry of the log that the newest checkpoint signs; inside, what is wrong with it.
    fn entry(&mut self, index: u64) -> Result<Result<Entry, String>, Failure> {
        let checkpoint = self.look_at_log()?;
        let request = v1::StreamEntriesRequest { start: index, end: index.saturating_add(1) };
        let mut stream = self.stream_entries(request)?;
        let Some(bytes) = self.next(&mut stream)?.map(|message| message.entry) else {
            return Ok(Err("no such entry".to_owned()));
        };
        let request = v1::GetInclusionProofRequest { index, size: checkpoint.size() };
        let proof = self.get_inclusion_proof(request)?;
        let hashes: Result<Vec<Id>, Failure> =
            proof.hashes.iter().map(|hash| super::id("a hash of the log", hash)).collect();
        let included =
            verify_inclusion(&leaf_hash(&bytes), index, checkpoint.size(), &hashes?, checkpoint.root());
        Ok(match included {
            Ok(()) => Entry::decode(&bytes, "entry").map_err(|error| printable(&error.to_string())),
            Err(error) => Err(printable(&error.to_string())),
        })
    }
}

/// Whether an entry opens a round of a space as the node describes it; else what is another.
fn opens(entry: &Entry, wanted: &Id, described: &v1::Round) -> Result<(), &'static str> {
    let opened = entry.effects.iter().find_map(|effect| match effect {
        Effect::RoundOpened { space, round, beacon, version, digest, closes } if space == wanted => {
            Some((*round, beacon, *version, digest, *closes))
        }
        _ => None,
    });
    let Some((round, beacon, version, digest, closes)) = opened else {
        return Err("an entry about something else");
    };
    let checks = [
        (round == described.number, "another round"),
        (beacon[..] == described.beacon[..], "another beacon"),
        (version == described.model_version && digest[..] == described.model_digest[..], "another model"),
        (closes == described.closes, "another end"),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, what)| Err(what))
}

/// Most bytes of the file of a space's model: 8 for each integer, and a header with program and columns.
fn longest_model(space: &Space) -> usize {
    let layer = |widths: &[usize]| widths[0].saturating_add(1).saturating_mul(widths[1]);
    let integers = space.program.layers().windows(2).map(layer).fold(0, usize::saturating_add);
    // Texts grow in a header of JSON, and so do numbers that are written out; a tensor's name and shape are short.
    let texts = space.spec.schema.0.len() + space.program.to_toml().len();
    let header = 8 * texts + (1 << 10) * space.program.layers().len();
    integers.saturating_mul(8).saturating_add(header).saturating_add(1 << 12)
}

/// Version and digest of the model that an entry published in a space.
fn published(entry: &Entry, wanted: &Id) -> Option<(u64, Id)> {
    entry.effects.iter().find_map(|effect| match effect {
        Effect::SpaceCreated { space, model_digest, .. } if space == wanted => Some((0, *model_digest)),
        Effect::RoundClosed { space, version, digest, .. }
        | Effect::Reverted { space, version, digest, .. }
            if space == wanted =>
        {
            Some((*version, *digest))
        }
        _ => None,
    })
}

fn check_model(bytes: &[u8], space: &Space, version: u64, digest: &Id) -> Result<ModelFile, Failure> {
    let untrusted = |found: String| {
        Failure::Untrusted(format!(
            "expected version {version} of {}'s model with digest {}, found {}; try again, and ask the operator if it stays so",
            space.spec.name,
            short(digest),
            printable(&found)
        ))
    };
    let model = ModelFile::from_bytes(bytes).map_err(|error| untrusted(error.to_string()))?;
    let found = model.digest()?;
    if found != *digest {
        return Err(untrusted(format!("digest {}", short(&found))));
    }
    if model.model_version != version {
        return Err(untrusted(format!("version {}", model.model_version)));
    }
    if model.program != space.program || model.schema != space.schema {
        return Err(untrusted("another program or other columns".to_owned()));
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightproof_circuits::parameters::Parameters;
    use weightproof_ledger::event::Event;

    fn space() -> Space {
        let spec = crate::spaces::tests::sample();
        let program = weightproof_circuits::program::Program::decode(&spec.program.0).unwrap();
        let schema = serde_json::from_slice(&spec.schema.0).unwrap();
        Space { id: [1; 32], spec, program, schema, health: Default::default(), summary: Default::default() }
    }

    #[test]
    fn another_model_than_asked_for_is_refused() {
        let space = space();
        let parameters = Parameters::initial(&space.program, [1; 32]);
        let (program, schema) = (space.program.clone(), space.schema.clone());
        let model = ModelFile { parameters, program, model_version: 4, schema };
        let (bytes, digest) = (model.to_bytes().unwrap(), model.digest().unwrap());
        assert_eq!(check_model(&bytes, &space, 4, &digest).unwrap(), model);
        assert!(bytes.len() <= longest_model(&space) && longest_model(&space) < bytes.len() + (1 << 14));
        let refused = |result: Result<ModelFile, Failure>| matches!(result, Err(Failure::Untrusted(_)));
        assert!(refused(check_model(&bytes, &space, 5, &digest)));
        assert!(refused(check_model(&bytes, &space, 4, &[0; 32])));
        assert!(refused(check_model(&bytes[1..], &space, 4, &digest)));
        let mut other = space.clone();
        other.schema.label.name.push('x');
        assert!(refused(check_model(&bytes, &other, 4, &digest)));
    }

    #[test]
    fn a_round_is_what_the_log_opened() {
        let effect = Effect::RoundOpened {
            space: [1; 32],
            round: 3,
            beacon: [4; 32],
            version: 5,
            digest: [6; 32],
            closes: 7,
        };
        let event = Event::OpenRound { space: [1; 32], randomness: [0; 32] };
        let entry = Entry { index: 9, time: 0, event, effects: vec![Effect::Burned { amount: 1 }, effect] };
        let round = v1::Round {
            space: vec![1; 32].into(),
            number: 3,
            open: true,
            model_version: 5,
            model_digest: vec![6; 32].into(),
            beacon: vec![4; 32].into(),
            closes: 7,
            entry: 9,
            ..Default::default()
        };
        assert_eq!(opens(&entry, &[1; 32], &round), Ok(()));
        assert!(opens(&entry, &[2; 32], &round).is_err());
        type Change = fn(&mut v1::Round);
        let changes: [Change; 5] = [
            |round| round.number += 1,
            |round| round.beacon = vec![0; 32].into(),
            |round| round.model_version += 1,
            |round| round.model_digest = vec![0; 32].into(),
            |round| round.closes += 1,
        ];
        for change in changes {
            let mut other = round.clone();
            change(&mut other);
            assert!(opens(&entry, &[1; 32], &other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn entries_publish_by_their_effects() {
        let effects = [
            (
                Effect::SpaceCreated { space: [1; 32], program_digest: [2; 32], model_digest: [3; 32] },
                (0, [3; 32]),
            ),
            (Effect::Reverted { space: [1; 32], version: 5, to: 2, digest: [6; 32] }, (5, [6; 32])),
            (
                Effect::RoundClosed {
                    space: [1; 32],
                    round: 9,
                    version: 7,
                    digest: [8; 32],
                    contributions: 1,
                    state: [0; 32],
                },
                (7, [8; 32]),
            ),
        ];
        for (effect, expected) in effects {
            let event = Event::CloseRound { space: [1; 32] };
            let entry =
                Entry { index: 0, time: 0, event, effects: vec![Effect::Burned { amount: 1 }, effect] };
            assert_eq!(published(&entry, &[1; 32]), Some(expected));
            assert_eq!(published(&entry, &[2; 32]), None);
        }
    }
}
