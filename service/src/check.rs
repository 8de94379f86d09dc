//! Whether every row has its bytes, and all bytes have their row.
//!
//! It may run beside the service: what looks wrong is looked at again, in an order in which
//! nothing that is only on its way looks wrong twice.

mod buckets;

use std::{collections::HashMap, fmt, path::PathBuf};

use domain::{Address, ByteRange, Content, Sha1, Timestamp};
use futures_util::{StreamExt as _, stream};
use persistence::{Miscount, Shard, StoredContent};
use serde::Serialize;
use storage::{Digesting, Disk, Store, StoredObject};

use self::buckets::Notes;
use crate::{FileService, Result};

/// How many rows are looked at together.
const BATCH: usize = 500;

/// How many copies are read at a time.
const AT_ONCE: usize = 8;

/// How many parts rows and objects are looked at in.
const PARTS: u64 = 256;

/// What to look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Read all bytes, and compute their digests.
    pub digests: bool,
    /// Remove what was left behind, instead of telling of it.
    pub remove_orphans: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A row's bytes are not there.
    BytesMissing {
        /// The content.
        file_sha1: Sha1,
        /// Where they should be.
        address: String,
    },
    /// A row's bytes are of another number than the row says.
    WrongSize {
        /// The content.
        file_sha1: Sha1,
        /// Where the bytes are.
        address: String,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A row's bytes do not have its digests.
    WrongDigests {
        /// The content.
        file_sha1: Sha1,
        /// Where the bytes are.
        address: String,
        /// The SHA-1 that they have.
        found: Sha1,
    },
    /// A row's bytes cannot be read.
    Unreadable {
        /// The content.
        file_sha1: Sha1,
        /// Where the bytes are.
        address: String,
    },
    /// A row's bytes are in a store that the settings do not have.
    UnknownStore {
        /// The content.
        file_sha1: Sha1,
        /// Where its bytes are.
        address: String,
    },
    /// No row points at an object.
    Orphan {
        /// Where the object is.
        address: String,
    },
    /// A file that the service did not put into the store.
    Stray {
        /// The file.
        path: PathBuf,
    },
    /// An owner's entry is for a content that has no row.
    ContentMissing {
        /// The content.
        file_sha1: Sha1,
    },
    /// A content has a row, and nobody has an entry for it.
    Unreferenced {
        /// The content.
        file_sha1: Sha1,
    },
    /// An owner is counted to have something else than there is.
    Miscount {
        /// The owner.
        owner: String,
        /// The bytes that are counted.
        counted_bytes: i64,
        /// The files that are counted.
        counted_files: i64,
        /// The bytes that there are.
        bytes: i64,
        /// The files that there are.
        files: i64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BytesMissing { file_sha1, address } => {
                write!(f, "{file_sha1}: its bytes are not at {address}")
            }
            Self::WrongSize {
                file_sha1,
                address,
                expected,
                found,
            } => write!(
                f,
                "{file_sha1}: {address} has {found} bytes instead of {expected}"
            ),
            Self::WrongDigests {
                file_sha1,
                address,
                found,
            } => write!(
                f,
                "{file_sha1}: the digests of {address} are others, its SHA-1 is {found}"
            ),
            Self::Unreadable { file_sha1, address } => {
                write!(f, "{file_sha1}: {address} cannot be read")
            }
            Self::UnknownStore { file_sha1, address } => write!(
                f,
                "{file_sha1}: the settings do not have the store of {address}"
            ),
            Self::Orphan { address } => write!(f, "no row points at {address}"),
            Self::Stray { path } => write!(f, "{} is not an object", path.display()),
            Self::ContentMissing { file_sha1 } => {
                write!(f, "{file_sha1}: an entry is for it, and it has no row")
            }
            Self::Unreferenced { file_sha1 } => {
                write!(
                    f,
                    "{file_sha1}: it has a row, and nobody has an entry for it"
                )
            }
            Self::Miscount {
                owner,
                counted_bytes,
                counted_files,
                bytes,
                files,
            } => write!(
                f,
                "{owner} has {bytes} bytes in {files} files, and is counted to have \
                 {counted_bytes} in {counted_files}; `fileserver quota recount` mends that"
            ),
        }
    }
}

