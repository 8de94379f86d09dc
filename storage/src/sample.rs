//! Reading spans of an object, or as much of something else, so that nobody can tell the two
//! apart.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use domain::{ByteRange, possession::WHOLE_UP_TO};

use crate::{Disk, Error, Result, error::blocking};

impl Disk {
    /// Reads spans of an object of a certain size, or of a decoy if there is no key.
    ///
    /// Both open a file, look at its size, and read as many bytes in as many pieces; together they
    /// are not more than [`WHOLE_UP_TO`].
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] or [`Error::WrongSize`] when the object is not what it should be.
    pub async fn sample(
        &self,
        key: Option<&str>,
        size: u64,
        spans: Vec<ByteRange>,
    ) -> Result<Vec<u8>> {
        let (disk, key) = (self.clone(), key.map(str::to_owned));
        blocking(move || {
            let path = match &key {
                Some(key) => disk.path(key)?,
                None => disk.decoy().to_owned(),
            };
            let name = key.as_deref().unwrap_or("decoy");
            let file = File::open(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::Missing(name.to_owned()),
                _ => error.into(),
            })?;
            let found = file.metadata()?.len();
            if key.is_some() && found != size {
                return Err(Error::WrongSize {
                    key: name.to_owned(),
                    expected: size,
                    found,
                });
            }
            read(&file, found, &spans)
        })
        .await
    }
}

fn read(file: &File, size: u64, spans: &[ByteRange]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for span in spans {
        let begin = bytes.len();
        let length = usize::try_from(span.length()).unwrap_or_default();
        bytes.resize(begin + length, 0);
        // Within a decoy, which is shorter, anywhere will do.
        let start = span.start.min(size.saturating_sub(span.length()));
        file.read_exact_at(&mut bytes[begin..], start)?;
    }
    Ok(bytes)
}

/// Makes the file that is read in place of an object that is not there.
pub(crate) fn make_decoy(root: &Path) -> Result<PathBuf> {
    let path = root.join("decoy");
    let is_whole = fs::metadata(&path).is_ok_and(|found| found.len() == WHOLE_UP_TO);
    if !is_whole {
        let size = usize::try_from(WHOLE_UP_TO).unwrap_or_default();
        let whole = path.with_extension(std::process::id().to_string());
        fs::write(&whole, vec![0x5a; size])?;
        fs::rename(whole, &path)?;
    }
    Ok(path)
}
