//! The rules of resumable uploads, for all protocols.

use std::num::IntErrorKind;

/// The reason why a request does not fit the state of its upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The request continues at another offset.
    #[error("the upload is at offset {expected}, and the request continues at {provided}")]
    Offset {
        /// The offset of the upload.
        expected: u64,
        /// The offset in the request.
        provided: u64,
    },
    /// The request declares another length than an earlier one.
    #[error("the declared length of the upload is {known} bytes, not {given}")]
    Length {
        /// The length that was declared before.
        known: u64,
        /// The length in the request.
        given: u64,
    },
    /// The request declares a length below the offset of the upload.
    #[error("the upload has {offset} bytes already, so its length cannot be {given}")]
    Short {
        /// The offset of the upload.
        offset: u64,
        /// The length in the request.
        given: u64,
    },
    /// The request has more bytes than the declared length allows.
    #[error("the request has more bytes than the declared length of {0} bytes allows")]
    Surplus(u64),
    /// The upload would exceed the maximum size.
    #[error("an upload can have at most {0} bytes")]
    TooLarge(u64),
}

/// The extent of an upload: its offset and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The number of received bytes.
    pub offset: u64,
    /// The declared length, if known.
    pub length: Option<u64>,
    /// The maximum length, if there is one.
    pub limit: Option<u64>,
}

impl Extent {
    /// True if all bytes have been received.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.length == Some(self.offset)
    }

    /// Checks that a request continues at the offset of the upload.
    ///
    /// # Errors
    ///
    /// [`UploadError::Offset`].
    pub fn check_offset(&self, provided: u64) -> Result<(), UploadError> {
        let expected = self.offset;
        if provided == expected {
            Ok(())
        } else {
            Err(UploadError::Offset { expected, provided })
        }
    }

    /// The extent after a request that may declare the length.
    ///
    /// The length cannot change once it is declared.
    ///
    /// # Errors
    ///
    /// [`UploadError::Length`], [`UploadError::Short`] or [`UploadError::TooLarge`].
    pub fn with_length(self, given: Option<u64>) -> Result<Self, UploadError> {
        let Some(given) = given else {
            return Ok(self);
        };
        if let Some(known) = self.length.filter(|known| *known != given) {
            return Err(UploadError::Length { known, given });
        }
        if given < self.offset {
            let offset = self.offset;
            return Err(UploadError::Short { offset, given });
        }
        match self.limit.filter(|limit| given > *limit) {
            Some(limit) => Err(UploadError::TooLarge(limit)),
            None => Ok(Self {
                length: Some(given),
                ..self
            }),
        }
    }

    /// The number of bytes that may still be received; `None` if there is no limit.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        let end = match (self.length, self.limit) {
            (Some(length), Some(limit)) => Some(length.min(limit)),
            (length, limit) => length.or(limit),
        };
        end.map(|end| end.saturating_sub(self.offset))
    }

    /// Checks that `bytes` more bytes are within the limits.
    ///
    /// # Errors
    ///
    /// [`UploadError::Surplus`] or [`UploadError::TooLarge`].
    pub fn admit(&self, bytes: u64) -> Result<(), UploadError> {
        match (self.remaining(), self.length, self.limit) {
            (Some(remaining), _, _) if bytes <= remaining => Ok(()),
            (None, _, _) => Ok(()),
            (_, Some(length), _) => Err(UploadError::Surplus(length)),
            (_, None, limit) => Err(UploadError::TooLarge(limit.unwrap_or_default())),
        }
    }
}

/// The reason why a string is not a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ByteCountError {
    /// The string contains a character other than a digit.
    #[error("a number of bytes must be written in decimal digits")]
    NotDigits,
    /// The number exceeds the size of any file.
    #[error("an upload can have at most {} bytes", i64::MAX)]
    TooMany,
}

/// Parses a number of bytes: decimal digits, up to 2^63 - 1, the maximum size of a file.
///
/// # Errors
///
/// The reason why the string is not such a number.
pub fn parse_byte_count(text: &str) -> Result<u64, ByteCountError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ByteCountError::NotDigits);
    }
    let count: i64 = text
        .parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => ByteCountError::TooMany,
            _ => ByteCountError::NotDigits,
        })?;
    Ok(count.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: u64 = 1 << 40;

    fn extent(offset: u64, length: Option<u64>, limit: Option<u64>) -> Extent {
        Extent {
            offset,
            length,
            limit,
        }
    }

    #[test]
    fn a_request_must_continue_at_the_offset_of_the_upload() {
        let upload = extent(5 * TIB, None, None);
        assert_eq!(upload.check_offset(5 * TIB), Ok(()));
        for provided in [0, 5 * TIB - 1, 5 * TIB + 1] {
            let expected = 5 * TIB;
            let refused = Err(UploadError::Offset { expected, provided });
            assert_eq!(upload.check_offset(provided), refused);
        }
    }

    #[test]
    fn a_declared_length_cannot_change() {
        let open = extent(10, None, Some(100));
        let known = open.with_length(Some(50)).unwrap();
        assert_eq!(known.length, Some(50));
        assert_eq!(known.with_length(Some(50)), Ok(known));
        assert_eq!(known.with_length(None), Ok(known));
        assert_eq!(
            known.with_length(Some(51)),
            Err(UploadError::Length {
                known: 50,
                given: 51
            })
        );
        assert_eq!(
            open.with_length(Some(9)),
            Err(UploadError::Short {
                offset: 10,
                given: 9
            })
        );
        assert_eq!(open.with_length(Some(101)), Err(UploadError::TooLarge(100)));
        assert!(open.with_length(Some(10)).unwrap().is_full());
    }

    #[test]
    fn bytes_beyond_the_length_or_the_limit_are_refused() {
        assert_eq!(extent(5, None, None).admit(u64::MAX), Ok(()));
        let known = extent(5, Some(8), Some(100));
        assert_eq!(known.remaining(), Some(3));
        assert_eq!(known.admit(3), Ok(()));
        assert_eq!(known.admit(4), Err(UploadError::Surplus(8)));
        let limited = extent(5, None, Some(6));
        assert_eq!(limited.admit(1), Ok(()));
        assert_eq!(limited.admit(2), Err(UploadError::TooLarge(6)));
        assert_eq!(extent(8, Some(8), None).remaining(), Some(0));
    }

    #[test]
    fn a_number_of_bytes_has_the_range_of_file_sizes() {
        assert_eq!(parse_byte_count("0"), Ok(0));
        assert_eq!(parse_byte_count("5497558138880"), Ok(5 * TIB));
        assert_eq!(parse_byte_count("9223372036854775807"), Ok(i64::MAX as u64));
        for (text, error) in [
            ("", ByteCountError::NotDigits),
            ("-1", ByteCountError::NotDigits),
            ("+1", ByteCountError::NotDigits),
            ("1.0", ByteCountError::NotDigits),
            ("0x10", ByteCountError::NotDigits),
            ("9223372036854775808", ByteCountError::TooMany),
            ("99999999999999999999999", ByteCountError::TooMany),
        ] {
            assert_eq!(parse_byte_count(text), Err(error), "{text:?}");
        }
    }
}