impl From<Miscount> for Finding {
    fn from(miscount: Miscount) -> Self {
        Self::Miscount {
            owner: miscount.owner.to_string(),
            counted_bytes: miscount.counted.0,
            counted_files: miscount.counted.1,
            bytes: miscount.found.0,
            files: miscount.found.1,
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows of contents.
    pub contents: u64,
    /// Bytes that they say they have.
    pub bytes: u64,
    /// Objects in the store.
    pub objects: u64,
    /// Owners' entries.
    pub entries: u64,
    /// Objects that no row points at, and that are too young to tell.
    pub young: u64,
    /// Objects that were left behind, and removed.
    pub removed: u64,
    /// Things that are not as they should be.
    pub findings: u64,
}

/// Who is told how a check goes.
pub trait CheckProgress {
    /// So many of all steps are done.
    fn steps(&mut self, done: u64, all: u64, summary: &Summary);
    /// Something was found.
    fn found(&mut self, finding: &Finding);
}

impl FileService {
    /// Compares rows and bytes, in bounded memory, and tells what does not fit.
    ///
    /// # Errors
    ///
    /// When a store or the database fails, so that nothing can be said.
    pub async fn check(
        &self,
        options: CheckOptions,
        progress: &mut dyn CheckProgress,
    ) -> Result<Summary> {
        let stores: Vec<Store> = self.0.stores.iter().cloned().collect();
        let buckets: Vec<&Store> = stores
            .iter()
            .filter(|store| store.as_bucket().is_some())
            .collect();
        let mut check = Check {
            service: self,
            options,
            progress,
            summary: Summary::default(),
            notes: Notes::new()?,
            // An object that is younger than this may have a row that was not there yet when rows
            // were read.
            before: self.0.clock.now().before(self.0.limits.orphan_age),
            may_remove: true,
            steps: Steps {
                done: 0,
                all: PARTS * (1 + buckets.len() as u64),
            },
        };
        for (last_byte, shard) in (0..=u8::MAX).zip(Shard::all()) {
            check.rows(shard).await?;
            for disk in stores.iter().filter_map(Store::as_disk) {
                check.objects(disk, shard, last_byte).await?;
            }
            check.step();
        }
        for store in buckets {
            for first_byte in 0..=u8::MAX {
                check.part_of_bucket(store, first_byte).await?;
                check.step();
            }
            check.segments(store).await?;
        }
        check.entries().await?;
        check.accounts().await?;
        Ok(check.summary)
    }

    /// What is wrong with a content's copy, as far as that can be seen at once.
    async fn examine(
        &self,
        row: &StoredContent,
        address: &Address,
        digests: bool,
    ) -> Result<Option<Finding>> {
        let (file_sha1, text) = (row.content.sha1, address.to_string());
        let Some(store) = self.0.stores.get(&address.store) else {
            return Ok(Some(Finding::UnknownStore {
                file_sha1,
                address: text,
            }));
        };
        Ok(match store.size(&address.key).await? {
            None => Some(Finding::BytesMissing {
                file_sha1,
                address: text,
            }),
            Some(found) if found != row.content.size => Some(Finding::WrongSize {
                file_sha1,
                address: text,
                expected: row.content.size,
                found,
            }),
            Some(_) if digests => match digest(store, &address.key, row.content.size).await {
                Ok(content) if content == row.content => None,
                Ok(content) => Some(Finding::WrongDigests {
                    file_sha1,
                    address: text,
                    found: content.sha1,
                }),
                Err(error) => {
                    tracing::warn!(%address, %error, "an object cannot be read");
                    Some(Finding::Unreadable {
                        file_sha1,
                        address: text,
                    })
                }
            },
            Some(_) => None,
        })
    }
}

/// What all bytes of an object come to.
pub(crate) async fn digest(store: &Store, key: &str, size: u64) -> Result<Content, storage::Error> {
    let whole = ByteRange::whole(size);
    let object = store.open_object(key, size, whole).await?;
    let mut digesting = Digesting::default();
    let mut pieces = object.stream(whole);
    while let Some(piece) = pieces.next().await {
        digesting.update(&piece?).await?;
    }
    Ok(digesting.finish().await?.finish())
}

struct Check<'a> {
    service: &'a FileService,
    options: CheckOptions,
    progress: &'a mut dyn CheckProgress,
    summary: Summary,
    notes: Notes,
    before: Timestamp,
    /// Whether everything that rows point at is in a store that is known by its name.
    may_remove: bool,
    steps: Steps,
}

/// How far a check is.
struct Steps {
    done: u64,
    all: u64,
}

impl Check<'_> {
    fn step(&mut self) {
        self.steps.done += 1;
        self.progress
            .steps(self.steps.done, self.steps.all, &self.summary);
    }

