//! What a device must offer: memory, launches of the kernels of `cuda/`, and one matrix product.
//!
//! Work is asynchronous and in order: an operation sees what earlier ones wrote, and [`Runtime::read`] waits for it.

use crate::kernels::KernelError;

/// Device memory, freed when dropped; operations that use it may still be under way.
pub trait Buffer: Send + Sync {
    /// Bytes.
    fn size(&self) -> usize;
}

/// A device that runs the kernels of `cuda/`.
pub trait Runtime: Send + Sync {
    /// Its memory.
    type Buffer: Buffer;

    /// The device, as people are told it.
    fn name(&self) -> String;

    /// Zeroed memory, aligned to 32 bytes.
    ///
    /// # Errors
    /// [`KernelError::Device`] when there is not as much.
    fn allocate(&self, bytes: usize) -> Result<Self::Buffer, KernelError>;

    /// Copies `bytes` to the start of a buffer.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn write(&self, buffer: &mut Self::Buffer, bytes: &[u8]) -> Result<(), KernelError>;

    /// Waits for everything before and copies from `offset` of a buffer.
    ///
    /// # Errors
    /// [`KernelError::Device`], also for any earlier operation that failed.
    fn read(&self, buffer: &Self::Buffer, offset: usize, bytes: &mut [u8]) -> Result<(), KernelError>;

    /// Starts a kernel.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn launch(&self, launch: &Launch<'_, Self::Buffer>) -> Result<(), KernelError>;

    /// Starts a product of matrices.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn multiply(&self, product: &Product<'_, Self::Buffer>) -> Result<(), KernelError>;
}

/// The error of a device, by its name.
pub(super) fn failure(device: String, reason: impl Into<String>) -> KernelError {
    KernelError::Device { device, reason: reason.into() }
}

/// A word of a kernel's parameter structure.
enum Word<'a, B> {
    Value(u64),
    /// The address of a buffer and so many bytes more.
    Address(&'a B, usize),
}

/// A kernel with its parameters.
///
/// Only this crate makes launches, where it knows the kernel's sizes: a runtime may rely on the words being the kernel's
/// parameter structure, and on its buffers being as long as the sizes in it say.
pub struct Launch<'a, B> {
    kernel: &'static str,
    words: Vec<Word<'a, B>>,
    threads: usize,
}

impl<'a, B> Launch<'a, B> {
    pub(super) fn new(kernel: &'static str) -> Self {
        Self { kernel, words: Vec::with_capacity(32), threads: 1 }
    }

    /// Appends an address inside a buffer.
    pub(super) fn address(mut self, buffer: &'a B, offset: usize) -> Self {
        self.words.push(Word::Address(buffer, offset));
        self
    }

    /// Appends a null pointer.
    pub(super) fn null(self) -> Self {
        self.word(0)
    }

    pub(super) fn word(mut self, word: u64) -> Self {
        self.words.push(Word::Value(word));
        self
    }

    pub(super) fn size(self, size: usize) -> Self {
        self.word(size as u64)
    }

    pub(super) fn words(self, words: &[u64]) -> Self {
        words.iter().fold(self, |launch, word| launch.word(*word))
    }

    /// How many threads have work; any number of threads does all of it.
    pub(super) fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// The kernel's name in the sources.
    pub fn kernel(&self) -> &'static str {
        self.kernel
    }

    /// The parameter structure in 64-bit words, given where each buffer starts.
    pub fn parameters(&self, start: impl Fn(&B) -> u64) -> Vec<u64> {
        let word = |word: &Word<'a, B>| match word {
            Word::Value(value) => *value,
            Word::Address(buffer, offset) => start(buffer) + *offset as u64,
        };
        self.words.iter().map(word).collect()
    }

    /// How many threads have work, at least one.
    pub fn thread_count(&self) -> usize {
        self.threads
    }
}

/// One factor of a product, row-major.
pub struct Factor<'a, B> {
    /// The matrix.
    pub buffer: &'a B,
    /// Whether its transpose is the factor.
    pub transposed: bool,
}

/// `out ← alpha·left·right + beta·out` in `f64`, all row-major; every intermediate sum is an integer below `2^53`, so any
/// order of summation gives the same result.
pub struct Product<'a, B> {
    pub(super) left: Factor<'a, B>,
    pub(super) right: Factor<'a, B>,
    pub(super) out: &'a B,
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) columns: usize,
    pub(super) alpha: f64,
    pub(super) beta: f64,
}

impl<'a, B> Product<'a, B> {
    /// The left factor, `rows × inner`.
    pub fn left(&self) -> Factor<'a, B> {
        Factor { buffer: self.left.buffer, transposed: self.left.transposed }
    }
    /// The right factor, `inner × columns`.
    pub fn right(&self) -> Factor<'a, B> {
        Factor { buffer: self.right.buffer, transposed: self.right.transposed }
    }
    /// The result, `rows × columns`.
    pub fn out(&self) -> &'a B {
        self.out
    }
    /// `rows`, `inner` and `columns`.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.rows, self.inner, self.columns)
    }
    /// `alpha` and `beta`.
    pub fn scales(&self) -> (f64, f64) {
        (self.alpha, self.beta)
    }
}
