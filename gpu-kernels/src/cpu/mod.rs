//! The CPU implementation.

pub mod commit;
pub mod fixed_base;
