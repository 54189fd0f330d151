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
        E101, E102, E103, E104, E105, E106, E202, E205, E301, E302, E303, E304, E305, E306, E307, E308, E401,
        E402, E403, E404, E501, E502, E504, E505, E506,
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

/// A status of the library with a stable code: what it refuses by itself is about bytes that it cannot read or will not hold,
/// or about time. Statuses with a code stay as they are, and so does what is between the client and its own connection.
pub fn typed(status: Status) -> Status {
    if status.metadata().contains_key(CODE_KEY) {
        return status;
    }
    let message = status.message();
    let (code, text) = match status.code() {
        Code::OutOfRange => {
            (ErrorCode::E403, format!("expected a shorter message, found: {message}; send less"))
        }
        Code::Internal if message.starts_with("Missing request") => {
            (ErrorCode::E106, "expected a request message, found none; send one".to_owned())
        }
        Code::Internal => (
            ErrorCode::E101,
            format!("expected a message of this method, found: {message}; send what the .proto file says"),
        ),
        Code::Unimplemented if message.is_empty() => (
            ErrorCode::E105,
            "expected a method that this node has, found another; ask it for its services (reflection)"
                .to_owned(),
        ),
        Code::Unimplemented => (
            ErrorCode::E105,
            format!("expected a message that is not compressed, found: {message}; send it as it is"),
        ),
        Code::DeadlineExceeded => {
            let text = message.strip_prefix("E402: ").unwrap_or(message);
            (ErrorCode::E402, text.to_owned())
        }
        Code::ResourceExhausted => {
            (ErrorCode::E401, format!("expected fewer requests at once, found: {message}"))
        }
        _ => return status,
    };
    let mut found = to_status(&Refusal::new(code, text));
    if status.code() == Code::Unimplemented {
        // By this code clients tell that a method or a compression is not there, and do without.
        let mut same = Status::with_metadata(Code::Unimplemented, found.message(), status.metadata().clone());
        if let Some(value) = found.metadata_mut().remove(CODE_KEY) {
            same.metadata_mut().insert(CODE_KEY, value);
        }
        return same;
    }
    found
}

/// The refusal in a status, if a node of ours made it.
pub fn from_status(status: &Status) -> Option<Refusal> {
    let name = status.metadata().get(CODE_KEY)?.to_str().ok()?;
    let code = ErrorCode::ALL.iter().copied().find(|code| code.as_str() == name)?;
    Some(Refusal::of(code, &status.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_refuses_gets_a_code() {
        let cases = [
            (Status::out_of_range("too large"), ErrorCode::E403, Code::ResourceExhausted),
            (Status::internal("failed to decode Protobuf message"), ErrorCode::E101, Code::InvalidArgument),
            (Status::internal("Missing request message."), ErrorCode::E106, Code::InvalidArgument),
            (Status::unimplemented(""), ErrorCode::E105, Code::Unimplemented),
            (Status::unimplemented("compressed with `gzip`"), ErrorCode::E105, Code::Unimplemented),
            (Status::deadline_exceeded("E402: too slow"), ErrorCode::E402, Code::DeadlineExceeded),
            (Status::resource_exhausted("too many"), ErrorCode::E401, Code::ResourceExhausted),
        ];
        for (status, code, grpc) in cases {
            let found = typed(status);
            assert_eq!((from_status(&found).unwrap().code, found.code()), (code, grpc));
            assert_eq!(found.message().matches(code.as_str()).count(), 1, "{found:?}");
            assert_eq!(typed(found.clone()).message(), found.message());
        }
        assert!(from_status(&typed(Status::cancelled("gone"))).is_none());
    }

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
