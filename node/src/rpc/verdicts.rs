//! Verdicts: how an uploaded contribution becomes one, and the last ones that were not logged.
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::action::{SignedReceipt, code_of, is_proof_fault};
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::step::admit;
use weightproof_ledger::{Id, Refusal};

use super::context::Context;
use super::uploads::Upload;
use super::v1;
use crate::core::{Judgement, VerdictEvent};
use crate::observe::metrics;

/// Verdicts without a log entry that are remembered.
const KEPT: usize = 4096;

/// Verdicts on files that are in no log: so that asking again costs nothing. What admission refuses is not among them: that
/// costs little, and may be mended (another key, more stake, the next round).
#[derive(Debug, Default)]
pub struct Unlogged(Mutex<(BTreeMap<Id, v1::Verdict>, VecDeque<Id>)>);

impl Unlogged {
    /// The verdict on an upload.
    pub fn get(&self, upload: &Id) -> Option<v1::Verdict> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.get(upload).cloned()
    }

    fn keep(&self, upload: Id, verdict: v1::Verdict) {
        let (verdicts, order) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.insert(upload, verdict).is_none() {
            order.push_back(upload);
        }
        while order.len() > KEPT {
            order.pop_front().map(|oldest| verdicts.remove(&oldest));
        }
    }
}

/// A receipt as it travels.
pub fn receipt(signed: &SignedReceipt) -> v1::SignedReceipt {
    let receipt = &signed.receipt;
    v1::SignedReceipt {
        network: receipt.network.to_vec().into(),
        statement_digest: receipt.statement_digest.to_vec().into(),
        file_digest: receipt.file_digest.to_vec().into(),
        verdict: receipt.verdict.into(),
        entry: receipt.entry,
        reward: receipt.reward,
        time: receipt.time,
        signature: signed.signature.to_vec().into(),
    }
}

fn verdict(
    statement: &Statement,
    refusal: Option<&Refusal>,
    signed: Option<&SignedReceipt>,
    milliseconds: f64,
) -> v1::Verdict {
    v1::Verdict {
        accepted: refusal.is_none(),
        code: refusal.map_or_else(String::new, |refusal| refusal.code.to_string()),
        message: refusal.map_or_else(String::new, |refusal| refusal.message.clone()),
        receipt: signed.map(receipt),
        verify_ms: milliseconds,
        account: statement.contributor.to_vec().into(),
        space: statement.space.to_vec().into(),
        round: statement.round,
    }
}

