//! The CUDA implementation of [`Kernels`].
//!
//! The kernels are in `cuda/`, in a subset of CUDA C++ that is C11 too. NVRTC compiles them when a device is opened; for
//! tests (feature `host-device`) a C compiler compiles the same sources for the host. [`Device`] is the same over either
//! [`Runtime`]: it uploads a proof's tensors once, keeps everything on the device between operations, and brings back a
//! few field elements a sumcheck round.
//!
//! Every function returns [`KernelError::Device`] when the device fails; the caller's data is untouched, and the CPU can
//! do the same work.

mod array;
mod commit;
pub mod cuda;
mod gates;
#[cfg(feature = "host-device")]
pub mod host;
mod lookup;
#[cfg(feature = "host-device")]
pub mod probe;
pub mod runtime;
mod session;
pub mod sources;
mod sums;
mod training;
mod weights;

use std::sync::Arc;

use weightproof_circuits::exact::Trace;
use weightproof_circuits::parameters::Parameters;

use crate::kernels::{KernelError, Kernels, Session, Tensors, TrainingInput};
use cuda::Cuda;
use runtime::Runtime;

/// Kernels on a device.
pub struct Device<R: Runtime> {
    runtime: Arc<R>,
}

impl<R: Runtime> Device<R> {
    /// On a runtime, which may serve several devices at once.
    pub fn new(runtime: Arc<R>) -> Self {
        Self { runtime }
    }
}

impl<R: Runtime> Kernels for Device<R> {
    fn device(&self) -> String {
        self.runtime.name()
    }

    fn train(
        &self,
        input: TrainingInput<'_>,
        observer: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<(Trace, Parameters)>, KernelError> {
        training::train(&*self.runtime, input, observer)
    }

    fn open<'a>(&'a self, tensors: Tensors<'a>) -> Result<Box<dyn Session + 'a>, KernelError> {
        Ok(Box::new(session::DeviceSession::new(&*self.runtime, tensors)?))
    }
}

/// The CUDA device of this ordinal (from 0). Compiling the kernels takes some seconds, once a process.
///
/// # Errors
/// [`KernelError::Device`] without a driver, NVRTC or such a device.
pub fn cuda(ordinal: usize) -> Result<Box<dyn Kernels>, KernelError> {
    Ok(Box::new(Device::new(Cuda::open(ordinal)?)))
}

/// How many CUDA devices there are; 0 without a driver.
pub fn cuda_devices() -> usize {
    cuda::count()
}
