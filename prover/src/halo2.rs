//! The proving half of `circuits::seal::halo2`.

use std::sync::Arc;

use halo2_proofs::plonk::{ProvingKey, create_proof, keygen_pk};
use halo2_proofs::transcript::{Blake2bWrite, Challenge255};
use pasta_curves::EqAffine;
use weightproof_circuits::algebra::Check;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::pasta::to_pasta;
use weightproof_circuits::poseidon::Transcript;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::Exposed;
use weightproof_circuits::seal::halo2::algebra::{Input, plan};
use weightproof_circuits::seal::halo2::circuit::SealCircuit;
use weightproof_circuits::seal::halo2::key::{Key, KeyError, Parameters};
use weightproof_circuits::seal::halo2::table::Table;
use weightproof_verifier::SealKey;
use zeroize::Zeroize;

use crate::argument::Channel;
use crate::contribute::ContributeError;
use crate::entropy::Entropy;

/// Sends messages into the circuit's own transcript and keeps them: they become its private witness.
pub struct PoseidonChannel {
    transcript: Transcript,
    /// All messages, in order.
    pub messages: Vec<Vec<F>>,
}

impl PoseidonChannel {
    /// Sends under the digest of everything public and a salt.
    pub fn new(digest: &[F; 2], salt: &F) -> Self {
        Self { transcript: Transcript::new(digest, salt), messages: Vec::new() }
    }
}

impl Drop for PoseidonChannel {
    fn drop(&mut self) {
        self.messages.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl Channel for PoseidonChannel {
    fn send(&mut self, _label: &'static str, values: Vec<F>) {
        self.transcript.absorb(&values);
        self.messages.push(values);
    }
    fn send_opening_value(&mut self, value: F) {
        self.send("", vec![value]);
    }
    fn challenge(&mut self, _label: &'static str) -> F {
        self.transcript.challenge()
    }
}

/// The keys of one program: what proves, and beside it what verifies.
pub struct SealProver {
    seal_key: SealKey,
    proving: ProvingKey<EqAffine>,
}

impl SealProver {
    /// Builds the keys of a program over halo2's parameters of its size.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(program: &Program, parameters: Arc<Parameters>) -> Result<Self, KeyError> {
        let (key, table) = Key::with_table(program, &parameters)?;
        let proving = keygen_pk(&*parameters, key.verifying.clone(), &SealCircuit::shape(&table))
            .map_err(|error| KeyError::Circuit(error.to_string()))?;
        Ok(Self { seal_key: SealKey { parameters, key }, proving })
    }

    /// The verifying half.
    pub fn seal_key(&self) -> &SealKey {
        &self.seal_key
    }

    /// Proves that a run of the argument's messages passes every check; returns what the circuit shows and the proof.
    ///
    /// # Errors
    /// [`ContributeError::SelfCheck`] names a check that the messages fail; without `self_check` halo2 proves whatever it
    /// is given, and it is the verifier that refuses.
    pub fn prove(
        &self,
        layout: &Layout,
        program: &Program,
        run: Input<'_>,
        self_check: bool,
        entropy: &mut Entropy,
    ) -> Result<(Exposed, Vec<u8>), ContributeError> {
        let mut plan =
            plan(layout, program, run).map_err(|_| ContributeError::SelfCheck(Check::OpeningValue))?;
        let violated = plan.violated().filter(|_| self_check);
        let mut table = Table::new(&plan);
        plan.values.zeroize();
        plan.states.iter_mut().for_each(Zeroize::zeroize);
        let seal = match violated {
            None => self.prove_table(&table, entropy),
            Some(check) => Err(ContributeError::SelfCheck(check)),
        };
        table.advice.iter_mut().for_each(Zeroize::zeroize);
        let seal = seal?;
        let shown = table.instance.get(2..).unwrap_or_default();
        let exposed = Exposed::from_values(layout, shown)
            .ok_or_else(|| ContributeError::Halo2("fewer public values than the program shows".to_owned()))?;
        Ok((exposed, seal))
    }

    /// Proves that a table is satisfied, or makes bytes that nobody accepts.
    ///
    /// # Errors
    /// [`ContributeError::Halo2`].
    pub fn prove_table(&self, table: &Table, entropy: &mut Entropy) -> Result<Vec<u8>, ContributeError> {
        let instance: Vec<_> = table.instance.iter().map(to_pasta).collect();
        let mut transcript = Blake2bWrite::<_, EqAffine, Challenge255<EqAffine>>::init(Vec::new());
        create_proof(
            &*self.seal_key.parameters,
            &self.proving,
            &[SealCircuit::witness(table)],
            &[&[&instance]],
            entropy,
            &mut transcript,
        )
        .map_err(|error| ContributeError::Halo2(error.to_string()))?;
        Ok(transcript.finalize())
    }
}
