//! Verifying a bundle: the steps of specs/bundle.md, in their order and under their numbers.
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::{SEAL_HALO2, SEAL_SIGMA, Statement};
use weightproof_ledger::action::SignedReceipt;
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::signed::Message;
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::progress::Progress;
use weightproof_verifier::longest_contribution;

use super::bundle::{Contributions, Entries, Header};
use super::log::{Played, Player};
use super::report::{
    CheckpointFacts, ContributionFacts, Finding, NodeFacts, QualityFacts, Report, SupplyFacts, TaskFacts,
    Verdict, VersionFacts,
};
use super::trace::{ContributionTrace, Trace, VersionTrace};
use super::{AuditError, Stop, plain, plain_lines};
use crate::judge::{self, Judge};
use crate::output::{hex, utc};

/// Verifies a bundle, offline. `pinned` is the node's key from elsewhere; without it the bundle's own word is taken, and
/// the report says so.
///
/// # Errors
/// [`AuditError`] when there is no verdict; whatever does not hold is in the report.
pub fn verify(source: impl Read, pinned: Option<&Id>, progress: &dyn Progress) -> Result<Report, AuditError> {
    let mut audit = Audit { report: Report::new(), pinned, progress };
    let outcome = audit.run(source);
    let mut report = audit.report;
    match outcome {
        Ok(()) => report.verdict = Verdict::Valid,
        Err(Stop::Error(error)) => return Err(error),
        Err(Stop::Finding(finding)) => {
            report.verdict = Verdict::of(&finding);
            report.failure = Some(finding);
        }
    }
    report.summarise();
    Ok(report)
}

struct Audit<'a> {
    report: Report,
    pinned: Option<&'a Id>,
    progress: &'a dyn Progress,
}

/// A model under recomputation: the versions that are still needed, and until which place of the lineage.
struct Models {
    program: Program,
    versions: BTreeMap<u64, Arc<Parameters>>,
    last_use: BTreeMap<u64, usize>,
}

