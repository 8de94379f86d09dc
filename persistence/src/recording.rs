//! Recording an upload: the content's row and the owner's entry, in one transaction.

use std::time::Duration;

use domain::{Address, Content, FileName, MediaType, Owner, Quota, RandomId, Sha1, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait,
    ExprTrait, QueryFilter, TryIntoModel, sea_query::Expr,
};

use crate::{
    Database, Entry, Error, NewJob, Result, Shard, StoredContent, contents,
    database::{attempt, transact},
    entities::{AVAILABLE, PURGING, file, upload, user_file},
    entries::{by_key, folded},
    jobs, leftovers, sessions, usage,
};

/// An upload whose bytes are where they will stay.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// Who uploaded it.
    pub owner: &'a Owner,
    /// The name that it gets, unless the owner has it under another already.
    pub file_name: &'a FileName,
    /// The media type that was declared.
    pub content_type: &'a MediaType,
    /// What was uploaded.
    pub content: &'a Content,
    /// Where its bytes are; `None` when the service is thought to have them already.
    pub address: Option<&'a Address>,
    /// Whether the object at the address was expected to go unless this makes the content's row
    /// point at it ([`Leftovers::expect`](crate::Leftovers::expect)); it does so only if that still
    /// holds.
    pub is_expected: bool,
    /// Where a copy is to be made, if this makes the content's row point at the address.
    pub copy_to: Option<CopyTo<'a>>,
    /// Where the content's row says that they are, and they are not.
    pub lost: Option<&'a Address>,
    /// How long the copies stay that the content's row pointed at before.
    pub leftover_grace: Duration,
    /// The session that it was uploaded in, which this completes.
    pub session: Option<RandomId>,
    /// How much everybody may have who has no quota of their own; `None` if the owner was found to
    /// have no limit when the upload began.
    pub quota: Option<Quota>,
    /// When it is.
    pub at: Timestamp,
}

/// Where a copy is to be made of what has just come.
#[derive(Debug, Clone, Copy)]
pub struct CopyTo<'a> {
    /// The store that is to have it.
    pub store: &'a str,
    /// Whether the store that it has come to keeps it as well.
    pub keeps_source: bool,
}

/// What came of recording an upload.
#[derive(Debug)]
pub enum Recording {
    /// The owner has the file.
    Done {
        /// The owner's entry.
        entry: Box<Entry>,
        /// What the entry was before.
        novelty: Novelty,
        /// Where the content's bytes are: not at the arrival's address if another was first.
        address: Address,
    },
    /// The service does not have the bytes, and the arrival did not bring any; or they came so late
    /// that they were taken for a leftover.
    BytesNeeded,
    /// The service has a content of the same SHA-1 and another SHA-256.
    Collision,
    /// The session was completed, failed or removed by somebody else.
    SessionOver,
}

/// What an owner's entry was before an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// There was none.
    New,
    /// It was deleted.
    Restored,
    /// It was there, and stays as it is.
    Known,
}

impl Database {
    /// Records an upload: one row for the content, one entry for the owner, whoever else records
    /// the same content at that moment.
    ///
    /// All who do so queue for the content's row, in the order: session, what is expected to go,
    /// row, job, entry, count. So the entry cannot change between being read and being written,
    /// except by its owner's own renaming or deleting, against which the update is guarded.
    ///
    /// # Errors
    ///
    /// [`Error::CommitUnknown`] when the bytes have to stay because the row may be there;
    /// otherwise nothing was recorded. [`Error::QuotaFull`] when the owner has no room for it.
    pub async fn record(&self, arrival: &Arrival<'_>) -> Result<Recording> {
        transact(|| async {
            let transaction = self.begin().await?;
            let work = claim(&transaction, arrival).await;
            Ok((transaction, work))
        })
        .await
    }

    /// Tells whether a content's row points at an address, as its first or its second, when nobody
    /// knows whether the transaction that said so was committed.
    ///
    /// It makes a row of its own for the content, and takes it back, or locks the one that is
    /// there: as long as another transaction has made or changed one, and may still commit it,
    /// that waits. So what is not there then will not come.
    ///
    /// # Errors
    ///
    /// When the database fails, or the other transaction does not end in time.
    pub async fn is_recorded(&self, content: &Sha1, address: &Address) -> Result<bool> {
        let look = || async {
            let transaction = self.begin().await?;
            let found = fence(&transaction, content).await;
            // Nothing is to stay of it, so it does not matter how this ends.
            let _ = transaction.rollback().await;
            let address = address.to_string();
            let is_there = |row: file::Model| row.file_addr == address || row.ext2 == Some(address);
            Ok::<_, Error>(found?.is_some_and(is_there))
        };
        attempt(look).await
    }
}

