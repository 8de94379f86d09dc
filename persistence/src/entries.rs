//! The owners' entries: who has which content, under which name.

use std::collections::HashSet;

use domain::{FileMeta, FileName, FileStatus, Owner, Sha1, Timestamp};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, UpdateMany,
    sea_query::{
        Expr, LikeExpr,
        extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _},
    },
};

use crate::{
    Database, Error, Result,
    connection::Connection,
    database::{attempt, transact},
    entities::{AVAILABLE, DELETED, PURGING, user_file},
    links, usage,
};

/// One owner's entry for one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the owner sees of it.
    pub meta: FileMeta,
    /// Grows with every change.
    pub version: i64,
    /// Where it stands in its owner's listing.
    pub position: Position,
}

/// A place in a listing, newest first; no two entries of an owner share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When the entry's content was uploaded.
    pub upload_at: Timestamp,
    /// The row, which puts uploads of the same moment in an order.
    pub id: i64,
}

/// Which of an owner's entries to list.
#[derive(Debug, Clone)]
pub struct EntryFilter {
    /// Those that are in this state.
    pub status: FileStatus,
    /// Those that have this in their name, in upper or lower case.
    pub name: Option<String>,
    /// Those that are for one of these contents.
    pub sha1s: Option<Vec<Sha1>>,
}

/// What an entry becomes.
#[derive(Debug, Clone)]
pub struct EntryChange {
    /// The name it gets.
    pub file_name: FileName,
    /// The state it gets; `None` ends the right to restore it, and hides it for good.
    pub status: Option<FileStatus>,
    /// When that is.
    pub at: Timestamp,
}

/// The owners' entries.
#[derive(Clone, Copy)]
pub struct Entries<'a>(pub(crate) &'a Database);

impl Entries<'_> {
    /// Finds an owner's entry for a content, whether available or deleted.
    ///
    /// One look-up by a unique index.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    pub async fn find(&self, owner: &Owner, sha1: &Sha1) -> Result<Option<Entry>> {
        find(self.0.reading(), owner, sha1).await
    }

    /// The same for an entry that is to be changed: the primary is asked.
    ///
    /// # Errors
    ///
    /// As [`Entries::find`].
    pub async fn find_to_change(&self, owner: &Owner, sha1: &Sha1) -> Result<Option<Entry>> {
        find(self.0.newest(), owner, sha1).await
    }

    /// Lists an owner's entries, newest first, from after a position on.
    ///
    /// Costs the same wherever it starts: it reads `limit` rows of an index from there on, unless
    /// a name is searched for, which reads that owner's rows until there are enough.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn list(
        &self,
        owner: &Owner,
        filter: &EntryFilter,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Entry>> {
        let list = || {
            newest(owner, filter, after)
                .limit(limit)
                .all(self.0.reading())
        };
        let rows = attempt(list).await?;
        // Whoever asks for certain contents takes what is missing for what is not there.
        if let Some(sha1s) = &filter.sha1s
            && rows.len() < sha1s.len()
        {
            self.0.reading().vouch_for_absence()?;
        }
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Changes an entry, unless somebody else did since it was read.
    ///
    /// Gives whether it was changed.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn change(&self, owner: &Owner, seen: &Entry, change: &EntryChange) -> Result<bool> {
        if change.status == Some(FileStatus::Available) {
            let update = || guarded(owner, seen, change).exec(self.0.writing());
            return Ok(attempt(update).await?.rows_affected == 1);
        }
        transact(|| async {
            let transaction = self.0.begin().await?;
            let work = withdraw(&transaction, owner, seen, change).await;
            Ok((transaction, work))
        })
        .await
    }

    /// Whether an entry of any owner is for a content, and can be used or restored.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn is_referenced(&self, sha1: &Sha1) -> Result<bool> {
        let find = || {
            user_file::Entity::find()
                .select_only()
                .column(user_file::Column::Id)
                .filter(user_file::Column::FileSha1.eq(sha1.to_string()))
                .filter(user_file::Column::Status.ne(PURGING))
                .into_tuple::<i64>()
                .one(self.0.newest())
        };
        Ok(attempt(find).await?.is_some())
    }

    /// Finds those of the given contents that any entry is for, even one that was given up.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn find_references(&self, sha1s: &[Sha1]) -> Result<HashSet<Sha1>> {
        let find = || {
            user_file::Entity::find()
                .select_only()
                .column(user_file::Column::FileSha1)
                .distinct()
                .filter(user_file::Column::FileSha1.is_in(sha1s.iter().map(Sha1::to_string)))
                .into_tuple::<String>()
                .all(self.0.newest())
        };
        let found = attempt(find).await?;
        found
            .into_iter()
            .map(|sha1| sha1.parse().map_err(corrupt))
            .collect()
    }

    /// Lists the contents that entries of any owner are for, from after the given row on.
    ///
    /// Gives up to `limit` of them, each with the row's number to go on from.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn list_references(&self, after: i64, limit: u64) -> Result<Vec<(i64, Sha1)>> {
        let list = || {
            user_file::Entity::find()
                .select_only()
                .columns([user_file::Column::Id, user_file::Column::FileSha1])
                .filter(user_file::Column::Id.gt(after))
                .filter(user_file::Column::Status.ne(PURGING))
                .order_by_asc(user_file::Column::Id)
                .limit(limit)
                .into_tuple::<(i64, String)>()
                .all(self.0.reading())
        };
        let rows = attempt(list).await?;
        rows.into_iter()
            .map(|(id, sha1)| Ok((id, sha1.parse().map_err(corrupt)?)))
            .collect()
    }
}

