//! What several tests need.

use std::sync::Arc;

use weightproof_gpu_kernels::device::host::Host;
use weightproof_gpu_kernels::device::{Device, cuda};
use weightproof_gpu_kernels::kernels::{Kernels, Session};

use crate::assembly::Assembly;
pub use crate::instance::{Draw, Instance, bind};

/// Where the tests run: `WEIGHTPROOF_DEVICE`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not set: the kernels as a C compiler makes them.
    Host,
    /// `assembly`: NVRTC's assembly, interpreted.
    Assembly,
    /// `cuda`: the first CUDA device.
    Cuda,
}

/// See [`Place`].
pub fn place() -> Place {
    match std::env::var("WEIGHTPROOF_DEVICE").as_deref() {
        Err(_) => Place::Host,
        Ok("assembly") => Place::Assembly,
        Ok("cuda") => Place::Cuda,
        Ok(other) => panic!("WEIGHTPROOF_DEVICE: expected assembly or cuda, found {other}"),
    }
}

/// The devices of the place. On the host, kernels run with one thread, with a few, and with more than there is work.
pub fn devices() -> Vec<Box<dyn Kernels>> {
    match place() {
        Place::Host => {
            let host = |threads| Box::new(Device::new(Arc::new(Host::new(threads)))) as Box<dyn Kernels>;
            [1, 7, 5000].map(host).into()
        }
        Place::Assembly => vec![Box::new(Device::new(Arc::new(Assembly::default())))],
        Place::Cuda => vec![cuda(0).unwrap()],
    }
}

/// The expression with a runtime of the place, for single operations.
macro_rules! probing {
    ($runtime:ident => $expression:expr) => {
        match $crate::support::place() {
            $crate::support::Place::Host => {
                let $runtime = &weightproof_gpu_kernels::device::host::Host::new(3);
                $expression
            }
            $crate::support::Place::Assembly => {
                let $runtime = &$crate::assembly::Assembly::default();
                $expression
            }
            $crate::support::Place::Cuda => {
                let $runtime = &*weightproof_gpu_kernels::device::cuda::Cuda::open(0).unwrap();
                $expression
            }
        }
    };
}
pub(crate) use probing;

impl Instance {
    /// Runs `test` in a session on each device.
    pub fn on_devices(&self, test: impl Fn(&dyn Session)) {
        for device in devices() {
            test(&*device.open(self.tensors()).unwrap());
        }
    }
}
