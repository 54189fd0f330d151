//! A CSV file as text cells: header, shape and encoding are checked here, meaning is not.
use super::error::{DataError, LISTED};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// A rectangular table of trimmed text with distinct, non-empty column names.
#[derive(Debug)]
pub struct Table {
    header: Vec<String>,
    // Records keep a row's text in one buffer: a wide file costs about its own size, not a string a cell.
    records: Vec<csv::StringRecord>,
    digest: [u8; 32],
}

impl Table {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`DataError::Read`], and those of [`Table::from_bytes`].
    pub fn read(path: &Path) -> Result<Table, DataError> {
        let bytes =
            std::fs::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        Table::from_bytes(&bytes)
    }

    /// Parses CSV text: commas, a header line, double quotes as in RFC 4180, UTF-8 with or without a byte order mark;
    /// white space around a cell is not part of it.
    ///
    /// # Errors
    /// [`DataError::NotCsv`], [`DataError::Header`], [`DataError::Ragged`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Table, DataError> {
        let not_csv = |error: csv::Error| DataError::NotCsv { message: error.to_string() };
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
        let header: Vec<String> = reader.headers().map_err(not_csv)?.iter().map(str::to_owned).collect();
        check_header(&header)?;
        let (mut records, mut ragged, mut total) = (Vec::new(), Vec::new(), 0);
        for record in reader.records() {
            let record = record.map_err(not_csv)?;
            if record.len() != header.len() {
                if ragged.len() < LISTED {
                    ragged.push((records.len() + 1, line_of(&record), record.len()));
                }
                total += 1;
            }
            records.push(record);
        }
        if total > 0 {
            return Err(DataError::Ragged { expected: header.len(), rows: ragged, total });
        }
        Ok(Table { header, records, digest: Sha256::digest(bytes).into() })
    }

    /// Column names.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Number of data rows.
    pub fn rows(&self) -> usize {
        self.records.len()
    }

    /// SHA-256 of the file's bytes: tells two versions of a file apart, never leaves the machine.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// A column's position.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// A column's cells, top to bottom. `column` comes from [`Table::position`].
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = &str> {
        self.records.iter().map(move |record| &record[column])
    }

    /// The line in the file where a row begins.
    pub(crate) fn line(&self, row: usize) -> u64 {
        line_of(&self.records[row])
    }
}

fn line_of(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

/// Names must be there and differ; a first line of numbers means that the header was left out.
fn check_header(header: &[String]) -> Result<(), DataError> {
    let mut problems = Vec::new();
    if header.is_empty() {
        problems.push("an empty file".to_owned());
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, name) in header.iter().enumerate() {
        if name.is_empty() {
            problems.push(format!("column {} has no name", index + 1));
        } else if let Some(first) = seen.insert(name, index) {
            problems.push(format!("columns {} and {} are both named `{name}`", first + 1, index + 1));
        }
    }
    if header.len() > 1 && header.iter().all(|name| name.parse::<f64>().is_ok()) {
        problems.push("only numbers, which look like a row of data".to_owned());
    }
    let more = problems.len().saturating_sub(LISTED);
    if more > 0 {
        problems.truncate(LISTED);
        problems.push(format!("and {more} more"));
    }
    if problems.is_empty() { Ok(()) } else { Err(DataError::Header { problems }) }
}

/// The spellings of "no value", in any case.
pub(crate) fn is_missing(cell: &str) -> bool {
    ["", "na", "n/a", "nan", "null", "?"].iter().any(|spelling| cell.eq_ignore_ascii_case(spelling))
}
