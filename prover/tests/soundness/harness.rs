//! Cases, the tampering channel, the probe and the judge.

use std::sync::OnceLock;

use weightproof_circuits::algebra::{Algebra, ArgumentError, Check, Clear};
use weightproof_circuits::argument::{self, Opened};
use weightproof_circuits::exact::{exp_table, run};
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Layout, Tensor};
use weightproof_circuits::multilinear::eq_table;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::transcript::Transcript;
use weightproof_prover::argument::{
    Channel, ProvedClaim, Prover, Witness, gates, lookup, products, reduction, relations, weights,
};
use weightproof_prover::progress::Silent;

use crate::common::{self, on_cpu};
use crate::forge::{Forged, Optimizer, Rewrite, Site, Source, faithful, forge, update};

/// A program with public data and its honest run.
pub struct Case {
    pub program: Program,
    pub layout: Layout,
    pub optimizer: Optimizer,
    pub base: Parameters,
    pub x: Vec<i16>,
    pub y: Vec<i16>,
    pub exponential: Vec<u16>,
    pub honest: Forged,
    pub update: Parameters,
}

impl Case {
    fn new(program: Program, seed: u64) -> Self {
        let base = Parameters::initial(&program, [seed as u8; 32]);
        Self::with_base(program, base, seed)
    }

    fn with_base(program: Program, base: Parameters, seed: u64) -> Self {
        let layout = Layout::new(&program);
        let (x, y) = common::batches(&program, seed);
        let exponential = exp_table(program.activation_bits());
        let optimizer = Optimizer::of(&program);
        let source = Source {
            program: &program,
            layout: &layout,
            optimizer: &optimizer,
            base: &base,
            x: &x,
            y: &y,
            exponential: &exponential,
        };
        let honest = forge(&source, &faithful);
        let update = update(&program, &honest.gradients, &optimizer.out);
        let (_, expected) = run(&program, &base, &x, &y).expect("test data stays in range");
        assert_eq!(update, expected, "the forger without overrides is the reference");
        Self { program, layout, optimizer, base, x, y, exponential, honest, update }
    }

    /// The public values of this case as a forger's source.
    pub fn source(&self) -> Source<'_> {
        Source {
            program: &self.program,
            layout: &self.layout,
            optimizer: &self.optimizer,
            base: &self.base,
            x: &self.x,
            y: &self.y,
            exponential: &self.exponential,
        }
    }

    /// The honest value at a site.
    pub fn at(&self, site: Site) -> i64 {
        i64::from(self.honest.stack[site.position(&self.layout)])
    }

    /// Declared sites of a tensor, by row and unit.
    pub fn sites(&self, tensor: Tensor) -> Vec<Site> {
        let units = self.layout.block(tensor).expect("the layout has the tensor").units;
        let rows = self.layout.steps * self.layout.batch;
        (0..rows).flat_map(|row| (0..units).map(move |unit| Site::new(tensor, row, unit))).collect()
    }

    /// The first site whose honest value suits.
    pub fn find(&self, tensor: Tensor, suits: impl Fn(Site, i64) -> bool) -> Site {
        self.sites(tensor)
            .into_iter()
            .find(|site| suits(*site, self.at(*site)))
            .expect("the case has a value that suits the attack")
    }

    /// The transcript that the verifier starts from.
    pub fn transcript(&self) -> Transcript {
        Transcript::new("soundness", &[7; 32])
    }

    /// The honest prover's material.
    pub fn honest(&'static self) -> Cheat {
        Cheat {
            case: self,
            prover_program: self.program.clone(),
            prover_base: self.base.clone(),
            update: self.update.clone(),
            stack: self.honest.stack.clone(),
            data: self.honest.data.clone(),
            exponential: self.exponential.clone(),
        }
        .counted()
    }

    /// A forged run, with the update that follows from it.
    pub fn forged(&'static self, rewrite: Rewrite<'_>) -> Cheat {
        self.forged_from(&self.source(), rewrite)
    }

    /// A forged run from other public values; the dataset rows stay the case's own.
    pub fn forged_from(&'static self, source: &Source<'_>, rewrite: Rewrite<'_>) -> Cheat {
        let forged = forge(source, rewrite);
        let update = update(&self.program, &forged.gradients, &source.optimizer.out);
        Cheat {
            case: self,
            prover_program: self.program.clone(),
            prover_base: self.base.clone(),
            update,
            stack: forged.stack,
            data: self.honest.data.clone(),
            exponential: self.exponential.clone(),
        }
        .counted()
    }
}

