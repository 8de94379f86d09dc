//! Uploads that can be resumed.
//!
//! `uploads/<id>.part` has the bytes: how many they are is the upload's offset, so that a crash
//! cannot make the two disagree. `uploads/<id>.state` has the state of the hashes, so that nothing
//! is read again, and is locked by whoever appends.

mod appending;
mod state;

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::PathBuf,
    sync::Arc,
};

use domain::{Checksum, RandomId};

pub use appending::{Appending, End, Kept};
pub(crate) use state::StateFile;

use crate::{Disk, Result, disk::remove_file, error::blocking};

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
            let size = match fs::metadata(disk.part_of(id)) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error.into()),
            };
            Ok(size.min(StateFile::hold_of(&disk.state_of(id))?))
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
            let state = StateFile::lock(&disk.state_of(id))?;
            let path = disk.part_of(id);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            let staged = StagedUpload {
                file: Arc::new(file),
                path,
                state: Arc::new(state),
            };
            Appending::begin(disk, staged, checksums)
        })
        .await
    }

    /// Opens what was staged of an upload, to read it.
    ///
    /// # Errors
    ///
    /// As [`Disk::open_object`].
    pub async fn open_staged(&self, id: RandomId, size: u64, start: u64) -> Result<crate::Object> {
        let path = self.part_of(id);
        blocking(move || crate::disk::open(&path, &id.to_string(), size, start)).await
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

#[cfg(test)]
mod tests {
    use domain::{ChecksumAlgorithm, Content, ContentHasher};

    use super::*;
    use crate::Error;

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

    #[tokio::test]
    async fn what_was_not_hashed_before_a_crash_is_hashed_after_it() {
        let (folder, disk) = store().await;
        append(&disk, b"123", Vec::new()).await;
        let upload = folder
            .path()
            .join("uploads")
            .join(RandomId::from(ID).to_string());
        // More was written than was saved, less than was saved, and by another boot.
        for (crash, expected) in [("123456", "123456"), ("12", "12"), ("1x", "1x")] {
            fs::write(upload.with_extension(PART), crash).unwrap();
            if crash == "1x" {
                let mut state = fs::read(upload.with_extension(STATE)).unwrap();
                state[8] ^= 1;
                fs::write(upload.with_extension(STATE), state).unwrap();
            }
            let End::Kept(kept) = append(&disk, b"", Vec::new()).await else {
                panic!("nothing is verified");
            };
            assert_eq!(kept.content(), content(expected.as_bytes()), "{crash}");
        }
    }

    #[tokio::test]
    async fn a_finished_upload_stays_until_it_is_removed() {
        let (_folder, disk) = store().await;
        let End::Kept(kept) = append(&disk, b"hello", Vec::new()).await else {
            panic!("nothing is verified");
        };
        let placed = kept.finish().place().await.unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 5);
        disk.remove_staged(ID.into()).await.unwrap();
        let key = placed.address().key;
        assert_eq!(disk.size(&key).await.unwrap(), Some(5));
        placed.keep().await;
    }
}
