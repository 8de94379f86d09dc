//! The links to owners' files, by which whoever has one gets the file.

use domain::{Owner, RandomId, Sha1, Timestamp};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, LockType},
};

use crate::{
    Database, Error, Result,
    database::{attempt, transact},
    entities::{AVAILABLE, link, user_file},
    entries::by_key,
};

/// A link to an owner's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id, which its URL has behind a signature.
    pub id: RandomId,
    /// Whose file it is.
    pub owner: Owner,
    /// The file.
    pub file_sha1: Sha1,
    /// Whether a browser may show the file rather than save it.
    pub inline: bool,
    /// How often it can be downloaded, if not without end.
    pub max_downloads: Option<u64>,
    /// When it was made.
    pub create_at: Timestamp,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// The links to owners' files.
#[derive(Clone, Copy)]
pub struct Links<'a>(pub(crate) &'a Database);

impl Links<'_> {
    /// Adds a link to a file that its owner has; gives whether the owner has it.
    ///
    /// The entry is locked meanwhile, so that no deletion leaves the link behind.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn insert(&self, link: &Link) -> Result<bool> {
        let row = link::ActiveModel {
            id: Set(link.id.to_string()),
            owner: Set(link.owner.to_string()),
            file_sha1: Set(link.file_sha1.to_string()),
            disposition: Set(i32::from(link.inline)),
            downloads: Set(0),
            max_downloads: Set(link
                .max_downloads
                .map(i64::try_from)
                .transpose()
                .map_err(corrupt)?),
            create_at: Set(link.create_at.microseconds()),
            expires_at: Set(link.expires_at.microseconds()),
        };
        transact(|| async {
            let transaction = self.0.begin().await?;
            let work = async {
                let entry = by_key(&link.owner, &link.file_sha1)
                    .filter(user_file::Column::Status.eq(AVAILABLE))
                    .lock(LockType::Update)
                    .one(&transaction)
                    .await?;
                if entry.is_some() {
                    link::Entity::insert(row.clone())
                        .exec_without_returning(&transaction)
                        .await?;
                }
                Ok(entry.is_some())
            };
            let work = work.await;
            Ok((transaction, work))
        })
        .await
    }

    /// Finds a link that is neither over nor used up.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    pub async fn find(&self, id: RandomId, now: Timestamp) -> Result<Option<Link>> {
        let find = || link::Entity::find_by_id(id.to_string()).one(self.0.reading());
        let row = attempt(find).await?.filter(|row| {
            row.expires_at > now.microseconds()
                && row.max_downloads.is_none_or(|most| row.downloads < most)
        });
        row.map(Link::try_from).transpose()
    }

    /// Counts a download by a link whose downloads are counted; gives whether there was one left.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn count_download(&self, id: RandomId) -> Result<bool> {
        let count = || {
            link::Entity::update_many()
                .col_expr(
                    link::Column::Downloads,
                    Expr::col(link::Column::Downloads).add(1),
                )
                .filter(link::Column::Id.eq(id.to_string()))
                .filter(
                    Expr::col(link::Column::Downloads).lt(Expr::col(link::Column::MaxDownloads)),
                )
                .exec(self.0.writing())
        };
        Ok(attempt(count).await?.rows_affected == 1)
    }

    /// Removes all links to an owner's file.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn remove(&self, owner: &Owner, sha1: &Sha1) -> Result<()> {
        let remove = || to_file(owner, sha1).exec(self.0.writing());
        attempt(remove).await.map(drop)
    }

    /// Removes the links that were over before a time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn remove_expired(&self, before: Timestamp) -> Result<()> {
        let remove = || {
            link::Entity::delete_many()
                .filter(link::Column::ExpiresAt.lt(before.microseconds()))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }
}

/// Removes all links to an owner's file, together with what else happens to it.
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
        let most: Option<Result<u64, _>> = row.max_downloads.map(TryInto::try_into);
        Ok(Self {
            id: row.id.parse().map_err(corrupt)?,
            owner: row.owner.parse().map_err(corrupt)?,
            file_sha1: row.file_sha1.parse().map_err(corrupt)?,
            inline: row.disposition != 0,
            max_downloads: most.transpose().map_err(corrupt)?,
            create_at: Timestamp::from_microseconds(row.create_at),
            expires_at: Timestamp::from_microseconds(row.expires_at),
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn corrupt(reason: impl ToString) -> Error {
    Error::corrupt("tbl_link", &reason)
}