/// ReLU and softmax, with padding on every axis and gaps on both sides of a dataset row's labels.
pub fn relu() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let program = common::program("[3, 5, 3]", "relu", "softmax-cross-entropy", 3, 3, "0.5");
        Case::new(program, 11)
    })
}

/// Linear layers and squared error, likewise.
pub fn linear() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let program = common::program("[3, 5, 3]", "identity", "squared-error", 3, 3, "0.5");
        Case::new(program, 12)
    })
}

/// A case whose last layer starts from zero, so that all logits of the first step tie.
pub fn tied() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let program = common::program("[3, 5, 3]", "relu", "softmax-cross-entropy", 2, 3, "0.0");
        let mut base = Parameters::initial(&program, [13; 32]);
        base.layers[1].weights.fill(0);
        base.layers[1].biases.fill(0);
        Case::with_base(program, base, 13)
    })
}

/// The other shapes of a program: one layer, one step, one example, one output, each gate with each loss.
pub fn shapes() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        (20..).zip(common::programs()).map(|(seed, program)| Case::new(program, seed)).collect()
    })
}

/// What a malicious prover commits to and proves with.
#[derive(Clone)]
pub struct Cheat {
    pub case: &'static Case,
    /// The program whose optimizer the prover uses.
    pub prover_program: Program,
    /// The model that the prover evaluates; the verifier holds the case's.
    pub prover_base: Parameters,
    /// The update that is published.
    pub update: Parameters,
    pub stack: Vec<i32>,
    pub data: Vec<i32>,
    /// The table that the prover evaluates; the verifier holds the case's.
    pub exponential: Vec<u16>,
}

impl Cheat {
    pub fn witness(&self) -> Witness<'_> {
        Witness {
            program: &self.prover_program,
            layout: &self.case.layout,
            stack: self.stack.clone(),
            data: self.data.clone(),
            base: &self.prover_base,
            update: &self.update,
            exponential: self.exponential.as_slice().into(),
            // The mask is the halo2 seal's.
            mask: Vec::new(),
        }
    }

    /// With the multiplicities that cheat best: everything that is in its table is counted.
    pub fn counted(mut self) -> Self {
        let mut witness = self.witness();
        witness.count_multiplicities_within();
        let stack = std::mem::take(&mut witness.stack);
        drop(witness);
        self.stack = stack;
        self
    }

    /// The first value that no table holds.
    pub fn outside(&self) -> Option<(Tensor, usize, i32)> {
        self.witness().count_multiplicities_within()
    }

    /// Tensors in which the stack differs from the honest one.
    pub fn touched(&self) -> Vec<Tensor> {
        let honest = self.case.honest();
        let blocks = self.case.layout.blocks.iter();
        blocks
            .filter(|block| self.stack[block.range()] != honest.stack[block.range()])
            .map(|block| block.tensor)
            .collect()
    }

    /// The honest prover's messages over this material.
    pub fn prove(&self) -> Sent {
        self.prove_tampered(&mut |_| {})
    }

    /// The messages, each as it is altered on its way out.
    pub fn prove_tampered(&self, tamper: Tamper<'_>) -> Sent {
        prove_split(self, self, tamper)
    }

    /// The messages of the pieces before the lookup.
    pub fn prove_without_lookup(&self) -> Sent {
        let mut honest = |_: &mut Outgoing<'_>| {};
        let mut channel = TamperChannel::new(self.case.transcript(), &mut honest);
        let witness = self.witness();
        prove_arithmetic(&on_cpu(&witness), &on_cpu(&witness), &mut channel);
        channel.sent
    }

    /// The messages under another transcript than the case's.
    pub fn prove_under(&self, transcript: Transcript) -> Sent {
        prove_all(self, self, transcript, &mut |_| {})
    }
}

