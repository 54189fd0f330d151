//! `export --float`: the model for other tools.
use crate::cli::Export;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use std::path::{Path, PathBuf};

/// Converts a model to float32.
pub fn run(arguments: &Export, output: &Output) -> Result<Exit, Failure> {
    let model = Failure::read_model(&arguments.model)?;
    let path = arguments.out.clone().unwrap_or_else(|| beside(&arguments.model));
    if path == arguments.model {
        let text =
            "expected another file for --out than the model itself, found the same; choose another name";
        return Err(Failure::Usage(text.to_owned()));
    }
    model.write_float(&path)?;
    output.line(
        "wrote",
        format!("{}  float32, layers.N.weight [out, in] and layers.N.bias [out]", path.display()),
    );
    Ok(Exit::Success)
}

/// `model-0001.safetensors` becomes `model-0001-float.safetensors`.
fn beside(model: &Path) -> PathBuf {
    let mut name = model.file_stem().unwrap_or_default().to_owned();
    name.push("-float.safetensors");
    model.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_float_file_lies_beside_the_model() {
        assert_eq!(
            beside(Path::new("a/model-0001.safetensors")),
            Path::new("a/model-0001-float.safetensors")
        );
        assert_eq!(beside(Path::new("model")), Path::new("model-float.safetensors"));
    }
}
