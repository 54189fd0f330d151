//! The CPU implementation.

mod affine;
pub mod commit;
pub mod fixed_base;
pub mod fold;
#[cfg(target_arch = "x86_64")]
pub mod ifma;
pub mod packed;
