//! The sources of the kernels, and their names.

/// Every source, in an order in which each comes after those that it includes.
const FILES: &[(&str, &str)] = &[
    ("portable.h", include_str!("../../cuda/portable.h")),
    ("limbs.h", include_str!("../../cuda/limbs.h")),
    ("field.h", include_str!("../../cuda/field.h")),
    ("accumulate.h", include_str!("../../cuda/accumulate.h")),
    ("curve.h", include_str!("../../cuda/curve.h")),
    ("sums.cu", include_str!("../../cuda/sums.cu")),
    ("lookup.cu", include_str!("../../cuda/lookup.cu")),
    ("gates.cu", include_str!("../../cuda/gates.cu")),
    ("commit.cu", include_str!("../../cuda/commit.cu")),
    ("training.cu", include_str!("../../cuda/training.cu")),
    #[cfg(feature = "host-device")]
    ("probe.cu", include_str!("../../cuda/probe.cu")),
];

/// Every kernel that a session launches.
pub const KERNELS: [&str; 34] = [
    "combine_rows",
    "contract_rows",
    "sum_elements",
    "gated_integers",
    "difference_integers",
    "eq_sum",
    "table_entries",
    "leaf_parents",
    "node_parents",
    "node_round",
    "leaf_round",
    "node_bind",
    "leaf_bind",
    "gate_round",
    "bind",
    "row_magnitudes",
    "digit_counts",
    "digit_offsets",
    "digit_sort",
    "segment_sums",
    "sum_points",
    "join_windows",
    "to_float",
    "to_integer",
    "activations",
    "errors",
    "largest",
    "magnitude_sums",
    "check_product",
    "check_update",
    "round_sums",
    "softmax",
    "error_sums",
    "shift_biases",
];

/// The kernels over single operations, which only tests launch.
#[cfg(feature = "host-device")]
pub const PROBES: &[&str] = &["field_probe", "integer_probe", "point_probe"];
/// The kernels over single operations, which only tests launch: none is compiled.
#[cfg(not(feature = "host-device"))]
pub const PROBES: &[&str] = &[];

/// All sources as one text for NVRTC, which has no files to include: includes are left out, and every line keeps its file
/// and number in messages.
pub fn joined() -> String {
    let mut text = String::new();
    for (name, source) in FILES {
        text.push_str(&format!("#line 1 \"{name}\"\n"));
        for line in source.lines() {
            if !line.starts_with("#include") {
                text.push_str(line);
            }
            text.push('\n');
        }
    }
    text
}
