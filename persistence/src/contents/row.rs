use crate::{
    entities::file,
    error::{Error, Result},
    row::OrCorrupt as _,
};
use domain::{Content, StoredContent};

/// The table whose rows this file reads and writes.
const TABLE: &str = "file";

impl TryFrom<file::Model> for StoredContent {
    type Error = Error;

    fn try_from(row: file::Model) -> Result<Self> {
        let second = row.ext2.as_deref().map(str::parse);
        Ok(Self {
            content: row.content()?,
            address: row.file_addr.parse().or_corrupt(TABLE)?,
            second: second.transpose().or_corrupt(TABLE)?,
            checksum: row.ext1.map(i32::cast_unsigned),
        })
    }
}

impl file::Model {
    pub(crate) fn content(&self) -> Result<Content> {
        Ok(Content {
            sha1: self.file_sha1.parse().or_corrupt(TABLE)?,
            sha256: self.file_sha256.parse().or_corrupt(TABLE)?,
            size: self.file_size.try_into().or_corrupt(TABLE)?,
        })
    }
}
