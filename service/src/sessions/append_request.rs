//! Parameters of a request that appends to an upload.

use domain::{Checksum, Extent, UploadError};

use crate::Result;

/// Condition that makes an upload complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Completion {
    /// Complete when it has its declared length.
    #[default]
    AtLength,
    /// Complete at the end of this request.
    Now,
    /// Not complete after this request.
    NotYet,
}

/// Parameters of an append.
#[derive(Debug, Clone, Default)]
pub struct AppendRequest {
    /// Offset that the client expects the upload to have.
    pub offset: u64,
    /// Total length of the upload, if the request declares it.
    pub length: Option<u64>,
    /// Number of bytes in the request, if known in advance.
    pub bytes: Option<u64>,
    /// Expected checksums of the request's bytes.
    pub checksums: Vec<Checksum>,
    /// Condition that makes the upload complete.
    pub completion: Completion,
}

impl AppendRequest {
    /// Checks the request against the upload's extent, and returns the extent with the declared
    /// length.
    pub(super) fn apply_to(&self, current: Extent) -> Result<Extent> {
        current.check_offset(self.offset)?;
        let extent = current.with_length(self.length)?;
        let Some(bytes) = self.bytes else {
            return Ok(extent);
        };
        extent.admit(bytes)?;
        let given = extent.offset.saturating_add(bytes);
        match extent.length.filter(|known| *known != given) {
            Some(known) if self.completion == Completion::Now => {
                Err(UploadError::Length { known, given }.into())
            }
            _ => Ok(extent),
        }
    }
}
