//! The CPU implementation.

pub mod commit;
pub mod fixed_base;
#[cfg(target_arch = "x86_64")]
pub mod ifma;
pub mod gates;
pub mod integers;
pub mod lanes;
pub mod lookup;
pub mod packed;
pub mod weights;
