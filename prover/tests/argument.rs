//! The argument in the clear: the prover's messages satisfy the verifier's checks, and what is left to open is true.

mod common;

use weightproof_circuits::algebra::Clear;
use weightproof_circuits::argument::{self, Opened};
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;
use weightproof_circuits::transcript::Transcript;

use weightproof_prover::argument::{ClearChannel, Witness, prove};
use weightproof_prover::progress::Silent;

#[test]
fn honest_arguments_hold_for_every_shape() {
    for (index, program) in common::programs().into_iter().enumerate() {
        let case = common::instance(program, 7 + index as u64);
        let mut witness = Witness::new(
            &case.program,
            &case.layout,
            &case.trace,
            &case.base,
            &case.update,
            &case.exponential,
        );
        witness.count_multiplicities().expect("an honest witness is in its tables");
        let transcript = Transcript::new("test", &[index as u8; 32]);
        let mut channel = ClearChannel::new(transcript.clone());
        let opening = prove(&common::on_cpu(&witness), &mut channel, &Silent, &mut Vec::new())
            .expect("an honest argument is provable");
        let lengths: Vec<usize> = channel.messages.iter().map(Vec::len).collect();
        let outline = argument::outline(&case.layout, &case.program).expect("an outline cannot fail");
        assert_eq!(lengths, outline, "program {index}: message lengths follow from the program");

        let mut algebra = Clear::new(transcript, &channel.messages);
        let claim = argument::check(&mut algebra, &case.layout, &case.program)
            .unwrap_or_else(|error| panic!("program {index}: {error}"));
        algebra.finish().expect("nothing is left over");
        assert_eq!(claim.point, opening.point);
        assert_eq!(claim.value, opening.value);
        assert_eq!(claim.coefficients[0], opening.witness_coefficient);
        assert_eq!(claim.coefficients[1], opening.data_coefficient);

        // The value is what the polynomials take at r*, by the slowest evaluation.
        let evaluate = |values: Vec<i64>, point: &[F]| -> F {
            eq_table(point).iter().zip(values).map(|(w, v)| *w * F::from(v)).sum()
        };
        let layout = &case.layout;
        let mut total = F::from(0u64);
        for (opened, coefficient) in Opened::ALL.into_iter().zip(claim.coefficients) {
            let point = opened.point(layout, &claim.point);
            let mut values = vec![0i64; 1 << point.len()];
            match opened {
                Opened::Witness => {
                    values.iter_mut().zip(&witness.stack).for_each(|(v, s)| *v = i64::from(*s));
                }
                Opened::Data => {
                    let width = 1 << layout.data_variables;
                    for (row, data) in witness.data.chunks(width).enumerate() {
                        for (position, value) in data.iter().enumerate() {
                            values[(row << layout.column_variables) + position] = i64::from(*value);
                        }
                    }
                }
                Opened::Weights | Opened::Update => {
                    let source = if opened == Opened::Weights { &case.base } else { &case.update };
                    for block in &layout.parameters {
                        let layer = &source.layers[block.layer - 1];
                        let source = if block.is_bias { &layer.biases } else { &layer.weights };
                        for (i, row) in source.chunks(layer.outputs).enumerate() {
                            for (o, value) in row.iter().enumerate() {
                                values[block.offset + (i << block.output_variables) + o] = *value;
                            }
                        }
                    }
                }
                // The sigma seal has none.
                Opened::Mask => assert_eq!(coefficient, F::from(0u64)),
                Opened::Exponential => {
                    values.iter_mut().zip(&case.exponential).for_each(|(v, e)| *v = i64::from(*e));
                }
            }
            total += coefficient * evaluate(values, &point);
        }
        assert_eq!(total, claim.value, "program {index}: the opened value is true");
    }
}
