//! Merkle trees over a dataset's row commitments.
