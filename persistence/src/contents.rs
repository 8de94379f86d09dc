//! The rows of the contents, each in the shard of its SHA-1.

use domain::{Address, Content, Sha1};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    Database, Error, Result, Shard,
    database::attempt,
    entities::{AVAILABLE, file},
};

/// A content that the service has, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredContent {
    /// What identifies the content.
    pub content: Content,
    /// Where its bytes are.
    pub address: Address,
}

/// The rows of the contents.
#[derive(Clone, Copy)]
pub struct Contents<'a>(pub(crate) &'a Database);

impl Contents<'_> {
    /// Finds a content that is available.
    ///
    /// One look-up by a unique index.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    pub async fn find(&self, sha1: &Sha1) -> Result<Option<StoredContent>> {
        let find = || {
            Shard::of(sha1)
                .select()
                .filter(file::Column::FileSha1.eq(sha1.to_string()))
                .one(self.0.reading())
        };
        let row = attempt(find).await?;
        row.filter(|row| row.status == AVAILABLE)
            .map(StoredContent::try_from)
            .transpose()
    }

    /// Finds those of the given contents that one shard has, in any state, as they are now.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn find_many(&self, shard: Shard, sha1s: &[Sha1]) -> Result<Vec<StoredContent>> {
        let find = || {
            shard
                .select()
                .filter(file::Column::FileSha1.is_in(sha1s.iter().map(Sha1::to_string)))
                .all(self.0.newest())
        };
        let rows = attempt(find).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Finds those of the given contents that one shard has and that are available, as they are
    /// now.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn find_available(&self, shard: Shard, sha1s: &[Sha1]) -> Result<Vec<StoredContent>> {
        let find = || {
            shard
                .select()
                .filter(file::Column::FileSha1.is_in(sha1s.iter().map(Sha1::to_string)))
                .filter(file::Column::Status.eq(AVAILABLE))
                .all(self.0.newest())
        };
        let rows = attempt(find).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Lists a shard's contents that are available, from after the given row on.
    ///
    /// Gives up to `limit` contents, each with the row's number to go on from.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn list(
        &self,
        shard: Shard,
        after: i64,
        limit: u64,
    ) -> Result<Vec<(i64, StoredContent)>> {
        let list = || {
            shard
                .select()
                .filter(file::Column::Id.gt(after))
                .filter(file::Column::Status.eq(AVAILABLE))
                .order_by_asc(file::Column::Id)
                .limit(limit)
                .all(self.0.reading())
        };
        let rows = attempt(list).await?;
        rows.into_iter()
            .map(|row| Ok((row.id, row.try_into()?)))
            .collect()
    }
}

impl TryFrom<file::Model> for StoredContent {
    type Error = Error;

    fn try_from(row: file::Model) -> Result<Self> {
        Ok(Self {
            content: row.content()?,
            address: row.file_addr.parse().map_err(corrupt)?,
        })
    }
}

impl file::Model {
    pub(crate) fn content(&self) -> Result<Content> {
        Ok(Content {
            sha1: self.file_sha1.parse().map_err(corrupt)?,
            sha256: self.file_sha256.parse().map_err(corrupt)?,
            size: self.file_size.try_into().map_err(corrupt)?,
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn corrupt(reason: impl ToString) -> Error {
    Error::corrupt("file", &reason)
}
