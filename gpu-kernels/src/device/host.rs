//! The kernels on the host, for tests: a C compiler compiles the sources that NVRTC compiles for a GPU, and a kernel is
//! called once for each of its threads.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::NonNull;
use std::alloc::Layout;

use rayon::prelude::*;

use super::runtime::{Buffer, Launch, Product, Runtime, failure};
use crate::kernels::KernelError;

/// Alignment of a buffer, as on a GPU or less.
const ALIGNMENT: usize = 32;

/// An entry of the table in `cuda/host.c`.
#[repr(C)]
struct HostKernel {
    name: *const c_char,
    run: extern "C" fn(parameters: *const c_void, thread: u64, threads: u64),
    size: u64,
}

unsafe extern "C" {
    // Declared as one entry; `wp_host_kernel_count` says how many there are.
    static wp_host_kernels: HostKernel;
    static wp_host_kernel_count: u64;
}

/// The names of all kernels that were compiled, and the bytes of their parameters.
pub fn kernels() -> Vec<(String, usize)> {
    table()
        .iter()
        .map(|kernel| {
            // SAFETY: the table's names are string literals of C.
            let name = unsafe { CStr::from_ptr(kernel.name) };
            (name.to_string_lossy().into_owned(), kernel.size as usize)
        })
        .collect()
}

fn table() -> &'static [HostKernel] {
    // SAFETY: both statics are constants of cuda/host.c; the count is the table's length, and `HostKernel` is declared like
    // its entries.
    unsafe { core::slice::from_raw_parts(&raw const wp_host_kernels, wp_host_kernel_count as usize) }
}

/// Zeroed host memory.
#[derive(Debug)]
pub struct HostBuffer {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the buffer owns its memory. Kernels write it while it is shared, but a launch ends before `launch` returns and
// its threads write disjoint places; concurrent launches of one session read what they share.
unsafe impl Send for HostBuffer {}
// SAFETY: as above.
unsafe impl Sync for HostBuffer {}

impl Buffer for HostBuffer {
    fn size(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `allocate` with this layout, and freed once.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A device made of host threads.
#[derive(Debug)]
pub struct Host {
    threads: usize,
}

impl Host {
    /// Runs each kernel with at most `threads` threads (at least one).
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1) }
    }

    fn fail<T>(&self, reason: String) -> Result<T, KernelError> {
        Err(failure(self.name(), reason))
    }

    fn check(&self, buffer: &HostBuffer, bytes: usize) -> Result<(), KernelError> {
        if bytes > buffer.layout.size() {
            return self.fail(format!("expected a buffer of {bytes} bytes, found {}", buffer.layout.size()));
        }
        Ok(())
    }
}

impl Runtime for Host {
    type Buffer = HostBuffer;

    fn name(&self) -> String {
        "host".into()
    }

    fn allocate(&self, bytes: usize) -> Result<HostBuffer, KernelError> {
        let Ok(layout) = Layout::from_size_align(bytes.max(1), ALIGNMENT) else {
            return self.fail(format!("expected a size that can be allocated, found {bytes} bytes"));
        };
        // SAFETY: the layout's size is not zero.
        match NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }) {
            Some(start) => Ok(HostBuffer { start, layout }),
            None => self.fail(format!("expected {bytes} bytes of memory, found less")),
        }
    }

    fn write(&self, buffer: &mut HostBuffer, bytes: &[u8]) -> Result<(), KernelError> {
        self.check(buffer, bytes.len())?;
        // SAFETY: the buffer is large enough and, being borrowed exclusively, overlaps nothing.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.start.as_ptr(), bytes.len()) }
        Ok(())
    }

    fn read(&self, buffer: &HostBuffer, offset: usize, bytes: &mut [u8]) -> Result<(), KernelError> {
        self.check(buffer, offset.saturating_add(bytes.len()))?;
        // SAFETY: the range is inside the buffer, all of which is initialised, and overlaps no exclusive slice.
        unsafe {
            core::ptr::copy_nonoverlapping(
                buffer.start.as_ptr().add(offset),
                bytes.as_mut_ptr(),
                bytes.len(),
            );
        }
        Ok(())
    }

    fn launch(&self, launch: &Launch<'_, HostBuffer>) -> Result<(), KernelError> {
        // SAFETY: the table's names are string literals of C.
        let named = |kernel: &&HostKernel| {
            unsafe { CStr::from_ptr(kernel.name) }.to_bytes() == launch.kernel().as_bytes()
        };
        let Some(kernel) = table().iter().find(named) else {
            return self.fail(format!("expected a kernel of the sources, found {:?}", launch.kernel()));
        };
        let words = launch.parameters(|buffer| buffer.start.as_ptr().expose_provenance() as u64);
        if kernel.size as usize != size_of_val(&*words) {
            let found = size_of_val(&*words);
            return self.fail(format!(
                "{}: expected {} bytes of parameters, found {found}",
                launch.kernel(),
                kernel.size
            ));
        }
        let (run, threads) = (kernel.run, launch.thread_count().min(self.threads) as u64);
        let words = words.as_slice();
        // By the contract of `Launch`, the kernel stays inside the buffers that the structure names.
        (0..threads).into_par_iter().for_each(|thread| run(words.as_ptr().cast(), thread, threads));
        Ok(())
    }

    fn multiply(&self, product: &Product<'_, HostBuffer>) -> Result<(), KernelError> {
        let Product { left, right, out, rows, inner, columns, alpha, beta } = product;
        for (buffer, entries) in
            [(left.buffer, rows * inner), (right.buffer, inner * columns), (*out, rows * columns)]
        {
            self.check(buffer, entries * size_of::<f64>())?;
        }
        let entry = |buffer: &HostBuffer, index: usize| {
            // SAFETY: the index is below the number of entries, which was checked above; buffers are aligned to 32 bytes.
            unsafe { buffer.start.as_ptr().cast::<f64>().add(index).read() }
        };
        for row in 0..*rows {
            for column in 0..*columns {
                let sum: f64 = (0..*inner)
                    .map(|i| {
                        let a = if left.transposed { i * rows + row } else { row * inner + i };
                        let b = if right.transposed { column * inner + i } else { i * columns + column };
                        entry(left.buffer, a) * entry(right.buffer, b)
                    })
                    .sum();
                let index = row * columns + column;
                let old = if *beta == 0.0 { 0.0 } else { beta * entry(out, index) };
                // SAFETY: as above. Nothing else uses the buffer while the product is taken.
                unsafe { out.start.as_ptr().cast::<f64>().add(index).write(alpha * sum + old) }
            }
        }
        Ok(())
    }
}
