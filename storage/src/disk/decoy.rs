//! The file that is read in place of an object that does not exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

use domain::possession::WHOLE_UP_TO;

use crate::error::Result;

/// Creates the decoy unless it exists with its full size, and returns its path.
pub(super) fn create(root: &Path) -> Result<PathBuf> {
    let path = root.join("decoy");
    let is_complete = fs::metadata(&path).is_ok_and(|found| found.len() == WHOLE_UP_TO);
    if !is_complete {
        let size = usize::try_from(WHOLE_UP_TO).unwrap_or_default();
        let temporary = path.with_extension(std::process::id().to_string());
        fs::write(&temporary, vec![0x5a; size])?;
        fs::rename(temporary, &path)?;
    }
    Ok(path)
}
