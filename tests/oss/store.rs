//! The objects and multipart uploads.
//!
//! The bytes of each object and part are in a file of their own, which never changes. The metadata
//! is in memory, and in a journal that is read when the stand-in restarts.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    request::random_hex,
};

/// Completely received bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Blob {
    /// The name of their file.
    pub(crate) file: String,
    /// Their number.
    pub(crate) size: u64,
    /// Their MD5, in upper-case hex digits.
    pub(crate) md5: String,
    /// Their CRC-64.
    pub(crate) crc64: u64,
    /// The time when they were received, in seconds since 1970.
    pub(crate) modified: i64,
}

/// An object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Object {
    /// Its bytes.
    pub(crate) blob: Blob,
    /// Its entity tag, without quotes.
    pub(crate) etag: String,
    /// The header fields that are stored with it.
    pub(crate) headers: Vec<(String, String)>,
    /// The object was created by a multipart upload.
    pub(crate) multipart: bool,
}

/// A multipart upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// The key that the object will have.
    pub(crate) key: String,
    /// The header fields that will be stored with the object.
    pub(crate) headers: Vec<(String, String)>,
    /// The time when it was started, in seconds since 1970.
    pub(crate) begun: i64,
    /// Its parts so far.
    pub(crate) parts: BTreeMap<u16, Blob>,
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
enum Change {
    Put(String, Object),
    Remove(String),
    Begin(String, Upload),
    Part(String, u16, Blob),
    End(String),
}

/// The objects and uploads.
pub(crate) struct State {
    /// The objects by key.
    pub(crate) objects: BTreeMap<String, Object>,
    /// The uploads by ID.
    pub(crate) uploads: BTreeMap<String, Upload>,
    journal: File,
}

/// The store of a bucket.
pub(crate) struct Store {
    blobs: PathBuf,
    state: Mutex<State>,
}

/// A file that is being written. It is removed when dropped, unless it was kept.
pub(crate) struct Draft {
    /// The file, opened for writing.
    pub(crate) file: File,
    name: String,
    path: PathBuf,
    kept: bool,
}

