//! Operations on the objects of a bucket.

use bytes::Bytes;
use domain::{ByteRange, possession::WHOLE_UP_TO};
use futures_util::future::try_join_all;
use opendal::options::ReadOptions;

use super::{
    client::Bucket,
    key::{self, DECOY},
};
use crate::{
    boxed,
    error::{Error, Result},
    metrics::Operation,
};

impl Bucket {
    /// Creates a key that no object had before.
    pub(crate) fn fresh_key() -> Result<String> {
        key::fresh()
    }

    /// Returns the size of an object in bytes, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        self.metrics().time(Operation::Stat, self.stat(key)).await
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

    /// Fails unless an object has this size.
    pub(super) async fn confirm_size(&self, key: &str, expected: u64) -> Result<()> {
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

    /// Reads ranges of an object of this size, or of a decoy if there is no key.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] or [`Error::WrongSize`] if the object is missing or has another size.
    #[boxed]
    pub async fn read_ranges(
        &self,
        key: Option<&str>,
        size: u64,
        ranges: Vec<ByteRange>,
    ) -> Result<Vec<u8>> {
        let work = async {
            self.ensure_decoy().await?;
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
            let reads = ranges
                .into_iter()
                .map(|range| self.read_range(path, found, range));
            Ok(try_join_all(reads).await?.concat())
        };
        self.metrics().time(Operation::Read, work).await
    }

    async fn read_range(&self, key: &str, size: u64, range: ByteRange) -> Result<Vec<u8>> {
        if range.length() == 0 {
            return Ok(Vec::new());
        }
        // A decoy may be shorter than the object. Any position in it will do.
        let start = range.start.min(size.saturating_sub(range.length()));
        let range = start..start + range.length();
        let options = ReadOptions {
            range: range.into(),
            ..ReadOptions::default()
        };
        match self.operator().read_options(key, options).await {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(error) => Err(self.explain_missing(key, error).await),
        }
    }

    async fn ensure_decoy(&self) -> Result<()> {
        if self.has_decoy() {
            return Ok(());
        }
        if self.stat(DECOY).await? != Some(WHOLE_UP_TO) {
            let bytes = vec![0x5a; usize::try_from(WHOLE_UP_TO).unwrap_or_default()];
            self.write(DECOY, bytes.into()).await?;
        }
        self.remember_decoy();
        Ok(())
    }

    /// Writes an object in one request.
    pub(super) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.metrics()
            .time(Operation::Write, self.write(key, bytes))
            .await
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Result<()> {
        match self.operator().write(key, bytes).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Removes an object. It is no error if the object does not exist.
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn remove(&self, key: &str) -> Result<()> {
        let work = async {
            let deleted = self.operator().delete(key).await;
            deleted.map_err(|error| self.explain(&error))
        };
        self.metrics().time(Operation::Delete, work).await
    }
}
