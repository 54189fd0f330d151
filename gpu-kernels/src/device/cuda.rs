//! The CUDA runtime: driver, NVRTC and cuBLAS, all found when they are asked for, so that nothing of CUDA is needed to
//! build or to run without a GPU.

use core::ffi::{CStr, c_void};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublas::{CudaBlas, result as blas, sys as blas_sys};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, result as driver,
    sys as driver_sys,
};
use cudarc::nvrtc::{Ptx, result as nvrtc, sys as nvrtc_sys};

use super::runtime::{Buffer, Launch, Product, Runtime, failure};
use super::sources::{KERNELS, PROBES, joined};
use crate::kernels::KernelError;

/// Threads of a block; the kernels' launch bounds say the same.
const BLOCK: usize = 128;
/// Most blocks of a launch: a grid-stride loop does the rest, with its loop-carried state kept for longer.
const BLOCKS: usize = 1 << 16;

/// Devices that are open, by ordinal: compiling takes seconds, so a process does it once a device.
static OPEN: Mutex<Option<HashMap<usize, Arc<Cuda>>>> = Mutex::new(None);

/// How many CUDA devices there are; 0 without a driver.
pub fn count() -> usize {
    if !driver_present() {
        return 0;
    }
    CudaContext::device_count().ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

fn driver_present() -> bool {
    // SAFETY: loading the driver's library runs its initialisers, which is what it is installed for.
    unsafe { driver_sys::is_culib_present() }
}

fn nvrtc_present() -> bool {
    // SAFETY: as for the driver.
    unsafe { nvrtc_sys::is_culib_present() }
}

fn cublas_present() -> bool {
    // SAFETY: as for the driver.
    unsafe { blas_sys::is_culib_present() }
}

/// What NVRTC makes of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Machine code for one architecture: loads under any driver of the same major version.
    Binary,
    /// Assembly that the driver compiles for the device it finds, which may be newer than NVRTC.
    Assembly,
}

/// Compiles the kernels for an architecture, such as 90 for compute capability 9.0.
///
/// # Errors
/// [`KernelError::Device`] without NVRTC, or with the compiler's messages.
pub fn compile(architecture: u32, output: Output) -> Result<Vec<u8>, KernelError> {
    let fail = |reason: String| failure(format!("NVRTC for architecture {architecture}"), reason);
    if !nvrtc_present() {
        return Err(fail(
            "expected the library libnvrtc, found none; install the CUDA toolkit's NVRTC, or use the CPU"
                .into(),
        ));
    }
    let source = CString::new(joined())
        .map_err(|error| fail(format!("expected sources without zero bytes: {error}")))?;
    let program =
        Program::new(&source).map_err(|error| fail(format!("expected a program, found {error:?}")))?;
    let kind = match output {
        Output::Binary => "sm",
        Output::Assembly => "compute",
    };
    // Contraction of multiplications and additions would be harmless on exact integers; without it there is less to trust.
    let options =
        [format!("--gpu-architecture={kind}_{architecture}"), "--std=c++17".into(), "--fmad=false".into()];
    // SAFETY: the program was created above and lives until the end of this function.
    if let Err(error) = unsafe { nvrtc::compile_program(program.0, &options) } {
        return Err(fail(format!("expected sources that compile, found {error:?}: {}", program.log())));
    }
    match output {
        // SAFETY: as above.
        Output::Assembly => unsafe { nvrtc::get_ptx(program.0) }
            .map(|text| text.into_iter().map(|c| c as u8).collect())
            .map_err(|error| fail(format!("expected assembly, found {error:?}"))),
        Output::Binary => {
            program.binary().map_err(|error| fail(format!("expected machine code, found {error:?}")))
        }
    }
}

/// A program that is destroyed when dropped.
struct Program(nvrtc_sys::nvrtcProgram);

impl Program {
    fn new(source: &CStr) -> Result<Self, nvrtc::NvrtcError> {
        nvrtc::create_program(source, Some(c"weightproof.cu")).map(Self)
    }

    fn log(&self) -> String {
        // SAFETY: the program is live.
        match unsafe { nvrtc::get_program_log(self.0) } {
            Ok(log) => log.into_iter().map(|c| c as u8 as char).filter(|c| *c != '\0').take(2000).collect(),
            Err(error) => format!("no log ({error:?})"),
        }
    }

