//! The handle of a bucket, and what its errors mean.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{Address, Owner};
use futures_util::StreamExt as _;
use opendal::{Error as OpendalError, Operator};
use parking_lot::Mutex;

use super::{error, key::OBJECTS, operator, options::BucketOptions};
use crate::{
    boxed,
    error::{Error, Result},
    memory::Memory,
    metrics::{Metrics, Operation},
};

/// The maximum number of parts of an object, for both vendors.
const MAX_PARTS: u64 = 10_000;

/// Time for which a bucket that was seen is assumed to exist, when an object is missing.
const BUCKET_SEEN_TTL: Duration = Duration::from_secs(5);

/// A bucket of an S3 or OSS store.
///
/// Cloning is cheap, and the clone is the same store.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
    memory: Memory,
}

struct Inner {
    name: String,
    options: BucketOptions,
    operator: Operator,
    has_decoy: AtomicBool,
    /// The last time when the bucket was known to exist.
    seen: Mutex<Option<Instant>>,
    metrics: Metrics,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.inner.name).finish()
    }
}

impl Bucket {
    /// Creates the store's client. No request is made yet. The bytes of requests are held in `memory`.
    ///
    /// # Errors
    ///
    /// If the options are invalid.
    pub fn new(name: &str, options: BucketOptions, memory: Memory) -> Result<Self> {
        let operator = operator::build(&options)
            .map_err(|error| Error::Unavailable(io::Error::other(error.to_string())))?;
        let inner = Inner {
            name: name.to_owned(),
            options,
            operator,
            has_decoy: AtomicBool::new(false),
            seen: Mutex::new(None),
            metrics: Metrics::of_bucket(name),
        };
        let bucket = Self {
            inner: Arc::new(inner),
            memory,
        };
        bucket.memory.keep(bucket.memory_needed(None));
        Ok(bucket)
    }

    /// The store's name in the settings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The maximum number of bytes of a resumable upload that can be lost. A part of an object has
    /// half as many.
    #[must_use]
    pub fn segment_size(&self) -> usize {
        self.inner.options.segment_size
    }

    /// The size of a part of an object in bytes.
    pub(super) fn part_size(&self) -> usize {
        self.inner.options.segment_size / 2
    }

    pub(crate) fn max_object_size(&self) -> u64 {
        self.part_size() as u64 * MAX_PARTS
    }

    /// The same store for an owner's bytes, who gets no more than a share of the memory.
    #[must_use]
    pub fn for_owner(&self, owner: &Owner) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            memory: self.memory.share_of(owner),
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn operator(&self) -> &Operator {
        &self.inner.operator
    }

    pub(super) fn options(&self) -> &BucketOptions {
        &self.inner.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn address(&self, key: String) -> Address {
        Address {
            store: self.inner.name.clone(),
            key,
        }
    }

    /// Returns whether the decoy is known to exist.
    pub(super) fn has_decoy(&self) -> bool {
        self.inner.has_decoy.load(Ordering::Relaxed)
    }

    pub(super) fn remember_decoy(&self) {
        self.inner.has_decoy.store(true, Ordering::Relaxed);
    }

    /// Checks that the store answers, and accepts the credentials.
    ///
    /// # Errors
    ///
    /// If it does not.
    #[boxed]
    pub async fn probe(&self) -> Result<()> {
        let work = async {
            let lister = self.operator().lister_with(OBJECTS).limit(1).await;
            let mut lister = lister.map_err(|error| self.explain_listing(&error))?;
            match lister.next().await {
                Some(Err(error)) => Err(self.explain_listing(&error)),
                _ => Ok(()),
            }
        };
        self.inner.metrics.time(Operation::List, work).await?;
        *self.inner.seen.lock() = Some(Instant::now());
        Ok(())
    }

    /// Converts an error of an operation for which a missing object is an ordinary outcome.
    ///
    /// Some responses are the same for a missing object and a missing bucket, so the bucket is
    /// probed.
    pub(super) async fn explain_missing(&self, key: &str, error: OpendalError) -> Error {
        if !error::is_missing(&error) {
            return self.explain(&error);
        }
        let seen = *self.inner.seen.lock();
        if seen.is_none_or(|seen| seen.elapsed() > BUCKET_SEEN_TTL)
            && let Err(error) = self.probe().await
        {
            return error;
        }
        Error::Missing(key.to_owned())
    }

    /// Converts an error of any other operation.
    pub(super) fn explain(&self, error: &OpendalError) -> Error {
        error::explain(&self.inner.name, &self.inner.options, error, false)
    }

    /// Converts an error of a listing, for which "not found" means that the bucket is missing.
    pub(super) fn explain_listing(&self, error: &OpendalError) -> Error {
        error::explain(&self.inner.name, &self.inner.options, error, true)
    }
}
