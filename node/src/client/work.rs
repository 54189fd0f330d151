//! A member's work in a space: commit and register the rows, wait for rounds, train, prove, verify, submit.
//!
//! A slot (one round of one account) gets one statement whatever crashes: see [`super::folder`]. Whatever a restart finds
//! made and not settled is submitted again as it is.
use super::Node;
use super::folder::{Folder, Plan, Registered};
use super::patience::{may_pass, persist};
use super::receipt::Settled;
use super::signer::{self, Signer};
use super::space::Space;
use super::upload::Parcel;
use crate::cli::SealName;
use crate::commands::estimate::{describe, estimate_line};
use crate::device::DeviceName;
use crate::engine::{self, Dataset, Proving, Request, Slot, Verifying};
use crate::failure::Failure;
use crate::locations;
use crate::output::{Output, duration, short, size};
use crate::rpc::v1;
use std::path::{Path, PathBuf};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::Action;
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::atomic_file::{Access, write_atomic};
use weightproof_prover::data::{self, Examples, Table};
use weightproof_prover::model_file::ModelFile;
use weightproof_prover::progress::Progress;
use zeroize::Zeroizing;

/// What the work is on.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The data file.
    pub data: &'a Path,
    /// Its label column, if the file calls it otherwise than the space.
    pub label: Option<&'a str>,
    /// The space, if not the one that was joined last.
    pub space: Option<&'a str>,
    /// The seal.
    pub seal: SealName,
    /// Where to train and prove.
    pub device: DeviceName,
    /// Most memory, if there is a limit.
    pub memory_limit: Option<u64>,
    /// Account to reward, if not the own one.
    pub payout: Option<Id>,
    /// Where the passphrase is.
    pub passphrase_file: Option<&'a Path>,
}

/// A member at work in a space.
pub struct Work<'a> {
    node: Node<'a>,
    output: Output,
    space: Space,
    folder: Folder,
    signer: Signer,
    proving: Proving,
    dataset: Dataset,
    secret: PathBuf,
    passphrase_file: Option<PathBuf>,
    payout: Vec<u8>,
    /// Rounds up to this one do not admit the dataset.
    after_round: u64,
}

/// Whether a dataset had to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The node has it already.
    Known,
    /// In this entry of the log.
    Logged(u64),
}

