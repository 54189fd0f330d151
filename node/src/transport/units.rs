//! Durations and sizes as people write them in a configuration: `60 s`, `1 MiB`.
//!
//! A bare number is refused: nobody remembers whether a timeout was in seconds or in milliseconds.
use std::time::Duration;

/// Units of time, the longest first, in milliseconds.
const TIMES: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];
/// Units of size, the largest first, in bytes.
const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a duration such as `500 ms`, `60 s`, `10 min`, `2 h`, `1 d`; the space may be left out.
///
/// # Errors
/// A text with what was expected, without what was found.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, TIMES)
        .map(Duration::from_millis)
        .ok_or_else(|| "a whole number and a unit (ms, s, min, h, d), such as \"60 s\"".to_owned())
}

/// Reads a size such as `16 KiB`, `1 MiB`, `2 GiB`, `512 B`; the space may be left out.
///
/// # Errors
/// A text with what was expected, without what was found.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, SIZES)
        .ok_or_else(|| "a whole number and a unit (B, KiB, MiB, GiB), such as \"1 MiB\"".to_owned())
}

/// The text that [`parse_duration`] reads back to the same value, in the longest unit that divides it. Parts below a
/// millisecond are dropped.
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), TIMES, "s")
}

/// The text that [`parse_size`] reads back to the same value, in the largest unit that divides it.
pub fn show_size(size: u64) -> String {
    show(size, SIZES, "B")
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

fn show(value: u64, units: &[(&str, u64)], of_zero: &str) -> String {
    if value == 0 {
        return format!("0 {of_zero}");
    }
    let (name, scale) =
        units.iter().find(|(_, scale)| value.is_multiple_of(*scale)).copied().unwrap_or((of_zero, 1));
    format!("{} {name}", value / scale)
}

/// For serde: a [`Duration`] as text.
pub mod duration_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    /// Writes the text.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show_duration(*value))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// If the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text)
            .map_err(|expected| serde::de::Error::custom(format!("expected {expected}, found \"{text}\"")))
    }
}

/// For serde: a number of bytes as text.
pub mod size_text {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show_size(*value))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// If the text is no size.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_size(&text)
            .map_err(|expected| serde::de::Error::custom(format!("expected {expected}, found \"{text}\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for milliseconds in [0, 1, 999, 1000, 1500, 60_000, 90_000, 3_600_000, 86_400_000] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        for size in [0, 1, 1023, 1024, 1 << 20, 3 << 29, u64::MAX] {
            assert_eq!(parse_size(&show_size(size)), Ok(size));
        }
        assert_eq!(show_duration(Duration::from_secs(600)), "10 min");
        assert_eq!(show_size(256 << 10), "256 KiB");
    }

    #[test]
    fn a_number_without_its_unit_is_refused() {
        for text in ["60", "", "s", "-1 s", "1.5 s", "60 seconds", "99999999999999999999 s", "1 KiB"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["1", "1 MB", "1 kB", "18446744073709551615 GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(parse_size("64KiB"), Ok(65_536));
    }
}
