//! The CPU implementation.

mod affine;
pub mod commit;
#[cfg(target_arch = "x86_64")]
pub mod eight;
pub mod fixed_base;
pub mod fold;
pub mod gates;
#[cfg(target_arch = "x86_64")]
pub mod ifma;
pub mod integers;
pub mod lanes;
pub mod lookup;
pub mod session;
pub mod weights;
