//! Properties that cursors and links have for every input: `fuzz/` searches for inputs that break them,
//! and a test tries those that it kept.

#![expect(clippy::unwrap_used, reason = "a property that does not hold panics")]

use domain::{EntryFilter, FileStatus, Owner, Position, RandomId, Timestamp};

use crate::{CursorKey, LinkKeys};

/// A cursor and a link open as what was sealed; with any other character they do not open.
pub fn sealed_texts(input: &[u8]) {
    let key = CursorKey::new([1; 32]);
    let links = LinkKeys::new(vec![[2; 32], [3; 32]]).unwrap();
    let owner = Owner::anonymous();
    let (begin, end) = input.split_at(input.len().min(18));
    let mut first = [0; 18];
    first[..begin.len()].copy_from_slice(begin);
    let filter = EntryFilter {
        status: FileStatus::Available,
        name: str::from_utf8(end).ok().map(str::to_owned),
        sha1s: None,
    };

    // What opens was sealed.
    if let Ok(text) = str::from_utf8(input) {
        if let Ok(last) = key.open(&owner, &filter, text) {
            assert_eq!(key.seal(&owner, &filter, last), text);
        }
        if let Some(id) = links.open(text) {
            assert_eq!(links.seal(id), text);
        }
    }

    let (at, bit, rest) = (usize::from(first[0]), first[1] % 7, &first[2..]);
    let (moment, id) = rest.split_first_chunk().unwrap();
    let last = Position {
        upload_at: Timestamp::from_microseconds(i64::from_be_bytes(*moment)),
        id: i64::from_be_bytes(id.try_into().unwrap()),
    };
    let cursor = key.seal(&owner, &filter, last);
    assert_eq!(key.open(&owner, &filter, &cursor).unwrap(), last);
    let other: Owner = "another".parse().unwrap();
    assert!(key.open(&other, &filter, &cursor).is_err());
    if let Some(forged) = forge(&cursor, at, bit) {
        assert!(key.open(&owner, &filter, &forged).is_err(), "{forged}");
    }

    let id = RandomId::from(<[u8; 16]>::try_from(rest).unwrap());
    let link = links.seal(id);
    assert_eq!(links.open(&link), Some(id));
    if let Some(forged) = forge(&link, at, bit) {
        assert_eq!(links.open(&forged), None, "{forged}");
    }
}

/// Changes a bit of a text.
fn forge(text: &str, at: usize, bit: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 1 << bit;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn every_kept_input_has_its_property() {
        replay("sealed_texts", sealed_texts);
    }
}
