//! Compiles the kernels as a device would have them compiled, and writes the assembly for each of some architectures:
//! `cargo run --example compile -- <directory>`. Needs NVRTC, no GPU; without NVRTC it says so and does nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use weightproof_gpu_kernels::device::cuda::{Output, compile};

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("expected a directory for the assembly, found none");
        return ExitCode::FAILURE;
    };
    for architecture in [80, 90] {
        for (output, ending) in [(Output::Assembly, "ptx"), (Output::Binary, "cubin")] {
            match compile(architecture, output) {
                Ok(bytes) => {
                    let path = directory.join(format!("kernels_{architecture}.{ending}"));
                    // Assembly is text that ends with a zero byte.
                    let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
                    if let Err(error) = std::fs::write(&path, text) {
                        eprintln!("{}: {error}", path.display());
                        return ExitCode::FAILURE;
                    }
                    println!("{}", path.display());
                }
                Err(error) if error.to_string().contains("libnvrtc") => {
                    println!("skipped: {error}");
                    return ExitCode::SUCCESS;
                }
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}