impl Context {
    /// The logged outcome of a statement, if it has one. An accepted one comes with `E202`: it is a replay.
    ///
    /// # Errors
    /// `E505`, `E506`.
    pub fn logged_verdict(
        &self,
        statement: &Statement,
        replay: bool,
    ) -> Result<Option<v1::Verdict>, Refusal> {
        let bytes = self.reader.receipt(&statement.digest()).map_err(|error| Refusal::from(&error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let signed = SignedReceipt::decode(&bytes, "receipt").map_err(|_| {
            Refusal::new(
                ErrorCode::E506,
                "expected a stored receipt, found other bytes; the operator must restore the data folder",
            )
        })?;
        let entry = signed.receipt.entry;
        Ok(Some(match code_of(signed.receipt.verdict) {
            Some(code) => {
                let text = format!("the contribution was refused in entry {entry}: {}", code.meaning());
                verdict(statement, Some(&Refusal::new(code, text)), Some(&signed), 0.0)
            }
            None => {
                let mut found = verdict(statement, None, Some(&signed), 0.0);
                if replay {
                    found.code = ErrorCode::E202.to_string();
                    found.message = format!(
                        "the contribution was accepted in entry {entry}; this is its receipt, nothing was done again"
                    );
                }
                found
            }
        }))
    }

    /// A stored receipt as a verdict; what the statement held beyond it is in the log.
    pub fn describe_receipt(&self, bytes: &[u8]) -> Option<v1::Verdict> {
        let signed = SignedReceipt::decode(bytes, "receipt").ok()?;
        let code = code_of(signed.receipt.verdict);
        Some(v1::Verdict {
            accepted: code.is_none(),
            code: code.map_or_else(String::new, |code| code.to_string()),
            message: code.map_or_else(String::new, |code| code.meaning().to_owned()),
            receipt: Some(receipt(&signed)),
            ..v1::Verdict::default()
        })
    }

    /// Verifies a complete upload and lets the writer decide. What is decided is final, and asking again gives it again.
    ///
    /// # Errors
    /// What is no verdict: `E101` when the bytes are not the signed ones, `E401`, `E505`.
    pub async fn decide(self: &Arc<Self>, upload: &Arc<Upload>) -> Result<v1::Verdict, Refusal> {
        // Two connections of one upload get one verdict.
        let _deciding = upload.deciding.lock().await;
        let statement = upload.submission.statement()?;
        if let Some(known) = self.unlogged.get(&upload.id) {
            return Ok(known);
        }
        // Decided while this connection waited.
        if self.uploads.find(&upload.id).is_none()
            && let Some(verdict) = self.logged(&statement, false).await?
        {
            return Ok(verdict);
        }
        let _place = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| {
            Refusal::new(ErrorCode::E401, "expected room in the verifier's queue, found it full; upload again in a moment, the bytes are kept")
        })?;
        metrics::queue_depth(self.waiting());
        let permit = Arc::clone(&self.verifiers).acquire_owned().await.map_err(|_| stopping())?;
        let context = Arc::clone(self);
        let judged = Arc::clone(upload);
        let span = tracing::info_span!("verify");
        let result = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let _in = span.enter();
            context.judge_upload(&judged)
        })
        .await;
        let Ok(result) = result else {
            // A fault of ours, and the same file would meet it again: the contributor gets an answer, the operator a line.
            tracing::error!(file = %crate::output::hex(&upload.submission.file_digest), "the verifier failed on a file; please report it with the file");
            let text = "expected a verdict, found that the verifier failed on this file; please report it with the file";
            let verdict = verdict(&statement, Some(&Refusal::new(ErrorCode::E401, text)), None, 0.0);
            self.unlogged.keep(upload.id, verdict.clone());
            self.uploads.finish(&upload.id);
            return Ok(verdict);
        };
        let (judgement, file, milliseconds) = match result {
            Ok(judged) => judged,
            Err(Stop::About(refusal)) if is_final(refusal.code) => {
                return self.refuse(upload, &statement, &refusal, 0.0).await;
            }
            Err(Stop::About(refusal) | Stop::Way(refusal)) => return Err(refusal),
        };
        let decided = self.handle.commands.contribution(upload.signed(), judgement, file).await;
        let verdict = match decided {
            Ok(decided) => {
                let verdict =
                    verdict(&statement, decided.refusal.as_ref(), Some(&decided.receipt), milliseconds);
                metrics::submission(decided.refusal.as_ref().map(|refusal| refusal.code));
                metrics::rewarded(decided.receipt.receipt.reward);
                self.announce(&verdict);
                verdict
            }
            Err(refusal) if is_final(refusal.code) => {
                return self.refuse(upload, &statement, &refusal, milliseconds).await;
            }
            Err(refusal) => return Err(refusal),
        };
        self.uploads.finish(&upload.id);
        // The round may be complete now.
        self.handle.commands.tick();
        Ok(verdict)
    }

    /// [`Context::logged_verdict`], where it may block.
    ///
    /// # Errors
    /// As there.
    pub async fn logged(
        self: &Arc<Self>,
        statement: &Statement,
        replay: bool,
    ) -> Result<Option<v1::Verdict>, Refusal> {
        let (context, about) = (Arc::clone(self), statement.clone());
        let logged = tokio::task::spawn_blocking(move || context.logged_verdict(&about, replay)).await;
        logged.map_err(|_| {
            Refusal::new(ErrorCode::E401, "a read of the database ended unexpectedly; ask again")
        })?
    }

    /// Refuses an upload without a log entry, unless it was decided on another way meanwhile: then that is the answer.
    async fn refuse(
        self: &Arc<Self>,
        upload: &Upload,
        statement: &Statement,
        refusal: &Refusal,
        milliseconds: f64,
    ) -> Result<v1::Verdict, Refusal> {
        metrics::submission(Some(refusal.code));
        if may_be_logged(refusal.code)
            && let Some(verdict) = self.logged(statement, true).await?
        {
            self.uploads.finish(&upload.id);
            return Ok(verdict);
        }
        let verdict = verdict(statement, Some(refusal), None, milliseconds);
        if !may_be_mended(refusal.code) {
            self.unlogged.keep(upload.id, verdict.clone());
        }
        self.announce(&verdict);
        self.uploads.finish(&upload.id);
        Ok(verdict)
    }

    fn announce(&self, verdict: &v1::Verdict) {
        // Nobody need be watching.
        let _ = self.handle.verdicts.send(VerdictEvent { verdict: verdict.clone() });
    }

    /// Reads, admits again and verifies: this is where the time goes.
    fn judge_upload(&self, upload: &Upload) -> Result<(Judgement, Vec<u8>, f64), Stop> {
        // Cheap before dear: much may have happened since the upload was announced.
        let snapshot = self.snapshot();
        let admitted = admit(&snapshot.state, &upload.signed())?;
        let file = upload.file().map_err(Stop::Way)?;
        let space =
            snapshot.state.spaces.get(&admitted.statement.space).ok_or_else(super::context::no_space)?;
        let program = Program::decode(&space.spec.program.0)
            .map_err(|error| Refusal::new(error.code(), error.to_string()))?;
        let base = self.model(&admitted.statement.model_digest, &program)?;
        match self.judge.judge(&file, &base, &admitted.statement) {
            Ok(judged) => {
                self.latencies.record(judged.milliseconds);
                metrics::verified(Duration::from_secs_f64(judged.milliseconds / 1000.0));
                let judgement = Judgement::Valid { update: judged.update, largest: judged.largest };
                Ok((judgement, file, judged.milliseconds))
            }
            Err(refusal) if is_proof_fault(refusal.code) => {
                Ok((Judgement::Invalid(refusal), Vec::new(), 0.0))
            }
            Err(refusal) => Err(Stop::About(refusal)),
        }
    }
}

/// Why there is no judgement.
enum Stop {
    /// It is about the contribution.
    About(Refusal),
    /// The bytes that came are not the signed ones: the right ones may follow.
    Way(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::About(refusal)
    }
}

/// Whether a refusal is an answer about the contribution, and not about the node's present trouble or the bytes' way here.
fn is_final(code: ErrorCode) -> bool {
    use ErrorCode::{E401, E402, E404, E505, E506};
    !matches!(code, E401 | E402 | E404 | E505 | E506)
}

/// Whether a refusal may be about a statement that was decided on before.
pub fn may_be_logged(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::E202 | ErrorCode::E203 | ErrorCode::E502)
}

/// Whether the very same submission may be taken later: it is the state that stood against it, not the file.
fn may_be_mended(code: ErrorCode) -> bool {
    use ErrorCode::{E202, E203, E205, E501, E502, E503};
    matches!(code, E202 | E203 | E205 | E501 | E502 | E503)
}

fn stopping() -> Refusal {
    Refusal::new(
        ErrorCode::E401,
        "expected a running node, found one that is stopping; try again when it is back",
    )
}
