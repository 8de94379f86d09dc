//! How much an owner may have.

/// How much an owner may have at most; what is `None` has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all files together, each counted in full, whoever else has the same content.
    pub bytes: Option<u64>,
    /// Files.
    pub files: Option<u64>,
    /// Uploads that are running.
    pub uploads: Option<u64>,
}

/// How much an owner has, and what is set aside for uploads that are running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all files that are there or can be restored.
    pub bytes: u64,
    /// Files that are there or can be restored.
    pub files: u64,
    /// Uploads that are running.
    pub uploads: u64,
    /// Bytes that running uploads will have, as far as that is known.
    pub reserved_bytes: u64,
    /// Files that running uploads will become.
    pub reserved_files: u64,
}

/// Which part of its quota an owner would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// There is no room for so many bytes.
    #[error(
        "the quota of {most} bytes has no room for this: files have {used} bytes, and running \
         uploads {reserved}"
    )]
    Bytes {
        /// How many there may be.
        most: u64,
        /// How many the owner's files have.
        used: u64,
        /// How many are set aside for other uploads.
        reserved: u64,
    },
    /// There are as many files as there may be.
    #[error("the quota of {0} files is used up")]
    Files(u64),
    /// As many uploads are running as may be.
    #[error("the quota of {0} running uploads is used up")]
    Uploads(u64),
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
            uploads: self.uploads.saturating_add(other.uploads),
            reserved_bytes: self.reserved_bytes.saturating_add(other.reserved_bytes),
            reserved_files: self.reserved_files.saturating_add(other.reserved_files),
        }
    }
}

impl Quota {
    /// No limits.
    pub const NONE: Self = Self {
        bytes: None,
        files: None,
        uploads: None,
    };

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::NONE
    }

    /// Decides whether an owner who has so much may have one file more, of so many bytes.
    ///
    /// # Errors
    ///
    /// Which limit it would exceed.
    pub fn admit_file(&self, usage: &Usage, bytes: u64) -> Result<(), QuotaError> {
        self.admit_bytes(usage, bytes)?;
        let files = usage.files.saturating_add(usage.reserved_files);
        match self.files {
            Some(most) if files >= most => Err(QuotaError::Files(most)),
            _ => Ok(()),
        }
    }

    /// Decides whether an owner who has so much may have so many bytes more.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Bytes`] when there is no room for them.
    pub fn admit_bytes(&self, usage: &Usage, bytes: u64) -> Result<(), QuotaError> {
        let taken = usage.bytes.saturating_add(usage.reserved_bytes);
        match self.bytes {
            // An empty file takes no room, even where there is none.
            Some(most) if bytes > 0 && taken.saturating_add(bytes) > most => {
                Err(QuotaError::Bytes {
                    most,
                    used: usage.bytes,
                    reserved: usage.reserved_bytes,
                })
            }
            _ => Ok(()),
        }
    }

    /// Decides whether an owner may have one more upload running.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Uploads`] when not.
    pub fn admit_upload(&self, usage: &Usage) -> Result<(), QuotaError> {
        match self.uploads {
            Some(most) if usage.uploads >= most => Err(QuotaError::Uploads(most)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota {
        bytes: Some(100),
        files: Some(3),
        uploads: Some(2),
    };

    #[test]
    fn what_is_reserved_counts_as_what_is_there() {
        let usage = Usage {
            bytes: 60,
            files: 1,
            uploads: 1,
            reserved_bytes: 30,
            reserved_files: 1,
        };
        assert_eq!(QUOTA.admit_file(&usage, 10), Ok(()));
        let full = QuotaError::Bytes {
            most: 100,
            used: 60,
            reserved: 30,
        };
        assert_eq!(QUOTA.admit_file(&usage, 11), Err(full));
        assert_eq!(QUOTA.admit_file(&usage, u64::MAX), Err(full));
        let usage = Usage {
            reserved_files: 2,
            uploads: 2,
            ..usage
        };
        assert_eq!(QUOTA.admit_file(&usage, 1), Err(QuotaError::Files(3)));
        assert_eq!(QUOTA.admit_upload(&usage), Err(QuotaError::Uploads(2)));
        assert_eq!(Quota::NONE.admit_file(&usage, u64::MAX), Ok(()));
        assert!(Quota::NONE.is_unlimited() && !QUOTA.is_unlimited());
    }

    #[test]
    fn a_lowered_quota_still_takes_what_has_no_bytes() {
        let usage = Usage {
            bytes: 200,
            ..Usage::default()
        };
        assert_eq!(QUOTA.admit_file(&usage, 0), Ok(()));
        assert!(QUOTA.admit_file(&usage, 1).is_err());
    }
}
