//! A store that is asked over HTTP: S3 (Ceph and others) or Aliyun OSS.
//!
//! An object's key has nothing of its content, which is known only when all of it has been sent:
//! `objects/3a/<unique>`, with the first digits of the unique part as the folder. A store keeps no
//! marks of what is on its way; whoever writes to it keeps a record elsewhere.

mod connect;
mod options;
mod presigning;
mod reading;
mod segments;
mod sending;
mod trouble;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{Address, ByteRange, RandomId, possession::WHOLE_UP_TO};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, future::try_join_all};
use opendal::{EntryMode, Error as OpendalError, Operator, options::ReadOptions};

pub use options::{BucketKind, BucketOptions, Secret};
pub use segments::{Known, Ledger, Segment, Step};
pub(crate) use {
    reading::Remote,
    segments::{JoinedSegments, SegmentAppending, SegmentEnd},
    sending::Sending,
};

use crate::{
    Error, Object, Result,
    meter::{Meter, Operation},
    store::Entry,
};

const OBJECTS: &str = "objects/";
const UPLOADS: &str = "uploads/";
const DECOY: &str = "decoy";
const PROBE: &str = "probe";

/// How many parts an object can have at most, by both vendors.
const MOST_PARTS: u64 = 10_000;

/// For how long a bucket that was there is taken to be there still, when an object is not.
const BUCKET_IS_THERE: Duration = Duration::from_secs(5);

/// A bucket of an S3 or OSS store.
///
/// Cloning it is cheap, and gives the same store.
#[derive(Clone)]
pub struct Bucket(Arc<Parts>);

struct Parts {
    name: String,
    options: BucketOptions,
    operator: Operator,
    has_decoy: AtomicBool,
    /// When the bucket was last seen to be there.
    seen: Mutex<Option<Instant>>,
    meter: Meter,
}

/// A URL by which anybody can read an object for a time.
pub struct Presigned {
    /// The URL. It is as good as the object.
    pub url: String,
}

/// What a presigned URL's answer is to say.
#[derive(Debug, Clone, Default)]
pub struct PresignedAs {
    /// How long the URL works.
    pub lasts: Duration,
    /// The media type.
    pub content_type: Option<String>,
    /// The name to save it by.
    pub content_disposition: Option<String>,
    /// How it may be cached.
    pub cache_control: Option<String>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bucket").field(&self.0.name).finish()
    }
}

impl Bucket {
    /// The store with a name and options; nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// When the options cannot be those of a store.
    pub fn new(name: &str, options: BucketOptions) -> Result<Self> {
        let operator = connect::operator(&options)
            .map_err(|error| Error::Unavailable(io::Error::other(error.to_string())))?;
        Ok(Self(Arc::new(Parts {
            name: name.to_owned(),
            options,
            operator,
            has_decoy: AtomicBool::new(false),
            seen: Mutex::new(None),
            meter: Meter::of_bucket(name),
        })))
    }

    /// The name that the store has in the settings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// The most bytes that are lost of a resumable upload, and that one part of an object has.
    #[must_use]
    pub fn segment_size(&self) -> usize {
        self.0.options.segment_size
    }

    /// How many bytes a part of an object has.
    pub(crate) fn part_size(&self) -> usize {
        self.0.options.segment_size / 2
    }

    pub(crate) fn largest_object(&self) -> u64 {
        self.part_size() as u64 * MOST_PARTS
    }

    pub(crate) fn operator(&self) -> &Operator {
        &self.0.operator
    }

    pub(crate) fn address(&self, key: String) -> Address {
        Address {
            store: self.0.name.clone(),
            key,
        }
    }

    /// A key that no object had before.
    pub(crate) fn fresh_key() -> Result<String> {
        let unique = unique()?;
        Ok(format!("{OBJECTS}{}/{unique}", &unique[..2]))
    }

    pub(crate) fn fresh_segment_key(id: RandomId, start: u64) -> Result<String> {
        Ok(format!("{UPLOADS}{id}/{start:016x}-{}", unique()?))
    }

