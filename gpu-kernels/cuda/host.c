/* All kernels for the host, by name (see portable.h). */
#include "sums.cu"
#include "lookup.cu"
#include "gates.cu"
#include "commit.cu"
#include "training.cu"
#include "probe.cu"

typedef struct {
    const char *name;
    void (*run)(const void *parameters, u64 thread, u64 threads);
    u64 size; /* bytes of the parameter structure */
} HostKernel;

#define WP_ENTRY(name) {#name, kernel_##name, size_##name}

const HostKernel wp_host_kernels[] = {
    WP_ENTRY(combine_rows),    WP_ENTRY(contract_rows),   WP_ENTRY(sum_elements),  WP_ENTRY(gated_integers),
    WP_ENTRY(difference_integers), WP_ENTRY(eq_sum),      WP_ENTRY(table_entries), WP_ENTRY(leaf_parents),
    WP_ENTRY(node_parents),    WP_ENTRY(node_round),      WP_ENTRY(leaf_round),    WP_ENTRY(node_bind),
    WP_ENTRY(leaf_bind),       WP_ENTRY(gate_round),      WP_ENTRY(bind),          WP_ENTRY(row_magnitudes),
    WP_ENTRY(digit_counts),    WP_ENTRY(digit_offsets),   WP_ENTRY(digit_sort),    WP_ENTRY(segment_sums),
    WP_ENTRY(sum_points),      WP_ENTRY(join_windows),    WP_ENTRY(to_float),      WP_ENTRY(to_integer),
    WP_ENTRY(activations),     WP_ENTRY(errors),          WP_ENTRY(largest),       WP_ENTRY(magnitude_sums),
    WP_ENTRY(check_product),   WP_ENTRY(check_update),    WP_ENTRY(round_sums),    WP_ENTRY(softmax),
    WP_ENTRY(error_sums),      WP_ENTRY(shift_biases),    WP_ENTRY(field_probe),   WP_ENTRY(integer_probe),
    WP_ENTRY(point_probe),
};

const u64 wp_host_kernel_count = sizeof(wp_host_kernels) / sizeof(wp_host_kernels[0]);
