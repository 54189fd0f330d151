//! Memory for the large arrays of a proof.

/// An empty vector with room for `capacity` entries, on large pages where the system has them for the asking: the arrays
/// of a proof are gigabytes, and a fault for every four kilobytes costs a tenth of its time.
pub fn large<T>(capacity: usize) -> Vec<T> {
    let vector = Vec::with_capacity(capacity);
    #[cfg(target_os = "linux")]
    advise(&vector);
    vector
}

#[cfg(target_os = "linux")]
fn advise<T>(vector: &Vec<T>) {
    /// A large page of x86-64, and what alignment the advice takes.
    const LARGE: usize = 2 << 20;
    let start = vector.as_ptr() as usize;
    let end = start + vector.capacity() * size_of::<T>();
    let (first, last) = (start.next_multiple_of(LARGE), end / LARGE * LARGE);
    if first < last {
        // SAFETY: the range lies within the vector's own allocation, and the advice changes no content. A system that
        // does not take it answers with an error, which changes nothing.
        unsafe { libc::madvise(first as *mut libc::c_void, last - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::large;

    #[test]
    fn large_vectors_are_vectors() {
        for capacity in [0, 3, 1 << 10, 5 << 20] {
            let mut vector = large::<u32>(capacity);
            assert!(vector.is_empty() && vector.capacity() >= capacity);
            vector.resize(capacity, 7);
            assert!(vector.iter().all(|entry| *entry == 7));
        }
    }
}
