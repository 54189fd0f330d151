//! What a proof is about.
