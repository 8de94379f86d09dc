//! Links by which whoever has one gets an owner's file, without credentials.
//!
//! A link's token is its random id behind a MAC: nothing can be read in it, and what was made up
//! is refused without a look-up. What it is for, and until when, is kept in a row. The token is
//! `id`, 16 bytes, and the first half of an HMAC-SHA-256 over a label and the id; in base64url.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Owner, RandomId, Sha1, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use persistence::Link;
use sha2::Sha256;

use crate::{Entry, Error, FileService, Result, sessions::random_id};

const ID: usize = 16;
const TAG: usize = 16;

/// What the MAC is over besides the id, so that the key proves nothing else.
const LABEL: &[u8] = b"fileserver link 1\n";

/// The secrets that links are signed with; replicas of a service share them.
///
/// The first one signs. Links that were signed with any of them work.
#[derive(Clone)]
pub struct LinkKeys(Vec<[u8; 32]>);

/// A link that is to be made.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// How long it works.
    pub lifetime: Duration,
    /// Whether a browser may show the file rather than save it.
    pub inline: bool,
    /// How often the file can be downloaded by it, if not without end.
    pub max_downloads: Option<u64>,
}

/// A link that was made.
#[derive(Debug, Clone)]
pub struct IssuedLink {
    /// What its URL has.
    pub token: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// A file that somebody came to by a link.
#[derive(Debug, Clone)]
pub struct LinkedFile {
    /// The owner's entry.
    pub entry: Entry,
    /// The link.
    pub link: Link,
}

impl LinkKeys {
    /// The keys with these bytes, of which the first one signs; `None` if there is none.
    #[must_use]
    pub fn new(keys: Vec<[u8; 32]>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    fn seal(&self, id: RandomId) -> String {
        let mut token = [0; ID + TAG];
        token[..ID].copy_from_slice(id.as_bytes());
        if let Some(key) = self.0.first() {
            let tag = mac(key, id).finalize().into_bytes();
            token[ID..].copy_from_slice(&tag[..TAG]);
        }
        URL_SAFE_NO_PAD.encode(token)
    }

    fn open(&self, token: &str) -> Option<RandomId> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, tag) = token.split_first_chunk::<ID>()?;
        let id = RandomId::from(*id);
        let is_signed = |key| mac(key, id).verify_truncated_left(tag).is_ok();
        (tag.len() == TAG && self.0.iter().any(is_signed)).then_some(id)
    }
}

fn mac(key: &[u8; 32], id: RandomId) -> Hmac<Sha256> {
    // HMAC fills a key up to its hash's block with zeros (RFC 2104 §2).
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(LABEL);
    mac.update(id.as_bytes());
    mac
}

impl FileService {
    /// Makes a link to an owner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or when the database fails.
    pub async fn create_link(
        &self,
        owner: &Owner,
        sha1: &Sha1,
        new: &NewLink,
    ) -> Result<IssuedLink> {
        let now = self.0.clock.now();
        let link = Link {
            id: random_id()?,
            owner: owner.clone(),
            file_sha1: *sha1,
            inline: new.inline,
            max_downloads: new.max_downloads,
            create_at: now,
            expires_at: now.after(new.lifetime),
        };
        if !self.0.database.links().insert(&link).await? {
            return Err(Error::NotFound);
        }
        Ok(IssuedLink {
            token: self.0.link_keys.seal(link.id),
            expires_at: link.expires_at,
        })
    }

    /// Finds the file that a link leads to.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`], whatever is wrong with the link; or when the database fails.
    pub async fn follow_link(&self, token: &str) -> Result<LinkedFile> {
        let id = self.0.link_keys.open(token).ok_or(Error::LinkNotFound)?;
        let now = self.0.clock.now();
        let link = self.0.database.links().find(id, now).await?;
        let link = link.ok_or(Error::LinkNotFound)?;
        match self.find(&link.owner, &link.file_sha1).await {
            Ok(entry) => Ok(LinkedFile { entry, link }),
            Err(Error::NotFound) => Err(Error::LinkNotFound),
            Err(error) => Err(error),
        }
    }

    /// Counts a download by a link, if its downloads are counted.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] when others have used it up.
    pub async fn count_download(&self, link: &Link) -> Result<()> {
        if link.max_downloads.is_none() || self.0.database.links().count_download(link.id).await? {
            return Ok(());
        }
        Err(Error::LinkNotFound)
    }

    /// Ends all links to an owner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or when the database fails.
    pub async fn remove_links(&self, owner: &Owner, sha1: &Sha1) -> Result<()> {
        self.find_newest(owner, sha1).await?;
        Ok(self.0.database.links().remove(owner, sha1).await?)
    }

    /// Removes what is kept of links that are over.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn sweep_links(&self) -> Result<()> {
        let now = self.0.clock.now();
        Ok(self.0.database.links().remove_expired(now).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_with_any_of_the_keys_that_are_left() {
        let id = RandomId::from([5; 16]);
        let keys = |keys: &[u8]| LinkKeys::new(keys.iter().map(|key| [*key; 32]).collect());
        let old = keys(&[1]).unwrap();
        let token = old.seal(id);
        assert_eq!(token.len(), 43);
        assert_eq!(old.open(&token), Some(id));
        let rotated = keys(&[2, 1]).unwrap();
        assert_eq!(rotated.open(&token), Some(id));
        assert_ne!(rotated.seal(id), token);
        assert_eq!(keys(&[2]).unwrap().open(&token), None);
        assert!(keys(&[]).is_none());
    }

    #[test]
    fn no_byte_of_a_link_can_be_changed() {
        let keys = LinkKeys::new(vec![[1; 32]]).unwrap();
        let token = keys.seal([5; 16].into());
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            assert_eq!(keys.open(&URL_SAFE_NO_PAD.encode(forged)), None, "{at}");
        }
        for nonsense in ["", "!", "AAAA", &token[..42], &format!("{token}AAAA")] {
            assert_eq!(keys.open(nonsense), None, "{nonsense}");
        }
    }
}
