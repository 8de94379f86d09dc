//! The conversion between segments or hash states and their columns.

use super::progress::Segment;
use crate::{
    entities::segment,
    error::{Error, Result},
    row::unsigned,
};

/// The table whose rows this file reads and writes.
pub(super) const TABLE: &str = "tbl_staging";

impl TryFrom<segment::Model> for Segment {
    type Error = Error;

    fn try_from(row: segment::Model) -> Result<Self> {
        Ok(Self {
            start: unsigned(TABLE, row.start)?,
            size: unsigned(TABLE, row.size)?,
            key: row.object_key,
        })
    }
}

pub(super) fn to_hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
        .collect()
}

pub(super) fn from_hexadecimal(text: &str) -> Result<Vec<u8>> {
    let half = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return Err(Error::corrupt(
            TABLE,
            "the number of hexadecimal digits is odd",
        ));
    };
    pairs
        .iter()
        .map(|[high, low]| {
            let byte = half(*high)? << 4 | half(*low)?;
            u8::try_from(byte).ok()
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Error::corrupt(TABLE, "a character is not a hexadecimal digit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let text = to_hexadecimal(&bytes);
        assert!(
            text.starts_with("000102") && text.ends_with("fdfeff"),
            "{text}"
        );
        assert_eq!(from_hexadecimal(&text).unwrap(), bytes);
        for wrong in ["a", "0g", "é"] {
            assert!(from_hexadecimal(wrong).is_err(), "{wrong:?}");
        }
    }
}