impl Audit<'_> {
    fn run(&mut self, source: impl Read) -> Result<(), Stop> {
        // §1 Header.
        let mut entries = Entries::open(source)?;
        let header = entries.header().clone();
        self.report.version = Some(header.version);
        self.report.node = Some(NodeFacts::new(&header.origin, &header.network, self.pinned.is_some()));
        // §2 Key and checkpoint.
        let player = Player::new(&header.origin, &header.network, &header.checkpoint, self.pinned)?;
        // §3 The log.
        let mut trace = Trace::new(header.space);
        let played = self.play(&mut entries, player, &mut trace)?;
        self.of_log(&header, &played);
        // §4 The lineage.
        let (spec, lineage) = self.lineage(&header, &trace)?;
        // §5 and §6 Contributions and models.
        let mut contributions = entries.contributions()?;
        let total = self.report.contributions;
        if contributions.count() != total {
            let found = contributions.count();
            let code = if found < total { ErrorCode::E106 } else { ErrorCode::E201 };
            let text = format!(
                "expected the {total} contributions of the lineage, found {found}; fetch the bundle again"
            );
            return Err(Finding::new(code, text).into());
        }
        self.models(&header, &spec, &lineage, &mut contributions)?;
        // §7 The end.
        let whole = contributions.finish()?;
        (self.report.bundle_sha256, self.report.bundle_bytes) = (Some(hex(&whole.sha256)), Some(whole.bytes));
        self.conclude(&spec);
        Ok(())
    }

    fn play(
        &mut self,
        entries: &mut Entries<impl Read>,
        mut player: Player,
        trace: &mut Trace,
    ) -> Result<Played, Stop> {
        self.progress.begin("log", entries.count());
        let mut index = 0;
        while let Some(bytes) = entries.next_entry().map_err(|error| Stop::from(error).at(index))? {
            let entry = player.play(&bytes)?;
            self.report.time = Some(utc(entry.time));
            trace.record(&entry);
            index += 1;
            self.step()?;
        }
        Ok(player.finish()?)
    }

    /// One unit of work is done; the user may want it to end.
    fn step(&self) -> Result<(), Stop> {
        self.progress.advance(1);
        if self.progress.cancelled() { Err(Stop::Error(AuditError::Interrupted)) } else { Ok(()) }
    }

    /// What the log says, now that it is the signed one.
    fn of_log(&mut self, header: &Header, played: &Played) {
        let (size, root) = (played.state.entries, played.tree.root());
        self.report.checkpoint = Some(CheckpointFacts::new(size, &root, &header.checkpoint));
        let supply = SupplyFacts::new(&played.state);
        self.report.proved.push(format!(
            "The {size} entries of the log follow from each other by the rules: every account's signature holds, and every effect, balance, stake and reward was computed again. Tokens are conserved: {} allocated + {} minted - {} burned = {}.",
            supply.genesis, supply.emitted, supply.burned, supply.tokens
        ));
        self.report.supply = Some(supply);
        let pinned = if self.pinned.is_some() {
            "That key is the one given with --key."
        } else {
            "The key is the bundle's own word: compare it with one from elsewhere (--key)."
        };
        self.report.signed.push(format!(
            "The node {}, key {}, signed a checkpoint of these {size} entries, root {}. {pinned}",
            plain(&header.origin),
            hex(&header.network),
            hex(&root)
        ));
    }

    /// The versions that this one comes from, written into the report.
    fn lineage(
        &mut self,
        header: &Header,
        trace: &Trace,
    ) -> Result<(Arc<SpaceSpec>, Vec<VersionTrace>), Stop> {
        let Some(spec) = trace.spec.clone() else {
            let text =
                format!("expected a space of this log, found {}, which it never opened", hex(&header.space));
            return Err(Finding::new(ErrorCode::E201, text).into());
        };
        let Some(lineage) = trace.lineage(header.version) else {
            let newest = trace.versions.len().saturating_sub(1);
            let text =
                format!("expected a version up to {newest} of {}, found {}", spec.name, header.version);
            return Err(Finding::new(ErrorCode::E201, text).into());
        };
        let program = decode_program(&spec)?;
        self.report.space = Some(task(header, &spec, &program));
        let versions: Vec<VersionTrace> =
            lineage.iter().filter_map(|number| trace.version(*number)).cloned().collect();
        self.report.lineage = versions.iter().map(version_facts).collect();
        self.report.depth = (versions.len() as u64).saturating_sub(1);
        self.report.model_digest = versions.last().map(|version| hex(&version.digest));
        let made = || versions.iter().flat_map(|version| &version.contributions);
        self.report.contributions = made().count() as u64;
        self.report.rewards = made().fold(0, |sum, contribution| sum.saturating_add(contribution.reward));
        self.report.refused = trace.refused;
        Ok((spec, versions))
    }

    fn models(
        &mut self,
        header: &Header,
        spec: &SpaceSpec,
        lineage: &[VersionTrace],
        contributions: &mut Contributions<impl Read>,
    ) -> Result<(), Stop> {
        let program = decode_program(spec)?;
        let judge = Judge::default();
        let made = || lineage.iter().flat_map(|version| &version.contributions);
        if made().next().is_some() {
            let halo2 = made().any(|contribution| contribution.statement.seal == SEAL_HALO2);
            judge
                .prepare(&program, halo2)
                .map_err(|failure| Finding::new(ErrorCode::E207, failure.to_string()))?;
        }
        self.progress.begin("proofs", self.report.contributions);
        let mut models = Models { last_use: last_uses(lineage), versions: BTreeMap::new(), program };
        let mut before: Option<u64> = None;
        for (place, version) in lineage.iter().enumerate() {
            let mut candidate = match version.reverted_to.or(before) {
                None => Arc::new(Parameters::initial(&models.program, spec.seed)),
                Some(parent) => models.get(parent, version.entry)?,
            };
            for (number, contribution) in version.contributions.iter().enumerate() {
                let receipt = self
                    .contribution(header, contribution, contributions, &judge, &models, &mut candidate)
                    .map_err(|stop| stop.about(contribution))?;
                let facts = self.report.lineage.get_mut(place);
                if let Some(facts) = facts.and_then(|facts| facts.contributions.get_mut(number)) {
                    (facts.proven, facts.receipt) = (true, receipt);
                }
                self.step()?;
            }
            let digest =
                judge::digest(&candidate, &models.program).map_err(|refusal| Finding::refused(&refusal))?;
            if digest != version.digest {
                let text = format!(
                    "version {}: expected the model that follows, {}, found {} in the log",
                    version.version,
                    hex(&digest),
                    hex(&version.digest)
                );
                return Err(Finding::new(ErrorCode::E506, text).at(version.entry).into());
            }
            if let Some(facts) = self.report.lineage.get_mut(place) {
                facts.recomputed = true;
            }
            models.versions.insert(version.version, candidate);
            models.versions.retain(|number, _| models.last_use.get(number).is_some_and(|last| *last > place));
            before = Some(version.version);
        }
        Ok(())
    }

    /// One contribution: the file is the signed one, its proof holds, and the candidate with it is the logged one. Says
    /// whether there was a receipt.
    fn contribution(
        &self,
        header: &Header,
        expected: &ContributionTrace,
        contributions: &mut Contributions<impl Read>,
        judge: &Judge,
        models: &Models,
        candidate: &mut Arc<Parameters>,
    ) -> Result<bool, Stop> {
        let wrong = |code, text: String| Stop::from(Finding::new(code, text));
        let Some(carried) = contributions.next_contribution()? else {
            return Err(wrong(ErrorCode::E106, "expected its file in the bundle, found none".to_owned()));
        };
        if carried.statement_digest != expected.statement_digest {
            let text = format!(
                "expected the contribution with statement {} next, found {}; the bundle holds the lineage in the order of the log",
                hex(&expected.statement_digest),
                hex(&carried.statement_digest)
            );
            return Err(wrong(ErrorCode::E201, text));
        }
        if let Some(receipt) = &carried.receipt {
            check_receipt(receipt, &header.network, expected)?;
        }
        let statement = &expected.statement;
        let longest = longest_contribution(&models.program, statement.dataset_rows, statement.seal);
        if expected.file_length > longest {
            let text =
                format!("expected a file of at most {longest} bytes, found {} signed", expected.file_length);
            return Err(wrong(ErrorCode::E103, text));
        }
        if carried.length != expected.file_length {
            let text = format!(
                "expected the file of {} bytes that was signed, found one of {}",
                expected.file_length, carried.length
            );
            return Err(wrong(ErrorCode::E201, text));
        }
        let file = contributions.file()?;
        let found: [u8; 32] = Sha256::digest(&file).into();
        if found != expected.file_digest {
            let text = format!(
                "expected the file that was signed, SHA-256 {}, found {}",
                hex(&expected.file_digest),
                hex(&found)
            );
            return Err(wrong(ErrorCode::E201, text));
        }
        let base = models.get(statement.model_version, expected.entry)?;
        let refused = |refusal: Refusal| Stop::from(Finding::refused(&refusal));
        let judged = judge.judge(&file, &base, statement).map_err(refused)?;
        if judged.largest != expected.largest {
            let text = format!(
                "expected the largest integer of the update, {}, found {} in the log",
                judged.largest, expected.largest
            );
            return Err(wrong(ErrorCode::E506, text));
        }
        let next = judge::add_weighted(candidate, &judged.update, expected.weight).map_err(refused)?;
        let digest = judge::digest(&next, &models.program).map_err(refused)?;
        if digest != expected.candidate {
            let text = format!(
                "expected the model with the proven update at weight {}, {}, found {} in the log",
                expected.weight,
                hex(&digest),
                hex(&expected.candidate)
            );
            return Err(wrong(ErrorCode::E506, text));
        }
        *candidate = Arc::new(next);
        Ok(carried.receipt.is_some())
    }

    /// What all of it comes to, now that all of it holds.
    fn conclude(&mut self, spec: &SpaceSpec) {
        let report = &mut self.report;
        let made: Vec<&ContributionFacts> =
            report.lineage.iter().flat_map(|version| &version.contributions).collect();
        let (total, receipts) = (made.len(), made.iter().filter(|made| made.receipt).count());
        let version = report.version.unwrap_or_default();
        let digest = report.model_digest.clone().unwrap_or_default();
        let (steps, batch) = report.space.as_ref().map_or((0, 0), |space| (space.steps, space.batch));
        report.proved.push("Version 0 follows from the space's program and seed.".to_owned());
        if total > 0 {
            report.proved.push(format!(
                "Each of the {total} updates is the exact result of the space's program, {steps} steps of {batch} rows, from the version that it names, on rows under the commitment that its contributor registered before the round's beacon was drawn, and on those rows that the beacon chose."
            ));
        }
        report.proved.push(format!(
            "Version {version} with digest {digest} is version 0 with these {total} updates at their logged weights, and nothing else."
        ));
        report.signed.push(format!(
            "Each of the {total} contributions: statement, digest and length of the file, by its contributor's key. Who the contributors are, and that the committed rows are what they say, is their word."
        ));
        if receipts > 0 {
            report.signed.push(format!(
                "Receipts of {receipts} of {total} contributions, by the node's key; each agrees with the log."
            ));
        }
        let mut not_shown = vec![
            "Data quality: whether rows are true, labelled well, representative or even real.".to_owned(),
            "Consent: whether anybody agreed to the use of the data, and whether it was lawful.".to_owned(),
            "Fairness, safety and fitness of the model for any purpose.".to_owned(),
            "Beacon randomness: the operator drew it after the datasets were registered, and nothing shows that it drew only once.".to_owned(),
            if spec.validation.is_some() {
                "Validation accuracy, and the part of rewards that depends on it: the figures are the operator's word."
            } else {
                "Validation accuracy: the space has no validation set."
            }
            .to_owned(),
            format!(
                "Refusals: of the contributions to this space, {} {} logged as having a failing proof, by the operator's word; what was turned away unlogged left no trace.",
                report.refused,
                if report.refused == 1 { "was" } else { "were" }
            ),
            "Times: they are the operator's clock.".to_owned(),
            "One history: that nobody was shown another log. Compare the checkpoint with others', or keep it for `weightproof log verify --since`.".to_owned(),
            "Proofs beyond this lineage: other spaces, and versions that are not among its ancestors, were played by the rules, but their proofs are not in this bundle.".to_owned(),
        ];
        if self.pinned.is_none() {
            not_shown.push("Whose key it is: no key was given with --key.".to_owned());
        }
        report.not_shown = not_shown;
    }
}

