//! How the database would run the statements that have to stay cheap however much there is.
//!
//! For tests and benchmarks: these are the very statements that the repositories make.

use domain::{FileStatus, Owner, Sha1};
use sea_orm::{DbBackend, FromQueryResult, JsonValue, QuerySelect, QueryTrait};

use crate::{Database, EntryFilter, Position, Result, entries};

/// The plan for finding an owner's entry by its content.
///
/// # Errors
///
/// When the database fails.
pub async fn find(database: &Database, owner: &Owner, sha1: &Sha1) -> Result<String> {
    explain(database, &entries::by_key(owner, sha1)).await
}

/// The plan for a page of an owner's listing.
///
/// # Errors
///
/// When the database fails.
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
        &entries::newest(owner, &filter, after).limit(limit),
    )
    .await
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
