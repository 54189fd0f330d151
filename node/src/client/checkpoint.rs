//! The log as this client has seen it: every checkpoint must be signed by the node and continue the last one.
use super::Node;
use super::signer;
use crate::failure::Failure;
use crate::rpc::v1;
use std::path::PathBuf;
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::log::{Checkpoint, Hash, LogError, VerifierKey, verify_consistency};
use weightproof_ledger::signed::usable_key;
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::atomic_file::{Access, write_atomic};

/// Opens a note as a checkpoint of the log `origin` of the node with the key `network`.
///
/// # Errors
/// [`Failure::Untrusted`].
pub fn open(note: &str, origin: &str, network: &Id) -> Result<Checkpoint, Failure> {
    let untrusted = |found: String| {
        Failure::Untrusted(format!(
            "expected a checkpoint that the node signed, found: {found}; somebody may stand between you and the node: send nothing"
        ))
    };
    let key = usable_key(network).map_err(|refusal| untrusted(refusal.to_string()))?;
    let key = VerifierKey::new(origin, key).map_err(|error| untrusted(error.to_string()))?;
    Checkpoint::open(note, origin, &key).map_err(|error| untrusted(error.to_string()))
}

/// Whether `new` continues `old`; `prove` fetches the hashes that show it.
///
/// # Errors
/// The outer one is of `prove`; the inner one says that the logs disagree.
pub fn continues(
    old: &Checkpoint,
    new: &Checkpoint,
    prove: impl FnOnce(u64, u64) -> Result<Vec<Hash>, Failure>,
) -> Result<Result<(), LogError>, Failure> {
    let (from, to) = (old.size(), new.size());
    // A log that became shorter forgot what it promised: there is nothing to ask for.
    let hashes = if from < to { prove(from, to)? } else { Vec::new() };
    Ok(verify_consistency(from, old.root(), to, new.root(), &hashes))
}

impl Node<'_> {
    /// The newest checkpoint, which is signed and continues the one seen last; it is remembered.
    ///
    /// # Errors
    /// [`Failure::Fork`] when the node shows another history than before: both checkpoints are then in a file as evidence.
    /// [`Failure::Untrusted`] without a good signature; and those of a call.
    pub fn look_at_log(&mut self) -> Result<Checkpoint, Failure> {
        let note = self.get_checkpoint(v1::GetCheckpointRequest {})?.checkpoint;
        let (origin, network) = (self.profile.origin.clone(), self.profile.network);
        let checkpoint = open(&note, &origin, &network)?;
        if let Some(seen) = self.profile.checkpoint.clone() {
            let old = open(&seen, &origin, &network)?;
            let verdict = continues(&old, &checkpoint, |old_size, new_size| {
                let proof =
                    self.get_consistency_proof(v1::GetConsistencyProofRequest { old_size, new_size })?;
                proof.hashes.iter().map(|hash| super::id("a hash of the log", hash)).collect()
            })?;
            if let Err(error) = verdict {
                return Err(self.fork(&seen, &note, &error)?);
            }
        }
        let size = checkpoint.size();
        let newer = |text: &str| open(text, &origin, &network).is_ok_and(|stored| stored.size() > size);
        self.profiles.remember(&mut self.profile, &note, newer)?;
        Ok(checkpoint)
    }

    /// Keeps both checkpoints: two signatures that nobody can take back.
    fn fork(&self, seen: &str, shown: &str, error: &LogError) -> Result<Failure, Failure> {
        let path = self.evidence_path();
        let text = format!(
            "Two checkpoints by the same key that are not of one log: {error}\n\nseen before:\n{seen}\nshown at {}:\n{shown}",
            crate::output::utc(signer::now().as_secs())
        );
        write_atomic(&path, text.as_bytes(), Access::Shared).map_err(Failure::write(&path))?;
        let message = format!(
            "expected a log that continues the one seen before, found another: {error}; both signed checkpoints are in {}: show them to the operator and the other members, and send nothing to this node",
            path.display()
        );
        Ok(Failure::Fork(Refusal::new(ErrorCode::E504, message)))
    }

    fn evidence_path(&self) -> PathBuf {
        let now = signer::now().as_secs();
        self.profiles.path(&self.profile.name, &format!("-fork-{now}.txt"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use weightproof_ledger::log::{Tree, leaf_hash};

    const ORIGIN: &str = "verifier.example/log";

    fn tree(entries: &[u8]) -> Tree {
        entries.iter().map(|entry| leaf_hash(&[*entry])).collect()
    }

    fn checkpoint(tree: &Tree) -> Checkpoint {
        Checkpoint::new(ORIGIN, tree.len(), tree.root()).unwrap()
    }

    #[test]
    fn only_the_nodes_own_checkpoints_open() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let network = key.verifying_key().to_bytes();
        let point = checkpoint(&tree(&[1, 2, 3]));
        let note = point.sign(&key).unwrap();
        assert_eq!(open(&note, ORIGIN, &network).unwrap(), point);
        let other = SigningKey::from_bytes(&[2; 32]);
        for (note, origin, network) in [
            (point.sign(&other).unwrap(), ORIGIN, network),
            (note.clone(), "another.example/log", network),
            (note.replace("\n3\n", "\n4\n"), ORIGIN, network),
            (note.clone(), ORIGIN, [0; 32]),
        ] {
            assert!(matches!(open(&note, origin, &network), Err(Failure::Untrusted(_))), "{note}");
        }
    }

    #[test]
    fn a_log_may_grow_and_nothing_else() {
        let long = tree(&[1, 2, 3, 4, 5]);
        let prove = |tree: Tree| move |old, new| Ok(tree.consistency_proof(old, new).unwrap());
        let verdict = |old: &Tree, new: &Tree| {
            continues(&checkpoint(old), &checkpoint(new), prove(new.clone()))
                .unwrap()
                .map_err(|error| error.code())
        };
        assert_eq!(verdict(&tree(&[1, 2, 3]), &long), Ok(()));
        assert_eq!(verdict(&long, &long), Ok(()));
        assert_eq!(verdict(&long, &tree(&[1, 2, 3])), Err(ErrorCode::E504));
        assert_eq!(verdict(&tree(&[1, 2, 9]), &long), Err(ErrorCode::E504));
        assert_eq!(verdict(&long, &tree(&[1, 2, 3, 4, 9])), Err(ErrorCode::E504));
        // A proof that is not given proves nothing.
        let none = continues(&checkpoint(&tree(&[1, 2, 3])), &checkpoint(&long), |_, _| Ok(Vec::new()));
        assert!(none.unwrap().is_err());
    }
}
