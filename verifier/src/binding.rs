//! What every challenge of a contribution depends on (specs/protocol/statement.md).

use weightproof_circuits::curve::Point;
use weightproof_circuits::statement::Statement;
use weightproof_circuits::transcript::Transcript;

/// The transcript of the sigma seal, bound to the statement and to every commitment before any challenge is drawn.
///
/// The statement's digest covers protocol version, seal, mode, program, dataset root and size, model, update, beacon,
/// contributor and payout; `dataset_rows` are the commitments of the rows in use, by ascending index.
pub fn transcript(statement: &Statement, witness_rows: &[Point], dataset_rows: &[Point]) -> Transcript {
    let mut transcript = Transcript::new("weightproof sigma v1", &statement.digest());
    transcript.absorb_points("witness rows", witness_rows);
    transcript.absorb_points("dataset rows", dataset_rows);
    transcript
}

/// The distinct rows of a batch list, ascending, and for each position of the list the place of its row among them.
pub fn distinct_rows(indices: &[u32]) -> (Vec<u64>, Vec<usize>) {
    let mut distinct: Vec<u64> = indices.iter().map(|i| u64::from(*i)).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let places = indices
        .iter()
        .map(|i| distinct.binary_search(&u64::from(*i)).unwrap_or_else(|insertion| insertion))
        .collect();
    (distinct, places)
}
