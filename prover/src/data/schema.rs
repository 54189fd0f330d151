//! What a model remembers of the columns it was trained on, and how raw tables become numbers by it.
use super::error::{Cells, DataError};
use super::quantize::Quantization;
use super::table::{Table, is_missing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use weightproof_circuits::program::Loss;

/// Most categories a column of words may have; more is nearly always an identifier or free text.
pub const MAXIMUM_CATEGORIES: usize = 64;
/// Most classes a label may have.
pub const MAXIMUM_CLASSES: usize = 1024;
/// A numeric label with at most this many different whole numbers is taken for classes when nobody says otherwise.
const CLASSES_BY_DEFAULT: usize = 20;

/// The columns a model takes, in the order of its inputs, and its label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Feature columns in the order of the training file.
    pub columns: Vec<Column>,
    /// What is predicted.
    pub label: Label,
    /// Fraction bits of quantised features.
    pub activation_bits: u32,
}

/// One feature column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// How its cells become inputs.
    pub kind: ColumnKind,
}

/// How a column's cells become inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnKind {
    /// One input `(x − mean)/deviation`, or 0 where the deviation is 0 (a constant column).
    Numeric {
        /// Mean over the training rows.
        mean: f64,
        /// Population standard deviation over the training rows; 0 for a constant column.
        deviation: f64,
    },
    /// One input of 0 or 1 for each category.
    Categorical {
        /// The categories, sorted by their bytes.
        categories: Vec<String>,
    },
}

/// The label column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Its name in the header.
    pub name: String,
    /// What its cells are.
    pub target: Target,
}

/// What a label is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// One output a class.
    Classes {
        /// Whole numbers in numeric order, or words sorted by their bytes.
        classes: Vec<String>,
    },
    /// One output, standardised like a numeric column.
    Value {
        /// Mean over the training rows.
        mean: f64,
        /// Population standard deviation over the training rows.
        deviation: f64,
    },
}

/// Which kind of label a program trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// Classes: softmax, or squared error with several outputs.
    Classes,
    /// A quantity: squared error with one output.
    Value,
}

impl TargetKind {
    /// What a program with this loss and number of outputs trains on.
    pub fn of(loss: Loss, outputs: usize) -> TargetKind {
        match loss {
            Loss::SquaredError if outputs == 1 => TargetKind::Value,
            _ => TargetKind::Classes,
        }
    }

    /// What a label looks like when no program says it: words or few different whole numbers are classes.
    ///
    /// # Errors
    /// [`DataError::LabelNotFound`].
    pub fn guess(table: &Table, label: &str) -> Result<TargetKind, DataError> {
        let column = label_position(table, label)?;
        let mut distinct = BTreeSet::new();
        for cell in table.column(column).filter(|cell| !is_missing(cell)) {
            match cell.parse::<f64>() {
                Err(_) => return Ok(TargetKind::Classes),
                Ok(value) if value.fract() != 0.0 => return Ok(TargetKind::Value),
                Ok(_) => distinct.insert(class_name(cell)),
            };
            if distinct.len() > CLASSES_BY_DEFAULT {
                return Ok(TargetKind::Value);
            }
        }
        Ok(TargetKind::Classes)
    }
}

/// Inputs of some rows, exact and in `f32`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Inputs a row.
    pub inputs: usize,
    /// At scale `2^activation_bits`.
    pub quantized: Vec<i16>,
    /// The same before rounding.
    pub float: Vec<f32>,
    /// What rounding did.
    pub quantization: Quantization,
}

/// Labels of some rows, exact and in `f32`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// Outputs a row.
    pub outputs: usize,
    /// Bits (softmax) or values at scale `2^activation_bits` (squared error).
    pub quantized: Vec<i16>,
    /// One-hot bits, or the standardised value.
    pub float: Vec<f32>,
    /// The class of each row; empty for quantities.
    pub classes: Vec<usize>,
    /// What rounding did to quantities.
    pub quantization: Quantization,
}

