//! Handing an owner's entries to another owner.

use std::collections::HashMap;

use domain::{FileName, Owner, Sha1, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, SqlErr, sea_query::Expr,
};

use crate::{
    database::Database,
    entities::{AVAILABLE, DELETED, PURGING, link, user_file},
    error::{Error, Result},
    row::{OrCorrupt as _, unsigned},
    transaction::attempt,
    usage,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_user_file";

/// A file that changes its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedFile {
    /// The content.
    pub sha1: Sha1,
    /// The size in bytes.
    pub size: u64,
    /// The name that the former owner gave it.
    pub file_name: FileName,
    /// What became of its entry.
    pub outcome: AdoptionOutcome,
}

/// What became of an entry that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptionOutcome {
    /// The new owner has it.
    Moved,
    /// The new owner had deleted the content, and has it again, as the former owner named it.
    Restored,
    /// The new owner has the content already, under this name, which stays.
    Existing(FileName),
}

/// Entries that change their owner together.
struct Batch {
    files: Vec<AdoptedFile>,
    moved: Vec<user_file::Model>,
    /// Entries of both owners for one content; that of the former owner replaces the other one.
    restored: Vec<(user_file::Model, user_file::Model)>,
    /// Entries that the new owner does not need.
    surplus: Vec<user_file::Model>,
}

impl Database {
    /// Hands up to `limit` entries of an owner to another owner, with the links to them, in the order
    /// of their SHA-1s, from the first one after `after`. With `dry_run` nothing changes.
    ///
    /// # Errors
    ///
    /// When the database fails; then nothing of the batch changed.
    pub async fn adopt(
        &self,
        owners: (&Owner, &Owner),
        after: Option<&Sha1>,
        limit: u64,
        at: Timestamp,
        dry_run: bool,
    ) -> Result<Vec<AdoptedFile>> {
        if dry_run {
            let plan = || async { plan(self.newest(), owners, after, limit).await };
            return Ok(attempt(plan).await?.files);
        }
        self.transact(|transaction| async move {
            let batch = plan(&*transaction, owners, after, limit).await?;
            apply(&transaction, owners, &batch, at).await?;
            Ok(batch.files)
        })
        .await
    }
}

/// Reads the next entries of `from`, and those of `to` for the same contents.
async fn plan(
    connection: &impl ConnectionTrait,
    (from, to): (&Owner, &Owner),
    after: Option<&Sha1>,
    limit: u64,
) -> Result<Batch> {
    let after = after.map(Sha1::to_string).unwrap_or_default();
    let entries = user_file::Entity::find()
        .filter(user_file::Column::Owner.eq(from.as_str()))
        .filter(user_file::Column::FileSha1.gt(after))
        .filter(user_file::Column::Status.ne(PURGING))
        .order_by_asc(user_file::Column::FileSha1)
        .limit(limit)
        .all(connection)
        .await?;
    let sha1s = entries.iter().map(|entry| entry.file_sha1.as_str());
    let known = user_file::Entity::find()
        .filter(user_file::Column::Owner.eq(to.as_str()))
        .filter(user_file::Column::FileSha1.is_in(sha1s))
        .all(connection)
        .await?;
    let mut known: HashMap<String, user_file::Model> = known
        .into_iter()
        .map(|entry| (entry.file_sha1.clone(), entry))
        .collect();
    let mut batch = Batch {
        files: Vec::new(),
        moved: Vec::new(),
        restored: Vec::new(),
        surplus: Vec::new(),
    };
    for entry in entries {
        let known = known.remove(&entry.file_sha1);
        batch.add(entry, known)?;
    }
    Ok(batch)
}

impl Batch {
    fn add(&mut self, entry: user_file::Model, known: Option<user_file::Model>) -> Result<()> {
        let is_needed = |known: &user_file::Model| {
            known.status == PURGING || known.status == DELETED && entry.status == AVAILABLE
        };
        let outcome = match &known {
            None => AdoptionOutcome::Moved,
            Some(known) if is_needed(known) => AdoptionOutcome::Restored,
            Some(known) => AdoptionOutcome::Existing(known.file_name.parse().or_corrupt(TABLE)?),
        };
        self.files.push(AdoptedFile {
            sha1: entry.file_sha1.parse().or_corrupt(TABLE)?,
            size: unsigned(TABLE, entry.file_size)?,
            file_name: entry.file_name.parse().or_corrupt(TABLE)?,
            outcome,
        });
        match known {
            None => self.moved.push(entry),
            Some(known) if is_needed(&known) => self.restored.push((entry, known)),
            Some(_) => self.surplus.push(entry),
        }
        Ok(())
    }

    /// All entries of the former owner.
    fn entries(&self) -> impl Iterator<Item = &user_file::Model> {
        let restored = self.restored.iter().map(|(entry, _)| entry);
        self.moved.iter().chain(restored).chain(&self.surplus)
    }
}

