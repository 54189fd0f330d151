/* A stand-in for the CUDA driver and for cuBLAS, so that src/device/cuda.rs runs without a GPU: what the two libraries
 * export and that file uses, over host memory, with the kernels compiled for the host. README.md in cuda/ says how.
 *
 * It takes nothing on trust: a module must be machine code, a pointer must be in a live allocation, a launch must fit
 * the kernels' bounds. WEIGHTPROOF_DRIVER_BYTES bounds the memory that it has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cuda/host.c"

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

typedef struct Allocation {
    char *start;
    size_t size;
    struct Allocation *next;
} Allocation;

static Allocation *allocations;
static size_t used;
/* A context is current to one thread at a time, as with the real driver. */
static char context_of_device;
static _Thread_local void *current;

static void fault(const char *what) {
    fprintf(stderr, "driver stand-in: %s\n", what);
    abort();
}

/* The lock is one for all: the stand-in is for tests of few threads. */
static char locked;
static void lock(void) {
    while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE)) {
    }
}
static void unlock(void) { __atomic_clear(&locked, __ATOMIC_RELEASE); }

static void check(const void *start, size_t size) {
    for (Allocation *a = allocations; a; a = a->next) {
        if ((const char *)start >= a->start && (const char *)start + size <= a->start + a->size) return;
    }
    fault("an access outside of every allocation");
}

static size_t capacity(void) {
    const char *text = getenv("WEIGHTPROOF_DRIVER_BYTES");
    return text ? strtoull(text, NULL, 10) : (size_t)1 << 34;
}

int cuInit(unsigned flags) { return flags == 0 ? SUCCESS : INVALID_VALUE; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal == 0 ? SUCCESS : INVALID_VALUE; }
int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    snprintf(name, (size_t)length, "stand-in");
    return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    switch (attribute) {
    case 75: *value = 9; break;  /* compute capability, major */
    case 76: *value = 0; break;  /* compute capability, minor */
    case 115: *value = 1; break; /* memory pools */
    default: return INVALID_VALUE;
    }
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    return (void)device, *context = &context_of_device, SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int device) { return (void)device, SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = current, SUCCESS; }
int cuCtxSetCurrent(void *context) { return current = context, SUCCESS; }
int cuDeviceGetDefaultMemPool(void **pool, int device) { return (void)device, *pool = &used, SUCCESS; }
int cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
    /* The release threshold, of 64 bits. */
    return pool == &used && attribute == 4 && *(u64 *)value == UINT64_MAX ? SUCCESS : INVALID_VALUE;
}
int cuMemGetInfo_v2(size_t *available, size_t *total) {
    *total = capacity();
    *available = *total - used;
    return SUCCESS;
}

int cuMemAllocAsync(u64 *address, size_t size, void *stream) {
    (void)stream;
    if (current != &context_of_device || size == 0) return INVALID_VALUE;
    lock();
    if (size > capacity() - used) {
        unlock();
        return OUT_OF_MEMORY;
    }
    Allocation *a = malloc(sizeof *a);
    *a = (Allocation){aligned_alloc(256, (size + 255) / 256 * 256), size, allocations};
    memset(a->start, 0xa5, size);
    allocations = a;
    used += size;
    unlock();
    *address = (u64)(uintptr_t)a->start;
    return SUCCESS;
}

int cuMemFreeAsync(u64 address, void *stream) {
    (void)stream;
    lock();
    for (Allocation **link = &allocations; *link; link = &(*link)->next) {
        Allocation *a = *link;
        if ((u64)(uintptr_t)a->start == address) {
            *link = a->next;
            used -= a->size;
            free(a->start);
            free(a);
            unlock();
            return SUCCESS;
        }
    }
    fault("memory freed that was not allocated");
    return INVALID_VALUE;
}

int cuMemsetD8Async(u64 address, unsigned char value, size_t size, void *stream) {
    (void)stream;
    if (current != &context_of_device) return INVALID_VALUE;
    lock();
    check((void *)(uintptr_t)address, size);
    unlock();
    memset((void *)(uintptr_t)address, value, size);
    return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(u64 to, const void *from, size_t size, void *stream) {
    (void)stream;
    if (current != &context_of_device) return INVALID_VALUE;
    lock();
    check((void *)(uintptr_t)to, size);
    unlock();
    memcpy((void *)(uintptr_t)to, from, size);
    return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void *to, u64 from, size_t size, void *stream) {
    (void)stream;
    if (current != &context_of_device) return INVALID_VALUE;
    lock();
    check((void *)(uintptr_t)from, size);
    unlock();
    memcpy(to, (void *)(uintptr_t)from, size);
    return SUCCESS;
}
int cuStreamSynchronize(void *stream) { return (void)stream, SUCCESS; }

int cuModuleLoadData(void **module, const void *image) {
    *module = &allocations;
    return memcmp(image, "\177ELF", 4) == 0 ? SUCCESS : INVALID_VALUE;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    if (module != &allocations) return INVALID_VALUE;
    for (u64 i = 0; i < wp_host_kernel_count; i++) {
        if (strcmp(wp_host_kernels[i].name, name) == 0) return *function = (void *)&wp_host_kernels[i], SUCCESS;
    }
    return NOT_FOUND;
}
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, void *stream, void **parameters, void **extra) {
    const HostKernel *kernel = function;
    if (y != 1 || z != 1 || block_x != 128 || block_y != 1 || block_z != 1 || shared || stream || extra || x == 0 ||
        current != &context_of_device)
        return INVALID_VALUE;
    /* A copy as large as the structure: reading it whole shows that the caller's is. */
    void *structure = malloc(kernel->size);
    memcpy(structure, parameters[0], kernel->size);
    /* A few threads do all work as well as many, and sooner. */
    u64 threads = (u64)x * block_x < 64 ? (u64)x * block_x : 64;
    for (u64 thread = 0; thread < threads; thread++) kernel->run(structure, thread, threads);
    free(structure);
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : "an error";
    return SUCCESS;
}

int cublasCreate_v2(void **handle) { return *handle = &used, SUCCESS; }
int cublasDestroy_v2(void *handle) { return (void)handle, SUCCESS; }
int cublasSetStream_v2(void *handle, void *stream) { return (void)handle, stream ? INVALID_VALUE : SUCCESS; }
int cublasSetMathMode(void *handle, int mode) { return (void)handle, mode == 2 ? SUCCESS : INVALID_VALUE; }
int cublasDgemm_v2(void *handle, int transposed_a, int transposed_b, int m, int n, int k, const double *alpha,
                   const double *a, int lda, const double *b, int ldb, const double *beta, double *c, int ldc) {
    (void)handle;
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                sum += a[transposed_a ? l + (size_t)i * lda : i + (size_t)l * lda] *
                       b[transposed_b ? j + (size_t)l * ldb : l + (size_t)j * ldb];
            }
            double *out = &c[i + (size_t)j * ldc];
            *out = *alpha * sum + (*beta == 0 ? 0 : *beta * *out);
        }
    }
    return SUCCESS;
}