impl<'a> Work<'a> {
    /// Reads the data by the space's columns, unlocks the key and commits to the rows, or finds the commitment that was
    /// made before. Salts are on the disk when this returns.
    ///
    /// # Errors
    /// [`Failure::Data`], [`Failure::Memory`], [`Failure::Key`], [`Failure::Run`], [`Failure::File`]; and those of a call.
    pub fn begin(mut node: Node<'a>, options: Options<'_>, output: &Output) -> Result<Work<'a>, Failure> {
        let space = persist(&mut node, output, |node| node.space(options.space))?;
        let taken = match options.seal {
            SealName::Sigma => space.spec.policy.sigma,
            SealName::Halo2 => space.spec.policy.halo2,
        };
        if !taken {
            let text = format!(
                "expected a --seal that the space takes, found {}; give the other",
                options.seal.name()
            );
            return Err(Failure::Usage(text));
        }
        let table = Table::read(options.data)?;
        let label = options.label.unwrap_or(&space.schema.label.name);
        let (examples, quantization) = data::encode(&table, &space.schema, label, space.program.loss())?;
        let rows = examples.rows();
        output.line(
            "data",
            format!(
                "{rows} rows x {} columns  ok   quantization: max error {:.4}, {} saturated",
                table.header().len() - 1,
                quantization.maximum_error,
                quantization.saturated
            ),
        );
        output.line("space", format!("{} on {}", space.describe(), node.profile().name));
        output.line("model", describe(&space.program));
        let cost = engine::estimate(&space.program, rows, options.seal)?;
        output.line("estimate", estimate_line(&space.program, &cost));
        // The program is the space's: without a limit, it could take all the memory that there is.
        let limit = options.memory_limit.or_else(engine::physical_memory);
        if let Some(limit) = limit.filter(|&limit| cost.memory_bytes > limit) {
            return Err(Failure::Memory { needed: cost.memory_bytes, limit });
        }
        output.line(
            "leaves",
            "to the node and everybody who asks it: account, commitment, number of rows, update, proof.  Never: rows, labels, salts, key.",
        );
        let folder = Folder::open(&locations::data()?, &node.profile().name, &space.spec.name)?;
        let signer = persist(&mut node, output, |node| node.signer(options.passphrase_file))?;
        let proving = Proving::open(&space.program, options.seal, options.device, node.bars())?;
        let secret = folder.secret(&space.id, &table.digest(), label);
        let dataset = commit(&proving, &examples, &secret, &node)?;
        node.bars().clear();
        output.line(
            "commit",
            format!(
                "{} (salted)   rows and salts stay in {} (mode 0600)",
                short(&dataset.root()),
                secret.display()
            ),
        );
        let payout = options.payout.map_or_else(Vec::new, |account| account.to_vec());
        Ok(Work {
            node,
            output: *output,
            space,
            folder,
            signer,
            proving,
            dataset,
            secret,
            passphrase_file: options.passphrase_file.map(Path::to_owned),
            payout,
            after_round: 0,
        })
    }

    /// Where rows and salts are.
    pub fn secret(&self) -> &Path {
        &self.secret
    }

    /// The public commitment and its rows.
    pub fn commitment(&self) -> (Id, u64) {
        (self.dataset.root(), self.dataset.rows())
    }

    /// Registers the commitment, unless the node has it.
    ///
    /// # Errors
    /// [`Failure::Refused`]; and those of a call.
    pub fn register(&mut self) -> Result<Registration, Failure> {
        let (root, rows) = self.commitment();
        let remembered = self.folder.registered()?.filter(|registered| registered.root == root);
        if self.registered_root()?.is_some_and(|found| found == root) {
            self.after_round = remembered.map_or(0, |registered| registered.after_round);
            self.output.line("register", "the node has this dataset already");
            return Ok(Registration::Known);
        }
        let after_round = self.current_round()?.round.map_or(0, |round| round.number);
        self.folder.save_registered(&Registered { root, after_round })?;
        let action = Action::RegisterDataset { space: self.space.id, root, rows };
        let signer = &mut self.signer;
        let logged = persist(&mut self.node, &self.output, |node| node.act(signer, action.clone()))?;
        self.after_round = after_round;
        self.node.bars().clear();
        self.output.line(
            "register",
            format!(
                "{} with {rows} rows   entry {}   it counts from the next round on",
                short(&root),
                logged.entry
            ),
        );
        Ok(Registration::Logged(logged.entry))
    }

    /// The root that the node has of this account in the space; `None` without one.
    fn registered_root(&mut self) -> Result<Option<Id>, Failure> {
        let account = self.signer.account();
        let known = persist(&mut self.node, &self.output, |node| node.account(&account))?;
        let Some(member) = known.memberships.iter().find(|member| member.space.as_ref() == self.space.id)
        else {
            let text = "expected a member of the space, found an account that has not joined; `weightproof join` first";
            return Err(Failure::Refused(Refusal::new(ErrorCode::E503, text)));
        };
        Ok(member.dataset_root.as_ref().try_into().ok())
    }

    fn current_round(&mut self) -> Result<v1::GetCurrentRoundResponse, Failure> {
        let request = v1::GetCurrentRoundRequest {
            space: self.space.id.to_vec().into(),
            account: self.signer.account().to_vec().into(),
        };
        persist(&mut self.node, &self.output, |node| node.get_current_round(request.clone()))
    }

    /// Submits again what an earlier command made and did not see settled.
    ///
    /// # Errors
    /// As for [`Work::contribute`].
    pub fn settle_earlier(&mut self) -> Result<Vec<Settled>, Failure> {
        let mut settled = Vec::new();
        for round in self.folder.unsettled()? {
            let path = self.folder.contribution(round);
            let parcel = Parcel::new(std::fs::read(&path).map_err(Failure::read(&path))?)?;
            self.output
                .line("resume", format!("{} is made and not settled: submitting it again", path.display()));
            settled.push(match self.deliver(&parcel) {
                // Nobody makes another contribution for that round, so what is wrong with this one stops nothing.
                Err(Failure::Refused(refusal)) if !may_be_mended(refusal.code) => {
                    let outcome = Settled::by_refusal(round, &refusal);
                    self.folder.save_settled(&outcome)?;
                    self.output.line("verdict", outcome.describe());
                    outcome
                }
                outcome => outcome?,
            });
        }
        Ok(settled)
    }

    /// Waits for a round after `last` that admits the dataset and has nothing of this account yet.
    ///
    /// # Errors
    /// [`Failure::Interrupted`]; and those of a call.
    pub fn next_round(&mut self, last: u64) -> Result<v1::Round, Failure> {
        let mut said = String::new();
        loop {
            let now = self.current_round()?;
            let round = now.round.unwrap_or_default();
            let reason = if round.number == 0 {
                "no round was opened yet: the first one begins once enough datasets are registered".to_owned()
            } else if !round.open {
                format!("round {} is over, the next one is not open yet", round.number)
            } else if now.contributed || round.number <= last {
                // The usual course of things, often for a moment only.
                String::new()
            } else if round.number <= self.after_round || !now.admitted {
                self.check_stake()?;
                format!("round {} does not admit this dataset, the next one will", round.number)
            } else {
                return Ok(round);
            };
            if reason != said && !reason.is_empty() {
                self.node.bars().clear();
                self.output.line("wait", &reason);
                said = reason;
            }
            self.await_change(&round)?;
        }
    }

    /// No round admits a member whose stake is below what the space asks for: there is nothing to wait for.
    fn check_stake(&mut self) -> Result<(), Failure> {
        let account = self.signer.account();
        let known = persist(&mut self.node, &self.output, |node| node.account(&account))?;
        let minimum = self.space.spec.policy.minimum_stake;
        let of_space = known.memberships.iter().find(|member| member.space == self.space.id.as_slice());
        match of_space.map(|member| member.stake) {
            Some(stake) if stake < minimum => Err(Failure::Refused(Refusal::new(
                ErrorCode::E503,
                format!(
                    "expected a stake of at least {minimum}, found {stake}: no round admits this account; `weightproof stake {}` first",
                    minimum - stake
                ),
            ))),
            _ => Ok(()),
        }
    }

    /// Waits until the rounds are no longer as they were seen.
    fn await_change(&mut self, seen: &v1::Round) -> Result<(), Failure> {
        let request = v1::WatchRoundsRequest { space: self.space.id.to_vec().into() };
        let seen = (seen.number, seen.open);
        persist(&mut self.node, &self.output, |node| {
            node.bars().begin("waiting for a round", 0);
            let mut stream = node.watch_rounds(request.clone())?;
            while let Some(message) = node.next(&mut stream)? {
                let round = message.round.unwrap_or_default();
                if (round.number, round.open) != seen {
                    return Ok(());
                }
            }
            // The node ended the stream: it is about to go.
            Err(Failure::Unreachable(format!(
                "expected news from {}, found the end of them",
                node.profile().address
            )))
        })
    }

    /// Makes the contribution of a round, or finds the one that was made, submits it and keeps the outcome.
    ///
    /// # Errors
    /// [`Failure::Refused`] for a refusal that is not about this round; everything that training and proving may end with;
    /// and those of a call.
    pub fn contribute(&mut self, round: &v1::Round) -> Result<Settled, Failure> {
        let space = self.space.id;
        persist(&mut self.node, &self.output, |node| node.check_opened(&space, round))?;
        let plan = Plan {
            space: self.space.id,
            round: round.number,
            beacon: super::id("beacon", &round.beacon)?,
            model_version: round.model_version,
            model_digest: super::id("model digest", &round.model_digest)?,
            dataset_root: self.dataset.root(),
            contributor: self.signer.account(),
        };
        if let Some(settled) = self.folder.settled(plan.round)? {
            return Ok(settled);
        }
        match agree(self.folder.plan(plan.round)?, &plan)? {
            Agreement::New => self.folder.save_plan(&plan)?,
            Agreement::Same => {}
            Agreement::OtherData => {
                let text = "expected the dataset that this round was begun with, found another; the next round takes it";
                let settled = Settled::by_refusal(plan.round, &Refusal::new(ErrorCode::E206, text));
                self.folder.save_settled(&settled)?;
                return Ok(settled);
            }
        }
        let path = self.folder.contribution(plan.round);
        let parcel = if path.exists() {
            let parcel = Parcel::new(std::fs::read(&path).map_err(Failure::read(&path))?)?;
            if (parcel.space, parcel.round, parcel.contributor) != (plan.space, plan.round, plan.contributor)
            {
                let text = "expected this slot's contribution, found another; move the file away";
                return Err(Failure::Run(format!("{}: {text}", path.display())));
            }
            parcel
        } else {
            let left = round.closes.saturating_sub(signer::now().as_secs());
            self.output.line(
                "round",
                format!(
                    "{}   model version {}   closes in {}",
                    plan.round,
                    plan.model_version,
                    duration(left as f64)
                ),
            );
            Parcel::new(self.make(&plan, &path)?)?
        };
        self.deliver(&parcel)
    }

    /// Trains, proves and verifies; the file is on the disk when this returns.
    fn make(&mut self, plan: &Plan, path: &Path) -> Result<Vec<u8>, Failure> {
        let space = &self.space;
        let base: ModelFile = persist(&mut self.node, &self.output, |node| {
            node.model(space, plan.model_version, &plan.model_digest)
        })?;
        let bars = self.node.bars();
        let request = Request {
            program: &self.space.program,
            base: &base.parameters,
            model_version: plan.model_version,
            dataset: &self.dataset,
            beacon: plan.beacon,
            contributor: plan.contributor,
            slot: Slot { space: plan.space, round: plan.round, payout: self.payout.clone() },
        };
        let made = self.proving.contribute(&request, bars)?;
        bars.begin("verify", 0);
        let checked = Verifying::beside(&self.proving, bars)
            .verify(&made.bytes, &base.parameters, plan.model_version, base.program.weight_bits())
            .map_err(|refusal| {
                Failure::Proof(format!(
                    "expected the proof just made to be valid, found {}: {}; please report this, nothing was sent",
                    refusal.code, refusal.message
                ))
            })?;
        write_atomic(path, &made.bytes, Access::Owner).map_err(Failure::write(path))?;
        bars.clear();
        let steps = self.space.program.steps();
        self.output.line(
            "train",
            format!(
                "{steps} steps in {}   loss {:.4} -> {:.4}",
                duration(made.train_seconds),
                made.first_loss,
                made.last_loss
            ),
        );
        self.output.line(
            "prove",
            format!(
                "in {}   proof {}   seal {}   on {}",
                duration(made.prove_seconds),
                size(checked.proof_bytes),
                checked.statement.seal,
                made.device
            ),
        );
        self.output.line("verify", format!("ok in {}   wrote {}", duration(checked.seconds), path.display()));
        Ok(made.bytes)
    }

    fn send(&mut self, parcel: &Parcel) -> Result<Settled, Failure> {
        let signer = &self.signer;
        persist(&mut self.node, &self.output, |node| node.submit(signer, parcel))
    }

    /// Submits until the node has said what it makes of the file, and keeps that.
    fn deliver(&mut self, parcel: &Parcel) -> Result<Settled, Failure> {
        let mut outcome = self.send(parcel);
        if matches!(&outcome, Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::E205) {
            // The key may have been rotated meanwhile: the one that the node knows now may be here too.
            let passphrase_file = self.passphrase_file.as_deref();
            self.signer = persist(&mut self.node, &self.output, |node| node.signer(passphrase_file))?;
            outcome = self.send(parcel);
        }
        self.node.bars().clear();
        let settled = match outcome {
            Ok(settled) => settled,
            Err(Failure::Refused(refusal)) if settles(refusal.code) => {
                Settled::by_refusal(parcel.round, &refusal)
            }
            Err(failure) => return Err(failure),
        };
        self.folder.save_settled(&settled)?;
        self.output.line("verdict", settled.describe());
        Ok(settled)
    }
}

