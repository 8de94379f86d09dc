//! Sizes and rates with units.

use super::SettingsError;

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
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        unit => return Err(SettingsError::new(format!("unknown unit `{unit}`"))),
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
    }
}