impl Schema {
    /// Learns the columns of `table`: categories and classes from all rows (names only), means and deviations from
    /// `training_rows` alone, so that nothing measured on held-out rows leaks into the inputs.
    ///
    /// `activation_bits` is the program's, or any value to be set by the caller before encoding.
    ///
    /// # Errors
    /// All of [`DataError`]'s about content: missing values first, in all columns at once.
    pub fn fit(
        table: &Table,
        label: &str,
        kind: TargetKind,
        training_rows: &[usize],
        activation_bits: u32,
    ) -> Result<Schema, DataError> {
        let label_column = label_position(table, label)?;
        if table.header().len() < 2 {
            return Err(DataError::NoFeatures);
        }
        no_missing(table, 0..table.header().len())?;
        let mut columns = Vec::with_capacity(table.header().len() - 1);
        for (position, name) in table.header().iter().enumerate() {
            if position != label_column {
                columns
                    .push(Column { name: name.clone(), kind: fit_column(table, position, training_rows)? });
            }
        }
        let target = match kind {
            TargetKind::Classes => Target::Classes { classes: fit_classes(table, label_column)? },
            TargetKind::Value => {
                let values = numbers(table, label_column)?;
                let (mean, deviation) = moments(&values, training_rows);
                Target::Value { mean, deviation }
            }
        };
        Ok(Schema { columns, label: Label { name: label.to_owned(), target }, activation_bits })
    }

    /// Number of inputs: one a numeric column, one a category.
    pub fn inputs(&self) -> usize {
        self.columns.iter().map(|column| column.kind.width()).sum()
    }

    /// Number of outputs: one a class, or one.
    pub fn outputs(&self) -> usize {
        match &self.label.target {
            Target::Classes { classes } => classes.len(),
            Target::Value { .. } => 1,
        }
    }

    /// The class names, empty for a quantity.
    pub fn classes(&self) -> &[String] {
        match &self.label.target {
            Target::Classes { classes } => classes,
            Target::Value { .. } => &[],
        }
    }

    /// Encodes all rows of a raw table; columns are found by name, in any order. Besides the features only the
    /// schema's label and `label` may be there.
    ///
    /// # Errors
    /// [`DataError::MissingColumns`], [`DataError::ExtraColumns`], [`DataError::Missing`], [`DataError::NotNumeric`],
    /// [`DataError::NotFinite`], [`DataError::UnknownCategories`].
    pub fn encode_features(&self, table: &Table, label: Option<&str>) -> Result<Features, DataError> {
        let positions = self.positions(table, label)?;
        no_missing(table, positions.iter().copied())?;
        let (rows, inputs) = (table.rows(), self.inputs());
        let mut quantized = vec![0; rows * inputs];
        let mut float = vec![0.0; rows * inputs];
        let mut quantization = Quantization::default();
        let mut unknown = Cells::default();
        let mut offset = 0;
        for (column, &position) in self.columns.iter().zip(&positions) {
            match &column.kind {
                ColumnKind::Numeric { mean, deviation } => {
                    for (row, value) in numbers(table, position)?.into_iter().enumerate() {
                        let value = standardise(value, *mean, *deviation);
                        quantized[row * inputs + offset] = quantization.round(value, self.activation_bits);
                        float[row * inputs + offset] = value as f32;
                    }
                }
                ColumnKind::Categorical { categories } => {
                    for (row, cell) in table.column(position).enumerate() {
                        match categories.binary_search_by(|category| category.as_str().cmp(cell)) {
                            Ok(index) => {
                                let at = row * inputs + offset + index;
                                quantized[at] = quantization.round(1.0, self.activation_bits);
                                float[at] = 1.0;
                            }
                            Err(_) => unknown.push(row, table.line(row), &column.name),
                        }
                    }
                }
            }
            offset += column.kind.width();
        }
        unknown.none_or(DataError::UnknownCategories)?;
        quantization.values = (rows * inputs) as u64;
        Ok(Features { inputs, quantized, float, quantization })
    }

