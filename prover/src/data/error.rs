//! What can be wrong with a data file, said so that its owner can mend it.
use std::fmt;
use std::path::PathBuf;

/// At most this many cells or rows are listed in one error; the total is always given.
pub const LISTED: usize = 20;

/// One cell of the file. Values are never quoted: they may be secret and errors get copied into tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Data row, counted from 1 (the header is not a row).
    pub row: usize,
    /// Line in the file, counted from 1.
    pub line: u64,
    /// Column name.
    pub column: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "row {} (line {}) column `{}`", self.row, self.line, self.column)
    }
}

/// The first [`LISTED`] cells with one kind of problem, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// The first ones, in file order of columns, then rows.
    pub listed: Vec<Cell>,
    /// All of them.
    pub total: usize,
}

impl Cells {
    /// Notes one more cell.
    pub(crate) fn push(&mut self, row: usize, line: u64, column: &str) {
        if self.listed.len() < LISTED {
            self.listed.push(Cell { row: row + 1, line, column: column.to_owned() });
        }
        self.total += 1;
    }

    /// `Err(wrap(self))` if any cell was noted.
    pub(crate) fn none_or<E>(self, wrap: impl FnOnce(Cells) -> E) -> Result<(), E> {
        if self.total == 0 { Ok(()) } else { Err(wrap(self)) }
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.total, Listing(&self.listed, self.total))
    }
}

/// A bounded list: what is shown, then how many more there are.
struct Listing<'a, T>(&'a [T], usize);

impl<T: fmt::Display> fmt::Display for Listing<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            write!(formatter, "{}{item}", if index == 0 { "" } else { ", " })?;
        }
        match self.1.saturating_sub(self.0.len()) {
            0 => Ok(()),
            more => write!(formatter, ", and {more} more"),
        }
    }
}

fn names(columns: &[String]) -> String {
    Listing(&columns[..columns.len().min(LISTED)], columns.len()).to_string()
}

fn ragged(rows: &[(usize, u64, usize)], total: usize) -> String {
    let rows: Vec<String> =
        rows.iter().map(|(row, line, found)| format!("row {row} (line {line}) has {found}")).collect();
    Listing(&rows, total).to_string()
}

/// Why a data file cannot be used. Each text says what was expected, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be read at all.
    #[error("expected a readable CSV file at {}, found: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are not CSV in UTF-8.
    #[error("expected CSV text in UTF-8, found: {message}; re-save the file as UTF-8 CSV with commas")]
    NotCsv {
        /// The parser's reason, with its position.
        message: String,
    },
    /// Header problems, all of them.
    #[error("expected a first line with a distinct name for each column, found: {}; mend the header line", problems.join("; "))]
    Header {
        /// Each problem in words.
        problems: Vec<String>,
    },
    /// Rows whose number of fields is not the header's.
    #[error("expected {expected} fields in each row, found {total} rows that differ: {}; mend or remove them", ragged(rows, *total))]
    Ragged {
        /// The header's number of columns.
        expected: usize,
        /// First ones: data row from 1, line, fields found.
        rows: Vec<(usize, u64, usize)>,
        /// How many there are.
        total: usize,
    },
    /// Cells without a value.
    #[error(
        "expected a value in each cell, found missing values: {0}; fill them in or remove the rows or columns"
    )]
    Missing(Cells),
    /// Numbers that are infinite.
    #[error("expected finite numbers, found infinite ones: {0}; replace them or remove the rows")]
    NotFinite(Cells),
    /// The label column does not exist.
    #[error(
        "expected a label column named `{label}`, found the columns {}; pass one of them with --label",
        names(columns)
    )]
    LabelNotFound {
        /// What was asked for.
        label: String,
        /// What is there.
        columns: Vec<String>,
    },
    /// Nothing but the label.
    #[error("expected at least one feature column beside the label, found none; is the separator a comma?")]
    NoFeatures,
    /// Too few rows to train on and to hold some out.
    #[error("expected at least {minimum} rows, found {found}; add data")]
    TooFewRows {
        /// Fewest that work.
        minimum: usize,
        /// Rows in the file.
        found: usize,
    },
    /// A column of words with too many different ones.
    #[error(
        "expected column `{column}` to be numeric or to have at most {limit} categories, found {found} (the first value that is no number: row {row}, line {line}); remove the column (an identifier?) or mend its numbers"
    )]
    TooManyCategories {
        /// The column.
        column: String,
        /// Different values found.
        found: usize,
        /// Most that are taken.
        limit: usize,
        /// First row, from 1, that does not hold a number.
        row: usize,
        /// Its line.
        line: u64,
    },
    /// A classification label with only one class.
    #[error("expected at least two classes in label column `{label}`, found {found}; choose another label")]
    TooFewClasses {
        /// The label column.
        label: String,
        /// Classes found.
        found: usize,
    },
    /// A classification label with too many classes.
    #[error(
        "expected at most {limit} classes in label column `{label}`, found {found}; for a quantity, train a program with one output and loss = \"squared-error\""
    )]
    TooManyClasses {
        /// The label column.
        label: String,
        /// Classes found.
        found: usize,
        /// Most that are taken.
        limit: usize,
    },
    /// Fractions where classes are needed.
    #[error(
        "expected classes in label column `{label}`, found numbers with fractions: {cells}; for a quantity, train a program with one output and loss = \"squared-error\""
    )]
    FractionalClasses {
        /// The label column.
        label: String,
        /// Where.
        cells: Cells,
    },
    /// Cells of a numeric column or label that hold no number.
    #[error("expected numbers, found other text: {0}; mend the cells")]
    NotNumeric(Cells),
    /// A model's column is not in the data.
    #[error(
        "expected the model's columns, missing in the data: {}; add them under these names",
        names(columns)
    )]
    MissingColumns {
        /// Missing ones.
        columns: Vec<String>,
    },
    /// The data has columns that the model does not know.
    #[error("expected only the model's columns, also found in the data: {}; remove them", names(columns))]
    ExtraColumns {
        /// Unknown ones.
        columns: Vec<String>,
    },
    /// A category or class that the model was not trained on.
    #[error(
        "expected categories that the model knows, found others: {0}; map them to known ones or remove the rows"
    )]
    UnknownCategories(Cells),
}
