//! The stable codes of everything that can be refused, `E101` to `E603`.
//!
//! A code says which class of check refused; the message beside it says what was expected and found. Codes never
//! change their meaning.
use std::fmt;

macro_rules! codes {
    ($($code:ident = $meaning:literal,)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $code,)*
        }

        impl ErrorCode {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as users see it, such as `E101`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// What the code means, in one line.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning,)* }
            }
        }
    };
}

codes! {
    E101 = "the bytes are not the canonical encoding of their value",
    E102 = "bytes are left over after the last field",
    E103 = "a declared size exceeds its limit",
    E104 = "a group element is not a valid point",
    E105 = "the version, mode or seal is not supported",
    E106 = "a field is missing or cut short",
    E201 = "the statement does not match what it is checked against",
    E202 = "the statement was already accepted",
    E203 = "the base model is stale",
    E204 = "the batch is not the one that the beacon chose",
    E205 = "the signature is not valid",
    E206 = "the dataset is not registered",
    E207 = "the program is not known, not valid, or too large for its seal",
    E301 = "a proof message has the wrong shape",
    E302 = "a sumcheck round does not add up",
    E303 = "an evaluation does not match its claim",
    E304 = "a lookup does not balance",
    E305 = "a commitment does not open to the claimed value",
    E306 = "a value is outside its range",
    E307 = "the seal does not hold",
    E308 = "a key, generator or table is not the pinned one",
    E401 = "the node is overloaded",
    E402 = "the deadline has passed",
    E403 = "the message is too large",
    E404 = "too many requests",
    E501 = "another change came first",
    E502 = "the reward was already claimed",
    E503 = "the stake does not allow this",
    E504 = "two logs disagree",
    E505 = "storage failed and nothing was acknowledged",
    E506 = "the log is corrupt",
    E601 = "the update exceeds the norm bound",
    E602 = "the privacy budget is used up",
    E603 = "the update fails the quality rule",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_published_ones() {
        let shown: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        let families = [(1, 6), (2, 7), (3, 8), (4, 4), (5, 6), (6, 3)];
        let expected: Vec<String> = families
            .iter()
            .flat_map(|&(family, last)| (1..=last).map(move |number| format!("E{family}{number:02}")))
            .collect();
        assert_eq!(shown, expected);
        assert_eq!(ErrorCode::E306.to_string(), "E306");
        assert!(ErrorCode::ALL.iter().all(|code| !code.meaning().is_empty()));
    }
}
