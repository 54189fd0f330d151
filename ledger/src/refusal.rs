//! Why a change is refused. Nothing has changed when one is returned.
use weightproof_circuits::error::ErrorCode;

/// A refusal: a stable code, and what was expected, what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    /// A refusal from an error. Many texts begin with their code; it is shown once.
    pub fn of(code: ErrorCode, error: &impl std::fmt::Display) -> Refusal {
        let text = error.to_string();
        let message = text.strip_prefix(code.as_str()).map(|rest| rest.trim_start_matches([':', ' ']));
        Refusal::new(code, message.unwrap_or(&text))
    }
}

impl From<weightproof_circuits::encoding::DecodeError> for Refusal {
    fn from(error: weightproof_circuits::encoding::DecodeError) -> Refusal {
        Refusal::of(error.code, &error)
    }
}