/// The commitment that was made before, or a new one whose salts are written down before anybody hears of it.
fn commit(
    proving: &Proving,
    examples: &Examples,
    secret: &Path,
    node: &Node<'_>,
) -> Result<Dataset, Failure> {
    match std::fs::read(secret) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let dataset = proving.restore(&bytes).map_err(|message| {
                Failure::Run(format!(
                    "{}: expected rows and salts, found: {message}; restore the file",
                    secret.display()
                ))
            })?;
            if dataset.rows() != examples.rows() as u64 {
                let text = "expected the rows of the data file, found others; restore the file";
                return Err(Failure::Run(format!("{}: {text}", secret.display())));
            }
            Ok(dataset)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let dataset = proving.commit(examples, node.bars())?;
            write_atomic(secret, &dataset.secret_bytes(), Access::Owner).map_err(Failure::write(secret))?;
            Ok(dataset)
        }
        Err(error) => Err(Failure::read(secret)(error)),
    }
}

/// How the plan of a slot relates to what the round is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreement {
    New,
    Same,
    OtherData,
}

fn agree(stored: Option<Plan>, now: &Plan) -> Result<Agreement, Failure> {
    let Some(stored) = stored else { return Ok(Agreement::New) };
    let same_data = (stored.dataset_root, stored.contributor) == (now.dataset_root, now.contributor);
    let of_now = Plan { dataset_root: now.dataset_root, contributor: now.contributor, ..stored.clone() };
    if of_now != *now {
        return Err(Failure::Untrusted(format!(
            "expected round {} as the node described it before (beacon {}, model {}), found beacon {}, model {}; ask the operator",
            now.round,
            short(&stored.beacon),
            short(&stored.model_digest),
            short(&now.beacon),
            short(&now.model_digest)
        )));
    }
    Ok(if same_data { Agreement::Same } else { Agreement::OtherData })
}