/// Changes an entry to what nobody can download, and so ends the links to it; one that was given
/// up no longer counts.
async fn withdraw(
    transaction: &DatabaseTransaction,
    owner: &Owner,
    seen: &Entry,
    change: &EntryChange,
) -> Result<bool> {
    let done = guarded(owner, seen, change).exec(transaction).await?;
    if done.rows_affected == 0 {
        return Ok(false);
    }
    links::remove_all(transaction, owner, &seen.meta.file_sha1).await?;
    if change.status.is_none() {
        let bytes = i64::try_from(seen.meta.file_size).map_err(corrupt)?;
        usage::charge(transaction, owner, -bytes, -1).await?;
    }
    Ok(true)
}

/// Changes an entry unless somebody else did since it was read.
fn guarded(owner: &Owner, seen: &Entry, change: &EntryChange) -> UpdateMany<user_file::Entity> {
    user_file::Entity::update_many()
        .col_expr(
            user_file::Column::FileName,
            Expr::val(change.file_name.as_str()),
        )
        .col_expr(
            user_file::Column::FileNameFolded,
            Expr::val(folded(change.file_name.as_str())),
        )
        .col_expr(
            user_file::Column::Status,
            Expr::val(change.status.map_or(PURGING, stored_status)),
        )
        .col_expr(
            user_file::Column::UpdateAt,
            Expr::val(change.at.microseconds()),
        )
        .col_expr(user_file::Column::Version, Expr::val(seen.version + 1))
        .filter(user_file::Column::Owner.eq(owner.as_str()))
        .filter(user_file::Column::FileSha1.eq(seen.meta.file_sha1.to_string()))
        .filter(user_file::Column::Status.eq(stored_status(seen.meta.status)))
        .filter(user_file::Column::Version.eq(seen.version))
}

async fn find(connection: &Connection, owner: &Owner, sha1: &Sha1) -> Result<Option<Entry>> {
    let find = || {
        by_key(owner, sha1)
            .filter(user_file::Column::Status.ne(PURGING))
            .one(connection)
    };
    let row = attempt(find).await?;
    row.map(Entry::try_from).transpose()
}

pub(crate) fn by_key(owner: &Owner, sha1: &Sha1) -> Select<user_file::Entity> {
    user_file::Entity::find()
        .filter(user_file::Column::Owner.eq(owner.as_str()))
        .filter(user_file::Column::FileSha1.eq(sha1.to_string()))
}

/// `upload_at <= x AND (upload_at < x OR id < y)` rather than a comparison of pairs, for which
/// MySQL would not use the index.
pub(crate) fn newest(
    owner: &Owner,
    filter: &EntryFilter,
    after: Option<Position>,
) -> Select<user_file::Entity> {
    let mut select = user_file::Entity::find()
        .filter(user_file::Column::Owner.eq(owner.as_str()))
        .filter(user_file::Column::Status.eq(stored_status(filter.status)))
        .order_by_desc(user_file::Column::UploadAt)
        .order_by_desc(user_file::Column::Id);
    if let Some(Position { upload_at, id }) = after {
        let upload_at = upload_at.microseconds();
        select = select
            .filter(user_file::Column::UploadAt.lte(upload_at))
            .filter(
                Condition::any()
                    .add(user_file::Column::UploadAt.lt(upload_at))
                    .add(user_file::Column::Id.lt(id)),
            );
    }
    if let Some(sha1s) = &filter.sha1s {
        let sha1s = sha1s.iter().map(Sha1::to_string);
        select = select.filter(user_file::Column::FileSha1.is_in(sha1s));
    } else {
        // MariaDB would read the index from its end to the position, for the sake of the rows
        // that it expects without the limit. The others do not know this hint.
        QueryTrait::query(&mut select).force_index("ix_user_file_newest", IndexHintScope::All);
    }
    if let Some(name) = &filter.name {
        let like = LikeExpr::new(format!("%{}%", escaped(&folded(name)))).escape('!');
        select = select.filter(Expr::col(user_file::Column::FileNameFolded).like(like));
    }
    select
}

/// A name in the form that makes a search independent of upper and lower case, by Unicode's
/// rules on every database.
pub(crate) fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// A text in which what `LIKE` gives a meaning to has none.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '!' | '%' | '_') {
            escaped.push('!');
        }
        escaped.push(character);
    }
    escaped
}

pub(crate) fn stored_status(status: FileStatus) -> i32 {
    match status {
        FileStatus::Available => AVAILABLE,
        FileStatus::Deleted => DELETED,
    }
}

impl TryFrom<user_file::Model> for Entry {
    type Error = Error;

    fn try_from(row: user_file::Model) -> Result<Self> {
        let sha1: Sha1 = row.file_sha1.parse().map_err(corrupt)?;
        let upload_at = Timestamp::from_microseconds(row.upload_at);
        let meta = FileMeta {
            file_sha1: sha1,
            file_sha256: row.file_sha256.parse().map_err(corrupt)?,
            file_name: row.file_name.parse().map_err(corrupt)?,
            file_size: row.file_size.try_into().map_err(corrupt)?,
            content_type: row.content_type.parse().map_err(corrupt)?,
            upload_at,
            update_at: Timestamp::from_microseconds(row.update_at),
            status: match row.status {
                AVAILABLE => FileStatus::Available,
                DELETED => FileStatus::Deleted,
                other => return Err(corrupt(format!("status {other}"))),
            },
            location: sha1.into(),
        };
        Ok(Self {
            meta,
            version: row.version,
            position: Position {
                upload_at,
                id: row.id,
            },
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn corrupt(reason: impl ToString) -> Error {
    Error::corrupt("tbl_user_file", &reason)
}