    /// Encodes the label column `label` of all rows for a loss.
    ///
    /// # Errors
    /// [`DataError::LabelNotFound`], [`DataError::Missing`], [`DataError::NotNumeric`], [`DataError::NotFinite`],
    /// [`DataError::UnknownCategories`] for a class that the model does not know.
    pub fn encode_labels(&self, table: &Table, label: &str, loss: Loss) -> Result<Targets, DataError> {
        let position = label_position(table, label)?;
        no_missing(table, [position])?;
        let mut quantization = Quantization::default();
        match &self.label.target {
            Target::Classes { classes } => {
                let hot = match loss {
                    Loss::SoftmaxCrossEntropy => 1,
                    Loss::SquaredError => quantization.round(1.0, self.activation_bits),
                };
                let (rows, outputs) = (table.rows(), classes.len());
                let mut targets = Targets {
                    outputs,
                    quantized: vec![0; rows * outputs],
                    float: vec![0.0; rows * outputs],
                    classes: Vec::with_capacity(rows),
                    quantization,
                };
                let mut unknown = Cells::default();
                for (row, cell) in table.column(position).enumerate() {
                    let name = class_name(cell);
                    match classes.iter().position(|class| *class == name) {
                        Some(class) => {
                            targets.quantized[row * outputs + class] = hot;
                            targets.float[row * outputs + class] = 1.0;
                            targets.classes.push(class);
                        }
                        None => unknown.push(row, table.line(row), label),
                    }
                }
                unknown.none_or(DataError::UnknownCategories)?;
                Ok(targets)
            }
            Target::Value { mean, deviation } => {
                let values: Vec<f64> = numbers(table, position)?
                    .into_iter()
                    .map(|value| standardise(value, *mean, *deviation))
                    .collect();
                let quantized =
                    values.iter().map(|&value| quantization.round(value, self.activation_bits)).collect();
                let float = values.iter().map(|&value| value as f32).collect();
                Ok(Targets { outputs: 1, quantized, float, classes: Vec::new(), quantization })
            }
        }
    }

