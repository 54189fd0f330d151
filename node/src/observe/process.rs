//! Figures of this process, from `/proc`; where there is none, they are absent.

/// What the system says about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of memory now.
    pub resident: Option<u64>,
    /// Most bytes of memory so far.
    pub resident_peak: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open files, connections included.
    pub open_files: Option<u64>,
}

/// The figures now.
pub fn figures() -> Figures {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let open_files =
        std::fs::read_dir("/proc/self/fd").ok().and_then(|files| u64::try_from(files.count()).ok());
    Figures { open_files, ..read_status(&status) }
}

/// How many files this process may have open (the soft limit), if the system says.
pub fn open_files_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn read_status(status: &str) -> Figures {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let mut words = line.split_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        let scale = if words.next() == Some("kB") { 1024 } else { 1 };
        number.checked_mul(scale)
    };
    Figures {
        resident: field("VmRSS"),
        resident_peak: field("VmHWM"),
        threads: field("Threads"),
        open_files: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_text_is_read() {
        let figures = read_status("Name:\tnode\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t5\n");
        assert_eq!(figures.resident, Some(1 << 20));
        assert_eq!(figures.resident_peak, Some(2 << 20));
        assert_eq!(figures.threads, Some(5));
        assert_eq!(read_status("VmRSS: many kB\nThreads"), Figures::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_figures() {
        let figures = figures();
        assert!(figures.resident.is_some_and(|bytes| bytes > 1 << 16));
        assert!(figures.open_files.is_some_and(|files| files > 2));
        assert!(open_files_limit().is_some());
    }
}
