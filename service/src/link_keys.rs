//! Tokens of links.
//!
//! A token is the random id of a link with a MAC: it reveals nothing, and an invented one is
//! refused without a query. It consists of `id`, 16 bytes, and the first half of an HMAC-SHA-256
//! over a label and the id; in base64url.

use std::net::{IpAddr, Ipv6Addr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::RandomId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::Visitor;

const ID: usize = 16;

const TAG: usize = 16;

/// Input of the MAC besides the id, so that the key proves nothing else.
const LABEL: &[u8] = b"fileserver link 1\n";

/// Input of the MAC of a visitor.
const VISITOR_LABEL: &[u8] = b"fileserver visitor 1\n";

/// Secret keys of links, shared by all replicas of the service.
///
/// The first key signs. All keys verify.
#[derive(Clone)]
pub struct LinkKeys(Vec<[u8; 32]>);

impl LinkKeys {
    /// Creates the keys from their bytes; `None` if there are none. The first key signs.
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

    /// Hashes what tells the visitors of a link apart: without the key, nobody can tell who it was, or
    /// whether two links had the same visitor.
    pub(crate) fn hash_visitor(&self, link: RandomId, visitor: Visitor<'_>) -> RandomId {
        let key = self.0.first().copied().unwrap_or_default();
        let mut mac = keyed(&key);
        mac.update(VISITOR_LABEL);
        mac.update(link.as_bytes());
        let address = visitor.address.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
        let address = match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        mac.update(&address.octets());
        mac.update(visitor.user_agent);
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let mut id = [0; ID];
        id.copy_from_slice(&hash[..ID]);
        id.into()
    }
}

fn mac(key: &[u8; 32], id: RandomId) -> Hmac<Sha256> {
    let mut mac = keyed(key);
    mac.update(LABEL);
    mac.update(id.as_bytes());
    mac
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC pads a key to the block size of its hash with zeros (RFC 2104 §2).
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    Hmac::<Sha256>::new(&block.into())
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
    fn a_visitor_is_an_address_and_a_client_of_one_link() {
        let keys = LinkKeys::new(vec![[1; 32]]).unwrap();
        let hash = |link: u8, address: &str, user_agent: &str| {
            let visitor = Visitor {
                address: Some(address.parse().unwrap()),
                user_agent: user_agent.as_bytes(),
            };
            keys.hash_visitor([link; 16].into(), visitor)
        };
        let one = hash(1, "192.0.2.1", "curl/8");
        assert_eq!(hash(1, "192.0.2.1", "curl/8"), one);
        assert_eq!(hash(1, "::ffff:192.0.2.1", "curl/8"), one);
        assert_ne!(hash(2, "192.0.2.1", "curl/8"), one);
        assert_ne!(hash(1, "192.0.2.2", "curl/8"), one);
        assert_ne!(hash(1, "192.0.2.1", "curl/9"), one);
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
