//! From a CSV file to examples: the first two rooms of the data's way (`data file → examples`).
//!
//! [`Table`] reads text, [`Schema`] learns what the columns mean from the training share, [`prepare`] does both and
//! splits. Nothing here knows about commitments or proofs, and nothing is random but by the caller's seed.
mod error;
mod quantize;
mod schema;
mod split;
mod table;

pub use error::{Cell, Cells, DataError, LISTED};
pub use quantize::Quantization;
pub use schema::{
    Column, ColumnKind, Features, Label, MAXIMUM_CATEGORIES, MAXIMUM_CLASSES, Schema, Target, TargetKind,
    Targets,
};
pub use split::{HELD_OUT_SHARE, MINIMUM_ROWS, Split, split};
pub use table::Table;

use weightproof_circuits::program::Loss;

/// Examples as the trainer, the commitment and the proof see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examples {
    /// Features a row.
    pub inputs: usize,
    /// Labels a row.
    pub outputs: usize,
    /// `N × inputs`, row-major, at scale `2^activation_bits`.
    pub features: Vec<i16>,
    /// `N × outputs`, row-major: bits (softmax) or values at scale `2^activation_bits` (squared error).
    pub labels: Vec<i16>,
}

impl Examples {
    /// Number of rows `N`.
    pub fn rows(&self) -> usize {
        // A data set has at least one feature; an empty default has no rows.
        self.features.len().checked_div(self.inputs).unwrap_or(0)
    }
}

/// Examples of one share of the data, with the numbers they were rounded from.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The exact integers.
    pub examples: Examples,
    /// `N × inputs` features before rounding, for the float twin.
    pub float_features: Vec<f32>,
    /// `N × outputs` labels before rounding.
    pub float_labels: Vec<f32>,
    /// The class of each row; empty for quantities.
    pub classes: Vec<usize>,
}

/// A data set ready to be trained on and measured on.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Four fifths: these rows are committed to and trained on.
    pub training: Share,
    /// One fifth: never trained on.
    pub held_out: Share,
    /// What rounding did to all features.
    pub quantization: Quantization,
}

/// Encodes a table by its schema for a loss and deals the rows out as `split` says.
///
/// # Errors
/// Those of [`Schema::encode_features`] and [`Schema::encode_labels`].
pub fn prepare(table: &Table, schema: &Schema, loss: Loss, split: &Split) -> Result<Prepared, DataError> {
    let label = schema.label.name.as_str();
    let features = schema.encode_features(table, Some(label))?;
    let targets = schema.encode_labels(table, label, loss)?;
    Ok(Prepared {
        training: share(&features, &targets, &split.training),
        held_out: share(&features, &targets, &split.held_out),
        quantization: features.quantization.and(targets.quantization),
    })
}

/// Encodes all rows of a table by its schema for a loss; `label` is what the table calls the label's column.
///
/// # Errors
/// Those of [`Schema::encode_features`] and [`Schema::encode_labels`].
pub fn encode(
    table: &Table,
    schema: &Schema,
    label: &str,
    loss: Loss,
) -> Result<(Examples, Quantization), DataError> {
    let features = schema.encode_features(table, Some(label))?;
    let targets = schema.encode_labels(table, label, loss)?;
    let examples = Examples {
        inputs: features.inputs,
        outputs: targets.outputs,
        features: features.quantized,
        labels: targets.quantized,
    };
    Ok((examples, features.quantization.and(targets.quantization)))
}

/// Refuses data too small to split.
///
/// # Errors
/// [`DataError::TooFewRows`].
pub fn check_rows(table: &Table) -> Result<(), DataError> {
    match table.rows() {
        found if found < MINIMUM_ROWS => Err(DataError::TooFewRows { minimum: MINIMUM_ROWS, found }),
        _ => Ok(()),
    }
}

fn share(features: &Features, targets: &Targets, rows: &[usize]) -> Share {
    Share {
        examples: Examples {
            inputs: features.inputs,
            outputs: targets.outputs,
            features: choose(&features.quantized, features.inputs, rows),
            labels: choose(&targets.quantized, targets.outputs, rows),
        },
        float_features: choose(&features.float, features.inputs, rows),
        float_labels: choose(&targets.float, targets.outputs, rows),
        classes: if targets.classes.is_empty() { Vec::new() } else { choose(&targets.classes, 1, rows) },
    }
}

