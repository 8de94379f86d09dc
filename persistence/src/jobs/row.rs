//! The conversion between jobs and their rows.

use domain::{Job, NewJob, Timestamp};
use sea_orm::ActiveValue::Set;

use crate::{
    entities::job,
    error::{Error, Result},
    row::OrCorrupt as _,
};

/// The table whose rows this file reads and writes.
pub(super) const TABLE: &str = "tbl_job";

pub(super) const WAITING: i32 = 0;
pub(super) const DEAD: i32 = 1;

pub(super) fn to_row(
    job: &NewJob,
    now: Timestamp,
    holder: Option<String>,
) -> Result<job::ActiveModel> {
    Ok(job::ActiveModel {
        file_sha1: Set(job.sha1.to_string()),
        from_store: Set(job.from.clone()),
        to_store: Set(job.to.clone()),
        keeps: Set(i32::from(job.keeps_source)),
        transfer_id: Set(job.transfer.map(|id| id.to_string())),
        file_size: Set(job.size.try_into().or_corrupt(TABLE)?),
        status: Set(WAITING),
        attempts: Set(0),
        due_at: Set(job.due_at.microseconds()),
        holder: Set(holder),
        error: Set(None),
        create_at: Set(now.microseconds()),
        ..Default::default()
    })
}

impl TryFrom<job::Model> for Job {
    type Error = Error;

    fn try_from(row: job::Model) -> Result<Self> {
        let transfer = row.transfer_id.as_deref().map(str::parse);
        Ok(Self {
            id: row.id,
            sha1: row.file_sha1.parse().or_corrupt(TABLE)?,
            size: row.file_size.try_into().or_corrupt(TABLE)?,
            from: row.from_store,
            to: row.to_store,
            keeps_source: match row.keeps {
                0 => false,
                1 => true,
                other => return Err(Error::corrupt(TABLE, format!("keeps {other}"))),
            },
            transfer: transfer.transpose().or_corrupt(TABLE)?,
            due_at: Timestamp::from_microseconds(row.due_at),
            attempts: row.attempts.try_into().or_corrupt(TABLE)?,
            error: row.error,
            is_dead: match row.status {
                WAITING => false,
                DEAD => true,
                other => return Err(Error::corrupt(TABLE, format!("status {other}"))),
            },
            create_at: Timestamp::from_microseconds(row.create_at),
        })
    }
}
