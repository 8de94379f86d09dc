//! The query plans of the statements whose cost must not grow with the number of rows.
//!
//! For tests and benchmarks: the repositories run the same statements.

use std::{num::NonZeroU32, sync::Arc};

use domain::{EntryFilter, FileStatus, Owner, Position, Sha1, Timestamp, UploadPosition};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    FromQueryResult, JsonValue, QuerySelect, QueryTrait,
};

use crate::{
    boxed,
    database::Database,
    entities::{
        AVAILABLE,
        user_file::{self, by_key},
    },
    entries::{self, Part},
    error::Result,
    sessions,
};

/// The plan of the lookup of an owner's entry by its content.
///
/// # Errors
///
/// When the database fails.
#[boxed]
pub async fn find(database: &Database, owner: &Owner, sha1: &Sha1) -> Result<String> {
    explain(database, &by_key(owner, sha1)).await
}

/// The plan of a page of an owner's listing.
///
/// # Errors
///
/// When the database fails.
#[boxed]
pub async fn list(
    database: &Database,
    owner: &Owner,
    after: Option<Position>,
    limit: u64,
) -> Result<String> {
    let filter = EntryFilter {
        status: FileStatus::Available,
        name: None,
        sha1s: None,
    };
    explain(
        database,
        &entries::newest(owner, &filter, Part { after, last: None }).limit(limit),
    )
    .await
}

/// The plan of finding the position at which a search stops.
///
/// # Errors
///
/// When the database fails.
#[boxed]
pub async fn search_end(
    database: &Database,
    owner: &Owner,
    after: Option<Position>,
    count: NonZeroU32,
) -> Result<String> {
    let status = FileStatus::Available;
    explain(
        database,
        &entries::position_behind(owner, status, after, count),
    )
    .await
}

/// The plan of a page of the listing of an owner's unfinished uploads.
///
/// # Errors
///
/// When the database fails.
#[boxed]
pub async fn list_uploads(
    database: &Database,
    owner: &Owner,
    after: Option<UploadPosition>,
    limit: u64,
) -> Result<String> {
    let listing = sessions::list::newest(owner, after, Timestamp::EPOCH);
    explain(database, &listing.limit(limit)).await
}

async fn explain(database: &Database, select: &impl QueryTrait) -> Result<String> {
    let connection = database.reading();
    let backend = connection.get_database_backend();
    let mut statement = select.build(backend);
    let explain = match backend {
        DbBackend::Sqlite => "EXPLAIN QUERY PLAN",
        _ => "EXPLAIN",
    };
    statement.sql = format!("{explain} {}", statement.sql);
    let rows = JsonValue::find_by_statement(statement)
        .all(connection)
        .await?;
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    Ok(lines.join("\n"))
}

/// Inserts the entries `from..to` of the owner `bench`: the number of an entry is the SHA-1 of its
/// content and the microsecond of its upload.
///
/// # Errors
///
/// When the database fails.
#[boxed]
pub async fn fill(database: &Database, from: u64, to: u64) -> Result<()> {
    const BATCH_SIZE: u64 = 500;
    let row = |number: u64| user_file::ActiveModel {
        owner: Set("bench".to_owned()),
        file_sha1: Set(format!("{number:040x}")),
        file_sha256: Set(format!("{number:064x}")),
        file_name: Set(format!("{number}.bin")),
        file_name_folded: Set(format!("{number}.bin")),
        file_size: Set(1),
        content_type: Set("application/octet-stream".to_owned()),
        upload_at: Set(number.cast_signed()),
        update_at: Set(number.cast_signed()),
        status: Set(AVAILABLE),
        version: Set(1),
        ..Default::default()
    };
    let insert = |transaction: Arc<DatabaseTransaction>| async move {
        for first in (from..to).step_by(500) {
            let rows = (first..to.min(first + BATCH_SIZE)).map(row);
            user_file::Entity::insert_many(rows)
                .exec_without_returning(&*transaction)
                .await?;
        }
        Ok(())
    };
    database.transact(insert).await?;
    let refresh = match database.writing().get_database_backend() {
        DbBackend::MySql => "ANALYZE TABLE tbl_user_file",
        _ => "ANALYZE tbl_user_file",
    };
    database.writing().execute_unprepared(refresh).await?;
    Ok(())
}
