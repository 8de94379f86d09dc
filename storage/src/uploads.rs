//! Uploads that can be resumed.
//!
//! `uploads/<id>.part` has the bytes: how many they are is the upload's offset, so that a crash
//! cannot make the two disagree. `uploads/<id>.state` has the state of the hashes, so that nothing
//! is read again, and how many bytes are known to be on the disk, which are those that count after
//! a power failure; it is locked by whoever appends.

mod appending;
mod state;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{Checksum, RandomId};

pub use appending::{Appending, End, Kept};
pub(crate) use state::StateFile;

use crate::{
    Disk, Error, Object, Result,
    disk::{self, remove_file},
    error::blocking,
};

const PART: &str = "part";
const STATE: &str = "state";

/// The bytes of an upload that nobody else can append to now.
pub(crate) struct StagedUpload {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    pub(crate) state: Arc<StateFile>,
}

impl Disk {
    /// How many bytes of an upload are there; none if nothing of it is.
    ///
    /// It waits for nobody, also while bytes are being appended.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn staged(&self, id: RandomId) -> Result<u64> {
        let disk = self.clone();
        blocking(move || {
            // Before and after: what is taken back in between does not count.
            let before = size_of(&disk.part_of(id))?;
            let counting = StateFile::peek(&disk.state_of(id))?.counting;
            let after = size_of(&disk.part_of(id))?;
            Ok(before.min(after).min(counting.unwrap_or(u64::MAX)))
        })
        .await
    }

    /// Goes on with an upload, whose bytes from here on are to have these checksums.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`](crate::Error::InUse) when somebody else is appending, and does not stop.
    pub async fn append(&self, id: RandomId, checksums: Vec<Checksum>) -> Result<Appending> {
        let disk = self.clone();
        blocking(move || {
            let path = disk.part_of(id);
            let mut state = StateFile::lock(&disk.state_of(id))?;
            if state.read()?.is_lost {
                // New files, of which nothing is noted that was meant for these.
                remove_file(&path)?;
                remove_file(&disk.state_of(id))?;
                state = StateFile::lock(&disk.state_of(id))?;
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            if file.metadata()?.nlink() > 1 {
                // It is an object as well, and not known yet whether it is to stay one.
                return Err(Error::InUse);
            }
            let staged = StagedUpload {
                file: Arc::new(file),
                path,
                state: Arc::new(state),
            };
            Appending::begin(disk, staged, checksums)
        })
        .await
    }

    /// Opens what was staged of an upload, all of which is on the disk then, to read it.
    ///
    /// # Errors
    ///
    /// As [`Disk::open_object`].
    pub async fn open_staged(&self, id: RandomId, size: u64, start: u64) -> Result<Object> {
        let disk = self.clone();
        blocking(move || {
            let path = disk.part_of(id);
            if let Ok(file) = File::open(&path) {
                rustix::fs::fdatasync(file)?;
            }
            let counting = StateFile::peek(&disk.state_of(id))?.counting;
            if counting.is_some_and(|counting| counting < size) {
                return Err(Error::Missing(id.to_string()));
            }
            disk::open(&path, &id.to_string(), size, start)
        })
        .await
    }

    /// Removes what is there of an upload.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`](crate::Error::InUse) when somebody is appending, and does not stop.
    pub async fn remove_staged(&self, id: RandomId) -> Result<()> {
        let disk = self.clone();
        blocking(move || {
            let (part, state) = (disk.part_of(id), disk.state_of(id));
            if !part.exists() && !state.exists() {
                return Ok(());
            }
            let _locked = StateFile::lock(&state)?;
            remove_file(&part)?;
            remove_file(&state)
        })
        .await
    }

    /// The uploads of which anything is there.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn list_staged(&self) -> Result<Vec<RandomId>> {
        let disk = self.clone();
        blocking(move || {
            let mut ids = Vec::new();
            for entry in fs::read_dir(disk.uploads())? {
                let path = PathBuf::from(entry?.file_name());
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                ids.extend(stem.and_then(|stem| stem.parse::<RandomId>().ok()));
            }
            ids.sort_unstable();
            ids.dedup();
            Ok(ids)
        })
        .await
    }

    fn part_of(&self, id: RandomId) -> PathBuf {
        self.uploads().join(id.to_string()).with_extension(PART)
    }

    fn state_of(&self, id: RandomId) -> PathBuf {
        self.uploads().join(id.to_string()).with_extension(STATE)
    }
}

