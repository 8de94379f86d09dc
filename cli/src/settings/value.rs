//! Parsing of values, which may be references to an environment variable or a file.

use super::SettingsError;

/// The prefixes of references.
const FROM_ENVIRONMENT: &str = "env:";
const FROM_FILE: &str = "file:";

/// Resolves a value that may be a reference: `env:NAME` is an environment variable's value, and
/// `file:PATH` a file's text without the line ends at its end.
///
/// # Errors
///
/// If the variable is not set, or the file cannot be read.
pub(crate) fn resolve(value: &str) -> Result<String, SettingsError> {
    if let Some(name) = value.strip_prefix(FROM_ENVIRONMENT) {
        std::env::var(name).map_err(|error| SettingsError::new(format!("{name}: {error}")))
    } else if let Some(path) = value.strip_prefix(FROM_FILE) {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| SettingsError::new(format!("{path}: {error}")))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        Ok(value.to_owned())
    }
}

/// Resolves a value, and parses it.
///
/// # Errors
///
/// If the value cannot be resolved or parsed.
pub(super) fn parse<T>(value: &str) -> Result<T, SettingsError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    resolve(value)?
        .parse()
        .map_err(|error: T::Err| SettingsError::new(error.to_string()))
}

/// Splits the values of a list: one that was resolved may hold several, separated by commas or line
/// ends.
pub(crate) fn split_list(values: &[String]) -> Vec<String> {
    let values = values.iter().flat_map(|value| value.split([',', '\n']));
    let values = values.map(str::trim).filter(|value| !value.is_empty());
    values.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_a_reference() {
        assert_eq!(resolve("plain").unwrap(), "plain");
        assert!(resolve("env:FILESERVER_THAT_IS_NOT_SET").is_err());
        let here = format!(
            "file:{}",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")
        );
        assert!(resolve(&here).unwrap().starts_with("[package]"));
        assert!(resolve("file:/nowhere").is_err());
    }

    #[test]
    fn one_reference_may_hold_a_whole_list() {
        let values = ["a".to_owned(), "b, c\r\nd\n".to_owned(), String::new()];
        assert_eq!(split_list(&values), ["a", "b", "c", "d"]);
    }
}
