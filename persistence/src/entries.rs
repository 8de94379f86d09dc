//! Entries: which owner has which content, under which name.

pub(crate) mod row;

use std::{collections::HashSet, num::NonZeroU32};

use domain::{Entry, EntryFilter, EntryUpdate, FileStatus, Owner, Position, Sha1, Timestamp};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, UpdateMany,
    sea_query::{
        Expr, LikeExpr,
        extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _},
    },
};

use self::row::{folded, folded_apart, stored_status};
use crate::{
    boxed,
    connection::Connection,
    database::Database,
    entities::{
        PURGING,
        user_file::{self, by_key},
    },
    error::Result,
    links,
    row::OrCorrupt as _,
    transaction::attempt,
    usage,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_user_file";

/// The repository of entries.
#[derive(Clone, Copy)]
pub struct Entries<'a>(&'a Database);

impl Database {
    /// The repository of entries.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries(self)
    }
}

impl<'a> Entries<'a> {
    pub(crate) fn database(self) -> &'a Database {
        self.0
    }
}

impl Entries<'_> {
    /// Finds an owner's entry for a content, available or deleted.
    ///
    /// One lookup by a unique index.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, owner: &Owner, sha1: &Sha1) -> Result<Option<Entry>> {
        find(self.0.reading(), owner, sha1).await
    }

    /// The same before a write: only the primary is asked.
    ///
    /// # Errors
    ///
    /// The same as those of [`Entries::find`].
    #[boxed]
    pub async fn find_for_update(&self, owner: &Owner, sha1: &Sha1) -> Result<Option<Entry>> {
        find(self.0.newest(), owner, sha1).await
    }

    /// The time at which the newest row was added, if there is one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn find_newest_time(&self) -> Result<Option<Timestamp>> {
        let find = || {
            user_file::Entity::find()
                .select_only()
                .column(user_file::Column::UploadAt)
                .order_by_desc(user_file::Column::Id)
                .into_tuple::<i64>()
                .one(self.0.newest())
        };
        Ok(attempt(find).await?.map(Timestamp::from_microseconds))
    }

    /// Lists an owner's entries, newest first, in a part of the listing.
    ///
    /// The cost is independent of the position: reads `limit` rows of an index from there. A search
    /// by name reads the owner's rows until it has found enough, or to the end of the part.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(
        &self,
        owner: &Owner,
        filter: &EntryFilter,
        part: Part,
        limit: u64,
    ) -> Result<Vec<Entry>> {
        let list = || {
            newest(owner, filter, part)
                .limit(limit)
                .all(self.0.reading())
        };
        let rows = attempt(list).await?;
        // A caller that asks for certain contents concludes that the missing ones do not exist.
        if let Some(sha1s) = &filter.sha1s
            && rows.len() < sha1s.len()
        {
            self.0.reading().ensure_authoritative()?;
        }
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Finds the position of the entry that is `count` entries of a status behind a position; `None` if
    /// there are fewer.
    ///
    /// Reads `count` entries of an index, and no row.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn find_position(
        &self,
        owner: &Owner,
        status: FileStatus,
        after: Option<Position>,
        count: NonZeroU32,
    ) -> Result<Option<Position>> {
        let find = || {
            position_behind(owner, status, after, count)
                .into_tuple::<(i64, i64)>()
                .one(self.0.reading())
        };
        let found = attempt(find).await?;
        Ok(found.map(|(upload_at, id)| Position {
            upload_at: Timestamp::from_microseconds(upload_at),
            id,
        }))
    }

    /// Updates an entry, unless it has changed since it was read; returns whether it was updated.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn update(&self, owner: &Owner, seen: &Entry, update: &EntryUpdate) -> Result<bool> {
        if update.status == Some(FileStatus::Available) {
            let update = || guarded(owner, seen, update).exec(self.0.writing());
            return Ok(attempt(update).await?.rows_affected == 1);
        }
        self.0
            .transact(
                |transaction| async move { withdraw(&transaction, owner, seen, update).await },
            )
            .await
    }

    /// Reports whether any owner has an entry for a content that is available or can be restored.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
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

    /// Finds which of the given contents have an entry, even one that is being purged.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
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
            .map(|sha1| sha1.parse().or_corrupt(TABLE))
            .collect()
    }

    /// Lists up to `limit` contents with an entry of any owner, from the first row after `after`.
    ///
    /// Each comes with the number of its row, which is `after` for the next page.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
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
            .map(|(id, sha1)| Ok((id, sha1.parse().or_corrupt(TABLE)?)))
            .collect()
    }
}

