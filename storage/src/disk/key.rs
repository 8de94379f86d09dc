//! Keys of the objects on a disk.
//!
//! A key is `3a/<sha1>-<unique>`. The folder is the last byte of the SHA-1, which also names the
//! shard that holds the content's row. So there are 256 folders, which exist from the start, and
//! folders and shards can be compared one by one. The unique part is new for every copy.

use domain::Sha1;

/// The folder, below `objects/`, of the contents whose SHA-1 ends in this byte.
pub(super) fn folder(last_byte: u8) -> String {
    format!("{last_byte:02x}")
}

/// Creates a key that no copy of this content had before.
pub(super) fn fresh(sha1: &Sha1) -> std::io::Result<String> {
    let mut unique = [0; 16];
    getrandom::fill(&mut unique).map_err(std::io::Error::other)?;
    let unique = u128::from_ne_bytes(unique);
    Ok(format!("{}/{sha1}-{unique:032x}", folder_of(sha1)))
}

/// Parses the file name of an object into its key and the SHA-1 of its content.
pub(super) fn of_file_name(name: &str) -> Option<(String, Sha1)> {
    let (sha1, unique) = name.split_once('-')?;
    let is_unique = unique.len() == 32 && unique.bytes().all(|digit| digit.is_ascii_hexdigit());
    let sha1: Sha1 = sha1.parse().ok().filter(|_| is_unique)?;
    Some((format!("{}/{name}", folder_of(&sha1)), sha1))
}

/// The file name at the end of a key.
pub(super) fn file_name(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

/// Returns whether [`fresh`] can create this key. No other key is ever looked up on the disk.
pub(super) fn is_valid(key: &str) -> bool {
    of_file_name(file_name(key)).is_some_and(|(parsed, _)| parsed == key)
}

fn folder_of(sha1: &Sha1) -> String {
    folder(sha1.as_bytes()[Sha1::SIZE - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed";

    #[test]
    fn a_key_is_in_the_folder_of_its_shard_and_is_unique() {
        let sha1: Sha1 = SHA1.parse().unwrap();
        let key = fresh(&sha1).unwrap();
        assert!(key.starts_with(&format!("ed/{SHA1}-")), "{key}");
        assert_ne!(key, fresh(&sha1).unwrap());
        assert_eq!(folder(0xed), "ed");
        assert_eq!(of_file_name(file_name(&key)), Some((key.clone(), sha1)));
        assert!(is_valid(&key));
    }

    #[test]
    fn other_keys_are_invalid() {
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