    fn binary(&self) -> Result<Vec<u8>, nvrtc::NvrtcError> {
        let mut size = 0usize;
        // SAFETY: the program is live and compiled; the size is written to a local.
        unsafe { nvrtc_sys::nvrtcGetCUBINSize(self.0, &mut size) }.result()?;
        let mut binary = vec![0u8; size];
        // SAFETY: as above; the buffer has the size that NVRTC asked for.
        unsafe { nvrtc_sys::nvrtcGetCUBIN(self.0, binary.as_mut_ptr().cast()) }.result()?;
        Ok(binary)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is live, and nothing uses it afterwards. A failure leaks it, which harms nothing.
        let _ = unsafe { nvrtc::destroy_program(self.0) };
    }
}

/// The architectures that this NVRTC has machine code for; empty when it does not say.
fn architectures() -> Vec<u32> {
    let mut count = 0;
    // SAFETY: the count is written to a local.
    if unsafe { nvrtc_sys::nvrtcGetNumSupportedArchs(&mut count) }.result().is_err() {
        return Vec::new();
    }
    let mut list = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: the list has the length that NVRTC asked for.
    if list.is_empty() || unsafe { nvrtc_sys::nvrtcGetSupportedArchs(list.as_mut_ptr()) }.result().is_err() {
        return Vec::new();
    }
    list.into_iter().filter_map(|architecture| u32::try_from(architecture).ok()).collect()
}

/// A CUDA device with the kernels loaded.
pub struct Cuda {
    name: String,
    context: Arc<CudaContext>,
    /// Everything runs on one stream, in order.
    stream: Arc<CudaStream>,
    functions: HashMap<&'static str, CudaFunction>,
    /// Made by the first product: only training needs cuBLAS.
    blas: Mutex<Option<CudaBlas>>,
}

impl Cuda {
    /// Opens a device, or returns it if it is open.
    ///
    /// # Errors
    /// [`KernelError::Device`] without a driver, NVRTC or such a device.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, KernelError> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get_or_insert_with(HashMap::new);
        if let Some(cuda) = open.get(&ordinal) {
            return Ok(cuda.clone());
        }
        let cuda = Arc::new(Self::start(ordinal)?);
        open.insert(ordinal, cuda.clone());
        Ok(cuda)
    }

    fn start(ordinal: usize) -> Result<Self, KernelError> {
        let place = format!("CUDA device {ordinal}");
        if !driver_present() {
            let reason = "expected the NVIDIA driver's library libcuda, found none; install the driver, or use the CPU";
            return Err(failure(place, reason));
        }
        let found = count();
        if ordinal >= found {
            let reason =
                format!("expected a device below {found}, found {ordinal}; choose another, or use the CPU");
            return Err(failure(place, reason));
        }
        let fail = |what: &str, error: driver::DriverError| {
            failure(
                place.clone(),
                format!("expected {what}, found {error}; check the driver, or use the CPU"),
            )
        };
        let context = CudaContext::new(ordinal).map_err(|e| fail("a context", e))?;
        // SAFETY: all work of this crate is on the default stream, in order, so events between streams guard nothing.
        unsafe { context.disable_event_tracking() };
        let model = context.name().map_err(|e| fail("a name", e))?;
        let (major, minor) = context.compute_capability().map_err(|e| fail("a compute capability", e))?;
        let own = u32::try_from(10 * major + minor).unwrap_or(0);
        let name = format!("CUDA device {ordinal}, {model}");
        keep_freed_memory(&context).map_err(|e| fail("a memory pool", e))?;

        if !nvrtc_present() {
            let reason =
                "expected the library libnvrtc, found none; install the CUDA toolkit's NVRTC, or use the CPU";
            return Err(failure(name, reason));
        }
        // A device that is newer than NVRTC is given assembly for the nearest older architecture.
        let known = architectures();
        let nearest = known.iter().copied().filter(|known| *known <= own).max().unwrap_or(own);
        let output = if known.contains(&own) { Output::Binary } else { Output::Assembly };
        let module = context
            .load_module(Ptx::from_binary(compile(nearest, output)?))
            .map_err(|e| fail("kernels that load", e))?;
        let mut functions = HashMap::with_capacity(KERNELS.len());
        for kernel in KERNELS.iter().chain(PROBES) {
            functions.insert(*kernel, module.load_function(kernel).map_err(|e| fail("every kernel", e))?);
        }
        let stream = context.default_stream();
        Ok(Self { name, context, stream, functions, blas: Mutex::new(None) })
    }

    fn fail(&self, what: &str, error: impl core::fmt::Debug) -> KernelError {
        failure(self.name.clone(), format!("expected {what}, found {error:?}"))
    }

    fn bind(&self) -> Result<(), KernelError> {
        self.context.bind_to_thread().map_err(|e| self.fail("a context that works", e))
    }
}