fn size_of(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use domain::{ChecksumAlgorithm, Content, ContentHasher};

    use super::*;
    use crate::pipeline::WORTH_A_SYNC;

    const ID: [u8; 16] = [7; 16];

    async fn store() -> (tempfile::TempDir, Disk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open("disk", folder.path()).await.unwrap();
        (folder, disk)
    }

    fn content(bytes: &[u8]) -> Content {
        let mut hasher = ContentHasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..=250).cycle().take(count).collect()
    }

    async fn append(disk: &Disk, bytes: &[u8], checksums: Vec<Checksum>) -> End {
        let mut appending = disk.append(ID.into(), checksums).await.unwrap();
        for piece in bytes.chunks(100_000) {
            appending.write(piece).await.unwrap();
        }
        appending.end().await.unwrap()
    }

    fn crc32(value: &[u8]) -> Vec<Checksum> {
        vec![Checksum::new(ChecksumAlgorithm::Crc32, value.to_vec()).unwrap()]
    }

    #[tokio::test]
    async fn an_upload_is_hashed_over_many_requests() {
        let (_folder, disk) = store().await;
        let all = bytes(3_000_001);
        let mut offset = 0;
        for piece in all.chunks(700_000) {
            assert_eq!(disk.staged(ID.into()).await.unwrap(), offset);
            let End::Kept(kept) = append(&disk, piece, Vec::new()).await else {
                panic!("nothing is verified");
            };
            offset += piece.len() as u64;
            assert_eq!(kept.offset(), offset);
            assert_eq!(
                kept.content(),
                content(&all[..usize::try_from(offset).unwrap()])
            );
        }
        disk.remove_staged(ID.into()).await.unwrap();
        assert_eq!(disk.list_staged().await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_was_appended_is_kept_when_it_is_dropped() {
        let (_folder, disk) = store().await;
        let mut appending = disk.append(ID.into(), Vec::new()).await.unwrap();
        appending.write(&bytes(1000)).await.unwrap();
        drop(appending);
        // It waits for what was dropped to be written.
        let appending = disk.append(ID.into(), Vec::new()).await.unwrap();
        assert_eq!(appending.offset(), 1000);
    }

    #[tokio::test]
    async fn nobody_else_appends_meanwhile() {
        let (_folder, disk) = store().await;
        let _first = disk.append(ID.into(), Vec::new()).await.unwrap();
        let second = disk.append(ID.into(), Vec::new()).await;
        assert!(matches!(second, Err(Error::InUse)));
        let removed = disk.remove_staged(ID.into()).await;
        assert!(matches!(removed, Err(Error::InUse)));
    }

    #[tokio::test]
    async fn what_is_not_verified_does_not_count() {
        let (_folder, disk) = store().await;
        append(&disk, b"123", Vec::new()).await;
        // Cut off, as by a crash: the bytes are there, and do not count.
        let mut appending = disk.append(ID.into(), crc32(&[0; 4])).await.unwrap();
        appending.write(&bytes(2_000_000)).await.unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 3);
        assert_eq!(appending.break_off().await.unwrap(), 3);

        let wrong = append(&disk, b"456789", crc32(&[0; 4])).await;
        assert!(matches!(wrong, End::WrongChecksum(3)));
        let right = append(&disk, b"456789", crc32(&[0xfb, 0x16, 0xb3, 0x75])).await;
        let End::Kept(kept) = right else {
            panic!("it has the checksum");
        };
        assert_eq!(kept.content(), content(b"123456789"));
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 9);
    }

    fn files(folder: &tempfile::TempDir) -> (PathBuf, PathBuf) {
        let upload = folder.path().join("uploads");
        let upload = upload.join(RandomId::from(ID).to_string());
        (upload.with_extension(PART), upload.with_extension(STATE))
    }

    async fn kept(disk: &Disk) -> Content {
        match append(disk, b"", Vec::new()).await {
            End::Kept(kept) => kept.content(),
            End::WrongChecksum(_) => panic!("nothing is verified"),
        }
    }

    #[tokio::test]
    async fn what_a_dead_process_had_not_hashed_is_hashed() {
        let (folder, disk) = store().await;
        append(&disk, b"123", Vec::new()).await;
        for left in ["123456", "12"] {
            fs::write(files(&folder).0, left).unwrap();
            assert_eq!(disk.staged(ID.into()).await.unwrap(), left.len() as u64);
            assert_eq!(kept(&disk).await, content(left.as_bytes()), "{left}");
        }
    }

    #[tokio::test]
    async fn after_a_power_failure_only_what_was_synced_counts() {
        let sync = usize::try_from(WORTH_A_SYNC).unwrap();
        let (folder, disk) = store().await;
        let all = bytes(sync + 1000);
        append(&disk, &all[..sync], Vec::new()).await;
        let (part, state) = files(&folder);
        for _ in 0..500 {
            if StateFile::peek(&state).unwrap().synced > 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        append(&disk, &all[sync..], Vec::new()).await;
        assert_eq!(disk.staged(ID.into()).await.unwrap(), all.len() as u64);
        // Another boot, and zeros where bytes should be.
        let mut left = fs::read(&part).unwrap();
        left[sync..].fill(0);
        fs::write(&part, left).unwrap();
        let mut said = fs::read(&state).unwrap();
        said[18] ^= 1;
        fs::write(&state, &said).unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), WORTH_A_SYNC);
        assert_eq!(kept(&disk).await, content(&all[..sync]));
        // What is known of the bytes may be zeros as well.
        fs::write(&state, vec![0; said.len()]).unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 0);
        assert_eq!(kept(&disk).await, content(b""));
    }

    #[tokio::test]
    async fn what_is_kept_whole_counts_after_a_power_failure() {
        let (folder, disk) = store().await;
        let End::Kept(part) = append(&disk, b"hello", Vec::new()).await else {
            panic!("nothing is verified");
        };
        part.sync().await.unwrap();
        drop(part);
        let (_, state) = files(&folder);
        let mut said = fs::read(&state).unwrap();
        said[18] ^= 1;
        fs::write(&state, &said).unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 5);
        assert_eq!(disk.open_staged(ID.into(), 5, 0).await.unwrap().size(), 5);
    }

    #[tokio::test]
    async fn what_is_being_written_is_taken_back_after_it_was() {
        let (_folder, disk) = store().await;
        append(&disk, b"123", Vec::new()).await;
        for _ in 0..20 {
            let mut appending = disk.append(ID.into(), crc32(&[0; 4])).await.unwrap();
            let piece = bytes(3 * 512 * 1024);
            // Cut off while it waits for a batch.
            let writing = appending.write(&piece);
            let _ = tokio::time::timeout(std::time::Duration::from_micros(300), writing).await;
            drop(appending);
            let after = disk.append(ID.into(), Vec::new()).await.unwrap();
            assert_eq!(after.offset(), 3);
            drop(after);
            assert_eq!(disk.staged(ID.into()).await.unwrap(), 3);
        }
        assert_eq!(kept(&disk).await, content(b"123"));
    }

    #[tokio::test]
    async fn bytes_that_could_not_be_synced_do_not_count() {
        let (folder, disk) = store().await;
        append(&disk, b"123", Vec::new()).await;
        let (_, state) = files(&folder);
        StateFile::lock(&state).unwrap().lose().unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 0);
        assert!(disk.open_staged(ID.into(), 3, 0).await.is_err());
        let End::Kept(kept) = append(&disk, b"abc", Vec::new()).await else {
            panic!("nothing is verified");
        };
        assert_eq!(kept.content(), content(b"abc"));
    }

    #[tokio::test]
    async fn nothing_is_appended_to_what_may_be_an_object() {
        let (_folder, disk) = store().await;
        let End::Kept(kept) = append(&disk, b"hello", Vec::new()).await else {
            panic!("nothing is verified");
        };
        let placed = kept.finish().place().await.unwrap();
        let blocked = disk.append(ID.into(), Vec::new()).await;
        assert!(matches!(blocked, Err(Error::InUse)));
        placed.discard().await.unwrap();
        disk.append(ID.into(), Vec::new()).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_the_lock_is_noticed() {
        let (_folder, disk) = store().await;
        let first = disk.append(ID.into(), Vec::new()).await.unwrap();
        assert!(!first.is_wanted().await.unwrap());
        let second = tokio::spawn({
            let disk = disk.clone();
            async move { disk.append(ID.into(), Vec::new()).await.map(drop) }
        });
        while !first.is_wanted().await.unwrap() {
            tokio::task::yield_now().await;
        }
        first.break_off().await.unwrap();
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_finished_upload_stays_until_it_is_removed() {
        let (_folder, disk) = store().await;
        let End::Kept(kept) = append(&disk, b"hello", Vec::new()).await else {
            panic!("nothing is verified");
        };
        let placed = kept.finish().place().await.unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 5);
        let key = placed.address().key;
        placed.keep().await;
        disk.remove_staged(ID.into()).await.unwrap();
        assert_eq!(disk.size(&key).await.unwrap(), Some(5));
    }
}
