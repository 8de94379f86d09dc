//! Handing the entries of one owner over to another.

use std::collections::HashSet;

use domain::{EntryFilter, FileStatus, Owner, Position, Sha1, Timestamp};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    sea_query::Expr,
};

use crate::{
    boxed,
    entities::{PURGING, link, user_file},
    entries::{Entries, Part, newest},
    error::{Error, Result},
    row::OrCorrupt as _,
    usage,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_user_file";

/// A part of the entries of an owner, which another owner gets.
#[derive(Debug, Clone, Copy)]
pub struct Handover<'a> {
    /// The owner who has the entries.
    pub from: &'a Owner,
    /// The owner who gets them.
    pub to: &'a Owner,
    /// The status of the entries.
    pub status: FileStatus,
    /// The position of the last entry of the part before.
    pub after: Option<Position>,
    /// Maximum number of entries.
    pub limit: u64,
    /// Whether entries are only counted.
    pub dry_run: bool,
}

/// What came of a part.
#[derive(Debug)]
pub struct HandedOver {
    /// The contents whose entries the other owner has now.
    pub moved: Vec<Sha1>,
    /// The number of entries that stay, since the other owner has one for the same content.
    pub left: u64,
    /// The position of the part's last entry; `None` if the part was empty.
    pub last: Option<Position>,
}

impl Entries<'_> {
    /// Hands some entries of an owner over to another, together with their links and their part of the
    /// usage.
    ///
    /// An entry for a content that the other owner has an entry for stays where it is. The quota of the
    /// other owner does not matter.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn hand_over(&self, handover: &Handover<'_>) -> Result<HandedOver> {
        self.database()
            .transact(|transaction| async move { hand_over(&transaction, handover).await })
            .await
    }
}

async fn hand_over(
    transaction: &DatabaseTransaction,
    handover: &Handover<'_>,
) -> Result<HandedOver> {
    let Handover { from, to, .. } = *handover;
    let filter = EntryFilter {
        status: handover.status,
        name: None,
        sha1s: None,
    };
    let part = Part {
        after: handover.after,
        last: None,
    };
    let rows = newest(from, &filter, part)
        .limit(handover.limit)
        .lock_exclusive()
        .all(transaction)
        .await?;
    let last = rows.last().map(|row| Position {
        upload_at: Timestamp::from_microseconds(row.upload_at),
        id: row.id,
    });
    let taken = contents_of(transaction, to, &rows).await?;
    let count = rows.len();
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| !taken.contains(&row.file_sha1))
        .collect();
    let left = (count - rows.len()) as u64;
    if !handover.dry_run && !rows.is_empty() {
        give(transaction, from, to, &rows).await?;
    }
    let moved = rows
        .iter()
        .map(|row| row.file_sha1.parse().or_corrupt(TABLE));
    Ok(HandedOver {
        moved: moved.collect::<Result<_>>()?,
        left,
        last,
    })
}

/// Which of the rows' contents an owner has an entry for, in any state: there is one for each content.
async fn contents_of(
    transaction: &DatabaseTransaction,
    owner: &Owner,
    rows: &[user_file::Model],
) -> Result<HashSet<String>> {
    let sha1s = rows.iter().map(|row| row.file_sha1.as_str());
    let found: Vec<String> = user_file::Entity::find()
        .select_only()
        .column(user_file::Column::FileSha1)
        .filter(user_file::Column::Owner.eq(owner.as_str()))
        .filter(user_file::Column::FileSha1.is_in(sha1s))
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(found.into_iter().collect())
}

async fn give(
    transaction: &DatabaseTransaction,
    from: &Owner,
    to: &Owner,
    rows: &[user_file::Model],
) -> Result<()> {
    let given = user_file::Entity::update_many()
        .col_expr(user_file::Column::Owner, Expr::val(to.as_str()))
        .col_expr(
            user_file::Column::Version,
            Expr::col(user_file::Column::Version).add(1),
        )
        .filter(user_file::Column::Id.is_in(rows.iter().map(|row| row.id)))
        .filter(user_file::Column::Owner.eq(from.as_str()))
        .filter(user_file::Column::Status.ne(PURGING))
        .exec(transaction)
        .await?;
    if given.rows_affected != rows.len() as u64 {
        return Err(Error::corrupt(TABLE, "locked rows were changed"));
    }
    link::Entity::update_many()
        .col_expr(link::Column::Owner, Expr::val(to.as_str()))
        .filter(link::Column::Owner.eq(from.as_str()))
        .filter(link::Column::FileSha1.is_in(rows.iter().map(|row| row.file_sha1.as_str())))
        .exec(transaction)
        .await?;
    let bytes: i64 = rows.iter().map(|row| row.file_size).sum();
    let files = rows.len().cast_signed() as i64;
    // Always in the same order, so that two of them do not wait for each other.
    let mut changes = [(from, -bytes, -files), (to, bytes, files)];
    changes.sort_by_key(|(owner, ..)| owner.as_str());
    for (owner, bytes, files) in changes {
        usage::add_usage(transaction, owner, bytes, files).await?;
    }
    Ok(())
}