/// Updates an entry to a status in which it cannot be downloaded, and removes the links to it; an
/// entry that is marked for the purge no longer counts as used.
async fn withdraw(
    transaction: &DatabaseTransaction,
    owner: &Owner,
    seen: &Entry,
    update: &EntryUpdate,
) -> Result<bool> {
    let done = guarded(owner, seen, update).exec(transaction).await?;
    if done.rows_affected == 0 {
        return Ok(false);
    }
    links::remove_all(transaction, owner, &seen.meta.file_sha1).await?;
    if update.status.is_none() {
        let bytes = i64::try_from(seen.meta.file_size).or_corrupt(TABLE)?;
        usage::add_usage(transaction, owner, -bytes, -1).await?;
    }
    Ok(true)
}

/// The update of an entry, guarded by the version that was read.
fn guarded(owner: &Owner, seen: &Entry, update: &EntryUpdate) -> UpdateMany<user_file::Entity> {
    user_file::Entity::update_many()
        .col_expr(
            user_file::Column::FileName,
            Expr::val(update.file_name.as_str()),
        )
        .col_expr(
            user_file::Column::FileNameFolded,
            Expr::val(folded(update.file_name.as_str())),
        )
        .col_expr(
            user_file::Column::Status,
            Expr::val(update.status.map_or(PURGING, stored_status)),
        )
        .col_expr(
            user_file::Column::UpdateAt,
            Expr::val(update.at.microseconds()),
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

/// A part of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// The last position before the part; `None` if it is the beginning of the listing.
    pub after: Option<Position>,
    /// The last position of the part; `None` if it goes to the end of the listing.
    pub last: Option<Position>,
}

/// The position of the entry that is `count` entries behind another one.
pub(crate) fn position_behind(
    owner: &Owner,
    status: FileStatus,
    after: Option<Position>,
    count: NonZeroU32,
) -> Select<user_file::Entity> {
    let filter = EntryFilter {
        status,
        name: None,
        sha1s: None,
    };
    newest(owner, &filter, Part { after, last: None })
        .select_only()
        .column(user_file::Column::UploadAt)
        .column(user_file::Column::Id)
        .offset(u64::from(count.get()) - 1)
        .limit(1)
}

/// Uses `upload_at <= x AND (upload_at < x OR id < y)` instead of comparing pairs, for which MySQL
/// would not use the index.
pub(crate) fn newest(owner: &Owner, filter: &EntryFilter, part: Part) -> Select<user_file::Entity> {
    let mut select = user_file::Entity::find()
        .filter(user_file::Column::Owner.eq(owner.as_str()))
        .filter(user_file::Column::Status.eq(stored_status(filter.status)))
        .order_by_desc(user_file::Column::UploadAt)
        .order_by_desc(user_file::Column::Id);
    if let Some(Position { upload_at, id }) = part.after {
        let upload_at = upload_at.microseconds();
        select = select
            .filter(user_file::Column::UploadAt.lte(upload_at))
            .filter(
                Condition::any()
                    .add(user_file::Column::UploadAt.lt(upload_at))
                    .add(user_file::Column::Id.lt(id)),
            );
    }
    if let Some(Position { upload_at, id }) = part.last {
        let upload_at = upload_at.microseconds();
        select = select
            .filter(user_file::Column::UploadAt.gte(upload_at))
            .filter(
                Condition::any()
                    .add(user_file::Column::UploadAt.gt(upload_at))
                    .add(user_file::Column::Id.gte(id)),
            );
    }
    if let Some(sha1s) = &filter.sha1s {
        let sha1s = sha1s.iter().map(Sha1::to_string);
        select = select.filter(user_file::Column::FileSha1.is_in(sha1s));
    } else {
        // Without this hint MariaDB would read the index from its end to the position, because it
        // expects more rows than the limit allows. The other databases ignore the hint.
        QueryTrait::query(&mut select).force_index("ix_user_file_newest", IndexHintScope::All);
    }
    if let Some(name) = &filter.name {
        let contains = |text: &str| {
            let like = LikeExpr::new(format!("%{}%", escaped(text))).escape('!');
            Expr::col(user_file::Column::FileNameFolded).like(like)
        };
        let (whole, apart) = (folded(name), folded_apart(name));
        let found = contains(&whole);
        select = select.filter(if whole == apart {
            found
        } else {
            found.or(contains(&apart))
        });
    }
    select
}

/// Escapes the characters that have a meaning in `LIKE`.
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
