//! What is known of an upload's bytes, beside them, and the lock on them.
//!
//! The file is smaller than a sector, and has, in this order:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | a mark, without which nothing of the rest is believed |
//! | 8 | up to where the bytes count, little-endian |
//! | 1 | whether somebody waits for the lock |
//! | 1 | whether bytes were lost that had been written |
//! | 16 | the boot of the machine in which it was last written to |
//! | 216 | the state of the hashes after the newest bytes |
//! | 216 | the state of the hashes after bytes that are known to be on the disk |
//!
//! As long as the machine runs, the bytes are as many as the file with them has, whatever becomes
//! of the process. After a power failure that file may be shorter, or have zeros where its bytes
//! never reached the disk: then those count that were known to be there.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use domain::ContentHasher;

use super::PART;
use crate::{Error, Result};

/// How long to wait for whoever is appending; they are told to stop.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// How often to look whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(10);

const MARK: &[u8; 8] = b"upload1\n";
const HOLD_AT: usize = 8;
const WANTED_AT: usize = 16;
const LOST_AT: usize = 17;
const BOOT_AT: usize = 18;
const NEWEST_AT: usize = BOOT_AT + 16;
const SYNCED_AT: usize = NEWEST_AT + HASHES;
const SIZE: usize = SYNCED_AT + HASHES;

/// Room for the state of the hashes, which is filled up with zeros.
const HASHES: usize = 216;

/// All bytes count.
const NO_HOLD: u64 = u64::MAX;

/// The file, locked as long as this is held.
#[derive(Debug)]
pub(crate) struct StateFile {
    file: File,
    path: PathBuf,
}

/// A sync of the bytes, which may end when the lock is somebody else's already.
///
/// It has files of its own: what the kernel has to tell of a failed write it tells each of them,
/// and when the upload is removed and begun anew, these are not the new one's.
pub(crate) struct Sync {
    bytes: File,
    state: File,
}

/// What the file says.
pub(crate) struct State {
    /// What the newest bytes came to, if that is known.
    pub(crate) newest: Option<ContentHasher>,
    /// How many bytes are known to be on the disk.
    pub(crate) synced: u64,
    /// How many bytes count, if not all that are there do.
    pub(crate) counting: Option<u64>,
    /// Whether bytes were lost that had been written.
    pub(crate) is_lost: bool,
}

impl StateFile {
    /// Opens the file, which is made if it is not there, and locks it.
    ///
    /// Whoever has the lock is asked to let go of it.
    pub(crate) fn lock(path: &Path) -> Result<Self> {
        let until = Instant::now() + PATIENCE;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            match file.try_lock() {
                // Whoever had it may have removed it since it was opened.
                Ok(()) if is_at(&file, path)? => return Self::own(file, path),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    file.write_all_at(&[1], WANTED_AT as u64)?;
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryLockError::WouldBlock) => return Err(Error::InUse),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    fn own(file: File, path: &Path) -> Result<Self> {
        let own = Self {
            file,
            path: path.to_owned(),
        };
        let state = read(&own.file)?;
        if &state[..MARK.len()] != MARK {
            own.reset()?;
        } else if state[WANTED_AT] != 0 {
            own.file.write_all_at(&[0], WANTED_AT as u64)?;
        }
        Ok(own)
    }

    /// Says that nothing is known of any bytes.
    fn reset(&self) -> Result<()> {
        let mut state = [0; SIZE];
        state[..MARK.len()].copy_from_slice(MARK);
        state[HOLD_AT..WANTED_AT].copy_from_slice(&NO_HOLD.to_le_bytes());
        Ok(self.file.write_all_at(&state, 0)?)
    }

    /// What is known of an upload's bytes, read without a lock.
    pub(crate) fn peek(path: &Path) -> Result<State> {
        match File::open(path) {
            Ok(file) => Ok(State::of(&read(&file)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::of(&[0; SIZE])),
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of the bytes.
    pub(crate) fn read(&self) -> Result<State> {
        Ok(State::of(&read(&self.file)?))
    }

    /// Whether somebody else waits for the lock.
    pub(crate) fn is_wanted(&self) -> Result<bool> {
        Ok(read(&self.file)?[WANTED_AT] != 0)
    }

    /// Says that bytes were lost that had been written: none of them counts any more.
    pub(crate) fn lose(&self) -> Result<()> {
        Ok(self.file.write_all_at(&[1], LOST_AT as u64)?)
    }

    /// Gets ready to sync the bytes.
    pub(crate) fn begin_sync(&self) -> Result<Sync> {
        Ok(Sync {
            bytes: File::open(self.path.with_extension(PART))?,
            state: OpenOptions::new().write(true).open(&self.path)?,
        })
    }

    /// Says that bytes from `offset` on do not count before they are released, or that all do.
    pub(crate) fn hold_from(&self, offset: Option<u64>) -> Result<()> {
        let hold = offset.unwrap_or(NO_HOLD).to_le_bytes();
        Ok(self.file.write_all_at(&hold, HOLD_AT as u64)?)
    }

    /// Saves what the bytes up to here have come to.
    pub(crate) fn save(&self, newest: &ContentHasher) -> Result<()> {
        let state = [boot().as_slice(), &padded(newest)].concat();
        Ok(self.file.write_all_at(&state, BOOT_AT as u64)?)
    }
}

impl Sync {
    /// Syncs the bytes, and notes that they are on the disk, and what they came to; or that they
    /// may be lost.
    ///
    /// If somebody else has written more by now, what is noted is less than could be, and true.
    pub(crate) fn run(&self, hasher: &ContentHasher) -> Result<()> {
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
        if &state[..MARK.len()] != MARK || state[LOST_AT] != 0 {
            return Self {
                newest: None,
                synced: 0,
                counting: Some(0),
                is_lost: state[LOST_AT] != 0,
            };
        }
        let on_disk = restore(synced);
        let synced = on_disk.as_ref().map_or(0, ContentHasher::size);
        if &state[BOOT_AT..NEWEST_AT] != boot() {
            return Self {
                newest: on_disk,
                synced,
                counting: Some(synced),
                is_lost: false,
            };
        }
        let mut hold = [0; 8];
        hold.copy_from_slice(&state[HOLD_AT..WANTED_AT]);
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
    // As many bytes as any hasher saves.
    let used = ContentHasher::default().save().len();
    let saved = state.get(..used)?;
    // Zeros are what was never written, and no state that hashes can have.
    let is_written = saved.iter().any(|byte| *byte != 0);
    is_written.then(|| ContentHasher::restore(saved)).flatten()
}

fn is_at(file: &File, path: &Path) -> Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What tells this run of the machine's kernel from others; where there is no such thing, this
/// process from others.
fn boot() -> &'static [u8; 16] {
    static BOOT: OnceLock<[u8; 16]> = OnceLock::new();
    BOOT.get_or_init(|| {
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