/// Proves relations, products and weights over one witness and the rest over another.
pub fn prove_split(first: &Cheat, second: &Cheat, tamper: Tamper<'_>) -> Sent {
    prove_all(first, second, first.case.transcript(), tamper)
}

fn prove_all(first: &Cheat, second: &Cheat, transcript: Transcript, tamper: Tamper<'_>) -> Sent {
    let mut channel = TamperChannel::new(transcript, tamper);
    let (witness, later) = (first.witness(), second.witness());
    let later = on_cpu(&later);
    let mut claims = prove_arithmetic(&on_cpu(&witness), &later, &mut channel);
    lookup::prove(&later, &mut channel, &mut claims, &Silent).expect("lookups");
    reduction::prove(&later, &mut channel, &claims).expect("reduction");
    channel.sent
}

/// Relations, products and weights over one witness, gates over another.
fn prove_arithmetic(
    prover: &Prover<'_>,
    later: &Prover<'_>,
    channel: &mut TamperChannel<'_>,
) -> Vec<ProvedClaim> {
    let mut claims = Vec::new();
    let relation = relations::prove(prover, channel, &mut claims).expect("relations");
    let product = products::prove(prover, channel, &relation, &mut claims).expect("products");
    weights::prove(prover, channel, &relation, &product, &mut claims).expect("weights");
    gates::prove(later, channel, &relation, &mut claims).expect("gates");
    claims
}

/// A finished transcript.
#[derive(Clone, Default)]
pub struct Sent {
    pub labels: Vec<&'static str>,
    pub messages: Vec<Vec<F>>,
}

impl Sent {
    /// Index of a message by label and occurrence.
    pub fn index(&self, label: &str, occurrence: usize) -> usize {
        let mut found = (0..self.labels.len()).filter(|i| self.labels[*i] == label);
        found.nth(occurrence).expect("the program has the message")
    }
}

/// A message on its way out.
pub struct Outgoing<'a> {
    pub label: &'static str,
    /// Earlier messages, all labels.
    pub index: usize,
    /// Earlier messages of this label.
    pub occurrence: usize,
    pub values: &'a mut Vec<F>,
    /// Everything drawn so far.
    pub challenges: &'a [(&'static str, F)],
}

impl Outgoing<'_> {
    /// The last challenge of a label.
    pub fn last(&self, label: &str) -> F {
        self.challenges.iter().rev().find(|(l, _)| *l == label).expect("a challenge of the label").1
    }
}

/// Alters messages.
pub type Tamper<'a> = &'a mut dyn FnMut(&mut Outgoing<'_>);

struct TamperChannel<'a> {
    transcript: Transcript,
    sent: Sent,
    challenges: Vec<(&'static str, F)>,
    tamper: Tamper<'a>,
}

impl<'a> TamperChannel<'a> {
    fn new(transcript: Transcript, tamper: Tamper<'a>) -> Self {
        Self { transcript, sent: Sent::default(), challenges: Vec::new(), tamper }
    }
}

impl Channel for TamperChannel<'_> {
    fn send(&mut self, label: &'static str, mut values: Vec<F>) {
        let occurrence = self.sent.labels.iter().filter(|l| **l == label).count();
        let index = self.sent.labels.len();
        let challenges = &self.challenges;
        (self.tamper)(&mut Outgoing { label, index, occurrence, values: &mut values, challenges });
        self.transcript.absorb_scalars(label, &values);
        self.sent.labels.push(label);
        self.sent.messages.push(values);
    }
    fn send_opening_value(&mut self, value: F) {
        self.send(weightproof_circuits::algebra::OPENING_VALUE, vec![value]);
    }
    fn challenge(&mut self, label: &'static str) -> F {
        let challenge = self.transcript.challenge(label);
        self.challenges.push((label, challenge));
        challenge
    }
}

/// Runs every check to the end, measuring by how much each fails.
pub struct Probe<'a> {
    transcript: Transcript,
    messages: core::slice::Iter<'a, Vec<F>>,
    replayed: Option<core::slice::Iter<'a, F>>,
    pub report: Report,
}

