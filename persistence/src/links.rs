//! Links: URLs that let anyone download an owner's file.

use domain::{Link, Owner, RandomId, Sha1, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect,
    sea_query::LockType,
};

use crate::{
    boxed,
    database::Database,
    entities::{
        AVAILABLE, link,
        user_file::{self, by_key},
    },
    error::{Error, Result},
    row::{OrCorrupt as _, unsigned},
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_link";

/// The repository of links.
#[derive(Clone, Copy)]
pub struct Links<'a>(&'a Database);

impl Database {
    /// The repository of links.
    #[must_use]
    pub fn links(&self) -> Links<'_> {
        Links(self)
    }
}

impl Links<'_> {
    /// Adds a link to an owner's available file; returns whether the owner has the file.
    ///
    /// Locks the entry, so that a concurrent deletion cannot leave the link behind.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn insert(&self, link: &Link) -> Result<bool> {
        let row = &link::ActiveModel {
            id: Set(link.id.to_string()),
            owner: Set(link.owner.to_string()),
            file_sha1: Set(link.file_sha1.to_string()),
            disposition: Set(i32::from(link.inline)),
            downloads: Set(0),
            max_downloads: Set(link
                .max_downloads
                .map(i64::try_from)
                .transpose()
                .or_corrupt(TABLE)?),
            create_at: Set(link.create_at.microseconds()),
            expires_at: Set(link.expires_at.microseconds()),
            visits: Set(None),
            coverage: Set(None),
        };
        self.0
            .transact(|transaction| async move {
                let entry = by_key(&link.owner, &link.file_sha1)
                    .filter(user_file::Column::Status.eq(AVAILABLE))
                    .lock(LockType::Update)
                    .one(&*transaction)
                    .await?;
                if entry.is_some() {
                    link::Entity::insert(row.clone())
                        .exec_without_returning(&*transaction)
                        .await?;
                }
                Ok(entry.is_some())
            })
            .await
    }

    /// Finds a link that has not expired.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, id: RandomId, now: Timestamp) -> Result<Option<Link>> {
        let find = || link::Entity::find_by_id(id.to_string()).one(self.0.reading());
        let row = attempt(find)
            .await?
            .filter(|row| row.expires_at > now.microseconds());
        row.map(Link::try_from).transpose()
    }

    /// Removes all links to an owner's file.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove(&self, owner: &Owner, sha1: &Sha1) -> Result<()> {
        let remove = || to_file(owner, sha1).exec(self.0.writing());
        attempt(remove).await.map(drop)
    }

    /// Removes the links that expired before a given time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove_expired(&self, before: Timestamp) -> Result<()> {
        let remove = || {
            link::Entity::delete_many()
                .filter(link::Column::ExpiresAt.lt(before.microseconds()))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }
}

/// Removes all links to an owner's file in the transaction that changes the file.
pub(crate) async fn remove_all(
    transaction: &DatabaseTransaction,
    owner: &Owner,
    sha1: &Sha1,
) -> Result<()> {
    to_file(owner, sha1).exec(transaction).await?;
    Ok(())
}

fn to_file(owner: &Owner, sha1: &Sha1) -> sea_orm::DeleteMany<link::Entity> {
    link::Entity::delete_many()
        .filter(link::Column::Owner.eq(owner.as_str()))
        .filter(link::Column::FileSha1.eq(sha1.to_string()))
}

impl TryFrom<link::Model> for Link {
    type Error = Error;

    fn try_from(row: link::Model) -> Result<Self> {
        let max: Option<Result<u64, _>> = row.max_downloads.map(TryInto::try_into);
        Ok(Self {
            id: row.id.parse().or_corrupt(TABLE)?,
            owner: row.owner.parse().or_corrupt(TABLE)?,
            file_sha1: row.file_sha1.parse().or_corrupt(TABLE)?,
            inline: row.disposition != 0,
            max_downloads: max.transpose().or_corrupt(TABLE)?,
            downloads: unsigned(TABLE, row.downloads)?,
            create_at: Timestamp::from_microseconds(row.create_at),
            expires_at: Timestamp::from_microseconds(row.expires_at),
        })
    }
}
