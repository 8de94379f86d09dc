//! The settings file.

use super::{SettingsError, StoreTables};

/// The settings of a file.
#[derive(Default)]
pub(crate) struct SettingsFile {
    /// The names and values of the settings that are flags.
    pub(crate) flags: Vec<(String, String)>,
    /// The stores.
    pub(crate) stores: StoreTables,
}

impl SettingsFile {
    /// Parses a file in TOML.
    ///
    /// A table `[stores.NAME]` configures a store. The keys of `[transfer]` are the settings
    /// `transfer_...`.
    ///
    /// # Errors
    ///
    /// If the file is not TOML, or a value has a type that no setting has.
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // The line itself may hold a secret.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            SettingsError::new(format!("line {line}: {}", error.message()))
        })?;
        let mut file = Self::default();
        for (name, value) in table {
            match (name.as_str(), value) {
                ("stores", toml::Value::Table(stores)) => file.set_stores(stores)?,
                ("transfer", toml::Value::Table(keys)) => {
                    for (key, value) in keys {
                        let value = scalar(&format!("transfer.{key}"), &value)?;
                        file.flags.push((format!("transfer_{key}"), value));
                    }
                }
                (_, value) => {
                    let value = scalar(&name, &value)?;
                    file.flags.push((name, value));
                }
            }
        }
        Ok(file)
    }

    fn set_stores(&mut self, stores: toml::Table) -> Result<(), SettingsError> {
        for (store, table) in stores {
            let toml::Value::Table(table) = table else {
                let reason = format!("`stores.{store}` must be a table");
                return Err(SettingsError::new(reason));
            };
            for (key, value) in table {
                let value = scalar(&format!("stores.{store}.{key}"), &value)?;
                self.stores.set(&store, &key, value)?;
            }
        }
        Ok(())
    }
}

/// Converts a value to the text that a flag would have; an array becomes a list with commas.
fn scalar(name: &str, value: &toml::Value) -> Result<String, SettingsError> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(_) | toml::Value::Boolean(_) => Ok(value.to_string()),
        toml::Value::Array(values) => {
            let values = values.iter().map(|value| scalar(name, value));
            Ok(values.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        _ => Err(SettingsError::new(format!(
            "`{name}` must be a text, a number, a boolean or a list"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_settings_of_every_scalar_type() {
        let text = "listen = \"127.0.0.1:1\"\nmax_upload_size = 5\ncors_origins = [\"a\", \"b\"]";
        let mut settings = SettingsFile::parse(text).unwrap().flags;
        settings.sort();
        let expected = [
            ("cors_origins", "a,b"),
            ("listen", "127.0.0.1:1"),
            ("max_upload_size", "5"),
        ];
        assert_eq!(
            settings,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(SettingsFile::parse("listen = {}").is_err());
        assert!(SettingsFile::parse("listen").is_err());
    }
}