/// Rows `rows` of a row-major matrix.
fn choose<T: Copy>(matrix: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| matrix[row * width..(row + 1) * width].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn repository_data(name: &str) -> Table {
        Table::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name)).unwrap()
    }

    #[test]
    fn header_problems_are_listed_together() {
        let problems = |text: &str| match Table::from_bytes(text.as_bytes()) {
            Err(DataError::Header { problems }) => problems,
            other => panic!("{other:?}"),
        };
        assert_eq!(problems("a,,a\n1,2,3\n"), ["column 2 has no name", "columns 1 and 3 are both named `a`"]);
        assert_eq!(problems("1,2.5\n1,2\n"), ["only numbers, which look like a row of data"]);
        assert_eq!(problems(""), ["an empty file"]);
    }

    #[test]
    fn ragged_rows_and_bad_bytes_have_positions() {
        let error = Table::from_bytes(b"a,b\n1,2\n1\n1,2\n1,2,3\n").unwrap_err();
        let DataError::Ragged { expected: 2, rows, total: 2 } = error else { panic!("{error}") };
        assert_eq!(rows, [(2, 3, 1), (4, 5, 3)]);
        let error = Table::from_bytes(b"a,b\n1,\xff\n").unwrap_err();
        assert!(matches!(&error, DataError::NotCsv { message } if message.contains("line 2")), "{error}");
        let missing = Table::read(Path::new("no/such/file.csv"));
        assert!(matches!(missing, Err(DataError::Read { .. })));
    }

    #[test]
    fn reads_quotes_marks_and_spaces() {
        let table = Table::from_bytes("\u{feff}a, b\n\"x, y\" ,\" 2\"\r\n".as_bytes()).unwrap();
        assert_eq!(table.header(), ["a", "b"]);
        let cells: Vec<&str> = table.column(0).chain(table.column(1)).collect();
        assert_eq!(cells, ["x, y", "2"]);
    }

    #[test]
    fn breast_cancer_is_569_rows_of_30_and_two_classes() {
        let table = repository_data("breast_cancer.csv");
        let parts = split(table.rows(), 1);
        assert_eq!((parts.training.len(), parts.held_out.len()), (456, 113));
        let schema = Schema::fit(&table, "diagnosis", TargetKind::Classes, &parts.training, 8).unwrap();
        assert_eq!((schema.inputs(), schema.outputs()), (30, 2));
        assert_eq!(schema.classes(), ["benign", "malignant"]);
        let data = prepare(&table, &schema, Loss::SoftmaxCrossEntropy, &parts).unwrap();
        assert_eq!(data.quantization.saturated, 0);
        assert!(data.quantization.maximum_error <= 1.0 / 512.0);
        assert!(data.quantization.maximum_error > 1.0 / 1024.0);
        let (training, held_out) = (&data.training, &data.held_out);
        assert_eq!((training.examples.rows(), held_out.examples.rows()), (456, 113));
        // 357 of the 569 cases are benign (the data set's documentation).
        let benign = training.classes.iter().chain(&held_out.classes).filter(|&&class| class == 0).count();
        assert_eq!(benign, 357);
        // Standardised training columns: mean 0, deviation 1.
        for column in 0..30 {
            let values: Vec<f64> =
                (0..456).map(|row| f64::from(training.float_features[row * 30 + column])).collect();
            let mean = values.iter().sum::<f64>() / 456.0;
            let variance = values.iter().map(|value| value * value).sum::<f64>() / 456.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "column {column}: {mean} {variance}");
        }
        for row in training.examples.labels.chunks(2) {
            assert_eq!(row.iter().sum::<i16>(), 1);
        }
        // Row and label stay together through the split: row 0 of the file is malignant with radius 17.99.
        let position = parts.training.iter().position(|&row| row == 0);
        if let Some(position) = position {
            assert_eq!(training.classes[position], 1);
        } else {
            assert_eq!(held_out.classes[0], 1);
        }
        assert_eq!(prepare(&table, &schema, Loss::SoftmaxCrossEntropy, &parts).unwrap(), data);
    }

    #[test]
    fn digits_are_ten_classes_with_constant_pixels_at_zero() {
        let table = repository_data("digits.csv");
        assert_eq!(TargetKind::guess(&table, "digit").unwrap(), TargetKind::Classes);
        let parts = split(table.rows(), 3);
        let schema = Schema::fit(&table, "digit", TargetKind::Classes, &parts.training, 8).unwrap();
        assert_eq!((table.rows(), schema.inputs(), schema.outputs()), (1797, 64, 10));
        assert_eq!(schema.classes(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        // The upper left pixel is 0 in every image.
        assert_eq!(schema.columns[0].kind, ColumnKind::Numeric { mean: 0.0, deviation: 0.0 });
        let data = prepare(&table, &schema, Loss::SoftmaxCrossEntropy, &parts).unwrap();
        assert!(data.training.examples.features.iter().step_by(64).all(|&value| value == 0));
        assert_eq!((data.training.examples.rows(), data.held_out.examples.rows()), (1438, 359));
    }

    #[test]
    fn rows_are_chosen_whole() {
        assert_eq!(choose(&[1, 2, 3, 4, 5, 6], 2, &[2, 0]), [5, 6, 1, 2]);
        assert_eq!(Examples::default().rows(), 0);
    }

    #[test]
    fn tiny_data_is_refused() {
        let table = Table::from_bytes(b"x,y\n1,0\n2,1\n3,0\n4,1\n").unwrap();
        assert!(matches!(check_rows(&table), Err(DataError::TooFewRows { minimum: 5, found: 4 })));
    }
}