impl Models {
    fn get(&self, version: u64, entry: u64) -> Result<Arc<Parameters>, Stop> {
        self.versions.get(&version).cloned().ok_or_else(|| {
            let text = format!("expected a base version of this lineage, found version {version}");
            Finding::new(ErrorCode::E506, text).at(entry).into()
        })
    }
}

impl Stop {
    /// Names the contribution, and its entry, in a finding.
    fn about(self, contribution: &ContributionTrace) -> Stop {
        match self {
            Stop::Finding(mut finding) => {
                let text = format!(
                    "entry {}, contribution {}: ",
                    contribution.entry,
                    hex(&contribution.statement_digest)
                );
                finding.message.insert_str(0, &text);
                Stop::Finding(finding.at(contribution.entry).about(&contribution.statement_digest))
            }
            error @ Stop::Error(_) => error,
        }
    }
}

/// The last place of the lineage at which each version is a base or a parent.
fn last_uses(lineage: &[VersionTrace]) -> BTreeMap<u64, usize> {
    let mut last = BTreeMap::new();
    let mut before = None;
    for (place, version) in lineage.iter().enumerate() {
        let bases = version.contributions.iter().map(|contribution| contribution.statement.model_version);
        for used in bases.chain(version.reverted_to.or(before)) {
            last.insert(used, place);
        }
        before = Some(version.version);
    }
    last
}

