//! The space that uploads leave free on a disk, so that files can still be deleted and renamed.

use std::{fs::File, io};

use rustix::{fs::fstatvfs, io::Errno};

use crate::error::Result;

/// The part of a disk that the reserve takes up at most.
const LARGEST_PART: u64 = 20;

/// The space in bytes that new bytes must leave free.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reserve(pub(super) u64);

impl Reserve {
    /// Checks that there is room for `bytes` on the disk of a file.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if the reserve would be used.
    pub(super) fn leave_free(self, file: &File, bytes: usize) -> Result<()> {
        if self.0 == 0 {
            return Ok(());
        }
        let disk = fstatvfs(file)?;
        let kept = self.0.min(disk.f_blocks * disk.f_frsize / LARGEST_PART);
        if disk.f_bavail * disk.f_frsize < kept + bytes as u64 {
            return Err(io::Error::from(Errno::NOSPC).into());
        }
        Ok(())
    }
}
