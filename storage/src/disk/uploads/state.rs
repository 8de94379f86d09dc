//! The state file of an upload, which is also the lock on its bytes.
//!
//! The file is smaller than a disk sector. Its fields, in this order:
//!
//! | bytes | field |
//! | --- | --- |
//! | 8 | magic; without it the rest is ignored |
//! | 8 | number of bytes that count, little-endian |
//! | 1 | whether another request waits for the lock |
//! | 1 | whether written bytes were lost |
//! | 16 | boot ID of the machine at the last write |
//! | 216 | hash state after the newest bytes |
//! | 216 | hash state after bytes that are known to be on the disk |
//!
//! While the machine runs, the upload has as many bytes as the file that contains them, even if the
//! process dies. After a power failure that file may be shorter, or contain zeros where bytes never
//! reached the disk. Then only those bytes count that were known to be on the disk.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use domain::ContentHasher;

use crate::error::{Error, Result};

/// The extension of the file with the bytes.
pub(super) const PART: &str = "part";

/// Time to wait until the request that is appending has stopped. It is asked to.
const LOCK_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// The interval between two attempts to lock.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

const MAGIC: &[u8; 8] = b"upload1\n";
const HOLD_AT: usize = 8;
const WAITING_AT: usize = 16;
const LOST_AT: usize = 17;
const BOOT_AT: usize = 18;
const NEWEST_AT: usize = BOOT_AT + 16;
const SYNCED_AT: usize = NEWEST_AT + HASHES;
const SIZE: usize = SYNCED_AT + HASHES;

/// The size of a hash state, padded with zeros.
const HASHES: usize = 216;

/// The value that says that all bytes count.
const NO_HOLD: u64 = u64::MAX;

/// The locked state file. Dropping it unlocks the file.
#[derive(Debug)]
pub(in crate::disk) struct StateFile {
    file: File,
    path: PathBuf,
}

/// A sync of the bytes, which may still run when another request has the lock.
///
/// It opens the files itself: the kernel reports a failed write once to each open file, and if the
/// upload is removed and started again, these are not the files of the new one.
pub(in crate::disk) struct Sync {
    bytes: File,
    state: File,
}

/// The content of the state file.
pub(in crate::disk) struct State {
    /// The hash state after the newest bytes, if known.
    pub(in crate::disk) newest: Option<ContentHasher>,
    /// The number of bytes that are known to be on the disk.
    pub(in crate::disk) synced: u64,
    /// The number of bytes that count, unless all do.
    pub(in crate::disk) counting: Option<u64>,
    /// Written bytes were lost.
    pub(in crate::disk) is_lost: bool,
}

