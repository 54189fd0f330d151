//! Where the command keeps its own files, by the XDG base directory specification.
use crate::failure::Failure;
use std::path::PathBuf;

/// Keys and joined nodes: `$XDG_CONFIG_HOME/weightproof`, else `~/.config/weightproof`.
///
/// # Errors
/// [`Failure::Usage`] when neither variable is set.
pub fn configuration() -> Result<PathBuf, Failure> {
    directory("XDG_CONFIG_HOME", ".config").ok_or_else(|| {
        Failure::Usage(
            "expected HOME or XDG_CONFIG_HOME in the environment, found neither; set one".to_owned(),
        )
    })
}

/// Files that can be computed again: `$XDG_CACHE_HOME/weightproof`, else `~/.cache/weightproof`; `None` when neither
/// variable is set, and then nothing is kept.
pub fn cache() -> Option<PathBuf> {
    directory("XDG_CACHE_HOME", ".cache")
}

/// What cannot be made again, such as the salts of a registered dataset: `$XDG_DATA_HOME/weightproof`, else
/// `~/.local/share/weightproof`.
///
/// # Errors
/// [`Failure::Usage`] when neither variable is set.
pub fn data() -> Result<PathBuf, Failure> {
    directory("XDG_DATA_HOME", ".local/share").ok_or_else(|| {
        Failure::Usage("expected HOME or XDG_DATA_HOME in the environment, found neither; set one".to_owned())
    })
}

fn directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    // The specification says that relative paths are to be ignored.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(below_home)))
        .map(|base| base.join("weightproof"))
}
