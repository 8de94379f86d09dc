//! Comparing what rows say of buckets with the buckets' listings.
//!
//! A bucket's listing has an object's size, so no object is asked for by itself. An object's key
//! says nothing of its content's shard. So what rows say is put aside in files, by the first byte
//! of the key's unique part, and each file is compared with the listing of that part: the memory
//! that takes grows with the objects of one part in 256.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
};

use domain::{Address, Sha1};
use futures_util::StreamExt as _;
use storage::Store;
use tempfile::TempDir;

use super::{Check, Finding};
use crate::{Error, Result};

/// How many bytes of a part are collected before they are written.
const ENOUGH: usize = 8 * 1024;

/// How many bytes are noted of a copy: the unique part of its key, its size, its SHA-1.
const RECORD: usize = 16 + 8 + Sha1::SIZE;

/// What rows say of buckets.
pub(super) struct Notes {
    folder: TempDir,
    parts: HashMap<(String, u8), Vec<u8>>,
}

/// What a row says of an object.
#[derive(Debug, Clone, Copy)]
struct Noted {
    size: u64,
    sha1: Sha1,
}

impl Notes {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir().map_err(failed)?,
            parts: HashMap::new(),
        })
    }

    /// Notes a copy; gives whether its key can be that of an object.
    pub(super) fn add(&mut self, address: &Address, sha1: &Sha1, size: u64) -> Result<bool> {
        let Some(unique) = unique(&address.key) else {
            return Ok(false);
        };
        let part = (address.store.clone(), unique.to_be_bytes()[0]);
        let path = self.path(&part);
        let notes = self.parts.entry(part).or_default();
        notes.extend_from_slice(&unique.to_be_bytes());
        notes.extend_from_slice(&size.to_be_bytes());
        notes.extend_from_slice(sha1.as_bytes());
        if notes.len() >= ENOUGH {
            append(&path, notes)?;
            notes.clear();
        }
        Ok(true)
    }

    /// What was noted of a part of a store.
    fn take(&mut self, store: &str, first_byte: u8) -> Result<HashMap<u128, Noted>> {
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
            let noted = Noted {
                size: u64::from_be_bytes(*size),
                sha1: sha1.into(),
            };
            Some((u128::from_be_bytes(*unique), noted))
        });
        Ok(records.collect())
    }

    fn path(&self, (store, first_byte): &(String, u8)) -> PathBuf {
        self.folder.path().join(format!("{store}-{first_byte:02x}"))
    }
}

impl Check<'_> {
    /// Compares a part of a bucket with what rows said of it.
    pub(super) async fn part_of_bucket(&mut self, store: &Store, first_byte: u8) -> Result<()> {
        let mut noted = self.notes.take(store.name(), first_byte)?;
        let before = self.before;
        let mut listing = store.list(first_byte).await?;
        while let Some(entry) = listing.next().await {
            let entry = entry?;
            let address = Address {
                store: store.name().to_owned(),
                key: entry.key,
            };
            let Some(unique) = unique(&address.key) else {
                let path = address.to_string().into();
                self.found(&Finding::Stray { path });
                continue;
            };
            self.summary.objects += 1;
            match noted.remove(&unique) {
                Some(row) if row.size == entry.size => {}
                Some(row) => self.suspect(&row, &address).await?,
                None if entry.modified.is_none_or(|modified| modified > before) => {
                    // Its row may have come since rows were read.
                    self.summary.young += 1;
                }
                None => self.orphan(store, address).await?,
            }
        }
        for (unique, row) in noted {
            let unique = format!("{unique:032x}");
            let address = Address {
                store: store.name().to_owned(),
                key: format!("objects/{}/{unique}", &unique[..2]),
            };
            self.suspect(&row, &address).await?;
        }
        Ok(())
    }

    /// Looks again at a copy of which the listing says something else than its row did.
    async fn suspect(&mut self, noted: &Noted, address: &Address) -> Result<()> {
        let contents = self.service.0.database.contents();
        let Some(row) = contents.find(&noted.sha1).await? else {
            return Ok(());
        };
        if row.copies().any(|copy| copy == address) {
            let finding = self.service.examine(&row, address, false).await?;
            self.confirm(&row, finding).await?;
        }
        Ok(())
    }

    /// An object that no row points at: it is on its way, or it was left behind.
    async fn orphan(&mut self, store: &Store, address: Address) -> Result<()> {
        let leftovers = self.service.0.database.leftovers();
        if leftovers.is_expected_at(&address).await? || store.size(&address.key).await?.is_none() {
            return Ok(());
        }
        self.orphaned(store, address).await
    }

    /// Finds the parts of uploads that nobody knows of.
    pub(super) async fn segments(&mut self, store: &Store) -> Result<()> {
        let age = self.service.0.limits.orphan_age;
        for key in self.service.unknown_segments(store, age).await? {
            let store_name = store.name().to_owned();
            let address = Address {
                store: store_name,
                key,
            };
            self.orphaned(store, address).await?;
        }
        Ok(())
    }
}

/// The unique part of an object's key.
fn unique(key: &str) -> Option<u128> {
    let (folder, unique) = key.strip_prefix("objects/")?.split_once('/')?;
    let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_unique = unique.len() == 32 && unique.bytes().all(is_hexadecimal);
    if !is_unique || !unique.starts_with(folder) || folder.len() != 2 {
        return None;
    }
    u128::from_str_radix(unique, 16).ok()
}

fn append(path: &PathBuf, notes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(notes))
        .map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::Store(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_of_a_part_comes_back() {
        let mut notes = Notes::new().unwrap();
        let sha1: Sha1 = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed".parse().unwrap();
        for count in 0..2_000_u64 {
            let unique = format!("{:032x}", u128::from(count) << 64 | 0x3a << 120);
            let address = Address {
                store: "ceph".to_owned(),
                key: format!("objects/3a/{unique}"),
            };
            assert!(notes.add(&address, &sha1, count).unwrap());
        }
        let back = notes.take("ceph", 0x3a).unwrap();
        assert_eq!(back.len(), 2_000);
        let sum: u64 = back.values().map(|noted| noted.size).sum();
        assert_eq!(sum, (0..2_000).sum::<u64>());
        assert!(notes.take("ceph", 0x3b).unwrap().is_empty());
        assert!(notes.take("oss", 0x3a).unwrap().is_empty());
    }

    #[test]
    fn a_foreign_key_is_no_objects() {
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