/// A content's row, after every transaction that could have made it.
async fn fence(transaction: &DatabaseTransaction, sha1: &Sha1) -> Result<Option<file::Model>> {
    let row = file::ActiveModel {
        file_sha1: Set(sha1.to_string()),
        file_sha256: Set(String::new()),
        file_name: Set(String::new()),
        file_size: Set(0),
        file_addr: Set(String::new()),
        create_at: Set(0),
        update_at: Set(0),
        status: Set(PURGING),
        ..Default::default()
    };
    Shard::of(sha1)
        .insert(row)
        .on_conflict_do_nothing_on([file::Column::FileSha1])
        .exec_without_returning(transaction)
        .await?;
    contents::locked(transaction, sha1).await
}

async fn claim(transaction: &DatabaseTransaction, arrival: &Arrival<'_>) -> Result<Recording> {
    let mut session = None;
    if let Some(id) = arrival.session {
        session = sessions::lock_open(transaction, id).await?;
        if session.is_none() {
            return Ok(Recording::SessionOver);
        }
    }
    let mut expected = Vec::new();
    if let Some(address) = arrival.address.filter(|_| arrival.is_expected) {
        let sha1 = &arrival.content.sha1;
        let Some(locked) = leftovers::lock(transaction, sha1, address).await? else {
            return Ok(Recording::BytesNeeded);
        };
        expected = locked;
    }
    let Some(row) = claim_content(transaction, arrival).await? else {
        return Ok(Recording::BytesNeeded);
    };
    if row.content()? != *arrival.content {
        return Ok(Recording::Collision);
    }
    let StoredContent { address, .. } = row.try_into()?;
    if arrival.address == Some(&address) {
        leftovers::forget_in(transaction, &expected).await?;
        order_copy(transaction, arrival, &address).await?;
    }
    let claimed = claim_entry(transaction, arrival).await?;
    if claimed.is_more {
        charge(transaction, arrival, session.as_ref()).await?;
    }
    if let (Some(id), Some(session)) = (arrival.session, &session) {
        sessions::complete(transaction, id, arrival.content).await?;
        sessions::remove_parts(transaction, session).await?;
    }
    Ok(Recording::Done {
        entry: Box::new(claimed.row.try_into()?),
        novelty: claimed.novelty,
        address,
    })
}

/// Adds the job for a copy of what the content's row now points at, if there is to be one.
async fn order_copy(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
    address: &Address,
) -> Result<()> {
    let Some(copy) = arrival.copy_to.filter(|copy| copy.store != address.store) else {
        return Ok(());
    };
    let job = NewJob {
        sha1: arrival.content.sha1,
        size: arrival.content.size,
        from: address.store.clone(),
        to: copy.store.to_owned(),
        keeps_source: copy.keeps_source,
        transfer: None,
        due_at: arrival.at,
    };
    jobs::insert_in(transaction, &job, arrival.at).await
}

/// Counts the file for its owner, if there is room for it.
async fn charge(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
    session: Option<&upload::Model>,
) -> Result<()> {
    let size = stored_size(arrival.content)?;
    usage::charge(transaction, arrival.owner, size, 1).await?;
    let Some(everybody) = &arrival.quota else {
        return Ok(());
    };
    let weighed = usage::weigh(transaction, arrival.owner, everybody, session, arrival.at);
    let (quota, mut usage) = weighed.await?;
    usage.bytes = usage.bytes.saturating_sub(arrival.content.size);
    usage.files = usage.files.saturating_sub(1);
    Ok(quota.admit_file(&usage, arrival.content.size)?)
}

/// Makes sure that the content has a row, and locks it.
async fn claim_content(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
) -> Result<Option<file::Model>> {
    let sha1 = &arrival.content.sha1;
    if let Some(address) = arrival.address {
        insert_content(transaction, arrival, address).await?;
    }
    let locked = contents::locked(transaction, sha1).await?;
    let is_lost = |row: &file::Model| {
        arrival
            .lost
            .is_some_and(|lost| row.file_addr == lost.to_string())
    };
    match (locked, arrival.address) {
        (Some(row), _) if row.status == AVAILABLE && !is_lost(&row) => Ok(Some(row)),
        (Some(row), Some(address)) if row.content()? == *arrival.content => {
            // The row was on its way out, or its bytes are gone: these take their place.
            replace_copies(transaction, arrival, row, address)
                .await
                .map(Some)
        }
        (Some(row), Some(_)) => Ok(Some(row)),
        // It was there when it was to be inserted, and was purged since.
        (None, Some(_)) => Err(Error::Busy(DbErr::RecordNotFound(sha1.to_string()))),
        _ => Ok(None),
    }
}