/// A receipt is signed by the node, of this contribution, and says what the log says.
fn check_receipt(signed: &SignedReceipt, network: &Id, expected: &ContributionTrace) -> Result<(), Stop> {
    let receipt = &signed.receipt;
    if receipt.verify(network, &signed.signature).is_err() {
        let text = "receipt: expected the node's signature, found one that does not hold";
        return Err(Finding::new(ErrorCode::E205, text).into());
    }
    if receipt.network != *network || receipt.statement_digest != expected.statement_digest {
        let text = "receipt: expected one of this contribution, found another's";
        return Err(Finding::new(ErrorCode::E201, text).into());
    }
    let (said, logged) = (
        (receipt.file_digest, receipt.verdict, receipt.entry, receipt.reward, receipt.time),
        (expected.file_digest, 0, expected.entry, expected.reward, expected.time),
    );
    if said != logged {
        let text = format!(
            "receipt: expected what the log says (accepted in entry {}, reward {}), found a verdict of {} in entry {}, reward {}; the node signed both",
            expected.entry, expected.reward, receipt.verdict, receipt.entry, receipt.reward
        );
        return Err(Finding::new(ErrorCode::E504, text).into());
    }
    Ok(())
}

fn decode_program(spec: &SpaceSpec) -> Result<Program, Stop> {
    Program::decode(&spec.program.0).map_err(|error| Finding::new(error.code(), error.to_string()).into())
}

