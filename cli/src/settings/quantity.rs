//! Numbers of bytes as people write them.

/// Reads a number of bytes: `16MiB`, `100MB`, `4096`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
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
        unit => return Err(format!("there is no unit `{unit}`")),
    };
    let number: u64 = digits
        .trim_end()
        .parse()
        .map_err(|_| format!("`{text}` is no number of bytes"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("`{text}` is too much"))
}

/// Reads a number of bytes a second: `100MB/s`, `100MB`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    match bytes(text.trim().trim_end_matches("/s"))? {
        0 => Err("at that rate nothing would ever be done".to_owned()),
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
        for nonsense in ["", "x", "5 parsec", "-1", "99999999999GiB"] {
            assert!(bytes(nonsense).is_err(), "{nonsense}");
        }
        assert!(rate("0").is_err());
    }
}