    fn found(&mut self, finding: &Finding) {
        self.summary.findings += 1;
        self.progress.found(finding);
    }

    /// Tells of something, unless the row that it is about has changed since.
    async fn confirm(&mut self, row: &StoredContent, finding: Option<Finding>) -> Result<()> {
        if matches!(finding, Some(Finding::UnknownStore { .. })) {
            // What nobody seems to need may be what is looked for under another name.
            self.may_remove = false;
        }
        if let Some(finding) = finding
            && self.service.is_current(row).await?
        {
            self.found(&finding);
        }
        Ok(())
    }

    /// Tells of an object that was left behind, or removes it.
    async fn orphaned(&mut self, store: &Store, address: Address) -> Result<()> {
        if self.options.remove_orphans && self.may_remove {
            store.remove(&address.key).await?;
            self.summary.removed += 1;
        } else {
            let address = address.to_string();
            self.found(&Finding::Orphan { address });
        }
        Ok(())
    }

    async fn rows(&mut self, shard: Shard) -> Result<()> {
        let contents = self.service.0.database.contents();
        let mut after = 0;
        loop {
            let rows = contents.list(shard, after, BATCH as u64).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = *last;
            self.unreferenced(&rows).await?;
            let rows = rows.into_iter().map(|(_, row)| row).collect();
            self.copies(rows).await?;
        }
    }

    /// Looks at the copies of contents; at those in buckets only if they are to be read.
    async fn copies(&mut self, rows: Vec<StoredContent>) -> Result<()> {
        let mut to_examine = Vec::new();
        for row in rows {
            self.summary.contents += 1;
            self.summary.bytes += row.content.size;
            for address in row.copies() {
                let stores = &self.service.0.stores;
                let is_in_bucket = stores
                    .get(&address.store)
                    .is_some_and(|store| store.as_bucket().is_some());
                let (sha1, size) = (&row.content.sha1, row.content.size);
                let is_noted = is_in_bucket && self.notes.add(address, sha1, size)?;
                if !is_noted || self.options.digests {
                    to_examine.push((row.clone(), address.clone()));
                }
            }
        }
        let (service, digests) = (self.service, self.options.digests);
        let mut examined = stream::iter(to_examine)
            .map(|(row, address)| async move {
                let finding = service.examine(&row, &address, digests).await;
                finding.map(|finding| (row, finding))
            })
            .buffer_unordered(AT_ONCE);
        while let Some(found) = examined.next().await {
            let (row, finding) = found?;
            self.confirm(&row, finding).await?;
        }
        Ok(())
    }

    /// Finds contents that no entry was ever given up for, or has.
    async fn unreferenced(&mut self, rows: &[(i64, StoredContent)]) -> Result<()> {
        let entries = self.service.0.database.entries();
        let sha1s: Vec<Sha1> = rows.iter().map(|(_, row)| row.content.sha1).collect();
        let referenced = entries.find_references(&sha1s).await?;
        for (_, row) in rows {
            let file_sha1 = row.content.sha1;
            // The row goes before the last entry.
            if !referenced.contains(&file_sha1) && self.service.is_current(row).await? {
                let still = entries.find_references(&[file_sha1]).await?;
                if still.is_empty() {
                    self.found(&Finding::Unreferenced { file_sha1 });
                }
            }
        }
        Ok(())
    }