/// Whether a refusal ends a slot, so that only the next round can help. Others can be mended while the round lasts: a
/// stake that is too small, a key that was rotated.
fn settles(code: ErrorCode) -> bool {
    use ErrorCode::{E202, E203, E204, E206, E502, E601, E603};
    matches!(code, E202 | E203 | E204 | E206 | E502 | E601 | E603)
}

/// Whether the member can do something about a refusal while the round lasts.
fn may_be_mended(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::E205 | ErrorCode::E503)
}

/// Whether somebody who contributes to every round goes on after this outcome: it is about the round and not about the
/// data, the key or this software.
pub fn goes_on(settled: &Settled) -> bool {
    settled.refusal().is_none_or(|refusal| settles(refusal.code) || may_pass(&Failure::Refused(refusal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            space: [1; 32],
            round: 2,
            beacon: [3; 32],
            model_version: 4,
            model_digest: [5; 32],
            dataset_root: [6; 32],
            contributor: [7; 32],
        }
    }

    #[test]
    fn one_slot_has_one_plan() {
        assert_eq!(agree(None, &plan()).unwrap(), Agreement::New);
        assert_eq!(agree(Some(plan()), &plan()).unwrap(), Agreement::Same);
        assert_eq!(
            agree(Some(Plan { dataset_root: [0; 32], ..plan() }), &plan()).unwrap(),
            Agreement::OtherData
        );
        for changed in [
            Plan { beacon: [0; 32], ..plan() },
            Plan { model_version: 5, ..plan() },
            Plan { model_digest: [0; 32], ..plan() },
        ] {
            assert!(matches!(agree(Some(changed), &plan()), Err(Failure::Untrusted(_))));
        }
    }

    #[test]
    fn stale_rounds_do_not_stop_unattended_work_and_invalid_proofs_do() {
        let settled = |code| Settled::by_refusal(1, &Refusal::new(code, ""));
        assert!(
            [ErrorCode::E203, ErrorCode::E502, ErrorCode::E206].into_iter().map(settled).all(|s| goes_on(&s))
        );
        assert!(
            ![ErrorCode::E307, ErrorCode::E205, ErrorCode::E503]
                .into_iter()
                .map(settled)
                .any(|s| goes_on(&s))
        );
        assert!(goes_on(&Settled { accepted: true, ..settled(ErrorCode::E307) }));
    }
}
