//! File names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The reason why a string is not a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// The string is empty.
    #[error("a file name cannot be empty")]
    Empty,
    /// The string has more bytes than file systems allow.
    #[error("a file name can have at most {max} bytes of UTF-8, not {0}", max = FileName::MAX_BYTES)]
    TooLong(usize),
    /// The string is `.` or `..`.
    #[error("`.` and `..` are not file names")]
    Relative,
    /// The string contains a path separator.
    #[error("a file name cannot contain `{0}`")]
    Separator(char),
    /// The string contains a control character, such as NUL or a line break.
    #[error("a file name cannot contain the control character U+{:04X}", u32::from(*.0))]
    Control(char),
}

/// A file's name: 1 to 255 bytes of UTF-8 that every common file system can store.
///
/// Control characters, `/`, `\`, and the names `.` and `..` are refused. Everything else is kept
/// unchanged, in every script and direction of writing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 255, example = "hello.txt")]
pub struct FileName(String);

impl FileName {
    /// The maximum size of a name in bytes.
    pub const MAX_BYTES: usize = 255;

    /// The name, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(name: String) -> Result<Self, FileNameError> {
        if name.is_empty() {
            return Err(FileNameError::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(FileNameError::TooLong(name.len()));
        }
        if name == "." || name == ".." {
            return Err(FileNameError::Relative);
        }
        for character in name.chars() {
            match character {
                '/' | '\\' => return Err(FileNameError::Separator(character)),
                _ if character.is_control() => return Err(FileNameError::Control(character)),
                _ => {}
            }
        }
        Ok(Self(name))
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(name: &str) -> Result<Self, FileNameError> {
        name.to_owned().try_into()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_script_are_kept_unchanged() {
        let longest = "x".repeat(FileName::MAX_BYTES);
        for name in [
            "a",
            "...",
            "no \"quotes\" 'lost'.txt",
            "数据.bin",
            "👩‍🚀.png",
            "\u{200f}שלום.txt",
            &longest,
        ] {
            assert_eq!(name.parse::<FileName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_a_file_system_or_a_header_could_misread_are_refused() {
        let refusal = |name: &str| name.parse::<FileName>().unwrap_err();
        assert_eq!(refusal(""), FileNameError::Empty);
        assert_eq!(refusal(&"é".repeat(128)), FileNameError::TooLong(256));
        assert_eq!(refusal("."), FileNameError::Relative);
        assert_eq!(refusal(".."), FileNameError::Relative);
        assert_eq!(refusal("../etc/passwd"), FileNameError::Separator('/'));
        assert_eq!(refusal(r"C:\boot.ini"), FileNameError::Separator('\\'));
        assert_eq!(refusal("a\0b"), FileNameError::Control('\0'));
        assert_eq!(refusal("a\r\nSet-Cookie: b"), FileNameError::Control('\r'));
        assert_eq!(refusal("\u{85}"), FileNameError::Control('\u{85}'));
        assert_eq!(
            FileNameError::Control('\r').to_string(),
            "a file name cannot contain the control character U+000D"
        );
    }
}
