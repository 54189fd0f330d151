//! `predict`: raw columns in, the model's own standardisation applied, predictions out.
use crate::cli::Predict;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use serde::Serialize;
use weightproof_circuits::program::Loss;
use weightproof_prover::data::{Table, Target};
use weightproof_prover::model_file::ModelFile;

/// One row's prediction.
#[derive(Serialize)]
struct Prediction {
    /// Data row, from 1.
    row: usize,
    /// Class name, or the quantity in the label's own unit.
    prediction: serde_json::Value,
    /// The predicted class's probability by softmax; absent for squared error.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
}

/// Predicts every row: CSV, or an array with `--json`.
pub fn run(arguments: &Predict, output: &Output) -> Result<Exit, Failure> {
    let model = Failure::read_model(&arguments.model)?;
    let table = Table::read(&arguments.data)?;
    let features = model.schema.encode_features(&table, None)?;
    let outputs = engine::predict(&model.program, &model.parameters, &features.quantized)?;
    let predictions = outputs
        .chunks(model.schema.outputs())
        .enumerate()
        .map(|(row, outputs)| prediction(&model, row + 1, outputs))
        .collect::<Vec<_>>();
    if output.json() {
        output.envelope(&predictions)?;
    } else {
        output.result(&as_csv(&predictions))?;
    }
    Ok(Exit::Success)
}

fn prediction(model: &ModelFile, row: usize, outputs: &[i16]) -> Prediction {
    let scale = f64::from(model.program.activation_bits()).exp2();
    match &model.schema.label.target {
        Target::Classes { classes } => {
            let best = largest(outputs);
            let name = classes.get(best).cloned().unwrap_or_default();
            let probability = (model.program.loss() == Loss::SoftmaxCrossEntropy).then(|| {
                let above = f64::from(outputs[best]);
                1.0 / outputs.iter().map(|&output| ((f64::from(output) - above) / scale).exp()).sum::<f64>()
            });
            Prediction { row, prediction: name.into(), probability }
        }
        Target::Value { mean, deviation } => {
            let value = outputs.first().map_or(0.0, |&output| f64::from(output) / scale);
            Prediction { row, prediction: (mean + deviation * value).into(), probability: None }
        }
    }
}

/// The first of the largest, as the trainer judges.
fn largest(outputs: &[i16]) -> usize {
    (1..outputs.len()).fold(0, |best, index| if outputs[index] > outputs[best] { index } else { best })
}

fn as_csv(predictions: &[Prediction]) -> String {
    let with_probability = predictions.first().is_some_and(|prediction| prediction.probability.is_some());
    let mut text =
        String::from(if with_probability { "row,prediction,probability\n" } else { "row,prediction\n" });
    for Prediction { row, prediction, probability } in predictions {
        let shown = match prediction {
            serde_json::Value::String(name) => quoted(name),
            number => number.to_string(),
        };
        let probability = probability.map_or(String::new(), |probability| format!(",{probability:.4}"));
        text.push_str(&format!("{row},{shown}{probability}\n"));
    }
    text
}

/// A cell by RFC 4180.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_outputs_wins() {
        assert_eq!(largest(&[1, 5, 5, -3]), 1);
        assert_eq!(largest(&[-1]), 0);
    }

    #[test]
    fn cells_are_quoted_when_they_must_be() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
