//! Sizes and rates with units.

use std::{fmt::Display, str::FromStr, time::Duration};

use super::{SettingsError, value::resolve};

/// Parses a size in bytes, such as `16MiB`, `100MB` or `4096`.
///
/// # Errors
///
/// If the text is no size, or the size does not fit into 64 bits.
pub(crate) fn bytes(text: &str) -> Result<u64, SettingsError> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        unit => {
            return Err(SettingsError::new(format!(
                "unknown unit `{unit}`; there are kB, MB, GB, TB, KiB, MiB, GiB and TiB"
            )));
        }
    };
    let number: u64 = digits
        .trim_end()
        .parse()
        .map_err(|_| SettingsError::new(format!("`{text}` is not a size in bytes")))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| SettingsError::new(format!("`{text}` is too large")))
}

/// Parses a rate in bytes per second, such as `100MB/s` or `100MB`.
///
/// # Errors
///
/// If the text is no rate, or the rate is 0.
pub(crate) fn rate(text: &str) -> Result<u64, SettingsError> {
    match bytes(text.trim().trim_end_matches("/s"))? {
        0 => Err(SettingsError::new("the rate must not be 0")),
        rate => Ok(rate),
    }
}

/// Parses a number of bytes, or of bytes per second, that may have a unit.
///
/// # Errors
///
/// As [`bytes`], and if the number is out of the setting's range.
pub(super) fn size<T: FromStr<Err: Display>>(value: &str) -> Result<T, SettingsError> {
    let value = resolve(value)?;
    in_range(bytes(value.trim_end_matches("/s"))?)
}

/// Parses a number of seconds, or a duration such as `90s`, `1h30m` or `30d`.
///
/// # Errors
///
/// If the text is no duration of whole seconds, or is out of the setting's range.
pub(super) fn seconds<T: FromStr<Err: Display>>(value: &str) -> Result<T, SettingsError> {
    let duration = duration(value, Duration::from_secs)?;
    if duration.subsec_nanos() > 0 {
        return Err(SettingsError::new("must be whole seconds"));
    }
    in_range(duration.as_secs())
}

/// Parses a number of milliseconds, or a duration such as `50ms` or `2s`.
///
/// # Errors
///
/// If the text is no duration, or is out of the setting's range.
pub(super) fn milliseconds<T: FromStr<Err: Display>>(value: &str) -> Result<T, SettingsError> {
    let duration = duration(value, Duration::from_millis)?;
    let milliseconds = u64::try_from(duration.as_millis());
    in_range(milliseconds.map_err(|error| SettingsError::new(error.to_string()))?)
}

/// Parses a duration; `of_number` says what a number alone counts.
fn duration(value: &str, of_number: fn(u64) -> Duration) -> Result<Duration, SettingsError> {
    let value = resolve(value)?;
    let text = value.trim();
    let refuse = |reason: &str| SettingsError::new(format!("`{text}` {reason}"));
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().map_err(|_| refuse("is too long"))?;
        return Ok(of_number(number));
    }
    humantime::parse_duration(text)
        .map_err(|_| refuse("is not a duration such as `90s`, `1h30m` or `30d`"))
}

/// Parses a number as the type of the setting, which says what is out of its range.
fn in_range<T: FromStr<Err: Display>>(number: u64) -> Result<T, SettingsError> {
    let parsed = number.to_string().parse();
    parsed.map_err(|error: T::Err| SettingsError::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("16MiB"), Ok(16 << 20));
        assert_eq!(bytes("1 gb"), Ok(1_000_000_000));
        assert_eq!(rate("100MB/s"), Ok(100_000_000));
        for malformed in ["", "x", "5 parsec", "-1", "99999999999GiB"] {
            assert!(bytes(malformed).is_err(), "{malformed}");
        }
        assert!(rate("0").is_err());
        assert_eq!(bytes("2TiB"), Ok(2 << 40));
        assert_eq!(size::<u64>("10GB"), Ok(10_000_000_000));
        assert_eq!(size::<u32>("1KiB/s"), Ok(1024));
        assert!(size::<u32>("10GB").is_err());
    }

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("90", 90),
            ("90s", 90),
            ("1h30m", 5400),
            ("30d", 2_592_000),
            ("0", 0),
        ] {
            assert_eq!(seconds::<u32>(text), Ok(expected), "{text}");
        }
        assert_eq!(milliseconds::<u32>("50"), Ok(50));
        assert_eq!(milliseconds::<u32>("2s"), Ok(2000));
        for malformed in [
            "",
            "x",
            "-1",
            "1.5",
            "500ms",
            "5 parsecs",
            "99999999999",
            "1000000y",
        ] {
            assert!(seconds::<u32>(malformed).is_err(), "{malformed}");
        }
        assert!(seconds::<std::num::NonZeroU32>("0").is_err());
    }
}
