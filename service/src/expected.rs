//! Digests and size that a client declares for a content.

use domain::{Content, Session, Sha1, Sha256, UploadError};

use crate::{Error, Result};

/// Content properties declared by the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// SHA-1 of the content.
    pub sha1: Option<Sha1>,
    /// SHA-256 of the content.
    pub sha256: Option<Sha256>,
    /// Size in bytes.
    pub size: Option<u64>,
}

impl Expected {
    pub(crate) fn verify(&self, content: &Content) -> Result<()> {
        if let Some(known) = self.size.filter(|size| *size != content.size) {
            let given = content.size;
            return Err(UploadError::Length { known, given }.into());
        }
        match (self.sha1, self.sha256) {
            (Some(expected), _) if expected != content.sha1 => Err(Error::WrongSha1 {
                expected,
                found: content.sha1,
            }),
            (_, Some(expected)) if expected != content.sha256 => Err(Error::WrongSha256 {
                expected,
                found: content.sha256,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn of_session(session: &Session) -> Self {
        Self {
            sha1: session.expected_sha1,
            sha256: session.expected_sha256,
            size: None,
        }
    }
}