fn task(header: &Header, spec: &SpaceSpec, program: &Program) -> TaskFacts {
    TaskFacts {
        name: plain(&spec.name),
        id: hex(&header.space),
        program_digest: hex(&program.digest()),
        program: program.to_toml(),
        layers: program.layers().to_vec(),
        steps: program.steps(),
        batch: program.batch(),
        seed: hex(&spec.seed),
        validation: spec.validation.as_ref().map(|digest| hex(digest)),
        schema: plain_lines(&String::from_utf8_lossy(&spec.schema.0)),
        tokens: spec.policy.tokens,
    }
}

fn version_facts(version: &VersionTrace) -> VersionFacts {
    VersionFacts {
        version: version.version,
        digest: hex(&version.digest),
        round: version.round,
        entry: version.entry,
        time: utc(version.time),
        reverted_to: version.reverted_to,
        reason: version.reason.as_deref().map(plain),
        recomputed: false,
        contributions: version.contributions.iter().map(contribution_facts).collect(),
    }
}

fn contribution_facts(made: &ContributionTrace) -> ContributionFacts {
    let statement: &Statement = &made.statement;
    let payout = if statement.payout.is_empty() { &statement.contributor[..] } else { &statement.payout };
    ContributionFacts {
        entry: made.entry,
        time: utc(made.time),
        statement_digest: hex(&made.statement_digest),
        file_sha256: hex(&made.file_digest),
        file_bytes: made.file_length,
        contributor: hex(&statement.contributor),
        round: statement.round,
        base_version: statement.model_version,
        dataset_root: hex(&statement.dataset_root),
        dataset_rows: statement.dataset_rows,
        seal: match statement.seal {
            SEAL_SIGMA => "sigma".to_owned(),
            SEAL_HALO2 => "halo2".to_owned(),
            other => format!("unknown ({other})"),
        },
        weight: made.weight,
        reward: made.reward,
        payout: hex(payout),
        validation: made.quality.as_ref().map(|quality| QualityFacts {
            before: quality.before,
            after: quality.after,
            rows: quality.rows,
        }),
        receipt: false,
        proven: false,
    }
}
