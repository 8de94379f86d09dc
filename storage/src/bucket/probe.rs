//! Testing a bucket with an object that is written, read and removed.

use std::io;

use bytes::Bytes;

use super::{client::Bucket, key};
use crate::{
    boxed,
    error::{Error, Result},
};

impl Bucket {
    /// Checks that an object can be written, read back and removed.
    ///
    /// # Errors
    ///
    /// If it cannot.
    #[boxed]
    pub async fn self_test(&self) -> Result<()> {
        self.probe().await?;
        let key = key::fresh_probe()?;
        let bytes = Bytes::from_static(b"fileserver");
        self.put(&key, bytes.clone()).await?;
        let read = self.operator().read(&key).await;
        self.remove(&key).await?;
        match read {
            Ok(read) if read.to_bytes() == bytes => Ok(()),
            Ok(_) => Err(Error::Unavailable(io::Error::other(format!(
                "the store {} returned other bytes than were written",
                self.name()
            )))),
            Err(error) => Err(self.explain_missing(&key, error).await),
        }
    }
}
