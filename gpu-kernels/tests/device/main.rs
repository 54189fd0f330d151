//! The CUDA kernels on the host: each against what it means, in arkworks' arithmetic or the reference trainer's.
#![allow(clippy::unwrap_used)]

mod arithmetic;
mod assembly;
mod commitments;
mod failures;
#[path = "../shared/fractions.rs"]
mod fractions;
mod gates;
#[path = "../shared/instance.rs"]
mod instance;
mod lookup;
#[path = "../shared/products.rs"]
mod products;
#[path = "../shared/statement.rs"]
mod statement;
mod sums;
mod support;
mod training;

use weightproof_gpu_kernels::device::{cuda, cuda_devices, host, sources};
use weightproof_gpu_kernels::kernels::KernelError;

#[test]
fn every_kernel_is_compiled_for_the_host() {
    let compiled: Vec<String> = host::kernels().into_iter().map(|(name, _)| name).collect();
    for kernel in sources::KERNELS {
        assert!(compiled.iter().any(|name| name == kernel), "{kernel}");
    }
    // What is compiled besides is for these tests.
    let extra = compiled.iter().filter(|name| !sources::KERNELS.contains(&name.as_str()));
    assert!(extra.clone().all(|name| name.ends_with("_probe")), "{:?}", extra.collect::<Vec<_>>());
}

#[test]
fn sources_join_without_includes() {
    let text = sources::joined();
    assert!(!text.contains("#include"));
    for kernel in sources::KERNELS {
        assert!(text.contains(&format!("WP_KERNEL({kernel}, ")), "{kernel}");
    }
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let missing = cuda_devices();
    let Err(KernelError::Device { device, reason }) = cuda(missing) else {
        panic!("there is no such device")
    };
    assert_eq!(device, format!("CUDA device {missing}"));
    assert!(reason.starts_with("expected "), "{reason}");
}
