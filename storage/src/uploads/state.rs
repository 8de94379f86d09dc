//! What is known of an upload's bytes, beside them, and the lock on them.
//!
//! The file has, in this order: up to where the bytes count (8 bytes, little-endian), the boot of
//! the machine in which the rest was written (16 bytes), and the state of the hashes. It is not
//! synced: after a power failure the bytes may be fewer than were hashed, so what another boot
//! has left is not believed, and the bytes are hashed anew.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use domain::ContentHasher;

use crate::{Error, Result};

/// How long to wait for whoever is appending; they have been told to stop.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// How often to look whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// All bytes count.
const NO_HOLD: u64 = u64::MAX;

const BOOT_AT: u64 = 8;

/// The file, locked as long as this is held.
#[derive(Debug)]
pub(crate) struct StateFile(File);

impl StateFile {
    /// Opens the file, which is made if it is not there, and locks it.
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
                Ok(()) if is_at(&file, path)? => return Ok(Self(file)),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryLockError::WouldBlock) => return Err(Error::InUse),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    /// Up to where an upload's bytes count, read without a lock.
    pub(crate) fn hold_of(path: &Path) -> Result<u64> {
        match File::open(path) {
            Ok(file) => Self(file).hold(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NO_HOLD),
            Err(error) => Err(error.into()),
        }
    }

    /// Up to where the bytes count.
    pub(crate) fn hold(&self) -> Result<u64> {
        let mut hold = [0; 8];
        match self.0.read_exact_at(&mut hold, 0) {
            Ok(()) => Ok(u64::from_le_bytes(hold)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(NO_HOLD),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that bytes from `offset` on do not count before they are released, crash or not.
    pub(crate) fn hold_from(&self, offset: u64) -> Result<()> {
        self.0.write_all_at(&offset.to_le_bytes(), 0)?;
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    /// Says that all bytes count.
    pub(crate) fn release(&self) -> Result<()> {
        Ok(self.0.write_all_at(&NO_HOLD.to_le_bytes(), 0)?)
    }

    /// Saves what the bytes up to here have come to.
    pub(crate) fn save(&self, hasher: &ContentHasher) -> Result<()> {
        if self.0.metadata()?.len() == 0 {
            self.release()?;
        }
        let state = [boot().as_slice(), &hasher.save()].concat();
        Ok(self.0.write_all_at(&state, BOOT_AT)?)
    }

    /// What some of the bytes came to, if that is known and to be believed.
    pub(crate) fn saved(&self) -> Result<Option<ContentHasher>> {
        let length = self.0.metadata()?.len().saturating_sub(BOOT_AT);
        // Whatever is longer is not what was saved here.
        let mut saved = vec![0; usize::try_from(length.min(4096)).unwrap_or_default()];
        self.0.read_exact_at(&mut saved, BOOT_AT)?;
        let state = saved.strip_prefix(boot().as_slice());
        Ok(state.and_then(ContentHasher::restore))
    }
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