impl StateFile {
    /// Opens and locks the file, and creates it if it does not exist.
    ///
    /// The holder of the lock is asked to release it.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if the lock is not released in time.
    pub(in crate::disk) fn lock(path: &Path) -> Result<Self> {
        let until = Instant::now() + LOCK_TIMEOUT;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            match file.try_lock() {
                // The previous holder may have removed the file since it was opened.
                Ok(()) if is_at(&file, path)? => return Self::acquired(file, path),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    file.write_all_at(&[1], WAITING_AT as u64)?;
                    std::thread::sleep(POLL_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => return Err(Error::InUse),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    fn acquired(file: File, path: &Path) -> Result<Self> {
        let lock = Self {
            file,
            path: path.to_owned(),
        };
        let state = read(&lock.file)?;
        if &state[..MAGIC.len()] != MAGIC {
            lock.reset()?;
        } else if state[WAITING_AT] != 0 {
            lock.file.write_all_at(&[0], WAITING_AT as u64)?;
        }
        Ok(lock)
    }

    /// Writes a state without any bytes.
    fn reset(&self) -> Result<()> {
        let mut state = [0; SIZE];
        state[..MAGIC.len()].copy_from_slice(MAGIC);
        state[HOLD_AT..WAITING_AT].copy_from_slice(&NO_HOLD.to_le_bytes());
        Ok(self.file.write_all_at(&state, 0)?)
    }

    /// Reads the state without the lock.
    pub(in crate::disk) fn peek(path: &Path) -> Result<State> {
        match File::open(path) {
            Ok(file) => Ok(State::of(&read(&file)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::of(&[0; SIZE])),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the state.
    pub(in crate::disk) fn read(&self) -> Result<State> {
        Ok(State::of(&read(&self.file)?))
    }

    /// Returns whether another request waits for the lock.
    pub(in crate::disk) fn is_superseded(&self) -> Result<bool> {
        Ok(read(&self.file)?[WAITING_AT] != 0)
    }

    /// Records that written bytes were lost, so none of them count any more.
    pub(in crate::disk) fn mark_lost(&self) -> Result<()> {
        Ok(self.file.write_all_at(&[1], LOST_AT as u64)?)
    }

    /// Opens the files for a sync of the bytes.
    pub(in crate::disk) fn begin_sync(&self) -> Result<Sync> {
        Ok(Sync {
            bytes: File::open(self.path.with_extension(PART))?,
            state: OpenOptions::new().write(true).open(&self.path)?,
        })
    }

    /// Records that bytes from `offset` on do not count yet, or with `None` that all bytes count.
    pub(in crate::disk) fn hold_from(&self, offset: Option<u64>) -> Result<()> {
        let hold = offset.unwrap_or(NO_HOLD).to_le_bytes();
        Ok(self.file.write_all_at(&hold, HOLD_AT as u64)?)
    }

    /// Saves the hash state after the newest bytes.
    pub(in crate::disk) fn save(&self, newest: &ContentHasher) -> Result<()> {
        let state = [boot_id().as_slice(), &padded(newest)].concat();
        Ok(self.file.write_all_at(&state, BOOT_AT as u64)?)
    }
}

impl Sync {
    /// Syncs the bytes, and records their hash state, or that they may be lost.
    ///
    /// If another request has written more bytes meanwhile, the record is too low, but correct.
    pub(in crate::disk) fn run(&self, hasher: &ContentHasher) -> Result<()> {
        if let Err(error) = rustix::fs::fdatasync(&self.bytes) {
            self.state.write_all_at(&[1], LOST_AT as u64)?;
            return Err(error.into());
        }
        self.state.write_all_at(&padded(hasher), SYNCED_AT as u64)?;
        Ok(rustix::fs::fdatasync(&self.state)?)
    }
}

impl State {
    fn of(state: &[u8; SIZE]) -> Self {
        let (newest, synced) = (&state[NEWEST_AT..SYNCED_AT], &state[SYNCED_AT..]);
        if &state[..MAGIC.len()] != MAGIC || state[LOST_AT] != 0 {
            return Self {
                newest: None,
                synced: 0,
                counting: Some(0),
                is_lost: state[LOST_AT] != 0,
            };
        }
        let on_disk = restore(synced);
        let synced = on_disk.as_ref().map_or(0, ContentHasher::size);
        if &state[BOOT_AT..NEWEST_AT] != boot_id() {
            return Self {
                newest: on_disk,
                synced,
                counting: Some(synced),
                is_lost: false,
            };
        }
        let mut hold = [0; 8];
        hold.copy_from_slice(&state[HOLD_AT..WAITING_AT]);
        let hold = u64::from_le_bytes(hold);
        Self {
            newest: restore(newest),
            synced,
            counting: (hold != NO_HOLD).then_some(hold),
            is_lost: false,
        }
    }
}

fn read(file: &File) -> Result<[u8; SIZE]> {
    let mut state = [0; SIZE];
    match file.read_exact_at(&mut state, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([0; SIZE]),
        read => Ok(read.map(|()| state)?),
    }
}

fn padded(hasher: &ContentHasher) -> Vec<u8> {
    let mut state = hasher.save();
    state.resize(HASHES, 0);
    state
}

fn restore(state: &[u8]) -> Option<ContentHasher> {
    // Every hasher saves the same number of bytes.
    let used = ContentHasher::default().save().len();
    let saved = state.get(..used)?;
    // Zeros were never written. No hash state consists of zeros only.
    let is_written = saved.iter().any(|byte| *byte != 0);
    is_written.then(|| ContentHasher::restore(saved)).flatten()
}

fn is_at(file: &File, path: &Path) -> Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The boot ID of the machine, or an ID of this process where the kernel has none.
fn boot_id() -> &'static [u8; 16] {
    static BOOT_ID: OnceLock<[u8; 16]> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let digits = kernel.map(|id| id.trim().replace('-', ""));
        let number = digits.and_then(|digits| u128::from_str_radix(&digits, 16).ok());
        number.map_or_else(
            || {
                let [high, low] =
                    [getrandom::u64(), getrandom::u64()].map(Result::unwrap_or_default);
                (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
            },
            u128::to_be_bytes,
        )
    })
}
