use crate::{
    entities::usage,
    error::{Error, Result},
    row::{signed, unsigned},
};
use domain::{Account, Limit, OwnQuota, Usage};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_usage";

impl TryFrom<usage::Model> for Account {
    type Error = Error;

    fn try_from(row: usage::Model) -> Result<Self> {
        Ok(Self {
            usage: Usage {
                // A release that does not count yet may run beside this one and remove files that
                // it did not add to the count. The count may then become negative; a check finds
                // that.
                bytes: Ord::max(row.bytes, 0).unsigned_abs(),
                files: Ord::max(row.files, 0).unsigned_abs(),
                ..Usage::default()
            },
            own: OwnQuota {
                bytes: limit(row.max_bytes)?,
                files: limit(row.max_files)?,
                uploads: limit(row.max_uploads)?,
            },
        })
    }
}

/// An own limit as the column holds it: the largest number stands for no limit.
pub(super) fn stored(limit: Option<Limit>) -> Result<Option<i64>> {
    match limit {
        None => Ok(None),
        Some(Limit::Unlimited) => Ok(Some(i64::MAX)),
        Some(Limit::AtMost(max)) => signed(TABLE, max).map(Some),
    }
}

fn limit(stored: Option<i64>) -> Result<Option<Limit>> {
    match stored {
        None => Ok(None),
        Some(i64::MAX) => Ok(Some(Limit::Unlimited)),
        Some(max) => Ok(Some(Limit::AtMost(unsigned(TABLE, max)?))),
    }
}
