//! Field arithmetic on several elements at once.
//!
//! A loop is written once over [`Packed`] and runs either element by element, anywhere, or on eight elements at a time
//! where the processor multiplies 52-bit integers eight at a time (AVX-512 IFMA). Both give the same reduced elements.

use ark_ff::{Field, Fp, MontBackend, MontConfig};

/// An element of a 255-bit Pasta field with modulus `2^254 + t`, `t < 2^126`.
pub type Element<C> = Fp<MontBackend<C, 4>, 4>;

/// Elements that a loop handles at once.
///
/// Values are loosely reduced: a loaded or broadcast value is below `p`, and each operation says what it needs and
/// yields. [`Packed::store`] reduces fully.
///
/// # Safety
/// All methods require the instruction set of the implementation; pointers must be valid for every element that a call
/// touches.
pub trait Packed<C: MontConfig<4>>: Copy {
    /// Elements at once, a power of two.
    const LANES: usize;

    /// Elements `from[0], from[stride], …`; each is below `p`.
    unsafe fn load(from: *const Element<C>, stride: usize) -> Self;
    /// Writes elements to `to[0], to[stride], …`, reduced; takes values below `4p`.
    unsafe fn store(self, to: *mut Element<C>, stride: usize);
    /// The same element in every lane.
    unsafe fn broadcast(value: &Element<C>) -> Self;
    /// The sum; bounds add, and must stay below `16p`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self − other` for `other` below `p`; the bound grows by `p`.
    unsafe fn sub(self, other: Self) -> Self;
    /// The product of values below `αp` and `βp`, below `(αβ/4 + 1)p`.
    unsafe fn mul(self, other: Self) -> Self;
    /// `a₀·b₀ + a₁·b₁`, below `((α₀β₀ + α₁β₁)/4 + 1)p`.
    unsafe fn mul_add(a: [Self; 2], b: [Self; 2]) -> Self;
}

/// One element at a time.
pub struct Single<C: MontConfig<4>>(Element<C>);

impl<C: MontConfig<4>> Clone for Single<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: MontConfig<4>> Copy for Single<C> {}

impl<C: MontConfig<4>> Packed<C> for Single<C> {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const Element<C>, _stride: usize) -> Self {
        // SAFETY: the caller vouches for the pointer.
        Self(unsafe { *from })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut Element<C>, _stride: usize) {
        // SAFETY: the caller vouches for the pointer.
        unsafe { *to = self.0 }
    }
    #[inline(always)]
    unsafe fn broadcast(value: &Element<C>) -> Self {
        Self(*value)
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
    #[inline(always)]
    unsafe fn mul_add(a: [Self; 2], b: [Self; 2]) -> Self {
        Self(Element::sum_of_products(&[a[0].0, a[1].0], &[b[0].0, b[1].0]))
    }
}
