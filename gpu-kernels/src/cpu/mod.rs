//! The CPU implementation.

pub mod commit;
pub mod fixed_base;
#[cfg(target_arch = "x86_64")]
pub mod ifma;
pub mod lanes;
pub mod packed;