    /// Where each feature column is in `table`.
    fn positions(&self, table: &Table, label: Option<&str>) -> Result<Vec<usize>, DataError> {
        let (mut positions, mut missing) = (Vec::with_capacity(self.columns.len()), Vec::new());
        for column in &self.columns {
            match table.position(&column.name) {
                Some(position) => positions.push(position),
                None => missing.push(column.name.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(DataError::MissingColumns { columns: missing });
        }
        let known: BTreeSet<usize> = positions.iter().copied().collect();
        let extra: Vec<String> = table
            .header()
            .iter()
            .enumerate()
            .filter(|(position, name)| {
                !known.contains(position) && **name != self.label.name && Some(name.as_str()) != label
            })
            .map(|(_, name)| name.clone())
            .collect();
        if extra.is_empty() { Ok(positions) } else { Err(DataError::ExtraColumns { columns: extra }) }
    }
}

impl ColumnKind {
    /// Inputs that the column becomes.
    fn width(&self) -> usize {
        match self {
            ColumnKind::Numeric { .. } => 1,
            ColumnKind::Categorical { categories } => categories.len(),
        }
    }
}

fn label_position(table: &Table, label: &str) -> Result<usize, DataError> {
    table
        .position(label)
        .ok_or_else(|| DataError::LabelNotFound { label: label.to_owned(), columns: table.header().to_vec() })
}

fn no_missing(table: &Table, columns: impl IntoIterator<Item = usize>) -> Result<(), DataError> {
    let mut missing = Cells::default();
    for column in columns {
        for (row, cell) in table.column(column).enumerate() {
            if is_missing(cell) {
                missing.push(row, table.line(row), &table.header()[column]);
            }
        }
    }
    missing.none_or(DataError::Missing)
}

/// A column is numeric when every cell is a number; otherwise its words are categories.
fn fit_column(table: &Table, column: usize, training_rows: &[usize]) -> Result<ColumnKind, DataError> {
    let Some(odd) = table.column(column).position(|cell| cell.parse::<f64>().is_err()) else {
        let (mean, deviation) = moments(&numbers(table, column)?, training_rows);
        return Ok(ColumnKind::Numeric { mean, deviation });
    };
    let categories: BTreeSet<&str> = table.column(column).collect();
    if categories.len() > MAXIMUM_CATEGORIES {
        return Err(DataError::TooManyCategories {
            column: table.header()[column].clone(),
            found: categories.len(),
            limit: MAXIMUM_CATEGORIES,
            row: odd + 1,
            line: table.line(odd),
        });
    }
    Ok(ColumnKind::Categorical { categories: categories.into_iter().map(str::to_owned).collect() })
}

/// Classes in order: numerically if all are whole numbers, else by their bytes.
fn fit_classes(table: &Table, column: usize) -> Result<Vec<String>, DataError> {
    let label = &table.header()[column];
    let values: Option<Vec<f64>> = table.column(column).map(|cell| cell.parse().ok()).collect();
    if let Some(values) = &values {
        let mut fractions = Cells::default();
        for (row, value) in values.iter().enumerate() {
            if value.fract() != 0.0 || !value.is_finite() {
                fractions.push(row, table.line(row), label);
            }
        }
        fractions.none_or(|cells| DataError::FractionalClasses { label: label.clone(), cells })?;
    }
    let names: BTreeSet<String> = table.column(column).map(class_name).collect();
    if names.len() < 2 {
        return Err(DataError::TooFewClasses { label: label.clone(), found: names.len() });
    }
    if names.len() > MAXIMUM_CLASSES {
        return Err(DataError::TooManyClasses {
            label: label.clone(),
            found: names.len(),
            limit: MAXIMUM_CLASSES,
        });
    }
    let mut classes: Vec<String> = names.into_iter().collect();
    if values.is_some() {
        classes.sort_by(|a, b| whole(a).total_cmp(&whole(b)));
    }
    Ok(classes)
}

fn whole(name: &str) -> f64 {
    name.parse().unwrap_or(f64::NAN)
}

/// Whole numbers are one class however they are spelt: `3`, `3.0` and `3e0`.
fn class_name(cell: &str) -> String {
    match cell.parse::<f64>() {
        // Adding 0.0 turns −0 into 0; beyond 2^53 neighbours would fall together, so the spelling is kept.
        Ok(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
            format!("{}", value + 0.0)
        }
        _ => cell.to_owned(),
    }
}

/// The column's numbers, top to bottom.
fn numbers(table: &Table, column: usize) -> Result<Vec<f64>, DataError> {
    let name = &table.header()[column];
    let (mut words, mut infinite) = (Cells::default(), Cells::default());
    let mut values = Vec::with_capacity(table.rows());
    for (row, cell) in table.column(column).enumerate() {
        match cell.parse::<f64>() {
            Ok(value) if value.is_finite() => values.push(value),
            Ok(_) => infinite.push(row, table.line(row), name),
            Err(_) => words.push(row, table.line(row), name),
        }
    }
    words.none_or(DataError::NotNumeric)?;
    infinite.none_or(DataError::NotFinite)?;
    Ok(values)
}

/// Mean and population standard deviation of the chosen rows, summed in row order so that they are the same bits
/// everywhere. A deviation that is only rounding noise beside the mean counts as zero.
fn moments(values: &[f64], rows: &[usize]) -> (f64, f64) {
    let count = rows.len().max(1) as f64;
    // Dividing first keeps the sum finite for values near the largest f64.
    let mean: f64 = rows.iter().map(|&row| values[row] / count).sum();
    let largest = rows.iter().map(|&row| (values[row] - mean).abs()).fold(0.0, f64::max);
    let magnitude = rows.iter().map(|&row| values[row].abs()).fold(0.0, f64::max);
    if largest <= magnitude * 1e-12 || !largest.is_finite() {
        return (mean, 0.0);
    }
    // Scaled by the largest difference, squares neither overflow nor vanish.
    let square: f64 = rows.iter().map(|&row| ((values[row] - mean) / largest).powi(2)).sum();
    (mean, largest * (square / count).sqrt())
}

/// `(x − mean)/deviation`, or 0 for a constant column. Finite for finite arguments but for overflow, which is brought
/// back to the largest finite value: quantisation then saturates and counts it.
fn standardise(x: f64, mean: f64, deviation: f64) -> f64 {
    if deviation == 0.0 {
        return 0.0;
    }
    ((x - mean) / deviation).clamp(f64::from(f32::MIN), f64::from(f32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        Table::from_bytes(text.as_bytes()).unwrap()
    }

    fn fit(text: &str, kind: TargetKind) -> Result<Schema, DataError> {
        let table = table(text);
        let rows: Vec<usize> = (0..table.rows()).collect();
        Schema::fit(&table, "y", kind, &rows, 8)
    }

    #[test]
    fn standardises_by_the_training_rows_alone() {
        let table = table("x,y\n1,a\n3,b\n1000,a\n");
        let schema = Schema::fit(&table, "y", TargetKind::Classes, &[0, 1], 8).unwrap();
        assert_eq!(schema.columns[0].kind, ColumnKind::Numeric { mean: 2.0, deviation: 1.0 });
        let features = schema.encode_features(&table, None).unwrap();
        assert_eq!(features.float, [-1.0, 1.0, 998.0]);
        assert_eq!(features.quantized, [-256, 256, 32767]);
        assert_eq!(features.quantization.saturated, 1);
        assert_eq!(features.quantization.values, 3);
    }

    #[test]
    fn words_become_sorted_one_hot_inputs() {
        let text = "colour,y,x\nred,no,1\nblue,yes,1\ngreen,no,1\n";
        let schema = fit(text, TargetKind::Classes).unwrap();
        let categories = ["blue", "green", "red"].map(str::to_owned).to_vec();
        assert_eq!(schema.columns[0].kind, ColumnKind::Categorical { categories });
        assert_eq!(schema.columns[1].kind, ColumnKind::Numeric { mean: 1.0, deviation: 0.0 });
        assert_eq!(schema.inputs(), 4);
        let features = schema.encode_features(&table(text), None).unwrap();
        assert_eq!(features.quantized, [0, 0, 256, 0, 256, 0, 0, 0, 0, 256, 0, 0]);
        let targets = schema.encode_labels(&table(text), "y", Loss::SoftmaxCrossEntropy).unwrap();
        assert_eq!(targets.quantized, [1, 0, 0, 1, 1, 0]);
        assert_eq!(targets.classes, [0, 1, 0]);
        let targets = schema.encode_labels(&table(text), "y", Loss::SquaredError).unwrap();
        assert_eq!(targets.quantized, [256, 0, 0, 256, 256, 0]);
        assert_eq!(targets.float, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn whole_number_labels_are_classes_in_numeric_order() {
        let schema = fit("x,y\n1,10\n2,9.0\n3,1e1\n4,-0\n", TargetKind::Classes).unwrap();
        assert_eq!(schema.classes(), ["0", "9", "10"]);
    }

    #[test]
    fn quantities_are_standardised_labels() {
        let text = "x,y\n1,10.5\n2,9.5\n";
        let schema = fit(text, TargetKind::Value).unwrap();
        assert_eq!(schema.label.target, Target::Value { mean: 10.0, deviation: 0.5 });
        let targets = schema.encode_labels(&table(text), "y", Loss::SquaredError).unwrap();
        assert_eq!((targets.outputs, targets.quantized), (1, vec![256, -256]));
        assert!(matches!(fit("x,y\n1,a\n2,2\n", TargetKind::Value), Err(DataError::NotNumeric(_))));
        assert!(matches!(fit(text, TargetKind::Classes), Err(DataError::FractionalClasses { .. })));
    }

    #[test]
    fn guesses_the_kind_of_label() {
        let kind = |text: &str| TargetKind::guess(&table(text), "y").unwrap();
        assert_eq!(kind("x,y\n1,3\n1,4\n"), TargetKind::Classes);
        assert_eq!(kind("x,y\n1,3\n1,b\n"), TargetKind::Classes);
        assert_eq!(kind("x,y\n1,3\n1,4.5\n"), TargetKind::Value);
        let many: String = (0..21).map(|value| format!("1,{value}\n")).collect();
        assert_eq!(kind(&format!("x,y\n{many}")), TargetKind::Value);
        assert_eq!(TargetKind::of(Loss::SquaredError, 1), TargetKind::Value);
        assert_eq!(TargetKind::of(Loss::SquaredError, 3), TargetKind::Classes);
        assert_eq!(TargetKind::of(Loss::SoftmaxCrossEntropy, 2), TargetKind::Classes);
    }

    #[test]
    fn missing_values_are_all_reported_with_row_and_column() {
        let error = fit("x,z,y\n1,,a\nNaN,2,b\n3,?,a\n", TargetKind::Classes).unwrap_err();
        let DataError::Missing(cells) = &error else { panic!("{error}") };
        let found: Vec<(usize, u64, &str)> =
            cells.listed.iter().map(|cell| (cell.row, cell.line, cell.column.as_str())).collect();
        assert_eq!(found, [(2, 3, "x"), (1, 2, "z"), (3, 4, "z")]);
        let text: String = (0..50).map(|_| ",a\n").collect();
        let DataError::Missing(cells) = fit(&format!("x,y\n{text}"), TargetKind::Classes).unwrap_err() else {
            panic!()
        };
        assert_eq!((cells.total, cells.listed.len()), (50, 20));
        assert!(cells.to_string().ends_with("and 30 more)"));
    }

    #[test]
    fn refuses_identifiers_infinities_and_single_classes() {
        let rows: String = (0..65).map(|row| format!("name{row},{}\n", row % 2)).collect();
        let error = fit(&format!("x,y\n1,0\n{rows}"), TargetKind::Classes).unwrap_err();
        let DataError::TooManyCategories { found: 66, row: 2, line: 3, .. } = error else {
            panic!("{error}")
        };
        assert!(matches!(fit("x,y\ninf,0\n1,1\n", TargetKind::Classes), Err(DataError::NotFinite(_))));
        let single = fit("x,y\n2,0\n1,0.0\n", TargetKind::Classes);
        assert!(matches!(single, Err(DataError::TooFewClasses { found: 1, .. })));
        assert!(matches!(fit("y\n2\n", TargetKind::Classes), Err(DataError::NoFeatures)));
        let rows: String = (0..1025).map(|row| format!("1,{row}\n")).collect();
        let many = fit(&format!("x,y\n{rows}"), TargetKind::Classes);
        assert!(matches!(many, Err(DataError::TooManyClasses { found: 1025, .. })));
    }

    #[test]
    fn new_data_must_have_the_models_columns() {
        let schema = fit("a,b,y\n1,u,0\n2,v,1\n", TargetKind::Classes).unwrap();
        // Another order, and no label, are fine.
        let features = schema.encode_features(&table("b,a\nv,1\n"), None).unwrap();
        assert_eq!(features.quantized, [-256, 0, 256]);
        let error = |text: &str| schema.encode_features(&table(text), Some("truth")).unwrap_err();
        assert!(matches!(error("b\nv\n"), DataError::MissingColumns { columns } if columns == ["a"]));
        assert!(
            matches!(error("b,a,truth,c\nv,1,0,1\n"), DataError::ExtraColumns { columns } if columns == ["c"])
        );
        assert!(matches!(error("b,a\nw,1\n"), DataError::UnknownCategories(cells) if cells.total == 1));
        assert!(matches!(error("b,a\nv,one\n"), DataError::NotNumeric(_)));
        assert!(matches!(error("b,a\n,1\n"), DataError::Missing(_)));
        let unknown = schema.encode_labels(&table("a,b,y\n1,u,7\n"), "y", Loss::SoftmaxCrossEntropy);
        assert!(matches!(unknown, Err(DataError::UnknownCategories(_))));
    }

    #[test]
    fn extremes_stay_finite() {
        let schema = fit("x,y\n1e308,0\n-1e308,1\n1.7e308,0\n", TargetKind::Classes).unwrap();
        let ColumnKind::Numeric { mean, deviation } = schema.columns[0].kind else { panic!() };
        assert!(mean.is_finite() && deviation.is_finite());
        let features = schema.encode_features(&table("x\n1.7e308\n-1.7e308\n"), None).unwrap();
        assert!(features.float.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_schema_survives_json_to_the_bit() {
        let schema = fit("x,c,y\n0.1,u,0\n0.7,v,1\n0.30000000000000004,v,1\n", TargetKind::Classes).unwrap();
        let json = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), schema);
        assert!(
            serde_json::from_str::<Schema>(&json.replacen("\"activation_bits\"", "\"bits\"", 1)).is_err()
        );
    }
}
