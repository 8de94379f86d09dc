use crate::{
    entities::{AVAILABLE, DELETED, user_file},
    error::{Error, Result},
    row::OrCorrupt as _,
};
use domain::{Entry, FileMeta, FileStatus, Position, Sha1, Timestamp};
use unicode_normalization::UnicodeNormalization as _;

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_user_file";

impl TryFrom<user_file::Model> for Entry {
    type Error = Error;

    fn try_from(row: user_file::Model) -> Result<Self> {
        let sha1: Sha1 = row.file_sha1.parse().or_corrupt(TABLE)?;
        let upload_at = Timestamp::from_microseconds(row.upload_at);
        let meta = FileMeta {
            file_sha1: sha1,
            file_sha256: row.file_sha256.parse().or_corrupt(TABLE)?,
            file_name: row.file_name.parse().or_corrupt(TABLE)?,
            file_size: row.file_size.try_into().or_corrupt(TABLE)?,
            content_type: row.content_type.parse().or_corrupt(TABLE)?,
            upload_at,
            update_at: Timestamp::from_microseconds(row.update_at),
            status: match row.status {
                AVAILABLE => FileStatus::Available,
                DELETED => FileStatus::Deleted,
                other => return Err(Error::corrupt(TABLE, format!("status {other}"))),
            },
            location: sha1.into(),
        };
        Ok(Self {
            meta,
            version: row.version,
            position: Position {
                upload_at,
                id: row.id,
            },
        })
    }
}

pub(crate) fn stored_status(status: FileStatus) -> i32 {
    match status {
        FileStatus::Available => AVAILABLE,
        FileStatus::Deleted => DELETED,
    }
}

/// The form of a name for searches: without differences of case, and with one spelling of each
/// character (NFC), by Unicode's rules on every database.
pub(crate) fn folded(name: &str) -> String {
    let composed: String = name.nfc().collect();
    // A lower-case letter may consist of several characters.
    composed.to_lowercase().nfc().collect()
}

/// The same with each character taken apart (NFD), as names of earlier versions may be in the table.
pub(crate) fn folded_apart(name: &str) -> String {
    let decomposed: String = name.nfd().collect();
    decomposed.to_lowercase()
}