/// What a probe saw.
#[derive(Clone, Default)]
pub struct Report {
    /// Each check with the sum that ought to be zero.
    pub sums: Vec<(Check, F)>,
    /// Each challenge with the number of messages received before it.
    pub challenges: Vec<(usize, F)>,
    /// Label and length of each message.
    pub messages: Vec<(&'static str, usize)>,
    pub opening: Option<Claimed>,
}

/// The claim that is left for the opening.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub point: Vec<F>,
    pub coefficients: [F; 6],
    pub value: F,
}

impl Report {
    /// Checks that fail, in the order in which they run.
    pub fn failing(&self) -> Vec<Check> {
        self.sums.iter().filter(|(_, sum)| *sum != F::from(0u64)).map(|(check, _)| *check).collect()
    }

    /// By how much a check fails.
    pub fn sum(&self, check: Check) -> F {
        self.sums.iter().find(|(c, _)| *c == check).expect("the program has the check").1
    }
}

impl Algebra for Probe<'_> {
    type Public = F;
    type Hidden = F;

    fn receive(&mut self, label: &'static str, length: usize) -> Result<Vec<F>, ArgumentError> {
        let message = self.messages.next().map(Vec::as_slice).unwrap_or_default();
        if message.len() != length {
            return Err(ArgumentError::Shape { label, expected: length, found: message.len() });
        }
        self.report.messages.push((label, length));
        self.transcript.absorb_scalars(label, message);
        Ok(message.to_vec())
    }
    fn receive_opening_value(&mut self) -> Result<F, ArgumentError> {
        Ok(self.receive(weightproof_circuits::algebra::OPENING_VALUE, 1)?[0])
    }
    fn challenge(&mut self, label: &'static str) -> F {
        let drawn = self.transcript.challenge(label);
        let challenge = match &mut self.replayed {
            Some(replayed) => *replayed.next().expect("as many challenges as were recorded"),
            None => drawn,
        };
        self.report.challenges.push((self.report.messages.len(), challenge));
        challenge
    }
    fn publish(&self, value: F) -> F {
        value
    }
    fn add(&self, a: F, b: &F) -> F {
        a + b
    }
    fn scale(&self, a: &F, c: &F) -> F {
        *a * c
    }
    fn check_zero(&mut self, check: Check, products: &[(F, F)], linear: &F) -> Result<(), ArgumentError> {
        let sum = products.iter().fold(*linear, |sum, (a, b)| sum + *a * b);
        self.report.sums.push((check, sum));
        Ok(())
    }
}

/// Probes messages under a transcript, live or with replayed challenges.
pub fn probe_under(
    case: &Case,
    transcript: Transcript,
    messages: &[Vec<F>],
    replayed: Option<&[F]>,
) -> Result<Report, ArgumentError> {
    let mut probe = Probe {
        transcript,
        messages: messages.iter(),
        replayed: replayed.map(|r| r.iter()),
        report: Report::default(),
    };
    let claim = argument::check(&mut probe, &case.layout, &case.program)?;
    let opening = Claimed { point: claim.point, coefficients: claim.coefficients, value: claim.value };
    Ok(Report { opening: Some(opening), ..probe.report })
}

/// Probes messages as the verifier would receive them.
pub fn probe(case: &Case, messages: &[Vec<F>]) -> Report {
    probe_under(case, case.transcript(), messages, None).expect("the messages have the program's shape")
}

/// The verifier itself, with the named checks passed over.
pub fn verify(case: &Case, messages: &[Vec<F>], skipped: &[Check]) -> Result<Claimed, ArgumentError> {
    verify_under(case, case.transcript(), messages, skipped)
}

/// The verifier under any transcript.
pub fn verify_under(
    case: &Case,
    transcript: Transcript,
    messages: &[Vec<F>],
    skipped: &[Check],
) -> Result<Claimed, ArgumentError> {
    let mut algebra = Clear::new(transcript, messages);
    algebra.skipped = skipped.to_vec();
    let claim = argument::check(&mut algebra, &case.layout, &case.program)?;
    algebra.finish()?;
    Ok(Claimed { point: claim.point, coefficients: claim.coefficients, value: claim.value })
}

