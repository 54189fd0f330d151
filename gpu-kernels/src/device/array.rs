//! Typed arrays in device memory.

use core::marker::PhantomData;
use std::borrow::Cow;

use ark_ff::{BigInt, Fp, FpConfig};
use weightproof_circuits::curve::Base;
use weightproof_circuits::field::F;
use zerocopy::IntoBytes;

use super::runtime::{Buffer, Launch, Runtime, failure};
use crate::kernels::KernelError;

/// What an array holds.
pub(super) trait Item: Copy {
    /// Bytes of one, on the device.
    const BYTES: usize;
    /// Their image in device memory.
    fn image(items: &[Self]) -> Cow<'_, [u8]>;
    /// `count` items from the image that `fill` writes.
    fn receive<E>(count: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Vec<Self>, E>;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Item for $type {
            const BYTES: usize = size_of::<$type>();
            fn image(items: &[Self]) -> Cow<'_, [u8]> {
                Cow::Borrowed(items.as_bytes())
            }
            fn receive<E>(count: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Vec<Self>, E> {
                let mut items = vec![<$type>::default(); count];
                fill(items.as_mut_bytes())?;
                Ok(items)
            }
        }
    )*};
}
plain!(u8, u16, u32, u64, i16, i32, i64, f64);

/// Field elements are held in Montgomery form on either side: limbs are copied.
macro_rules! field {
    ($($type:ty),*) => {$(
        impl Item for $type {
            const BYTES: usize = 32;
            fn image(items: &[Self]) -> Cow<'_, [u8]> {
                Cow::Owned(items.iter().flat_map(limbs).flat_map(u64::to_ne_bytes).collect())
            }
            fn receive<E>(count: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Vec<Self>, E> {
                let mut limbs = vec![[0u64; 4]; count];
                fill(limbs.as_mut_bytes())?;
                Ok(limbs.into_iter().map(|limbs| <$type>::new_unchecked(BigInt(limbs))).collect())
            }
        }
    )*};
}
field!(F, Base);

/// The Montgomery limbs of an element.
pub(super) fn limbs<P: FpConfig<4>>(element: &Fp<P, 4>) -> [u64; 4] {
    element.0.0
}

/// `length` items in device memory.
pub(super) struct Array<R: Runtime, T> {
    pub(super) buffer: R::Buffer,
    length: usize,
    items: PhantomData<fn() -> T>,
}

impl<R: Runtime, T: Item> Array<R, T> {
    /// Zeroes.
    pub fn zeros(runtime: &R, length: usize) -> Result<Self, KernelError> {
        // Kernels get the address of empty arrays too.
        let bytes = length.max(1).saturating_mul(T::BYTES);
        let buffer = runtime.allocate(bytes)?;
        // Launches rely on this, whatever the runtime did.
        if buffer.size() < bytes {
            return Err(failure(runtime.name(), format!("expected {bytes} bytes, found {}", buffer.size())));
        }
        Ok(Self { buffer, length, items: PhantomData })
    }

    /// A copy of `items`.
    pub fn upload(runtime: &R, items: &[T]) -> Result<Self, KernelError> {
        let mut array = Self::zeros(runtime, items.len())?;
        if !items.is_empty() {
            runtime.write(&mut array.buffer, &T::image(items))?;
        }
        Ok(array)
    }

    /// All items.
    pub fn download(&self, runtime: &R) -> Result<Vec<T>, KernelError> {
        if self.length == 0 {
            return Ok(Vec::new());
        }
        T::receive(self.length, |bytes| runtime.read(&self.buffer, 0, bytes))
    }

    /// Items.
    pub fn len(&self) -> usize {
        self.length
    }
}

impl<'a, B> Launch<'a, B> {
    pub(super) fn array<R: Runtime<Buffer = B>, T: Item>(self, array: &'a Array<R, T>) -> Self {
        self.address(&array.buffer, 0)
    }

    /// The array from item `start` on.
    pub(super) fn slice<R: Runtime<Buffer = B>, T: Item>(self, array: &'a Array<R, T>, start: usize) -> Self {
        debug_assert!(start <= array.len());
        self.address(&array.buffer, start * T::BYTES)
    }

    pub(super) fn element(self, element: &F) -> Self {
        self.words(&limbs(element))
    }
}