/// Makes a content's row point at an address, and at no second one; the copies that it pointed at
/// are to go.
async fn replace_copies(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
    row: file::Model,
    address: &Address,
) -> Result<file::Model> {
    let sha1 = &arrival.content.sha1;
    let update = Shard::of(sha1)
        .update()
        .value(file::Column::FileAddr, address.to_string())
        .value(file::Column::Ext2, None::<String>)
        .value(file::Column::Status, AVAILABLE)
        .value(file::Column::UpdateAt, arrival.at.microseconds())
        .and_where(Expr::col(file::Column::FileSha1).eq(sha1.to_string()))
        .and_where(Expr::col(file::Column::Status).eq(row.status))
        .and_where(Expr::col(file::Column::FileAddr).eq(&row.file_addr))
        .take();
    transaction.execute(&update).await?;
    let due = arrival.at.after(arrival.leftover_grace);
    for old in row.ext2.iter().chain([&row.file_addr]) {
        leftovers::expect_in(transaction, sha1, old, due).await?;
    }
    Ok(file::Model {
        file_addr: address.to_string(),
        ext2: None,
        status: AVAILABLE,
        ..row
    })
}

async fn insert_content(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
    address: &Address,
) -> Result<()> {
    let now = arrival.at.microseconds();
    let row = file::ActiveModel {
        file_sha1: Set(arrival.content.sha1.to_string()),
        file_sha256: Set(arrival.content.sha256.to_string()),
        file_name: Set(arrival.file_name.to_string()),
        file_size: Set(stored_size(arrival.content)?),
        file_addr: Set(address.to_string()),
        create_at: Set(now),
        update_at: Set(now),
        status: Set(AVAILABLE),
        ..Default::default()
    };
    // On MySQL this updates a row that is there to what it is, which takes the lock that is
    // needed next; ignoring the duplicate would take a weaker one, and two who then wanted the
    // stronger would block each other.
    Shard::of(&arrival.content.sha1)
        .insert(row)
        .on_conflict_do_nothing_on([file::Column::FileSha1])
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

/// Makes sure that the owner has an entry for the content.
///
/// The content's lock is held. Locking the entry as well would only make MySQL lock the gap
/// where a missing one goes, and uploads of one owner block each other.
async fn claim_entry(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
) -> Result<ClaimedEntry> {
    let found = by_key(arrival.owner, &arrival.content.sha1);
    Ok(match found.one(transaction).await? {
        Some(row) if row.status == AVAILABLE => ClaimedEntry {
            row,
            novelty: Novelty::Known,
            is_more: false,
        },
        Some(row) => ClaimedEntry {
            is_more: row.status == PURGING,
            row: restore_entry(transaction, arrival, row).await?,
            novelty: Novelty::Restored,
        },
        None => ClaimedEntry {
            row: insert_entry(transaction, arrival).await?,
            novelty: Novelty::New,
            is_more: true,
        },
    })
}

/// An owner's entry after an upload.
struct ClaimedEntry {
    row: user_file::Model,
    novelty: Novelty,
    /// Whether the owner is counted to have a file more.
    is_more: bool,
}

async fn insert_entry(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
) -> Result<user_file::Model> {
    let now = arrival.at.microseconds();
    let mut row = user_file::ActiveModel {
        owner: Set(arrival.owner.to_string()),
        file_sha1: Set(arrival.content.sha1.to_string()),
        file_sha256: Set(arrival.content.sha256.to_string()),
        file_name: Set(arrival.file_name.to_string()),
        file_name_folded: Set(folded(arrival.file_name.as_str())),
        file_size: Set(stored_size(arrival.content)?),
        content_type: Set(arrival.content_type.to_string()),
        upload_at: Set(now),
        update_at: Set(now),
        status: Set(AVAILABLE),
        version: Set(1),
        ..Default::default()
    };
    let inserted = user_file::Entity::insert(row.clone())
        .exec(transaction)
        .await?;
    row.id = Set(inserted.last_insert_id);
    Ok(row.try_into_model()?)
}

/// Takes the upload as a new beginning of an entry that was deleted, under the upload's name.
async fn restore_entry(
    transaction: &DatabaseTransaction,
    arrival: &Arrival<'_>,
    deleted: user_file::Model,
) -> Result<user_file::Model> {
    let now = arrival.at.microseconds();
    let restored = user_file::ActiveModel {
        file_name: Set(arrival.file_name.to_string()),
        file_name_folded: Set(folded(arrival.file_name.as_str())),
        content_type: Set(arrival.content_type.to_string()),
        upload_at: Set(now),
        update_at: Set(now),
        status: Set(AVAILABLE),
        version: Set(deleted.version + 1),
        ..deleted.clone().into()
    };
    let done = user_file::Entity::update_many()
        .set(restored.clone())
        .filter(user_file::Column::Id.eq(deleted.id))
        .filter(user_file::Column::Status.eq(deleted.status))
        .filter(user_file::Column::Version.eq(deleted.version))
        .exec(transaction)
        .await?;
    if done.rows_affected == 0 {
        return Err(Error::Busy(DbErr::RecordNotUpdated));
    }
    Ok(restored.try_into_model()?)
}

fn stored_size(content: &Content) -> Result<i64> {
    i64::try_from(content.size).map_err(|error| Error::corrupt("file", &error))
}