impl Draft {
    /// The name of the file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Keeps the file.
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Store {
    /// Opens a folder, and creates it if it does not exist.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let blobs = folder.join("blobs");
        for shard in 0..=u8::MAX {
            fs::create_dir_all(blobs.join(format!("{shard:02x}")))?;
        }
        let path = folder.join("journal");
        let told = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            told => told?,
        };
        let journal = File::options().append(true).create(true).open(&path)?;
        let mut state = State {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            journal,
        };
        for line in told.lines() {
            // A truncated line is a change whose request was never answered.
            if let Ok(change) = serde_json::from_str(line) {
                state.apply(change);
            }
        }
        if !told.is_empty() && !told.ends_with('\n') {
            state.journal.write_all(b"\n")?;
        }
        let state = Mutex::new(state);
        Ok(Self { blobs, state })
    }

    /// Locks the state.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds an object, and opens the file of its bytes.
    pub(crate) fn find(&self, key: &str) -> Result<(Object, File)> {
        let state = self.state();
        let object = state.objects.get(key).ok_or(Error::NoSuchKey)?;
        let file = self.read(&object.blob)?;
        Ok((object.clone(), file))
    }

    /// Opens the file of a blob.
    pub(crate) fn read(&self, blob: &Blob) -> io::Result<File> {
        File::open(self.path(&blob.file))
    }

    /// Creates a file.
    pub(crate) fn draft(&self) -> Result<Draft> {
        let name = random_hex(16)?;
        let path = self.path(&name);
        let file = File::create_new(&path)?;
        Ok(Draft {
            file,
            name,
            path,
            kept: false,
        })
    }

    /// Creates or replaces an object, unless overwriting is forbidden.
    pub(crate) fn put(
        &self,
        key: &str,
        object: Object,
        draft: Draft,
        forbid_overwrite: bool,
    ) -> Result<()> {
        let mut state = self.state();
        if forbid_overwrite && state.objects.contains_key(key) {
            return Err(Error::FileAlreadyExists);
        }
        self.commit(&mut state, Change::Put(key.to_owned(), object))?;
        draft.keep();
        Ok(())
    }

    /// Copies an object. Both share the file of the bytes, which never changes.
    pub(crate) fn copy(
        &self,
        source: &Object,
        key: &str,
        headers: Vec<(String, String)>,
        forbid_overwrite: bool,
        modified: i64,
    ) -> Result<Object> {
        let file = random_hex(16)?;
        let mut state = self.state();
        if forbid_overwrite && state.objects.contains_key(key) {
            return Err(Error::FileAlreadyExists);
        }
        match fs::hard_link(self.path(&source.blob.file), self.path(&file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NoSuchKey),
            linked => linked?,
        }
        let mut object = source.clone();
        object.headers = headers;
        object.blob.file = file;
        object.blob.modified = modified;
        self.commit(&mut state, Change::Put(key.to_owned(), object.clone()))?;
        Ok(object)
    }

    /// Removes an object if it exists.
    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        let mut state = self.state();
        if state.objects.contains_key(key) {
            self.commit(&mut state, Change::Remove(key.to_owned()))?;
        }
        Ok(())
    }

    /// Starts an upload, and returns its ID.
    pub(crate) fn begin(&self, upload: Upload) -> Result<String> {
        let id = random_hex(16)?.to_uppercase();
        self.commit(&mut self.state(), Change::Begin(id.clone(), upload))?;
        Ok(id)
    }

    /// Adds or replaces a part.
    pub(crate) fn put_part(
        &self,
        id: &str,
        key: &str,
        number: u16,
        blob: Blob,
        draft: Draft,
    ) -> Result<()> {
        let mut state = self.state();
        state.upload(id, key)?;
        self.commit(&mut state, Change::Part(id.to_owned(), number, blob))?;
        draft.keep();
        Ok(())
    }

    /// Completes an upload: creates an object of its parts.
    pub(crate) fn complete(
        &self,
        id: &str,
        key: &str,
        object: Object,
        draft: Draft,
        forbid_overwrite: bool,
    ) -> Result<()> {
        let mut state = self.state();
        state.upload(id, key)?;
        if forbid_overwrite && state.objects.contains_key(key) {
            return Err(Error::FileAlreadyExists);
        }
        self.commit(&mut state, Change::Put(key.to_owned(), object))?;
        draft.keep();
        self.commit(&mut state, Change::End(id.to_owned()))
    }

    /// Aborts an upload.
    pub(crate) fn abort(&self, id: &str, key: &str) -> Result<()> {
        let mut state = self.state();
        state.upload(id, key)?;
        self.commit(&mut state, Change::End(id.to_owned()))
    }

    fn commit(&self, state: &mut State, change: Change) -> Result<()> {
        let mut line = serde_json::to_vec(&change).map_err(io::Error::from)?;
        line.push(b'\n');
        state.journal.write_all(&line)?;
        for blob in state.apply(change) {
            let _ = fs::remove_file(self.path(&blob.file));
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        let shard = name.get(..2).unwrap_or_default();
        self.blobs.join(shard).join(name)
    }
}

impl State {
    /// Finds an upload of a key.
    pub(crate) fn upload(&self, id: &str, key: &str) -> Result<&Upload> {
        let upload = self.uploads.get(id).filter(|upload| upload.key == key);
        upload.ok_or(Error::NoSuchUpload)
    }

    /// Applies a change, and returns the blobs that are no longer used.
    fn apply(&mut self, change: Change) -> Vec<Blob> {
        match change {
            Change::Put(key, object) => {
                let replaced = self.objects.insert(key, object);
                replaced.map(|object| object.blob).into_iter().collect()
            }
            Change::Remove(key) => {
                let removed = self.objects.remove(&key);
                removed.map(|object| object.blob).into_iter().collect()
            }
            Change::Begin(id, upload) => {
                self.uploads.insert(id, upload);
                Vec::new()
            }
            Change::Part(id, number, blob) => {
                let upload = self.uploads.get_mut(&id);
                let replaced = upload.and_then(|upload| upload.parts.insert(number, blob));
                replaced.into_iter().collect()
            }
            Change::End(id) => {
                let ended = self.uploads.remove(&id);
                ended.map_or_else(Vec::new, |upload| upload.parts.into_values().collect())
            }
        }
    }
}
