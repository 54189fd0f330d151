//! Places at which tests end the process as a power cut would. In a release build there are none.

/// Ends the process here if `WEIGHTPROOF_CRASH_AT` names this place, by a signal that nothing can catch. `place:n` is the
/// n-th time it is reached, counted from 1.
#[cfg(feature = "failpoints")]
pub fn point(place: &'static str) {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    static REACHED: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());
    let Ok(wanted) = std::env::var("WEIGHTPROOF_CRASH_AT") else { return };
    let (wanted, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if wanted != place {
        return;
    }
    let mut reached = REACHED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let count = reached.entry(place).or_insert(0);
    *count += 1;
    if time.parse() == Ok(*count) {
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

/// The error that tests ask the disk to give at this place, if `WEIGHTPROOF_FAIL_AT` names it.
#[cfg(feature = "failpoints")]
pub fn failure(place: &'static str) -> Option<String> {
    let wanted = std::env::var("WEIGHTPROOF_FAIL_AT").ok()?;
    let (wanted, path) = wanted.split_once('@').unwrap_or((&wanted, ""));
    // With a path: only while that file exists, so that a test can begin the failure when it likes.
    let now = path.is_empty() || std::path::Path::new(path).exists();
    (wanted == place && now).then(|| "injected input/output error".to_owned())
}

/// None.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failure(_place: &'static str) -> Option<String> {
    None
}
