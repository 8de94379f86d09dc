//! The content's row of an upload.

use domain::{Address, Sha1};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseTransaction, DbErr, ExprTrait, sea_query::Expr,
};

use super::record::UploadRecord;
use crate::{
    checksums, contents,
    entities::{AVAILABLE, PURGING, file},
    error::{Error, Result},
    pending_deletions,
    shard::Shard,
};

/// Returns the row of a content once every transaction that may have inserted it has ended.
pub(super) async fn insert_to_lock(
    transaction: &DatabaseTransaction,
    sha1: &Sha1,
) -> Result<Option<file::Model>> {
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
    contents::lock(transaction, sha1).await
}

/// Ensures that the content has a row, and locks it.
pub(super) async fn claim_content(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
) -> Result<Option<file::Model>> {
    let sha1 = &record.content.sha1;
    if let Some(address) = record.address {
        insert_content(transaction, record, address).await?;
    }
    let locked = contents::lock(transaction, sha1).await?;
    let is_lost = |row: &file::Model| {
        record
            .lost
            .is_some_and(|lost| row.file_addr == lost.to_string())
    };
    match (locked, record.address) {
        (Some(row), _) if row.status == AVAILABLE && !is_lost(&row) => Ok(Some(row)),
        (Some(row), Some(address)) if row.content()? == *record.content => {
            // The row was being purged, or its bytes are missing: the uploaded bytes replace them.
            replace_copies(transaction, record, row, address)
                .await
                .map(Some)
        }
        (Some(row), Some(_)) => Ok(Some(row)),
        // The row existed at the time of the insert, and was purged since.
        (None, Some(_)) => Err(Error::Busy(DbErr::RecordNotFound(sha1.to_string()))),
        _ => Ok(None),
    }
}

/// Makes a content's row refer to a single address, and schedules the deletion of the copies that
/// it referred to before.
async fn replace_copies(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
    row: file::Model,
    address: &Address,
) -> Result<file::Model> {
    let sha1 = &record.content.sha1;
    let checksum = record.checksums.map(checksums::summary).or(row.ext1);
    let update = Shard::of(sha1)
        .update()
        .value(file::Column::FileAddr, address.to_string())
        .value(file::Column::Ext2, None::<String>)
        .value(file::Column::Ext1, checksum)
        .value(file::Column::Status, AVAILABLE)
        .value(file::Column::UpdateAt, record.at.microseconds())
        .and_where(Expr::col(file::Column::FileSha1).eq(sha1.to_string()))
        .and_where(Expr::col(file::Column::Status).eq(row.status))
        .and_where(Expr::col(file::Column::FileAddr).eq(&row.file_addr))
        .take();
    transaction.execute(&update).await?;
    let due = record.at.after(record.deletion_grace);
    for old in row.ext2.iter().chain([&row.file_addr]) {
        pending_deletions::schedule_in(transaction, sha1, old, due).await?;
    }
    Ok(file::Model {
        file_addr: address.to_string(),
        ext1: checksum,
        ext2: None,
        status: AVAILABLE,
        ..row
    })
}

async fn insert_content(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
    address: &Address,
) -> Result<()> {
    let now = record.at.microseconds();
    let row = file::ActiveModel {
        file_sha1: Set(record.content.sha1.to_string()),
        file_sha256: Set(record.content.sha256.to_string()),
        file_name: Set(record.file_name.to_string()),
        file_size: Set(record.stored_size()?),
        file_addr: Set(address.to_string()),
        create_at: Set(now),
        update_at: Set(now),
        status: Set(AVAILABLE),
        ext1: Set(record.checksums.map(checksums::summary)),
        ..Default::default()
    };
    // On MySQL this updates an existing row to its own values, which takes the lock that is needed
    // next. Ignoring the duplicate would take a weaker lock, and two transactions that then want
    // the stronger one would block each other.
    Shard::of(&record.content.sha1)
        .insert(row)
        .on_conflict_do_nothing_on([file::Column::FileSha1])
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}
