//! Counting what owners have, in the transactions that change it.
//!
//! The count is the last that such a transaction touches: so whoever holds an owner's row sees what
//! was committed, and nothing else is on its way.

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

/// Adds to what an owner is counted to have, and locks the count until the transaction ends.
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

/// The quota of an owner who was [charged](charge), and what the owner has beside one upload.
///
/// What running uploads take is looked up only if there is a limit to it.
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

/// The row that [`add_usage`] has locked.
pub(crate) async fn lock(transaction: &DatabaseTransaction, owner: &Owner) -> Result<usage::Model> {
    let found = usage::Entity::find_by_id(owner.as_str())
        .one(transaction)
        .await?;
    found.ok_or_else(|| Error::corrupt(TABLE, "it has no row for an owner"))
}

/// Adds what an owner's running uploads will take, except for one.
///
/// What is made of parts takes what they take, which are counted instead.
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
