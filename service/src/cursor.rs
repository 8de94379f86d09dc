//! Cursors of listings: opaque to clients, and valid only in the listing that they come from.
//!
//! A cursor is the position of the last listed entry, with a MAC over the owner, the filter and the
//! position: `upload_at` and `id`, eight bytes each and big-endian, then the first half of an
//! HMAC-SHA-256; in base64url. In a listing of uploads it is `create_at` and the 16 bytes of the id.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{EntryFilter, Owner, Position, RandomId, Timestamp, UploadPosition};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{Error, Result};

const POSITION: usize = 16;
const UPLOAD_POSITION: usize = 24;
const TAG: usize = 16;

/// Secret key of cursors, shared by all replicas of the service.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Creates a key from its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn seal(&self, owner: &Owner, filter: &EntryFilter, last: Position) -> String {
        let mut position = [0; POSITION];
        position[..8].copy_from_slice(&last.upload_at.microseconds().to_be_bytes());
        position[8..].copy_from_slice(&last.id.to_be_bytes());
        sealed(&position, self.mac(owner, filter, &position))
    }

    pub(crate) fn open(
        &self,
        owner: &Owner,
        filter: &EntryFilter,
        cursor: &str,
    ) -> Result<Position> {
        let position: [u8; POSITION] =
            opened(cursor, |position| self.mac(owner, filter, position))?;
        Ok(Position {
            upload_at: Timestamp::from_microseconds(number(&position[..8])),
            id: number(&position[8..]),
        })
    }

    pub(crate) fn seal_upload(&self, owner: &Owner, last: UploadPosition) -> String {
        let mut position = [0; UPLOAD_POSITION];
        position[..8].copy_from_slice(&last.create_at.microseconds().to_be_bytes());
        position[8..].copy_from_slice(last.id.as_bytes());
        sealed(&position, self.upload_mac(owner, &position))
    }

    pub(crate) fn open_upload(&self, owner: &Owner, cursor: &str) -> Result<UploadPosition> {
        let position: [u8; UPLOAD_POSITION] =
            opened(cursor, |position| self.upload_mac(owner, position))?;
        let mut id = [0; 16];
        id.copy_from_slice(&position[8..]);
        Ok(UploadPosition {
            create_at: Timestamp::from_microseconds(number(&position[..8])),
            id: RandomId::from(id),
        })
    }

    /// MAC over the listing of files and the position.
    fn mac(&self, owner: &Owner, filter: &EntryFilter, position: &[u8]) -> Hmac<Sha256> {
        let status = format!("{:?}", filter.status);
        let name = filter.name.as_deref().unwrap_or_default();
        let listing = [
            owner.as_str().as_bytes(),
            status.as_bytes(),
            name.as_bytes(),
        ];
        let sha1s = filter
            .sha1s
            .iter()
            .flatten()
            .map(|sha1| &sha1.as_bytes()[..]);
        self.mac_of(listing.into_iter().chain(sha1s).chain([position]))
    }

    /// MAC over the listing of uploads and the position.
    fn upload_mac(&self, owner: &Owner, position: &[u8]) -> Hmac<Sha256> {
        // No status of files has this name.
        self.mac_of([owner.as_str().as_bytes(), b"uploads", position].into_iter())
    }

    /// MAC over parts, each after its length.
    fn mac_of<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> Hmac<Sha256> {
        // HMAC pads a key to the block size of its hash with zeros (RFC 2104 §2).
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// The cursor of a position with its MAC.
fn sealed(position: &[u8], mac: Hmac<Sha256>) -> String {
    let tag = mac.finalize().into_bytes();
    URL_SAFE_NO_PAD.encode([position, &tag[..TAG]].concat())
}

/// The position in a cursor, if its MAC is right.
fn opened<const SIZE: usize>(
    cursor: &str,
    mac: impl FnOnce(&[u8]) -> Hmac<Sha256>,
) -> Result<[u8; SIZE]> {
    let cursor = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| Error::InvalidCursor)?;
    let (position, tag) = cursor
        .split_first_chunk::<SIZE>()
        .filter(|(_, tag)| tag.len() == TAG)
        .ok_or(Error::InvalidCursor)?;
    mac(position)
        .verify_truncated_left(tag)
        .map_err(|_| Error::InvalidCursor)?;
    Ok(*position)
}

/// The number in eight bytes.
fn number(bytes: &[u8]) -> i64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::FileStatus;

    const LAST: Position = Position {
        upload_at: Timestamp::EPOCH,
        id: 7,
    };

    fn filter(name: Option<&str>) -> EntryFilter {
        EntryFilter {
            status: FileStatus::Available,
            name: name.map(str::to_owned),
            sha1s: None,
        }
    }

    #[test]
    fn a_cursor_opens_in_its_own_listing_only() {
        let key = CursorKey::new([1; 32]);
        let alice: Owner = "alice".parse().unwrap();
        let cursor = key.seal(&alice, &filter(None), LAST);
        assert_eq!(key.open(&alice, &filter(None), &cursor).unwrap(), LAST);

        let bob: Owner = "bob".parse().unwrap();
        assert!(key.open(&bob, &filter(None), &cursor).is_err());
        assert!(key.open(&alice, &filter(Some("a")), &cursor).is_err());
        let other_key = CursorKey::new([2; 32]);
        assert!(other_key.open(&alice, &filter(None), &cursor).is_err());
    }

    #[test]
    fn a_cursor_of_uploads_opens_in_their_listing_only() {
        let key = CursorKey::new([1; 32]);
        let alice: Owner = "alice".parse().unwrap();
        let last = UploadPosition {
            create_at: Timestamp::from_microseconds(-3),
            id: [7; 16].into(),
        };
        let cursor = key.seal_upload(&alice, last);
        assert_eq!(key.open_upload(&alice, &cursor).unwrap(), last);
        assert!(key.open_upload(&Owner::anonymous(), &cursor).is_err());
        assert!(key.open(&alice, &filter(None), &cursor).is_err());
        let of_files = key.seal(&alice, &filter(None), LAST);
        assert!(key.open_upload(&alice, &of_files).is_err());
    }

    #[test]
    fn no_byte_of_a_cursor_can_be_changed() {
        let key = CursorKey::new([1; 32]);
        let owner = Owner::anonymous();
        let cursor = key.seal(&owner, &filter(None), LAST);
        let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert!(
                key.open(&owner, &filter(None), &forged).is_err(),
                "byte {at}"
            );
        }
        for nonsense in ["", "!", "AAAA", &cursor[..42]] {
            assert!(
                key.open(&owner, &filter(None), nonsense).is_err(),
                "{nonsense}"
            );
        }
    }
}