/// `Σ_f coefficient_f·f(point_f)` over what is committed and public, by plain evaluation.
pub fn opened_value(cheat: &Cheat, base: &Parameters, exponential: &[u16], claim: &Claimed) -> F {
    let layout = &cheat.case.layout;
    let mut total = F::from(0u64);
    for (opened, coefficient) in Opened::ALL.into_iter().zip(claim.coefficients) {
        let table = eq_table(&opened.point(layout, &claim.point));
        let mut sum = F::from(0u64);
        let mut add = |position: usize, value: i64| {
            if value != 0 {
                sum += table[position] * F::from(value);
            }
        };
        match opened {
            Opened::Witness => cheat.stack.iter().enumerate().for_each(|(i, v)| add(i, i64::from(*v))),
            Opened::Data => {
                for (row, data) in cheat.data.chunks(1 << layout.data_variables).enumerate() {
                    for (position, value) in data.iter().enumerate() {
                        add((row << layout.column_variables) + position, i64::from(*value));
                    }
                }
            }
            Opened::Weights | Opened::Update => {
                let source = if opened == Opened::Weights { base } else { &cheat.update };
                for block in &layout.parameters {
                    let layer = &source.layers[block.layer - 1];
                    let values = if block.is_bias { &layer.biases } else { &layer.weights };
                    for (i, row) in values.chunks(layer.outputs).enumerate() {
                        for (o, value) in row.iter().enumerate() {
                            add(block.offset + (i << block.output_variables) + o, *value);
                        }
                    }
                }
            }
            // The sigma seal has none.
            Opened::Mask => {}
            Opened::Exponential => {
                exponential.iter().enumerate().for_each(|(i, v)| add(i, i64::from(*v)));
            }
        }
        total += coefficient * sum;
    }
    total
}

/// Whether the opened value is true of what is committed and public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is: only the argument's checks stand against the attack.
    True,
    /// It is not: the opening proof refuses it too.
    False,
}

/// Holds that an attack is refused by exactly the `expected` checks, each of which alone would do, and that it goes
/// through when they are passed over: the live control.
///
/// With no check expected, the opening is the one defence: all else accepts.
pub fn judge(name: &str, cheat: &Cheat, sent: &Sent, expected: &[Check], opening: Opening) {
    let case = cheat.case;
    assert!(
        !expected.is_empty() || opening == Opening::False,
        "{name}: SOUNDNESS: nothing refuses the attack"
    );
    let report = probe(case, &sent.messages);
    assert_eq!(report.failing(), expected, "{name}: the checks that fail");
    for check in expected {
        let others: Vec<Check> = expected.iter().copied().filter(|c| c != check).collect();
        let refused = verify(case, &sent.messages, &others).expect_err(name);
        assert_eq!(refused, ArgumentError::Check(*check), "{name}: refused by the check alone");
        assert_eq!(refused.code(), check.code(), "{name}: the code");
    }
    if let Some(first) = expected.first() {
        let refused = verify(case, &sent.messages, &[]).expect_err(name);
        assert_eq!(refused, ArgumentError::Check(*first), "{name}: refused by the first that fails");
    }
    let claim = verify(case, &sent.messages, expected)
        .unwrap_or_else(|error| panic!("{name}: VACUOUS: still refused with its defence off: {error}"));
    let holds = opened_value(cheat, &case.base, &case.exponential, &claim) == claim.value;
    assert_eq!(holds, opening == Opening::True, "{name}: whether the opened value is true");
}

/// Whether the long versions of the sweeps are asked for.
pub fn long() -> bool {
    std::env::var_os("WEIGHTPROOF_LONG_TESTS").is_some()
}

/// How much must be added to one element of a message for a check to pass, given that no challenge comes between.
pub fn compensation(case: &Case, sent: &Sent, message: usize, element: usize, check: Check) -> F {
    let before = probe(case, &sent.messages).sum(check);
    let mut moved = sent.messages.clone();
    moved[message][element] += F::from(1u64);
    let slope = probe(case, &moved).sum(check) - before;
    use ark_ff::Field;
    -before * slope.inverse().expect("the element matters to the check")
}
