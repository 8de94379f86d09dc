//! The owner's entry of an upload.

use domain::EntryOutcome;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    TryIntoModel,
};

use super::record::UploadRecord;
use crate::{
    entities::{
        AVAILABLE, PURGING,
        user_file::{self, by_key},
    },
    entries::row::folded,
    error::{Error, Result},
};

/// The owner's entry after an upload.
pub(super) struct ClaimedEntry {
    pub(super) row: user_file::Model,
    pub(super) outcome: EntryOutcome,
    /// True if the owner's usage has to include one more file.
    pub(super) adds_usage: bool,
}

/// Ensures that the owner has an entry for the content.
///
/// The transaction holds the lock of the content. It does not lock the entry: MySQL would lock the
/// gap of a missing entry, and uploads of one owner would block each other.
pub(super) async fn claim_entry(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
) -> Result<ClaimedEntry> {
    let found = by_key(record.owner, &record.content.sha1);
    Ok(match found.one(transaction).await? {
        Some(row) if row.status == AVAILABLE => ClaimedEntry {
            row,
            outcome: EntryOutcome::Existing,
            adds_usage: false,
        },
        Some(row) => ClaimedEntry {
            adds_usage: row.status == PURGING,
            row: restore_entry(transaction, record, row).await?,
            outcome: EntryOutcome::Restored,
        },
        None => ClaimedEntry {
            row: insert_entry(transaction, record).await?,
            outcome: EntryOutcome::Created,
            adds_usage: true,
        },
    })
}

async fn insert_entry(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
) -> Result<user_file::Model> {
    let now = record.at.microseconds();
    let mut row = user_file::ActiveModel {
        owner: Set(record.owner.to_string()),
        file_sha1: Set(record.content.sha1.to_string()),
        file_sha256: Set(record.content.sha256.to_string()),
        file_name: Set(record.file_name.to_string()),
        file_name_folded: Set(folded(record.file_name.as_str())),
        file_size: Set(record.stored_size()?),
        content_type: Set(record.content_type.to_string()),
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

/// Restores a deleted entry, with the name and the time of the upload.
async fn restore_entry(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
    deleted: user_file::Model,
) -> Result<user_file::Model> {
    let now = record.at.microseconds();
    let restored = user_file::ActiveModel {
        file_name: Set(record.file_name.to_string()),
        file_name_folded: Set(folded(record.file_name.as_str())),
        content_type: Set(record.content_type.to_string()),
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
