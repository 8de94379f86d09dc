//! The quota of an owner in the transaction that changes an upload.

use domain::{Quota, Role, Session, Timestamp, Usage};
use sea_orm::{DatabaseTransaction, TryIntoModel as _};

use super::row::{stored_role, to_row};
use crate::{entities::upload, error::Result, usage};

/// Loads the quota of an owner and the usage without the given upload, and locks both until the
/// transaction ends.
pub(super) async fn load_quota(
    transaction: &DatabaseTransaction,
    session: &Session,
    default_quota: &Quota,
    reserved: &Usage,
    now: Timestamp,
) -> Result<(Quota, Usage, upload::Model)> {
    usage::add_usage(transaction, &session.owner, 0, 0).await?;
    let own = to_row(session)?.try_into_model()?;
    let (quota, usage) =
        usage::load_quota(transaction, &session.owner, default_quota, Some(&own), now).await?;
    Ok((quota, usage.plus(reserved), own))
}

/// Checks that the file of an upload is within the quota; a concatenation uses the bytes of its
/// parts.
pub(super) fn admit_file(quota: &Quota, usage: &Usage, upload: &upload::Model) -> Result<()> {
    let bytes = upload.length.unwrap_or_default().unsigned_abs();
    if upload.role == stored_role(Role::Part) {
        quota.admit_bytes(usage, bytes)?;
    } else if upload.role == stored_role(Role::Final) {
        quota.admit_file(usage, 0)?;
    } else {
        quota.admit_file(usage, bytes)?;
    }
    Ok(())
}
