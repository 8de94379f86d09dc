//! Uploads that outlive the process: their URLs, in a folder of the user.
//!
//! One file for each path that is uploaded to a server with a token. It is locked while a process
//! uploads that path, and removed when the upload is complete, gone, or of no use.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{Content, ContentHasher};
use serde::{Deserialize, Serialize};

use crate::file_info::FileInfo;

/// Time after which an upload has expired on every server.
const MAX_AGE: Duration = Duration::from_hours(24 * 30);

/// The largest size of a record in bytes.
const MAX_RECORD_SIZE: u64 = 64 * 1024;

/// The folder of the remembered uploads.
#[derive(Debug, Clone)]
pub(crate) struct UploadMemory(PathBuf);

/// The record of one path's upload, locked by this process.
#[derive(Debug)]
pub(crate) struct UploadRecord {
    file: File,
    path: PathBuf,
}

/// An upload, and the file that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RememberedUpload {
    /// The URL of the upload.
    pub(crate) url: String,
    sha1: String,
    sha256: String,
    size: u64,
    name: String,
    media_type: String,
}

impl RememberedUpload {
    pub(crate) fn new(url: String, content: &Content, info: &FileInfo) -> Self {
        Self {
            url,
            sha1: content.sha1.to_string(),
            sha256: content.sha256.to_string(),
            size: content.size,
            name: info.name.to_string(),
            media_type: info.media_type.to_string(),
        }
    }

    /// Returns whether the upload is of this content, under this name.
    pub(crate) fn is_of(&self, content: &Content, info: &FileInfo) -> bool {
        *self == Self::new(self.url.clone(), content, info)
    }
}

impl UploadMemory {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Opens and locks the record of a path; `None` if another process uploads the same path.
    pub(crate) fn open(
        &self,
        server: &str,
        token: Option<&[u8]>,
        path: &Path,
    ) -> io::Result<Option<UploadRecord>> {
        let path = self.0.join(record_name(server, token, path)?);
        create_private(&self.0)?;
        self.remove_old();
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            match file.try_lock() {
                // The process that had the lock may have removed the file since it was opened.
                Ok(()) if is_at(&file, &path)? => {
                    return Ok(Some(UploadRecord { file, path }));
                }
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Removes the records of uploads that have expired long ago.
    fn remove_old(&self) {
        let Ok(records) = fs::read_dir(&self.0) else {
            return;
        };
        for record in records.flatten() {
            let modified = record.metadata().and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > MAX_AGE)) {
                // Another process may have removed it.
                let _ = fs::remove_file(record.path());
            }
        }
    }
}

impl UploadRecord {
    /// Reads the upload; `None` if there is none, or its record was cut off.
    pub(crate) fn read(&mut self) -> Option<RememberedUpload> {
        let mut text = Vec::new();
        self.file.rewind().ok()?;
        let file = &mut self.file;
        file.take(MAX_RECORD_SIZE).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Remembers an upload in place of an earlier one.
    pub(crate) fn write(&mut self, upload: &RememberedUpload) -> io::Result<()> {
        let text = serde_json::to_vec(upload)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)
    }

    /// Forgets the upload.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

impl Drop for UploadRecord {
    fn drop(&mut self) {
        // An empty file says nothing.
        if self
            .file
            .metadata()
            .is_ok_and(|metadata| metadata.len() == 0)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The name of a path's record; it tells nothing of the token.
fn record_name(server: &str, token: Option<&[u8]>, path: &Path) -> io::Result<String> {
    let path = fs::canonicalize(path)?;
    let mut key = Vec::new();
    for part in [
        server.as_bytes(),
        token.unwrap_or_default(),
        path.as_os_str().as_bytes(),
    ] {
        key.extend((part.len() as u64).to_be_bytes());
        key.extend(part);
    }
    let mut hasher = ContentHasher::without_checksums();
    hasher.update(&key);
    Ok(hasher.finish().sha256.to_string())
}

fn create_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            sha1: [1; 20].into(),
            sha256: [2; 32].into(),
            size: 3,
        }
    }

    fn info(name: &str) -> FileInfo {
        FileInfo {
            name: name.parse().unwrap(),
            media_type: "text/plain".parse().unwrap(),
        }
    }

    #[test]
    fn an_upload_is_remembered_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        fs::write(&path, "abc").unwrap();
        let memory = UploadMemory::new(folder.path().join("state"));
        let open = |server, token: Option<&str>| {
            let token = token.map(str::as_bytes);
            memory.open(server, token, &path).unwrap()
        };
        let upload = RememberedUpload::new("http://a/tus/1".into(), &content(), &info("a"));
        let mut record = open("http://a/", Some("secret")).unwrap();
        assert_eq!(record.read(), None);
        record.write(&upload).unwrap();
        assert!(open("http://a/", Some("secret")).is_none(), "it is locked");
        assert_eq!(open("http://a/", None).unwrap().read(), None);
        assert_eq!(open("http://b/", Some("secret")).unwrap().read(), None);
        drop(record);

        let files: Vec<_> = fs::read_dir(&memory.0).unwrap().flatten().collect();
        assert_eq!(files.len(), 1, "records that say nothing are removed");
        assert_eq!(
            files[0].metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = fs::read_to_string(files[0].path()).unwrap();
        assert!(!text.contains("secret") && !format!("{files:?}").contains("secret"));

        let mut record = open("http://a/", Some("secret")).unwrap();
        let found = record.read().unwrap();
        assert!(found.is_of(&content(), &info("a")));
        assert!(!found.is_of(&content(), &info("b")));
        assert!(!found.is_of(
            &Content {
                size: 4,
                ..content()
            },
            &info("a")
        ));
        record.clear().unwrap();
        drop(record);
        assert_eq!(fs::read_dir(&memory.0).unwrap().count(), 0);
    }

    #[test]
    fn a_record_that_was_cut_off_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let memory = UploadMemory::new(folder.path().join("state"));
        let mut record = memory.open("s", None, folder.path()).unwrap().unwrap();
        record.file.write_all(b"{\"url\": \"htt").unwrap();
        assert_eq!(record.read(), None);
    }
}
