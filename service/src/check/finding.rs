//! Finding.

use std::{fmt, path::PathBuf};

use domain::Sha1;
use persistence::Miscount;
use serde::Serialize;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A row's bytes are not there.
    BytesMissing {
        /// The content.
        file_sha1: Sha1,
        /// Where they should be.
        address: String,
    },
    /// A row's bytes are of another number than the row says.
    WrongSize {
        /// The content.
        file_sha1: Sha1,
        /// Where the bytes are.
        address: String,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A row's bytes do not have its digests.
    WrongDigests {
        /// The content.
        file_sha1: Sha1,
        /// Where the bytes are.
        address: String,
        /// The SHA-1 that they have.
        found: Sha1,
    },
    /// A row's bytes cannot be read.
    Unreadable {
        /// The content.
        file_sha1: Sha1,
        /// Where the bytes are.
        address: String,
    },
    /// A row's bytes are in a store that the settings do not have.
    UnknownStore {
        /// The content.
        file_sha1: Sha1,
        /// Where its bytes are.
        address: String,
    },
    /// No row points at an object.
    Orphan {
        /// Where the object is.
        address: String,
    },
    /// A file that the service did not put into the store.
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// An owner's entry is for a content that has no row.
    ContentMissing {
        /// The content.
        file_sha1: Sha1,
    },
    /// A content has a row, and nobody has an entry for it.
    Unreferenced {
        /// The content.
        file_sha1: Sha1,
    },
    /// An owner is counted to have something else than there is.
    Miscount {
        /// The owner.
        owner: String,
        /// The bytes that are counted.
        counted_bytes: i64,
        /// The files that are counted.
        counted_files: i64,
        /// The bytes that there are.
        bytes: i64,
        /// The files that there are.
        files: i64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BytesMissing { file_sha1, address } => {
                write!(f, "{file_sha1}: its bytes are not at {address}")
            }
            Self::WrongSize {
                file_sha1,
                address,
                expected,
                found,
            } => write!(
                f,
                "{file_sha1}: {address} has {found} bytes instead of {expected}"
            ),
            Self::WrongDigests {
                file_sha1,
                address,
                found,
            } => write!(
                f,
                "{file_sha1}: the digests of {address} are others, its SHA-1 is {found}"
            ),
            Self::Unreadable { file_sha1, address } => {
                write!(f, "{file_sha1}: {address} cannot be read")
            }
            Self::UnknownStore { file_sha1, address } => write!(
                f,
                "{file_sha1}: the settings do not have the store of {address}"
            ),
            Self::Orphan { address } => write!(f, "no row points at {address}"),
            Self::ForeignFile { path } => write!(f, "{} is not an object", path.display()),
            Self::ContentMissing { file_sha1 } => {
                write!(f, "{file_sha1}: an entry is for it, and it has no row")
            }
            Self::Unreferenced { file_sha1 } => {
                write!(
                    f,
                    "{file_sha1}: it has a row, and nobody has an entry for it"
                )
            }
            Self::Miscount {
                owner,
                counted_bytes,
                counted_files,
                bytes,
                files,
            } => write!(
                f,
                "{owner} has {bytes} bytes in {files} files, and is counted to have \
                 {counted_bytes} in {counted_files}; `fileserver quota recount` mends that"
            ),
        }
    }
}

impl From<Miscount> for Finding {
    fn from(miscount: Miscount) -> Self {
        Self::Miscount {
            owner: miscount.owner.to_string(),
            counted_bytes: miscount.counted.0,
            counted_files: miscount.counted.1,
            bytes: miscount.found.0,
            files: miscount.found.1,
        }
    }
}
