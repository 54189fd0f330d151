//! Generates the gRPC code from `specs/proto` without a system `protoc`.
use std::path::PathBuf;

const FILES: [&str; 9] =
    ["common", "spaces", "members", "datasets", "rounds", "contributions", "models", "ledger", "log"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("../specs/proto");
    println!("cargo:rerun-if-changed=../specs/proto");
    let files = FILES.map(|name| format!("weightproof/v1/{name}.proto"));
    let descriptors = protox::compile(&files, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // For reflection: a generic client learns the services from the node itself.
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