/// Keeps freed memory for later allocations: without this each synchronisation gives it back, and each proof asks for it
/// anew hundreds of times.
fn keep_freed_memory(context: &CudaContext) -> Result<(), driver::DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut threshold = u64::MAX;
    // SAFETY: the device is the context's; the pool lives as long as the device, and the attribute is 64 bits wide.
    unsafe {
        let pool = driver::device::get_default_mem_pool(context.cu_device())?;
        let attribute = driver_sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        driver::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast())
    }
}

impl Buffer for CudaSlice<u8> {
    fn size(&self) -> usize {
        self.len()
    }
}

impl Runtime for Cuda {
    type Buffer = CudaSlice<u8>;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&self, bytes: usize) -> Result<CudaSlice<u8>, KernelError> {
        self.stream.alloc_zeros(bytes.max(1)).map_err(|error| {
            let free = match self.context.mem_get_info() {
                Ok((free, total)) => format!("{free} of {total} bytes free"),
                Err(_) => "an unknown amount".into(),
            };
            failure(
                self.name.clone(),
                format!("expected {bytes} bytes of device memory, found {free} ({error})"),
            )
        })
    }

    fn write(&self, buffer: &mut CudaSlice<u8>, bytes: &[u8]) -> Result<(), KernelError> {
        if bytes.len() > buffer.len() {
            return Err(self.fail(&format!("a buffer of {} bytes", bytes.len()), buffer.len()));
        }
        self.bind()?;
        let (to, _written) = buffer.device_ptr_mut(&self.stream);
        // SAFETY: `to` is a live allocation of at least as many bytes. The bytes are pageable memory, which the driver has
        // staged when the call returns, so their borrow may end.
        unsafe { driver::memcpy_htod_async(to, bytes, self.stream.cu_stream()) }
            .map_err(|e| self.fail("a copy to it", e))
    }

    fn read(&self, buffer: &CudaSlice<u8>, offset: usize, bytes: &mut [u8]) -> Result<(), KernelError> {
        if offset.saturating_add(bytes.len()) > buffer.len() {
            return Err(self.fail(&format!("{} bytes at {offset}", bytes.len()), buffer.len()));
        }
        self.bind()?;
        let (from, _read) = buffer.device_ptr(&self.stream);
        // SAFETY: the range is inside a live allocation, and the stream is waited for below before the borrow ends.
        let copied =
            unsafe { driver::memcpy_dtoh_async(bytes, from + offset as u64, self.stream.cu_stream()) };
        let finished = self.stream.synchronize();
        copied.and(finished).map_err(|e| self.fail("a result", e))
    }

    fn launch(&self, launch: &Launch<'_, CudaSlice<u8>>) -> Result<(), KernelError> {
        let Some(function) = self.functions.get(launch.kernel()) else {
            return Err(self.fail("a kernel of the sources", launch.kernel()));
        };
        self.bind()?;
        let blocks = launch.thread_count().div_ceil(BLOCK).clamp(1, BLOCKS) as u32;
        // One argument, the parameter structure, which the driver copies before the call returns.
        let parameters = launch.parameters(|buffer| buffer.device_ptr(&self.stream).0);
        let mut arguments = [parameters.as_ptr().cast::<c_void>().cast_mut()];
        // SAFETY: the function is of a module that lives as long as it. By the contract of `Launch` the words are its
        // parameter structure and name live buffers that are long enough; a buffer that is dropped later is freed in stream
        // order, after the kernel.
        unsafe {
            driver::launch_kernel(
                function.cu_function(),
                (blocks, 1, 1),
                (BLOCK as u32, 1, 1),
                0,
                self.stream.cu_stream(),
                &mut arguments,
            )
        }
        .map_err(|e| self.fail(&format!("kernel {} to start", launch.kernel()), e))
    }

    fn multiply(&self, product: &Product<'_, CudaSlice<u8>>) -> Result<(), KernelError> {
        let (left, right) = (product.left(), product.right());
        let (rows, inner, columns) = product.sizes();
        for (buffer, entries) in
            [(left.buffer, rows * inner), (right.buffer, inner * columns), (product.out, rows * columns)]
        {
            if entries * size_of::<f64>() > buffer.len() {
                return Err(self.fail(&format!("a matrix of {entries} entries"), buffer.len()));
            }
        }
        let Some(sizes) = ColumnMajor::new(product) else {
            return Err(self.fail("dimensions of 31 bits", product.sizes()));
        };
        self.bind()?;
        let mut handle = self.blas.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = match handle.as_mut() {
            Some(handle) => handle,
            None => handle.insert(self.start_blas()?),
        };
        let operation = |transposed: bool| match transposed {
            true => blas_sys::cublasOperation_t::CUBLAS_OP_T,
            false => blas_sys::cublasOperation_t::CUBLAS_OP_N,
        };
        let address = |buffer: &CudaSlice<u8>| buffer.device_ptr(&self.stream).0 as *mut f64;
        let (alpha, beta) = product.scales();
        // SAFETY: the three matrices are live and have the announced sizes, checked above. Scalars are read from the host
        // before the call returns (the default pointer mode).
        unsafe {
            blas::dgemm(
                *handle.handle(),
                operation(right.transposed),
                operation(left.transposed),
                sizes.m,
                sizes.n,
                sizes.k,
                &alpha,
                address(right.buffer),
                sizes.first_stride,
                address(left.buffer),
                sizes.second_stride,
                &beta,
                address(product.out()),
                sizes.out_stride,
            )
        }
        .map_err(|e| self.fail("a product", e))
    }
}

