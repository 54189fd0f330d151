//! Progress bars on standard error, and the user's interrupt.
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use weightproof_prover::progress::Progress;

/// Progress of one command: a bar with the stage's name, hidden when standard error is no terminal.
#[derive(Debug, Default)]
pub struct Bars {
    current: Mutex<Option<ProgressBar>>,
    interrupted: Arc<AtomicBool>,
}

impl Bars {
    /// Bars that also notice an interrupt (SIGINT, SIGTERM). A second interrupt ends the process at once, which loses
    /// no finished work because files are only ever replaced whole.
    pub fn new() -> Bars {
        static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
        let interrupted = INTERRUPTED.get_or_init(|| {
            let flag = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&flag);
            // Without a handler the system's default (stop at once) remains, which is safe as well.
            let _ = ctrlc::set_handler(move || {
                if seen.swap(true, Ordering::SeqCst) {
                    std::process::exit(crate::exit::Exit::Interrupted as i32);
                }
            });
            flag
        });
        Bars { current: Mutex::new(None), interrupted: Arc::clone(interrupted) }
    }

    /// Takes the current bar off the screen, before a line is printed.
    pub fn clear(&self) {
        self.replace(None);
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(previous) = std::mem::replace(&mut *current, bar) {
            previous.finish_and_clear();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &'static str, total: u64) {
        let bar = ProgressBar::with_draw_target(
            (total > 0).then_some(total),
            ProgressDrawTarget::stderr_with_hz(10),
        );
        let template =
            if total > 0 { "{msg:<24} [{bar:24}] {pos}/{len}  {eta} left" } else { "{msg:<24} {spinner}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("##-"));
        }
        bar.set_message(stage);
        self.replace(Some(bar));
    }

    fn advance(&self, amount: u64) {
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(amount);
        }
    }

    fn note(&self, text: &str) {
        match &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(|| eprintln!("note: {text}")),
            None => eprintln!("note: {text}"),
        }
    }

    fn cancelled(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}