/// Takes locks in the order of all transactions that change entries: entries, links, usage.
async fn apply(
    transaction: &DatabaseTransaction,
    (from, to): (&Owner, &Owner),
    batch: &Batch,
    at: Timestamp,
) -> Result<()> {
    if batch.files.is_empty() {
        return Ok(());
    }
    move_entries(transaction, to, &batch.moved).await?;
    for (entry, known) in &batch.restored {
        restore(transaction, entry, known, at).await?;
        give_up(transaction, entry, at).await?;
    }
    for entry in &batch.surplus {
        give_up(transaction, entry, at).await?;
    }
    move_links(transaction, from, to, batch).await?;
    let counted_already = batch
        .restored
        .iter()
        .filter(|(_, known)| known.status == DELETED);
    let lost = counted(batch.entries());
    let had = counted(
        counted_already
            .map(|(entry, _)| entry)
            .chain(&batch.surplus),
    );
    let mut usage = [
        (from, (-lost.0, -lost.1)),
        (to, (lost.0 - had.0, lost.1 - had.1)),
    ];
    usage.sort_by_key(|(owner, _)| owner.as_str());
    for (owner, (bytes, files)) in usage {
        usage::add_usage(transaction, owner, bytes, files).await?;
    }
    Ok(())
}

/// The bytes and the number of files.
fn counted<'a>(entries: impl Iterator<Item = &'a user_file::Model>) -> (i64, i64) {
    entries.fold((0, 0), |(bytes, files), entry| {
        (bytes + entry.file_size, files + 1)
    })
}

async fn move_entries(
    transaction: &DatabaseTransaction,
    to: &Owner,
    entries: &[user_file::Model],
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let done = user_file::Entity::update_many()
        .col_expr(user_file::Column::Owner, Expr::val(to.as_str()))
        .col_expr(
            user_file::Column::Version,
            Expr::col(user_file::Column::Version).add(1),
        )
        .filter(user_file::Column::Id.is_in(entries.iter().map(|entry| entry.id)))
        .filter(user_file::Column::Owner.eq(entries[0].owner.as_str()))
        .filter(user_file::Column::Status.ne(PURGING))
        .exec(transaction)
        .await
        .map_err(|error| match error.sql_err() {
            // The new owner uploaded one of them meanwhile.
            Some(SqlErr::UniqueConstraintViolation(_)) => Error::Busy(error),
            _ => error.into(),
        })?;
    expect(done.rows_affected, entries.len() as u64)
}

/// Replaces an entry that cannot be downloaded by another owner's entry for the same content.
async fn restore(
    transaction: &DatabaseTransaction,
    entry: &user_file::Model,
    known: &user_file::Model,
    at: Timestamp,
) -> Result<()> {
    let done = user_file::Entity::update_many()
        .set(user_file::ActiveModel {
            file_name: Set(entry.file_name.clone()),
            file_name_folded: Set(entry.file_name_folded.clone()),
            content_type: Set(entry.content_type.clone()),
            upload_at: Set(entry.upload_at),
            update_at: Set(at.microseconds()),
            status: Set(entry.status),
            version: Set(known.version + 1),
            ..Default::default()
        })
        .filter(unchanged(known))
        .exec(transaction)
        .await?;
    expect(done.rows_affected, 1)
}

/// Marks an entry for the purge.
async fn give_up(
    transaction: &DatabaseTransaction,
    entry: &user_file::Model,
    at: Timestamp,
) -> Result<()> {
    let done = user_file::Entity::update_many()
        .set(user_file::ActiveModel {
            update_at: Set(at.microseconds()),
            status: Set(PURGING),
            version: Set(entry.version + 1),
            ..Default::default()
        })
        .filter(unchanged(entry))
        .exec(transaction)
        .await?;
    expect(done.rows_affected, 1)
}

fn unchanged(entry: &user_file::Model) -> Condition {
    Condition::all()
        .add(user_file::Column::Id.eq(entry.id))
        .add(user_file::Column::Status.eq(entry.status))
        .add(user_file::Column::Version.eq(entry.version))
}

/// Links go on, whoever the file belongs to.
async fn move_links(
    transaction: &DatabaseTransaction,
    from: &Owner,
    to: &Owner,
    batch: &Batch,
) -> Result<()> {
    let sha1s = batch.entries().map(|entry| entry.file_sha1.as_str());
    link::Entity::update_many()
        .col_expr(link::Column::Owner, Expr::val(to.as_str()))
        .filter(link::Column::Owner.eq(from.as_str()))
        .filter(link::Column::FileSha1.is_in(sha1s))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Fails, so that the transaction begins again, if an entry has changed since it was read.
fn expect(changed: u64, rows: u64) -> Result<()> {
    if changed == rows {
        Ok(())
    } else {
        Err(Error::Busy(DbErr::RecordNotUpdated))
    }
}
