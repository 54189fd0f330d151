/* The common subset of C11 and CUDA C++ that the kernels are written in.
 *
 * NVRTC compiles the sources for a GPU at run time, without any standard header. A C compiler compiles the same sources
 * for the host, where a kernel is a function that is called once for each thread: so every kernel is tested without a
 * GPU. For that model to hold, a kernel
 *   - takes one parameter structure of pointers, 64-bit integers and field elements (multiples of eight bytes);
 *   - visits its work by WP_FOR, so that any number of threads does all of it;
 *   - writes, for each index of that loop, places that no other index reads or writes; only WP_RAISE is shared;
 *   - uses no shared memory and no barrier. Sums over many threads are taken in several launches.
 */
#ifndef WP_PORTABLE_H
#define WP_PORTABLE_H

#if defined(__CUDACC_RTC__) || defined(__CUDACC__)

#define WP_ON_DEVICE 1
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef double f64;

#define WP_DEVICE static __device__ __forceinline__
/* A function of its own, for code that is run seldom: it leaves hot loops in the instruction cache. */
#define WP_SHARED_CODE static __device__ __noinline__
/* Small blocks leave each thread the registers that 256-bit arithmetic needs. */
#define WP_KERNEL(name, Parameters)                                                              \
    extern "C" __global__ void __launch_bounds__(128) name(const __grid_constant__ Parameters p)
#define WP_FOR(index, count)                                                                     \
    for (u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x; index < (count);                \
         index += (u64)gridDim.x * blockDim.x)
/* Sets a flag that any thread may set. */
#define WP_RAISE(flag) atomicOr((flag), 1u)
#define WP_UNROLL _Pragma("unroll")

#else

#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef double f64;

#define WP_DEVICE static inline
#define WP_SHARED_CODE static inline
/* The host calls `kernel_<name>` for thread `wp_thread` of `wp_threads`. */
#define WP_KERNEL(name, Parameters)                                                              \
    enum { size_##name = sizeof(Parameters) };                                                   \
    static void thread_##name(const Parameters p, u64 wp_thread, u64 wp_threads);                \
    static void kernel_##name(const void *parameters, u64 wp_thread, u64 wp_threads) {           \
        thread_##name(*(const Parameters *)parameters, wp_thread, wp_threads);                   \
    }                                                                                            \
    static void thread_##name(const Parameters p, u64 wp_thread, u64 wp_threads)
#define WP_FOR(index, count) for (u64 index = wp_thread; index < (count); index += wp_threads)
#define WP_RAISE(flag) __atomic_store_n((flag), 1u, __ATOMIC_RELAXED)
#define WP_UNROLL

#endif

/* ⌊value / 2^bits⌋. C leaves the right shift of a negative integer to the compiler; GCC, Clang, MSVC and NVRTC all shift the
 * sign in, which the tests of rounding and of digits would notice if one did not. */
WP_DEVICE i64 wp_shift_down(i64 value, u64 bits) { return value >> bits; }

/* The magnitude of a signed integer, also of the least one. */
WP_DEVICE u64 wp_magnitude(i64 value) { return value < 0 ? 0 - (u64)value : (u64)value; }

#endif
