//! Places at which tests end the process as a power cut would, or let the disk fail. In a release build there are none.
//!
//! A test names a place in a variable of the environment: `place`, `place:n` for the n-th time that it is reached, and
//! `place:n@path` to count only while a file exists, so that the test decides when it begins.

#[cfg(feature = "failpoints")]
fn is_now(variable: &'static str, place: &'static str) -> bool {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};
    static REACHED: Mutex<BTreeMap<(&str, &str), u64>> = Mutex::new(BTreeMap::new());
    let Ok(wanted) = std::env::var(variable) else { return false };
    let (wanted, path) = wanted.split_once('@').unwrap_or((&wanted, ""));
    let (wanted, time) = wanted.split_once(':').unwrap_or((wanted, "1"));
    if wanted != place || !(path.is_empty() || Path::new(path).exists()) {
        return false;
    }
    let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
    let count = reached.entry((variable, place)).or_insert(0);
    *count += 1;
    time.parse() == Ok(*count)
}

/// Ends the process here, by a signal that nothing can catch, if `WEIGHTPROOF_CRASH_AT` names this place.
#[cfg(feature = "failpoints")]
pub fn point(place: &'static str) {
    if is_now("WEIGHTPROOF_CRASH_AT", place) {
        let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        // The signal may arrive a moment later.
        loop {
            std::thread::park();
        }
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn point(_place: &'static str) {}

/// The error that the disk is to give here, if `WEIGHTPROOF_FAIL_AT` names this place.
#[cfg(feature = "failpoints")]
pub fn failure(place: &'static str) -> Option<String> {
    is_now("WEIGHTPROOF_FAIL_AT", place).then(|| "injected input/output error".to_owned())
}

/// None.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failure(_place: &'static str) -> Option<String> {
    None
}
