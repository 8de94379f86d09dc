//! How objects are called.
//!
//! `3a/<sha1>-<unique>`: the folder is the last two digits of the SHA-1, which also name the table
//! that has the content's row. So there are 256 folders, which are there from the beginning, and
//! the two can be compared one by one. The unique part is new for every copy.

use domain::Sha1;

/// The folder, below the objects', of the contents whose SHA-1 ends in this byte.
pub(crate) fn folder(last_byte: u8) -> String {
    format!("{last_byte:02x}")
}

/// A key that no copy of this content had before.
pub(crate) fn fresh(sha1: &Sha1) -> std::io::Result<String> {
    let mut unique = [0; 16];
    getrandom::fill(&mut unique).map_err(std::io::Error::other)?;
    let unique = u128::from_ne_bytes(unique);
    Ok(format!("{}/{sha1}-{unique:032x}", folder_of(sha1)))
}

/// The key of an object with this file name, and the content that it is a copy of.
pub(crate) fn of_file_name(name: &str) -> Option<(String, Sha1)> {
    let (sha1, unique) = name.split_once('-')?;
    let is_unique = unique.len() == 32 && unique.bytes().all(|digit| digit.is_ascii_hexdigit());
    let sha1: Sha1 = sha1.parse().ok().filter(|_| is_unique)?;
    Some((format!("{}/{name}", folder_of(&sha1)), sha1))
}

/// The file name at the end of a key.
pub(crate) fn file_name(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

/// Whether a key is one that [`fresh`] makes; no other is ever looked up on the disk.
pub(crate) fn is_valid(key: &str) -> bool {
    of_file_name(file_name(key)).is_some_and(|(made, _)| made == key)
}

fn folder_of(sha1: &Sha1) -> String {
    folder(sha1.as_bytes()[Sha1::SIZE - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed";

    #[test]
    fn a_key_lies_in_its_shards_folder_and_is_never_made_twice() {
        let sha1: Sha1 = SHA1.parse().unwrap();
        let key = fresh(&sha1).unwrap();
        assert!(key.starts_with(&format!("ed/{SHA1}-")), "{key}");
        assert_ne!(key, fresh(&sha1).unwrap());
        assert_eq!(folder(0xed), "ed");
        assert_eq!(of_file_name(file_name(&key)), Some((key.clone(), sha1)));
        assert!(is_valid(&key));
    }

    #[test]
    fn what_was_not_made_here_is_no_key() {
        let unique = "0".repeat(32);
        for key in [
            format!("ee/{SHA1}-{unique}"),
            format!("ed/../ed/{SHA1}-{unique}"),
            format!("{SHA1}-{unique}"),
            format!("ed/{SHA1}-"),
            "../../etc/passwd".to_owned(),
            String::new(),
        ] {
            assert!(!is_valid(&key), "{key}");
        }
    }
}