/// A row-major product as BLAS takes it. BLAS is column-major, where a row-major matrix is its transpose, so
/// `outᵀ = rightᵀ·leftᵀ`: the right factor comes first, and each keeps its own transposition.
#[derive(Clone, Copy, Debug)]
struct ColumnMajor {
    /// Rows of `outᵀ`.
    m: i32,
    /// Columns of `outᵀ`.
    n: i32,
    /// What the factors share.
    k: i32,
    /// From one column of the first factor to the next: the width of the row-major matrix.
    first_stride: i32,
    /// Of the second factor.
    second_stride: i32,
    /// Of the result.
    out_stride: i32,
}

impl ColumnMajor {
    /// `None` when a size does not fit.
    fn new<B>(product: &Product<'_, B>) -> Option<Self> {
        let (rows, inner, columns) = product.sizes();
        let (rows, inner, columns) =
            (i32::try_from(rows).ok()?, i32::try_from(inner).ok()?, i32::try_from(columns).ok()?);
        Some(Self {
            m: columns,
            n: rows,
            k: inner,
            first_stride: if product.right().transposed { inner } else { columns },
            second_stride: if product.left().transposed { rows } else { inner },
            out_stride: columns,
        })
    }
}

impl Cuda {
    fn start_blas(&self) -> Result<CudaBlas, KernelError> {
        if !cublas_present() {
            let reason = "expected the library libcublas, found none; install cuBLAS, or train on the CPU";
            return Err(failure(self.name.clone(), reason));
        }
        let handle = CudaBlas::new(self.stream.clone()).map_err(|e| self.fail("cuBLAS to start", e))?;
        // Exactness needs true f64 products; newer versions can be told from outside to emulate them.
        // SAFETY: the handle is live.
        unsafe {
            blas_sys::cublasSetMathMode(*handle.handle(), blas_sys::cublasMath_t::CUBLAS_PEDANTIC_MATH)
        }
        .result()
        .map_err(|e| self.fail("standard arithmetic", e))?;
        Ok(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::runtime::Factor;

    /// `op(A)·op(B)` as BLAS defines it, element by element: column-major with strides.
    fn gemm(a: &[i64], a_transposed: bool, b: &[i64], b_transposed: bool, sizes: ColumnMajor) -> Vec<i64> {
        let [m, n, k, lda, ldb, ldc] =
            [sizes.m, sizes.n, sizes.k, sizes.first_stride, sizes.second_stride, sizes.out_stride]
                .map(|size| size as usize);
        let mut c = vec![0; ldc * n];
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            for l in 0..k {
                let left = a[if a_transposed { l + i * lda } else { i + l * lda }];
                let right = b[if b_transposed { j + l * ldb } else { l + j * ldb }];
                c[i + j * ldc] += left * right;
            }
        }
        c
    }

    #[test]
    fn row_major_products_are_column_major_ones() {
        let (rows, inner, columns) = (2, 3, 5);
        let left: Vec<i64> = (1..7).collect();
        let right: Vec<i64> = (1..16).map(|x| x * x).collect();
        for transposed in [[false, false], [false, true], [true, false], [true, true]] {
            let product = Product {
                left: Factor { buffer: &left, transposed: transposed[0] },
                right: Factor { buffer: &right, transposed: transposed[1] },
                out: &left,
                rows,
                inner,
                columns,
                alpha: 1.0,
                beta: 0.0,
            };
            let mut expected = Vec::new();
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let entry = |i: usize| {
                    left[if transposed[0] { i * rows + row } else { row * inner + i }]
                        * right[if transposed[1] { column * inner + i } else { i * columns + column }]
                };
                expected.push((0..inner).map(entry).sum::<i64>());
            }
            let sizes = ColumnMajor::new(&product).expect("small sizes");
            assert_eq!(gemm(&right, transposed[1], &left, transposed[0], sizes), expected, "{transposed:?}");
        }
    }
}
