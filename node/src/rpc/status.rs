//! Refusals as gRPC statuses and back: the message begins with the stable code, and the code alone is in the trailer
//! `weightproof-code`.
use tonic::{Code, Status};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;

/// Trailer with the code alone.
pub const CODE_KEY: &str = "weightproof-code";

/// The gRPC code of an error code (the table in `specs/node.md`).
pub fn grpc_code(code: ErrorCode) -> Code {
    use ErrorCode::{
        E101, E102, E103, E104, E105, E106, E202, E205, E301, E302, E303, E304, E305, E306, E307, E308, E401, E402,
        E403, E404, E501, E502, E504, E505, E506,
    };
    match code {
        E101 | E102 | E103 | E104 | E105 | E106 | E301 | E302 | E303 | E304 | E305 | E306 | E307 | E308 => {
            Code::InvalidArgument
        }
        E202 | E502 => Code::AlreadyExists,
        E205 => Code::PermissionDenied,
        E401 | E403 | E404 => Code::ResourceExhausted,
        E402 => Code::DeadlineExceeded,
        E501 => Code::Aborted,
        E504 | E505 | E506 => Code::DataLoss,
        _ => Code::FailedPrecondition,
    }
}

/// A refusal as a status.
pub fn to_status(refusal: &Refusal) -> Status {
    let mut status = Status::new(grpc_code(refusal.code), refusal.to_string());
    if let Ok(value) = refusal.code.as_str().parse() {
        status.metadata_mut().insert(CODE_KEY, value);
    }
    status
}

/// The refusal in a status, if a node of ours made it.
pub fn from_status(status: &Status) -> Option<Refusal> {
    let name = status.metadata().get(CODE_KEY)?.to_str().ok()?;
    let code = ErrorCode::ALL.iter().copied().find(|code| code.as_str() == name)?;
    let message = status.message().strip_prefix(name).unwrap_or(status.message());
    Some(Refusal::new(code, message.trim_start_matches([':', ' '])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_survive_the_wire_and_the_table_is_the_published_one() {
        for &code in ErrorCode::ALL {
            let refusal = Refusal::new(code, "expected this, found that");
            assert_eq!(from_status(&to_status(&refusal)), Some(refusal));
        }
        let classes = [
            (ErrorCode::E103, Code::InvalidArgument),
            (ErrorCode::E203, Code::FailedPrecondition),
            (ErrorCode::E205, Code::PermissionDenied),
            (ErrorCode::E307, Code::InvalidArgument),
            (ErrorCode::E401, Code::ResourceExhausted),
            (ErrorCode::E402, Code::DeadlineExceeded),
            (ErrorCode::E502, Code::AlreadyExists),
            (ErrorCode::E505, Code::DataLoss),
            (ErrorCode::E603, Code::FailedPrecondition),
        ];
        assert!(classes.iter().all(|(code, grpc)| grpc_code(*code) == *grpc));
        assert_eq!(from_status(&Status::internal("E203: no trailer")), None);
    }
}
