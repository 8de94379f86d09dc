//! Digests, which identify and protect contents.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha1::{
    Digest as _,
    digest::common::hazmat::{SerializableState, SerializedState},
};
use utoipa::ToSchema;

use crate::block::{BlockChecksums, BlockHasher};

/// The reason why a string is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The number of characters is not twice the digest's size.
    #[error("{expected} hexadecimal digits are required, not {found} characters")]
    Length {
        /// The number of hexadecimal digits of the digest.
        expected: usize,
        /// The number of characters in the string.
        found: usize,
    },
    /// A character is not a hexadecimal digit.
    #[error("character {0} is not a hexadecimal digit")]
    NotHexadecimal(usize),
}

/// The SHA-1 (FIPS 180-4) of a content, its name in URLs, written as 40 lower-case hexadecimal
/// digits.
///
/// Upper-case digits are accepted too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[0-9a-f]{40}$", example = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed")]
pub struct Sha1([u8; 20]);

/// The SHA-256 (FIPS 180-4) of a content, written as 64 lower-case hexadecimal digits.
///
/// It distinguishes contents that were crafted to have the same SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$", example = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9")]
pub struct Sha256([u8; 32]);

macro_rules! hexadecimal_digest {
    ($name:ident, $size:literal) => {
        impl $name {
            /// The digest's size in bytes.
            pub const SIZE: usize = $size;

            /// The digest's bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl From<[u8; $size]> for $name {
            fn from(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                parse_hexadecimal(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = DigestError;

            fn try_from(text: String) -> Result<Self, DigestError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hexadecimal_digest!(Sha1, 20);
hexadecimal_digest!(Sha256, 32);

fn parse_hexadecimal<const N: usize>(text: &str) -> Result<[u8; N], DigestError> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(DigestError::Length {
            expected: 2 * N,
            found: text.chars().count(),
        });
    }
    let value = |at: usize| match digits[at] {
        digit @ b'0'..=b'9' => Ok(digit - b'0'),
        digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(DigestError::NotHexadecimal(at + 1)),
    };
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = value(2 * at)? << 4 | value(2 * at + 1)?;
    }
    Ok(bytes)
}

/// The identity of a content: both digests and the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The content's name in URLs.
    pub sha1: Sha1,
    /// Distinguishes contents with the same SHA-1.
    pub sha256: Sha256,
    /// The size in bytes.
    pub size: u64,
}

/// Computes the digests, the size, and the checksums of the blocks of a content in one pass over its
/// bytes.
#[derive(Clone)]
pub struct ContentHasher {
    sha1: sha1::Sha1,
    sha256: sha2::Sha256,
    size: u64,
    /// `None` if nobody needs them, or after a restored state, which does not contain them.
    blocks: Option<Box<BlockHasher>>,
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self {
            sha1: sha1::Sha1::default(),
            sha256: sha2::Sha256::default(),
            size: 0,
            blocks: Some(Box::default()),
        }
    }
}

impl ContentHasher {
    /// A hasher that computes no checksums of blocks, which only a store needs.
    #[must_use]
    pub fn without_checksums() -> Self {
        Self {
            blocks: None,
            ..Self::default()
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        // Both digests read a piece while it is in the nearest cache.
        const PIECE: usize = 16 * 1024;
        for piece in bytes.chunks(PIECE) {
            self.sha1.update(piece);
            self.sha256.update(piece);
            if let Some(blocks) = &mut self.blocks {
                blocks.update(piece);
            }
        }
        self.size += bytes.len() as u64;
    }

    /// The number of added bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The state of the hasher, to continue later: the number of added bytes as eight bytes
    /// little-endian, and the states of both digests.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut state = self.size.to_le_bytes().to_vec();
        state.extend_from_slice(&self.sha1.serialize());
        state.extend_from_slice(&self.sha256.serialize());
        state
    }

    /// Continues from the state that [`ContentHasher::save`] returned; `None` for any other bytes.
    #[must_use]
    pub fn restore(state: &[u8]) -> Option<Self> {
        let (size, state) = state.split_first_chunk()?;
        let (sha1, state) = restore_digest(state)?;
        let (sha256, state) = restore_digest(state)?;
        state.is_empty().then_some(Self {
            sha1,
            sha256,
            size: u64::from_le_bytes(*size),
            blocks: None,
        })
    }

    /// The checksums of the blocks of the added bytes; `None` if the hasher computes none or continued
    /// from a saved state, or for more than 64 GiB.
    #[must_use]
    pub fn take_checksums(&mut self) -> Option<BlockChecksums> {
        self.blocks.take()?.finish()
    }

    /// The identity of the content that the added bytes form.
    #[must_use]
    pub fn finish(self) -> Content {
        Content {
            sha1: Sha1(self.sha1.finalize().into()),
            sha256: Sha256(self.sha256.finalize().into()),
            size: self.size,
        }
    }
}

/// Reads a digest's state from the beginning of some bytes; also returns the remaining bytes.
fn restore_digest<D: SerializableState>(bytes: &[u8]) -> Option<(D, &[u8])> {
    let mut state = SerializedState::<D>::default();
    let (own, rest) = bytes.split_at_checked(state.len())?;
    state.copy_from_slice(own);
    Some((D::deserialize(&state).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_test_vector_has_its_digests() {
        let mut hasher = ContentHasher::default();
        hasher.update(b"a");
        hasher.update(b"bc");
        let content = hasher.finish();
        assert_eq!(content.size, 3);
        assert_eq!(
            content.sha1.to_string(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            content.sha256.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_blocks_of_all_bytes_have_checksums_unless_some_were_not_seen() {
        let mut hasher = ContentHasher::default();
        hasher.update(b"abc");
        let state = hasher.save();
        let sums = hasher.take_checksums().unwrap();
        assert_eq!(sums.summary(), crate::block::checksum(b"abc"));
        let mut restored = ContentHasher::restore(&state).unwrap();
        restored.update(b"d");
        assert_eq!(restored.take_checksums(), None);
    }

    #[test]
    fn a_hasher_continues_from_a_saved_state() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut whole = ContentHasher::default();
        whole.update(&bytes);
        let whole = whole.finish();
        for at in [0, 1, 63, 64, 65, 128, 999, 1000] {
            let mut hasher = ContentHasher::default();
            hasher.update(&bytes[..at]);
            let state = hasher.save();
            let mut restored = ContentHasher::restore(&state).unwrap();
            assert_eq!(restored.size(), at as u64);
            restored.update(&bytes[at..]);
            assert_eq!(restored.finish(), whole, "saved after {at} bytes");
            assert!(ContentHasher::restore(&state[1..]).is_none());
            assert!(ContentHasher::restore(&[&state[..], &[0]].concat()).is_none());
        }
        assert!(ContentHasher::restore(&[]).is_none());
    }

    #[test]
    fn upper_case_is_accepted_and_lower_case_is_written() {
        let sha1: Sha1 = "A9993E364706816ABA3E25717850C26C9CD0D89D".parse().unwrap();
        assert_eq!(sha1.to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn an_error_states_the_wrong_length_or_character() {
        let too_short = "a999".parse::<Sha1>();
        assert_eq!(
            too_short,
            Err(DigestError::Length {
                expected: 40,
                found: 4
            })
        );
        let not_hexadecimal = "a9993e364706816aba3e25717850c26c9cd0d89g".parse::<Sha1>();
        assert_eq!(not_hexadecimal, Err(DigestError::NotHexadecimal(40)));
        let not_ascii = format!("{}é", "0".repeat(38)).parse::<Sha1>();
        assert_eq!(not_ascii, Err(DigestError::NotHexadecimal(39)));
    }
}
