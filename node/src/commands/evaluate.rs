//! `evaluate`: how good a model is on labelled raw data.
use crate::cli::Evaluate;
use crate::engine::{self, Quality};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use weightproof_prover::data::Table;

/// Measures accuracy, or the mean squared error of a quantity.
pub fn run(arguments: &Evaluate, output: &Output) -> Result<Exit, Failure> {
    let model = Failure::read_model(&arguments.model)?;
    let table = Table::read(&arguments.data)?;
    let features = model.schema.encode_features(&table, Some(&arguments.label))?;
    let targets = model.schema.encode_labels(&table, &arguments.label, model.program.loss())?;
    let quality =
        engine::evaluate(&model.program, &model.parameters, &features.quantized, &targets.quantized)?;
    output.line("quality", describe(&quality));
    if output.json() {
        let rows = table.rows();
        output.envelope(&match quality {
            Quality::Accuracy { correct, .. } => {
                serde_json::json!({ "rows": rows, "correct": correct, "accuracy": quality.accuracy() })
            }
            Quality::MeanSquaredError(error) => {
                serde_json::json!({ "rows": rows, "mean_squared_error": error })
            }
        })?;
    }
    Ok(Exit::Success)
}

/// `accuracy 0.9561 (109 of 114 rows)`, or the error of a quantity.
pub fn describe(quality: &Quality) -> String {
    match quality {
        Quality::Accuracy { correct, rows } => {
            let share = quality.accuracy().unwrap_or(0.0);
            format!("accuracy {share:.4} ({correct} of {rows} rows)")
        }
        Quality::MeanSquaredError(error) => {
            format!("mean squared error {error:.4} (of the standardised label)")
        }
    }
}
