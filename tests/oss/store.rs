//! Where the objects are.
//!
//! The bytes of each object and part are a file of their own that never changes. What is told
//! about them is in memory, and in a journal from which it is read when the stand-in starts again.

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

/// Bytes that have come whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Blob {
    /// The name of the file that has them.
    pub(crate) file: String,
    /// How many there are.
    pub(crate) size: u64,
    /// The MD5 of what came, in capital hex digits.
    pub(crate) md5: String,
    /// The CRC-64 of what came.
    pub(crate) crc64: u64,
    /// When they came, in seconds since 1970.
    pub(crate) modified: i64,
}

/// An object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Object {
    /// Its bytes.
    pub(crate) blob: Blob,
    /// Its entity tag, without quotes.
    pub(crate) etag: String,
    /// The fields of the header that were stored with it.
    pub(crate) headers: Vec<(String, String)>,
    /// Whether it was put together from parts.
    pub(crate) multipart: bool,
}

/// An upload in parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// The key that the object will have.
    pub(crate) key: String,
    /// The fields of the header that will be stored with it.
    pub(crate) headers: Vec<(String, String)>,
    /// When it was begun, in seconds since 1970.
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

/// What there is.
pub(crate) struct State {
    /// The objects by their keys.
    pub(crate) objects: BTreeMap<String, Object>,
    /// The uploads by their ids.
    pub(crate) uploads: BTreeMap<String, Upload>,
    journal: File,
}

/// All objects of a bucket.
pub(crate) struct Store {
    blobs: PathBuf,
    state: Mutex<State>,
}

/// A file in the making, which is removed unless it is kept.
pub(crate) struct Draft {
    /// The file, opened for writing.
    pub(crate) file: File,
    name: String,
    path: PathBuf,
    kept: bool,
}

impl Draft {
    /// The name that the file will have.
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
    /// Opens a folder, which is made if it is not there.
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
            // A line that was cut off is a change that was never answered.
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

    /// Looks at what there is; nothing changes meanwhile.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object and the file of its bytes.
    pub(crate) fn find(&self, key: &str) -> Result<(Object, File)> {
        let state = self.state();
        let object = state.objects.get(key).ok_or(Error::NoSuchKey)?;
        let file = self.read(&object.blob)?;
        Ok((object.clone(), file))
    }

    /// Opens the file of some bytes.
    pub(crate) fn read(&self, blob: &Blob) -> io::Result<File> {
        File::open(self.path(&blob.file))
    }

    /// Begins a file.
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

    /// Puts an object in the place of the one that has the key, if it may.
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

    /// Makes an object the copy of another: the bytes, which never change, are had by both.
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

    /// Removes an object, if it is there.
    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        let mut state = self.state();
        if state.objects.contains_key(key) {
            self.commit(&mut state, Change::Remove(key.to_owned()))?;
        }
        Ok(())
    }

    /// Begins an upload, and gives its id.
    pub(crate) fn begin(&self, upload: Upload) -> Result<String> {
        let id = random_hex(16)?.to_uppercase();
        self.commit(&mut self.state(), Change::Begin(id.clone(), upload))?;
        Ok(id)
    }

    /// Puts a part in the place of the one that has the number.
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

    /// Ends an upload with an object that was put together from its parts.
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

    /// Ends an upload without an object.
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
    /// An upload for a key.
    pub(crate) fn upload(&self, id: &str, key: &str) -> Result<&Upload> {
        let upload = self.uploads.get(id).filter(|upload| upload.key == key);
        upload.ok_or(Error::NoSuchUpload)
    }

    /// Makes a change, and gives the bytes that nothing has any more.
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
