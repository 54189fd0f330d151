//! Compiles the kernels for the host, when tests ask for it.

fn main() {
    println!("cargo::rerun-if-changed=cuda");
    #[cfg(feature = "host-device")]
    cc::Build::new()
        .file("cuda/host.c")
        .std("c11")
        // Products and sums of f64 must be as written; unoptimised kernels would make tests slow.
        .flag_if_supported("-ffp-contract=off")
        .opt_level(2)
        .warnings(true)
        // Every header's functions are in the one translation unit, used or not.
        .flag_if_supported("-Wno-unused-function")
        .compile("weightproof_host_kernels");
}
