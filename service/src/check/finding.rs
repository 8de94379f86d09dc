//! Findings of a check.

use std::{fmt, path::PathBuf};

use domain::{Address, Miscount, Sha1, StoredContent};
use serde::Serialize;

/// An inconsistency between rows and bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The bytes of a row are missing.
    BytesMissing {
        /// SHA-1 of the content.
        file_sha1: Sha1,
        /// Expected address.
        address: String,
    },
    /// The bytes have another size than the row says.
    WrongSize {
        /// SHA-1 of the content.
        file_sha1: Sha1,
        /// Address of the bytes.
        address: String,
        /// Size in the row.
        expected: u64,
        /// Actual size.
        found: u64,
    },
    /// The bytes do not match the digests in the row.
    WrongDigests {
        /// SHA-1 of the content.
        file_sha1: Sha1,
        /// Address of the bytes.
        address: String,
        /// Actual SHA-1.
        found: Sha1,
    },
    /// The content is marked as damaged, and awaits an upload that replaces its bytes.
    Damaged {
        /// SHA-1 of the content.
        file_sha1: Sha1,
        /// Address of the bytes.
        address: String,
    },
    /// The bytes cannot be read.
    Unreadable {
        /// SHA-1 of the content.
        file_sha1: Sha1,
        /// Address of the bytes.
        address: String,
    },
    /// The bytes are in a store that is not configured.
    UnknownStore {
        /// SHA-1 of the content.
        file_sha1: Sha1,
        /// Address of the bytes.
        address: String,
    },
    /// No row points at the object.
    Orphan {
        /// Address of the object.
        address: String,
    },
    /// A file in the store that the service did not create.
    #[serde(rename = "stray")]
    ForeignFile {
        /// Path of the file.
        path: PathBuf,
    },
    /// An entry refers to a content without a row.
    ContentMissing {
        /// SHA-1 of the content.
        file_sha1: Sha1,
    },
    /// No entry refers to the content.
    Unreferenced {
        /// SHA-1 of the content.
        file_sha1: Sha1,
    },
    /// The counted usage of an owner is wrong.
    Miscount {
        /// The owner.
        owner: String,
        /// Counted bytes.
        counted_bytes: i64,
        /// Counted files.
        counted_files: i64,
        /// Actual bytes.
        bytes: i64,
        /// Actual files.
        files: i64,
    },
}

impl Finding {
    /// The copy of a content whose bytes do not match its digests, if this is the finding.
    pub(super) fn damaged_copy<'a>(&self, row: &'a StoredContent) -> Option<&'a Address> {
        match self {
            Self::WrongDigests { address, .. } => {
                row.copies().find(|copy| copy.to_string() == *address)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BytesMissing { file_sha1, address } => {
                write!(f, "{file_sha1}: the bytes are missing at {address}")
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
                "{file_sha1}: the bytes at {address} do not match, their SHA-1 is {found}"
            ),
            Self::Damaged { file_sha1, address } => write!(
                f,
                "{file_sha1}: the bytes at {address} are damaged; uploading the file again replaces them"
            ),
            Self::Unreadable { file_sha1, address } => {
                write!(f, "{file_sha1}: {address} cannot be read")
            }
            Self::UnknownStore { file_sha1, address } => {
                write!(f, "{file_sha1}: the store of {address} is not configured")
            }
            Self::Orphan { address } => write!(f, "no row points at {address}"),
            Self::ForeignFile { path } => write!(f, "{} is not an object", path.display()),
            Self::ContentMissing { file_sha1 } => {
                write!(f, "{file_sha1}: an entry refers to it, but it has no row")
            }
            Self::Unreferenced { file_sha1 } => {
                write!(f, "{file_sha1}: it has a row, but no entry refers to it")
            }
            Self::Miscount {
                owner,
                counted_bytes,
                counted_files,
                bytes,
                files,
            } => write!(
                f,
                "{owner} has {bytes} bytes in {files} files, but the counted usage is {counted_bytes} \
                 bytes in {counted_files} files; `fileserver quota recount` corrects it"
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
