//! Listing a bucket.

use domain::Timestamp;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use opendal::EntryMode;

use super::{
    client::Bucket,
    key::{OBJECTS, UPLOADS},
};
use crate::{error::Result, metrics::Operation};

/// An object in a bucket's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// The object's key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The time when it was written, if the store returns it.
    pub modified: Option<Timestamp>,
}

impl Bucket {
    /// Lists the objects whose unique part begins with this byte.
    pub(crate) async fn list(
        &self,
        first_byte: u8,
    ) -> Result<impl Stream<Item = Result<ObjectSummary>> + use<>> {
        self.list_prefix(format!("{OBJECTS}{first_byte:02x}/"))
            .await
    }

    /// Lists the segments of resumable uploads.
    pub(crate) async fn list_segments(
        &self,
    ) -> Result<impl Stream<Item = Result<ObjectSummary>> + use<>> {
        self.list_prefix(UPLOADS.to_owned()).await
    }

    async fn list_prefix(
        &self,
        prefix: String,
    ) -> Result<impl Stream<Item = Result<ObjectSummary>> + use<>> {
        let opening = async {
            let lister = self.operator().lister_with(&prefix).recursive(true).await;
            lister.map_err(|error| self.explain(&error))
        };
        let lister = self.metrics().time(Operation::List, opening).await?;
        let bucket = self.clone();
        let objects = lister
            .try_filter(|entry| std::future::ready(entry.metadata().mode() == EntryMode::FILE))
            .map(move |entry| match entry {
                Ok(entry) => Ok(ObjectSummary {
                    key: entry.path().to_owned(),
                    size: entry.metadata().content_length(),
                    modified: entry
                        .metadata()
                        .last_modified()
                        .map(|at| Timestamp::from_microseconds(at.into_inner().as_microsecond())),
                }),
                Err(error) => Err(bucket.explain_listing(&error)),
            });
        Ok(objects)
    }
}