    async fn objects(&mut self, disk: &Disk, shard: Shard, last_byte: u8) -> Result<()> {
        let listing = disk.list(last_byte).await?;
        for path in listing.strays {
            self.found(&Finding::Stray { path });
        }
        for objects in listing.objects.chunks(BATCH) {
            self.summary.objects += objects.len() as u64;
            for address in self.without_row(disk, shard, objects).await? {
                self.orphan_on_disk(disk, address).await?;
            }
        }
        Ok(())
    }

    async fn orphan_on_disk(&mut self, disk: &Disk, address: Address) -> Result<()> {
        let age = disk.age(&address.key).await?;
        let is_old = age.is_some_and(|age| age >= self.service.0.limits.orphan_age);
        if self.options.remove_orphans && !is_old {
            self.summary.young += 1;
            return Ok(());
        }
        self.orphaned(&Store::Disk(disk.clone()), address).await
    }

    /// The objects that no row points at, and that are not on their way.
    ///
    /// An object's mark is there before it, and goes only after its row came, or it went itself.
    async fn without_row(
        &self,
        disk: &Disk,
        shard: Shard,
        objects: &[StoredObject],
    ) -> Result<Vec<Address>> {
        let suspects = self.not_in_rows(shard, objects.to_vec()).await?;
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let pending = disk.pending().await?;
        let unmarked = suspects
            .into_iter()
            .filter(|object| !pending.contains(&object.address));
        let mut orphans = Vec::new();
        for object in self.not_in_rows(shard, unmarked.collect()).await? {
            let leftovers = self.service.0.database.leftovers();
            let is_expected = leftovers.is_expected_at(&object.address).await?;
            if !is_expected && disk.size(&object.address.key).await?.is_some() {
                orphans.push(object.address);
            }
        }
        Ok(orphans)
    }

    async fn not_in_rows(
        &self,
        shard: Shard,
        mut objects: Vec<StoredObject>,
    ) -> Result<Vec<StoredObject>> {
        let sha1s: Vec<Sha1> = objects.iter().map(|object| object.sha1).collect();
        let contents = self.service.0.database.contents();
        let rows = contents.find_many(shard, &sha1s).await?;
        objects.retain(|object| {
            let is_copy = |row: &StoredContent| row.copies().any(|copy| *copy == object.address);
            !rows.iter().any(is_copy)
        });
        Ok(objects)
    }

    async fn entries(&mut self) -> Result<()> {
        let entries = self.service.0.database.entries();
        let mut after = 0;
        loop {
            let references = entries.list_references(after, BATCH as u64).await?;
            let Some((last, _)) = references.last() else {
                return Ok(());
            };
            after = *last;
            self.summary.entries += references.len() as u64;
            let mut by_shard: HashMap<Shard, Vec<Sha1>> = HashMap::new();
            for (_, sha1) in references {
                by_shard.entry(Shard::of(&sha1)).or_default().push(sha1);
            }
            for (shard, sha1s) in by_shard {
                self.references(shard, sha1s).await?;
            }
        }
    }

    async fn accounts(&mut self) -> Result<()> {
        let accounts = self.service.0.database.accounts();
        let mut last = None;
        while let Some(owner) = accounts.next_owner(last.as_ref()).await? {
            if let Some(miscount) = accounts.audit(&owner).await? {
                self.found(&miscount.into());
            }
            last = Some(owner);
        }
        Ok(())
    }

    async fn references(&mut self, shard: Shard, mut sha1s: Vec<Sha1>) -> Result<()> {
        let contents = self.service.0.database.contents();
        let rows = contents.find_available(shard, &sha1s).await?;
        sha1s.retain(|sha1| rows.iter().all(|row| row.content.sha1 != *sha1));
        for file_sha1 in sha1s {
            // Either may have come or gone since it was looked at.
            let entries = self.service.0.database.entries();
            let is_there = contents.find(&file_sha1).await?.is_some();
            if !is_there && entries.is_referenced(&file_sha1).await? {
                self.found(&Finding::ContentMissing { file_sha1 });
            }
        }
        Ok(())
    }
}
