//! Index of the rows whose copies are in buckets, stored in temporary files.
//!
//! The key of an object does not tell the shard of its content. So rows are written to files,
//! grouped by the first byte of the unique part of the key, and each file is compared with the
//! listing of that part: memory grows with the objects of one part in 256.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
};

use domain::{Address, Sha1};
use tempfile::TempDir;

use crate::{Error, Result};

/// Bytes of a part that are collected before they are written.
const WRITE_THRESHOLD: usize = 8 * 1024;

/// Bytes per record: the unique part of the key, the size, the SHA-1.
const RECORD: usize = 16 + 8 + Sha1::SIZE;

/// Copies in buckets according to the rows.
pub(super) struct BucketIndex {
    folder: TempDir,
    parts: HashMap<(String, u8), Vec<u8>>,
}

/// Size and content of an object according to its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexedObject {
    pub(super) size: u64,
    pub(super) sha1: Sha1,
}

impl BucketIndex {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir().map_err(failed)?,
            parts: HashMap::new(),
        })
    }

    /// Adds a copy; returns false if its key cannot be that of an object.
    pub(super) fn add(&mut self, address: &Address, sha1: &Sha1, size: u64) -> Result<bool> {
        let Some(unique) = unique(&address.key) else {
            return Ok(false);
        };
        let part = (address.store.clone(), unique.to_be_bytes()[0]);
        let path = self.path(&part);
        let records = self.parts.entry(part).or_default();
        records.extend_from_slice(&unique.to_be_bytes());
        records.extend_from_slice(&size.to_be_bytes());
        records.extend_from_slice(sha1.as_bytes());
        if records.len() >= WRITE_THRESHOLD {
            append(&path, records)?;
            records.clear();
        }
        Ok(true)
    }

    /// Removes and returns the records of one part of a store.
    pub(super) fn take(
        &mut self,
        store: &str,
        first_byte: u8,
    ) -> Result<HashMap<u128, IndexedObject>> {
        let part = (store.to_owned(), first_byte);
        let mut bytes = match fs::read(self.path(&part)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        bytes.extend(self.parts.remove(&part).unwrap_or_default());
        let records = bytes.chunks_exact(RECORD).filter_map(|record| {
            let (unique, rest) = record.split_first_chunk::<16>()?;
            let (size, sha1) = rest.split_first_chunk::<8>()?;
            let sha1: [u8; Sha1::SIZE] = sha1.try_into().ok()?;
            let indexed = IndexedObject {
                size: u64::from_be_bytes(*size),
                sha1: sha1.into(),
            };
            Some((u128::from_be_bytes(*unique), indexed))
        });
        Ok(records.collect())
    }

    fn path(&self, (store, first_byte): &(String, u8)) -> PathBuf {
        self.folder.path().join(format!("{store}-{first_byte:02x}"))
    }
}

/// Parses the unique part of an object's key.
pub(super) fn unique(key: &str) -> Option<u128> {
    let (folder, unique) = key.strip_prefix("objects/")?.split_once('/')?;
    let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_unique = unique.len() == 32 && unique.bytes().all(is_hexadecimal);
    if !is_unique || !unique.starts_with(folder) || folder.len() != 2 {
        return None;
    }
    u128::from_str_radix(unique, 16).ok()
}

fn append(path: &PathBuf, index: &[u8]) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(index))
        .map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::Store(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_part_are_returned() {
        let mut records = BucketIndex::new().unwrap();
        let sha1: Sha1 = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed".parse().unwrap();
        for count in 0..2_000_u64 {
            let unique = format!("{:032x}", u128::from(count) << 64 | 0x3a << 120);
            let address = Address {
                store: "ceph".to_owned(),
                key: format!("objects/3a/{unique}"),
            };
            assert!(records.add(&address, &sha1, count).unwrap());
        }
        let back = records.take("ceph", 0x3a).unwrap();
        assert_eq!(back.len(), 2_000);
        let sum: u64 = back.values().map(|indexed| indexed.size).sum();
        assert_eq!(sum, (0..2_000).sum::<u64>());
        assert!(records.take("ceph", 0x3b).unwrap().is_empty());
        assert!(records.take("oss", 0x3a).unwrap().is_empty());
    }

    #[test]
    fn foreign_keys_are_not_keys_of_objects() {
        let digits = "3a".repeat(16);
        assert!(unique(&format!("objects/3a/{digits}")).is_some());
        for key in [
            format!("objects/3b/{digits}"),
            format!("objects/3a/{digits}0"),
            format!("objects/{digits}"),
            format!("uploads/3a/{digits}"),
            "objects/3a/x".to_owned(),
        ] {
            assert!(unique(&key).is_none(), "{key}");
        }
    }
}
