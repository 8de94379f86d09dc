//! The conversion between sessions and their rows.

use domain::{Protocol, Role, Session, SessionState, Timestamp};
use sea_orm::ActiveValue::Set;

use crate::{
    entities::upload,
    error::{Error, Result},
    row::{OrCorrupt as _, signed, unsigned},
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_upload";

pub(crate) const OPEN: i32 = 0;
pub(super) const DONE: i32 = 1;
pub(super) const FAILED: i32 = 2;

pub(super) fn to_row(session: &Session) -> Result<upload::ActiveModel> {
    let (status, file_sha1) = match session.state {
        SessionState::Open => (OPEN, None),
        SessionState::Done(sha1) => (DONE, Some(sha1)),
        SessionState::Failed => (FAILED, None),
    };
    Ok(upload::ActiveModel {
        id: Set(session.id.to_string()),
        owner: Set(session.owner.to_string()),
        protocol: Set(stored_protocol(session.protocol)),
        role: Set(stored_role(session.role)),
        status: Set(status),
        length: Set(session.length.map(stored_length).transpose()?),
        held_bytes: Set(session.reserved_bytes.map(stored_length).transpose()?),
        file_name: Set(session.file_name.to_string()),
        content_type: Set(session.content_type.to_string()),
        expected_sha1: Set(session.expected_sha1.map(|sha1| sha1.to_string())),
        expected_sha256: Set(session.expected_sha256.map(|sha256| sha256.to_string())),
        metadata: Set(session.metadata.clone()),
        concat: Set(session.concat.clone()),
        file_sha1: Set(file_sha1.map(|sha1| sha1.to_string())),
        create_at: Set(session.create_at.microseconds()),
        expires_at: Set(session.expires_at.microseconds()),
    })
}

pub(super) fn stored_protocol(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Tus => 0,
        Protocol::Http => 1,
    }
}

pub(crate) fn stored_role(role: Role) -> i32 {
    match role {
        Role::Whole => 0,
        Role::Part => 1,
        Role::Final => 2,
    }
}

pub(super) fn stored_length(length: u64) -> Result<i64> {
    signed(TABLE, length)
}

impl TryFrom<upload::Model> for Session {
    type Error = Error;

    fn try_from(row: upload::Model) -> Result<Self> {
        let state = match (row.status, row.file_sha1) {
            (OPEN, None) => SessionState::Open,
            (DONE, Some(sha1)) => SessionState::Done(sha1.parse().or_corrupt(TABLE)?),
            (FAILED, None) => SessionState::Failed,
            (other, _) => return Err(Error::corrupt(TABLE, format!("status {other}"))),
        };
        Ok(Self {
            id: row.id.parse().or_corrupt(TABLE)?,
            owner: row.owner.parse().or_corrupt(TABLE)?,
            protocol: match row.protocol {
                0 => Protocol::Tus,
                1 => Protocol::Http,
                other => return Err(Error::corrupt(TABLE, format!("protocol {other}"))),
            },
            role: match row.role {
                0 => Role::Whole,
                1 => Role::Part,
                2 => Role::Final,
                other => return Err(Error::corrupt(TABLE, format!("role {other}"))),
            },
            state,
            length: row
                .length
                .map(|length| unsigned(TABLE, length))
                .transpose()?,
            reserved_bytes: row
                .held_bytes
                .map(|bytes| unsigned(TABLE, bytes))
                .transpose()?,
            file_name: row.file_name.parse().or_corrupt(TABLE)?,
            content_type: row.content_type.parse().or_corrupt(TABLE)?,
            expected_sha1: row
                .expected_sha1
                .as_deref()
                .map(str::parse)
                .transpose()
                .or_corrupt(TABLE)?,
            expected_sha256: row
                .expected_sha256
                .as_deref()
                .map(str::parse)
                .transpose()
                .or_corrupt(TABLE)?,
            metadata: row.metadata,
            concat: row.concat,
            create_at: Timestamp::from_microseconds(row.create_at),
            expires_at: Timestamp::from_microseconds(row.expires_at),
        })
    }
}
