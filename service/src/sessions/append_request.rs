//! Req.

use domain::{Checksum, Extent, UploadError};

use crate::Result;

/// What makes an upload complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Completion {
    /// That it has as many bytes as was said.
    #[default]
    AtLength,
    /// That the request says so.
    Now,
    /// Nothing yet.
    NotYet,
}

/// What a request says about the bytes that it brings.
#[derive(Debug, Clone, Default)]
pub struct AppendRequest {
    /// How many bytes it takes the upload to have.
    pub offset: u64,
    /// How many the upload will have, if the request says so.
    pub length: Option<u64>,
    /// How many it brings, if that is known beforehand.
    pub bytes: Option<u64>,
    /// What they are to have.
    pub checksums: Vec<Checksum>,
    /// Whether the upload is complete then.
    pub completion: Completion,
}

impl AppendRequest {
    /// Where an upload stands with what a request says of it, if the two fit together.
    pub(super) fn apply_to(&self, current: Extent) -> Result<Extent> {
        current.go_on_from(self.offset)?;
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
