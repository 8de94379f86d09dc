//! Links.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::RandomId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const ID: usize = 16;

const TAG: usize = 16;

/// What the MAC is over besides the id, so that the key proves nothing else.
const LABEL: &[u8] = b"fileserver link 1\n";

/// The secrets that links are signed with; replicas of a service share them.
///
/// The first one signs. Links that were signed with any of them work.
#[derive(Clone)]
pub struct LinkKeys(Vec<[u8; 32]>);

impl LinkKeys {
    /// The keys with these bytes, of which the first one signs; `None` if there is none.
    #[must_use]
    pub fn new(keys: Vec<[u8; 32]>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    pub(crate) fn seal(&self, id: RandomId) -> String {
        let mut token = [0; ID + TAG];
        token[..ID].copy_from_slice(id.as_bytes());
        if let Some(key) = self.0.first() {
            let tag = mac(key, id).finalize().into_bytes();
            token[ID..].copy_from_slice(&tag[..TAG]);
        }
        URL_SAFE_NO_PAD.encode(token)
    }

    pub(crate) fn open(&self, token: &str) -> Option<RandomId> {
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
