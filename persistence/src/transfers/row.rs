//! The conversion between transfers and their rows.

use domain::{Timestamp, Transfer, TransferState};
use sea_orm::ActiveValue::Set;

use crate::{
    entities::transfer,
    error::{Error, Result},
    row::{OrCorrupt as _, signed, unsigned},
};

/// The table whose rows this file reads and writes.
pub(super) const TABLE: &str = "tbl_transfer";

pub(super) const RUNNING: i32 = 0;

pub(super) fn to_row(transfer: &Transfer) -> Result<transfer::ActiveModel> {
    Ok(transfer::ActiveModel {
        id: Set(transfer.id.to_string()),
        from_store: Set(transfer.from.clone()),
        to_store: Set(transfer.to.clone()),
        rate: Set(transfer
            .rate
            .map(|number| signed(TABLE, number))
            .transpose()?),
        status: Set(stored_state(transfer.state)),
        pass: Set(transfer.pass.try_into().or_corrupt(TABLE)?),
        found: Set(signed(TABLE, transfer.found)?),
        shard: Set(transfer.shard.try_into().or_corrupt(TABLE)?),
        after_id: Set(transfer.after_id),
        total_files: Set(signed(TABLE, transfer.total_files)?),
        total_bytes: Set(signed(TABLE, transfer.total_bytes)?),
        copied_files: Set(signed(TABLE, transfer.copied_files)?),
        copied_bytes: Set(signed(TABLE, transfer.copied_bytes)?),
        paced_until: Set(transfer.paced_until.microseconds()),
        planner: Set(transfer.planner.clone()),
        planned_until: Set(transfer.planned_until.microseconds()),
        create_at: Set(transfer.create_at.microseconds()),
        update_at: Set(transfer.update_at.microseconds()),
        end_at: Set(transfer.end_at.map(Timestamp::microseconds)),
    })
}

pub(super) fn stored_state(state: TransferState) -> i32 {
    match state {
        TransferState::Running => RUNNING,
        TransferState::Done => 1,
        TransferState::Cancelled => 2,
    }
}

impl TryFrom<transfer::Model> for Transfer {
    type Error = Error;

    fn try_from(row: transfer::Model) -> Result<Self> {
        Ok(Self {
            id: row.id.parse().or_corrupt(TABLE)?,
            from: row.from_store,
            to: row.to_store,
            rate: row.rate.map(|number| unsigned(TABLE, number)).transpose()?,
            state: match row.status {
                RUNNING => TransferState::Running,
                1 => TransferState::Done,
                2 => TransferState::Cancelled,
                other => return Err(Error::corrupt(TABLE, format!("status {other}"))),
            },
            pass: row.pass.try_into().or_corrupt(TABLE)?,
            found: unsigned(TABLE, row.found)?,
            shard: row.shard.try_into().or_corrupt(TABLE)?,
            after_id: row.after_id,
            total_files: unsigned(TABLE, row.total_files)?,
            total_bytes: unsigned(TABLE, row.total_bytes)?,
            copied_files: unsigned(TABLE, row.copied_files)?,
            copied_bytes: unsigned(TABLE, row.copied_bytes)?,
            paced_until: Timestamp::from_microseconds(row.paced_until),
            planner: row.planner,
            planned_until: Timestamp::from_microseconds(row.planned_until),
            create_at: Timestamp::from_microseconds(row.create_at),
            update_at: Timestamp::from_microseconds(row.update_at),
            end_at: row.end_at.map(Timestamp::from_microseconds),
        })
    }
}
