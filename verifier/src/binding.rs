//! What every challenge of a contribution depends on (specs/protocol/statement.md).

use weightproof_circuits::curve::Point;
use weightproof_circuits::seal::halo2::Exposed;
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

/// The transcript of the halo2 seal, bound in the same way and to the mask. Its digest is what the circuit shows of it;
/// the opening goes on with it after [`absorb_seal`].
pub fn compact_transcript(
    statement: &Statement,
    witness_rows: &[Point],
    mask: &Point,
    dataset_rows: &[Point],
) -> Transcript {
    let mut transcript = Transcript::new("weightproof halo2 v1", &statement.digest());
    transcript.absorb_points("witness rows", witness_rows);
    transcript.absorb_points("mask row", core::slice::from_ref(mask));
    transcript.absorb_points("dataset rows", dataset_rows);
    transcript
}

/// Absorbs what the circuit shows and the halo2 proof: the opening's challenges follow both.
pub fn absorb_seal(transcript: &mut Transcript, exposed: &Exposed, seal: &[u8]) {
    transcript.absorb_scalars("exposed", &exposed.values());
    transcript.absorb_bytes("seal", seal);
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
