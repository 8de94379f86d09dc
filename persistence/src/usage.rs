//! Usage counts, updated in the transactions that change an owner's files.
//!
//! The count is the last row that such a transaction locks. So the transaction that holds it sees
//! everything that was committed, and no other one is changing the owner's files.

use domain::{Account, Owner, Quota, Role, Timestamp, Usage};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QuerySelect,
    sea_query::{Expr, OnConflict},
};

use crate::{
    entities::{upload, usage},
    error::{Error, Result},
    row::unsigned,
    sessions::row::{OPEN, stored_role},
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_usage";

/// Adds to an owner's usage count, and locks it until the transaction ends.
pub(crate) async fn add_usage(
    transaction: &DatabaseTransaction,
    owner: &Owner,
    bytes: i64,
    files: i64,
) -> Result<()> {
    let row = usage::ActiveModel {
        owner: Set(owner.to_string()),
        bytes: Set(Ord::max(bytes, 0)),
        files: Set(Ord::max(files, 0)),
        ..Default::default()
    };
    let plus = |column: usage::Column, more: i64| Expr::col((usage::Entity, column)).add(more);
    let more = OnConflict::column(usage::Column::Owner)
        .value(usage::Column::Bytes, plus(usage::Column::Bytes, bytes))
        .value(usage::Column::Files, plus(usage::Column::Files, files))
        .to_owned();
    usage::Entity::insert(row)
        .on_conflict(more)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

/// Loads the quota of an owner whose count [`add_usage`] has locked, and the usage without one
/// upload.
///
/// Reads the running uploads only if there is a limit.
pub(crate) async fn load_quota(
    transaction: &DatabaseTransaction,
    owner: &Owner,
    default_quota: &Quota,
    except: Option<&upload::Model>,
    now: Timestamp,
) -> Result<(Quota, Usage)> {
    let account: Account = lock(transaction, owner).await?.try_into()?;
    let quota = account.own.over(default_quota);
    let mut usage = account.usage;
    if !quota.is_unlimited() {
        add_uploads(transaction, owner, now, except, &mut usage).await?;
    }
    Ok((quota, usage))
}

/// Reads the row that [`add_usage`] has locked.
pub(crate) async fn lock(transaction: &DatabaseTransaction, owner: &Owner) -> Result<usage::Model> {
    let found = usage::Entity::find_by_id(owner.as_str())
        .one(transaction)
        .await?;
    found.ok_or_else(|| Error::corrupt(TABLE, "an owner whose usage was changed has no row"))
}

/// Adds an owner's running uploads to the usage, except for one.
///
/// A concatenation uses the bytes of its parts, which are counted instead of it.
pub(crate) async fn add_uploads(
    connection: &impl ConnectionTrait,
    owner: &Owner,
    now: Timestamp,
    except: Option<&upload::Model>,
    usage: &mut Usage,
) -> Result<()> {
    let running: Vec<(String, i32, Option<i64>, Option<i64>)> = upload::Entity::find()
        .select_only()
        .columns([
            upload::Column::Id,
            upload::Column::Role,
            upload::Column::Length,
            upload::Column::HeldBytes,
        ])
        .filter(upload::Column::Owner.eq(owner.as_str()))
        .filter(upload::Column::Status.eq(OPEN))
        .filter(upload::Column::ExpiresAt.gt(now.microseconds()))
        .into_tuple()
        .all(connection)
        .await?;
    let is_of_parts = except.is_some_and(|upload| upload.role == stored_role(Role::Final));
    for (id, role, length, reserved) in running {
        let is_part = role == stored_role(Role::Part);
        if except.is_some_and(|upload| upload.id == id) || is_of_parts && is_part {
            continue;
        }
        usage.uploads += 1;
        if role != stored_role(Role::Final) {
            usage.reserved_bytes += unsigned(TABLE, length.or(reserved).unwrap_or_default())?;
        }
        usage.reserved_files += u64::from(!is_part);
    }
    Ok(())
}
