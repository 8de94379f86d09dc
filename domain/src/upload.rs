//! The rules of uploads that can be resumed, whichever protocol they are made by.

use std::num::IntErrorKind;

/// Why a request does not fit to where its upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// It goes on from elsewhere.
    #[error("the upload has {expected} bytes, and the request goes on from {provided}")]
    Offset {
        /// How many bytes the upload has.
        expected: u64,
        /// Where the request goes on from.
        provided: u64,
    },
    /// It says that the upload will have another length than was said before.
    #[error("the upload was said to have {known} bytes, not {given}")]
    Length {
        /// What was said before.
        known: u64,
        /// What is said now.
        given: u64,
    },
    /// It says that the upload will have fewer bytes than it has.
    #[error("the upload has {offset} bytes already, and cannot end after {given}")]
    Short {
        /// How many bytes the upload has.
        offset: u64,
        /// What is said now.
        given: u64,
    },
    /// It brings more bytes than the upload was said to have.
    #[error("the upload was said to have {0} bytes, and more were sent")]
    Surplus(u64),
    /// The upload would have more bytes than are taken.
    #[error("an upload has at most {0} bytes")]
    TooLarge(u64),
}

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many bytes there are.
    pub offset: u64,
    /// How many there will be, if that is known.
    pub length: Option<u64>,
    /// How many there may be at most.
    pub limit: Option<u64>,
}

impl Extent {
    /// Whether all bytes are there.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.length == Some(self.offset)
    }

    /// Lets a request go on from an offset, if it is the true one.
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

    /// Where it stands once a request has said how long the upload will be.
    ///
    /// A length that was said once stays what it is.
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

    /// How many more bytes may come; `None` if nothing bounds them.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let end = match (self.length, self.limit) {
            (Some(length), Some(limit)) => Some(length.min(limit)),
            (length, limit) => length.or(limit),
        };
        end.map(|end| end.saturating_sub(self.offset))
    }

    /// Lets so many bytes come, if there is room for them.
    ///
    /// # Errors
    ///
    /// [`UploadError::Surplus`] or [`UploadError::TooLarge`].
    pub fn admit(&self, bytes: u64) -> Result<(), UploadError> {
        match (self.room(), self.length, self.limit) {
            (Some(room), _, _) if bytes <= room => Ok(()),
            (None, _, _) => Ok(()),
            (_, Some(length), _) => Err(UploadError::Surplus(length)),
            (_, None, limit) => Err(UploadError::TooLarge(limit.unwrap_or_default())),
        }
    }
}

/// Why a string is not a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ByteCountError {
    /// It has something else than digits.
    #[error("a number of bytes is written in decimal digits")]
    NotDigits,
    /// No upload has so many.
    #[error("no upload has more than {} bytes", i64::MAX)]
    TooMany,
}

/// Reads a number of bytes: decimal digits, for at most 2^63 - 1, which is what a file can have.
///
/// # Errors
///
/// What is wrong with the text.
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
    fn a_request_goes_on_from_the_true_offset_only() {
        let stands = extent(5 * TIB, None, None);
        assert_eq!(stands.check_offset(5 * TIB), Ok(()));
        for provided in [0, 5 * TIB - 1, 5 * TIB + 1] {
            let expected = 5 * TIB;
            let refused = Err(UploadError::Offset { expected, provided });
            assert_eq!(stands.check_offset(provided), refused);
        }
    }

    #[test]
    fn a_length_is_said_once() {
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
    fn no_more_bytes_come_than_there_is_room_for() {
        assert_eq!(extent(5, None, None).admit(u64::MAX), Ok(()));
        let known = extent(5, Some(8), Some(100));
        assert_eq!(known.room(), Some(3));
        assert_eq!(known.admit(3), Ok(()));
        assert_eq!(known.admit(4), Err(UploadError::Surplus(8)));
        let limited = extent(5, None, Some(6));
        assert_eq!(limited.admit(1), Ok(()));
        assert_eq!(limited.admit(2), Err(UploadError::TooLarge(6)));
        assert_eq!(extent(8, Some(8), None).room(), Some(0));
    }

    #[test]
    fn a_number_of_bytes_is_what_a_file_can_have() {
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
