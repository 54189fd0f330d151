//! What people and machines read: one line a topic, or one JSON envelope.
use crate::failure::Failure;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// Where lines go. With `--json`, standard output holds the envelope alone and lines go to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// `json`: the command was given `--json`.
    pub fn new(json: bool) -> Output {
        Output { json }
    }

    /// True when the command ends with an envelope.
    pub fn json(&self) -> bool {
        self.json
    }

    /// One line about one topic, aligned: `data      569 rows …`.
    pub fn line(&self, topic: &str, text: impl AsRef<str>) {
        let line = format!("{topic:<9} {}\n", text.as_ref());
        // A reader that went away does not stop the work; the files are what counts.
        let _ = if self.json {
            io::stderr().lock().write_all(line.as_bytes())
        } else {
            io::stdout().lock().write_all(line.as_bytes())
        };
    }

    /// The one envelope of `--json`.
    ///
    /// # Errors
    /// When standard output cannot be written, unless its reader went away.
    pub fn envelope(&self, envelope: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(envelope).map_err(|error| Failure::File {
            action: "write",
            path: "standard output".into(),
            source: error.into(),
        })?;
        self.result(&format!("{text}\n"))
    }

    /// The command's result proper, on standard output whatever the mode.
    ///
    /// # Errors
    /// As for [`Output::envelope`].
    pub fn result(&self, text: &str) -> Result<(), Failure> {
        match io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::write(Path::new("standard output"))(error))
            }
            _ => Ok(()),
        }
    }

    /// `error[E0xx] …` on standard error and, with `--json`, an envelope on standard output.
    pub fn failure(&self, failure: &Failure) {
        let _ = writeln!(io::stderr().lock(), "error[{}] {failure}", failure.code());
        if self.json {
            let envelope = serde_json::json!({
                "error": { "code": failure.code(), "message": failure.to_string(), "exit": failure.exit() as u8 }
            });
            let _ = writeln!(io::stdout().lock(), "{envelope}");
        }
    }
}

/// Bytes in the largest fitting binary unit: `90 KiB`, `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, power) in units {
        if bytes >= 1 << power {
            let value = bytes as f64 / f64::from(1u32 << power);
            return if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") };
        }
    }
    format!("{bytes} B")
}

/// Reads `512MiB`, `1.5GiB`, `2g`, `1000000`: binary units whatever their spelling.
///
/// # Errors
/// A sentence for the command line.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size such as 512MiB or 1.5GiB, found `{text}`");
    let end =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(expected()),
    };
    let value: f64 = number.parse().map_err(|_| expected())?;
    let bytes = value * f64::from(power).exp2();
    if (1.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err(expected()) }
}

/// A whole number with thousands separators: `1,058`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 member`, `2 members`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first bytes of a digest, enough to tell digests apart by eye: `9c41d0a2…`.
pub fn short(bytes: &[u8]) -> String {
    format!("{}…", hex(bytes.get(..4).unwrap_or(bytes)))
}

/// Reads exactly 32 bytes of hexadecimal.
///
/// # Errors
/// A sentence for the command line.
pub fn parse_hex32(text: &str) -> Result<[u8; 32], String> {
    let expected = || format!("expected 64 hexadecimal digits, found {} characters", text.chars().count());
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(expected());
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| expected())?;
    }
    Ok(bytes)
}

/// A moment in UTC: `2026-11-25 14:09:22Z`.
pub fn utc(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Days since 1 March of year 0, in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day_of_month:02} {:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// A time as people say it: `41 ms`, `2.3 s`, `3 min 20 s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {} s", (seconds / 60.0) as u64, seconds as u64 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_write_in_binary_units() {
        assert_eq!(parse_size("512MiB").unwrap(), 512 << 20);
        assert_eq!(parse_size("1.5g").unwrap(), 3 << 29);
        assert_eq!(parse_size("2 kB").unwrap(), 2048);
        assert_eq!(parse_size("17").unwrap(), 17);
        for wrong in ["", "GiB", "-1", "0", "1.5.2M", "3 parsecs", "nan", "1e30", "9999999999T"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size(92_160), "90 KiB");
        assert_eq!(size(3 << 29), "1.5 GiB");
        assert_eq!(size(1023), "1023 B");
    }

    #[test]
    fn hexadecimal_is_exactly_32_bytes() {
        let text = "00ff".repeat(16);
        assert_eq!(hex(&parse_hex32(&text).unwrap()), text);
        assert!(parse_hex32(&text[1..]).is_err());
        assert!(parse_hex32(&"0g".repeat(32)).is_err());
        assert!(parse_hex32(&"é".repeat(32)).is_err());
    }

    #[test]
    fn moments_are_in_utc() {
        // date -u -d @1764079762 and so on.
        let cases = [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_764_079_762, "2025-11-25 14:09:22Z"),
            (4_107_542_399, "2100-02-28 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn numbers_are_grouped_and_times_readable() {
        assert_eq!(
            ["0", "999", "1,058", "10,000", "1,234,567"],
            [0, 999, 1058, 10_000, 1_234_567].map(grouped)[..]
        );
        assert_eq!([0, 1, 2].map(|number| counted(number, "row")), ["0 rows", "1 row", "2 rows"]);
        assert_eq!(duration(0.041), "41 ms");
        assert_eq!(duration(2.34), "2.3 s");
        assert_eq!(duration(200.0), "3 min 20 s");
    }
}