    /// Opens an object, and begins to read what is wanted of it.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when it is not there; whatever else the store says.
    pub async fn open_object(&self, key: &str, size: u64, wanted: ByteRange) -> Result<Object> {
        let opened = async {
            if wanted.length() == 0 {
                self.confirm_size(key, size).await?;
            }
            Remote::open(self.clone(), key.to_owned(), size, wanted).await
        };
        let opened = self.0.meter.time(Operation::Read, opened).await?;
        Ok(Object::remote(opened))
    }

    async fn confirm_size(&self, key: &str, expected: u64) -> Result<()> {
        match self.stat(key).await? {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(Error::WrongSize {
                key: key.to_owned(),
                expected,
                found,
            }),
            None => Err(Error::Missing(key.to_owned())),
        }
    }

    /// How many bytes an object has, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        self.0.meter.time(Operation::Stat, self.stat(key)).await
    }

    async fn stat(&self, key: &str) -> Result<Option<u64>> {
        match self.operator().stat(key).await {
            Ok(found) => Ok(Some(found.content_length())),
            Err(error) => match self.explain_missing(key, error).await {
                Error::Missing(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Reads spans of an object of a certain size, or of a decoy if there is no key.
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
        let work = async {
            self.make_decoy().await?;
            let path = key.unwrap_or(DECOY);
            let found = self.stat(path).await?;
            let found = found.ok_or_else(|| Error::Missing(path.to_owned()))?;
            if key.is_some() && found != size {
                return Err(Error::WrongSize {
                    key: path.to_owned(),
                    expected: size,
                    found,
                });
            }
            let pieces = spans.into_iter().map(|span| async move {
                if span.length() == 0 {
                    return Ok(Vec::new());
                }
                // Within a decoy, which is shorter, anywhere will do.
                let start = span.start.min(found.saturating_sub(span.length()));
                let range = start..start + span.length();
                let read = self.operator().read_options(
                    path,
                    ReadOptions {
                        range: range.into(),
                        ..ReadOptions::default()
                    },
                );
                match read.await {
                    Ok(bytes) => Ok(bytes.to_vec()),
                    Err(error) => Err(self.explain_missing(path, error).await),
                }
            });
            Ok(try_join_all(pieces).await?.concat())
        };
        self.0.meter.time(Operation::Read, work).await
    }

    async fn make_decoy(&self) -> Result<()> {
        if self.0.has_decoy.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.stat(DECOY).await? != Some(WHOLE_UP_TO) {
            let bytes = vec![0x5a; usize::try_from(WHOLE_UP_TO).unwrap_or_default()];
            self.write(DECOY, bytes.into()).await?;
        }
        self.0.has_decoy.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Writes an object in one go.
    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.0
            .meter
            .time(Operation::Write, self.write(key, bytes))
            .await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<()> {
        match self.operator().write(key, bytes).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Removes an object; one that is not there is no failure.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn remove(&self, key: &str) -> Result<()> {
        let work = async {
            let deleted = self.operator().delete(key).await;
            deleted.map_err(|error| self.explain(&error))
        };
        self.0.meter.time(Operation::Delete, work).await
    }

    /// The objects whose unique part begins with this byte.
    pub(crate) async fn list(
        &self,
        first_byte: u8,
    ) -> Result<impl Stream<Item = Result<Entry>> + use<>> {
        self.list_below(format!("{OBJECTS}{first_byte:02x}/")).await
    }

    /// The segments of uploads.
    pub(crate) async fn list_segments(&self) -> Result<impl Stream<Item = Result<Entry>> + use<>> {
        self.list_below(UPLOADS.to_owned()).await
    }

    async fn list_below(
        &self,
        prefix: String,
    ) -> Result<impl Stream<Item = Result<Entry>> + use<>> {
        let opening = async {
            let lister = self.operator().lister_with(&prefix).recursive(true).await;
            lister.map_err(|error| self.explain(&error))
        };
        let lister = self.0.meter.time(Operation::List, opening).await?;
        let bucket = self.clone();
        let entries = lister
            .try_filter(|entry| std::future::ready(entry.metadata().mode() == EntryMode::FILE))
            .map(move |entry| match entry {
                Ok(entry) => Ok(Entry {
                    key: entry.path().to_owned(),
                    size: entry.metadata().content_length(),
                    modified: entry.metadata().last_modified().map(|at| {
                        domain::Timestamp::from_microseconds(at.into_inner().as_microsecond())
                    }),
                }),
                Err(error) => Err(bucket.explain_listing(&error)),
            });
        Ok(entries)
    }

    /// Makes sure that the store answers, and knows who asks.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn probe(&self) -> Result<()> {
        let work = async {
            let lister = self.operator().lister_with(OBJECTS).limit(1).await;
            let mut lister = lister.map_err(|error| self.explain_listing(&error))?;
            match lister.next().await {
                Some(Err(error)) => Err(self.explain_listing(&error)),
                _ => Ok(()),
            }
        };
        self.0.meter.time(Operation::List, work).await?;
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    /// Makes sure that what is written to the store can be read, and be removed.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn try_out(&self) -> Result<()> {
        self.probe().await?;
        let key = format!("{PROBE}/{}", unique()?);
        let bytes = Bytes::from_static(b"fileserver");
        self.put(&key, bytes.clone()).await?;
        let read = self.operator().read(&key).await;
        self.remove(&key).await?;
        match read {
            Ok(read) if read.to_bytes() == bytes => Ok(()),
            Ok(_) => Err(Error::Unavailable(io::Error::other(format!(
                "the store {} gives other bytes back than it was given",
                self.0.name
            )))),
            Err(error) => Err(self.explain_missing(&key, error).await),
        }
    }

    /// A URL by which anybody can read an object for a time.
    ///
    /// # Errors
    ///
    /// When it cannot be signed.
    pub async fn presign(&self, key: &str, said: PresignedAs) -> Result<Presigned> {
        let is_oss = self.0.options.kind == BucketKind::Oss;
        let options = if is_oss {
            ReadOptions::default()
        } else {
            ReadOptions {
                override_content_type: said.content_type.clone(),
                override_content_disposition: said.content_disposition.clone(),
                override_cache_control: said.cache_control.clone(),
                ..ReadOptions::default()
            }
        };
        let signed = self
            .operator()
            .presign_read_options(key, said.lasts, options)
            .await
            .map_err(|error| self.explain(&error))?;
        let url = signed.uri().to_string();
        if !is_oss {
            return Ok(Presigned { url });
        }
        let said = presigning::say(&self.0.options, &url, said);
        let url = said.ok_or_else(|| {
            let store = &self.0.name;
            Error::Unavailable(io::Error::other(format!(
                "the store {store}: no URL was signed"
            )))
        })?;
        Ok(Presigned { url })
    }

    /// What went wrong, where an object that is not there is nothing out of the ordinary.
    ///
    /// Some answers say the same of an object and of a whole bucket that is not there. So it is
    /// asked for.
    pub(crate) async fn explain_missing(&self, key: &str, error: OpendalError) -> Error {
        if !trouble::is_missing(&error) {
            return self.explain(&error);
        }
        let seen = *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none_or(|seen| seen.elapsed() > BUCKET_IS_THERE)
            && let Err(error) = self.probe().await
        {
            return error;
        }
        Error::Missing(key.to_owned())
    }

    pub(crate) fn explain(&self, error: &OpendalError) -> Error {
        trouble::explain(&self.0.name, &self.0.options, error, false)
    }

    /// What went wrong with a listing: nothing there to list is a bucket that is not there.
    fn explain_listing(&self, error: &OpendalError) -> Error {
        trouble::explain(&self.0.name, &self.0.options, error, true)
    }
}

fn unique() -> Result<String> {
    let mut unique = [0; 16];
    getrandom::fill(&mut unique).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(unique)))
}
