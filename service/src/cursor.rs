//! Cursors of listings: opaque to clients, and valid only in the listing that they come from.
//!
//! A cursor is the position of the last listed entry, with a MAC over the owner, the filter and the
//! position: `upload_at` and `id`, eight bytes each and big-endian, then the first half of an
//! HMAC-SHA-256; in base64url.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{EntryFilter, Owner, Position, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{Error, Result};

const POSITION: usize = 16;
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
        let mut cursor = [0; POSITION + TAG];
        cursor[..8].copy_from_slice(&last.upload_at.microseconds().to_be_bytes());
        cursor[8..POSITION].copy_from_slice(&last.id.to_be_bytes());
        let tag = self.mac(owner, filter, &cursor[..POSITION]).finalize();
        cursor[POSITION..].copy_from_slice(&tag.into_bytes()[..TAG]);
        URL_SAFE_NO_PAD.encode(cursor)
    }

    pub(crate) fn open(
        &self,
        owner: &Owner,
        filter: &EntryFilter,
        cursor: &str,
    ) -> Result<Position> {
        let cursor = URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_| Error::InvalidCursor)?;
        let (position, tag) = cursor
            .split_first_chunk::<POSITION>()
            .filter(|(_, tag)| tag.len() == TAG)
            .ok_or(Error::InvalidCursor)?;
        self.mac(owner, filter, position)
            .verify_truncated_left(tag)
            .map_err(|_| Error::InvalidCursor)?;
        let [upload_at, id] = [0, 8].map(|at| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&position[at..at + 8]);
            i64::from_be_bytes(bytes)
        });
        Ok(Position {
            upload_at: Timestamp::from_microseconds(upload_at),
            id,
        })
    }

    /// MAC over the listing, each part after its length, and the position.
    fn mac(&self, owner: &Owner, filter: &EntryFilter, position: &[u8]) -> Hmac<Sha256> {
        // HMAC pads a key to the block size of its hash with zeros (RFC 2104 §2).
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        let mut part = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_be_bytes());
            mac.update(bytes);
        };
        part(owner.as_str().as_bytes());
        part(format!("{:?}", filter.status).as_bytes());
        part(filter.name.as_deref().unwrap_or_default().as_bytes());
        for sha1 in filter.sha1s.iter().flatten() {
            part(sha1.as_bytes());
        }
        part(position);
        mac
    }
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
