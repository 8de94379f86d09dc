//! Quotas and usage of owners.

/// The limits of an owner; `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// The total size of all files in bytes. Each file counts in full, even if other owners have
    /// the same content.
    pub bytes: Option<u64>,
    /// The number of files.
    pub files: Option<u64>,
    /// The number of running uploads.
    pub uploads: Option<u64>,
}

/// The usage of an owner, and the reservations for running uploads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The total size in bytes of all files that are available or can be restored.
    pub bytes: u64,
    /// The number of files that are available or can be restored.
    pub files: u64,
    /// The number of running uploads.
    pub uploads: u64,
    /// The bytes that running uploads will have, as far as known.
    pub reserved_bytes: u64,
    /// The files that running uploads will become.
    pub reserved_files: u64,
}

/// The limit that an owner would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The limit of bytes.
    #[error(
        "this would exceed the quota of {max} bytes: files have {used} bytes, and {reserved} bytes are \
         reserved for running uploads"
    )]
    Bytes {
        /// The limit.
        max: u64,
        /// The bytes of the owner's files.
        used: u64,
        /// The bytes reserved for other uploads.
        reserved: u64,
    },
    /// The limit of files.
    #[error("the quota of {0} files is used up")]
    Files(u64),
    /// The limit of running uploads.
    #[error("the quota of {0} running uploads is used up")]
    Uploads(u64),
}

impl Usage {
    /// The sum of both usages.
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

    /// True if there is no limit.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::NONE
    }

    /// Checks that one more file of `bytes` bytes is within the quota.
    ///
    /// # Errors
    ///
    /// The limit that it would exceed.
    pub fn admit_file(&self, usage: &Usage, bytes: u64) -> Result<(), QuotaError> {
        self.admit_bytes(usage, bytes)?;
        let files = usage.files.saturating_add(usage.reserved_files);
        match self.files {
            Some(max) if files >= max => Err(QuotaError::Files(max)),
            _ => Ok(()),
        }
    }

    /// Checks that `bytes` more bytes are within the quota.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Bytes`] when they are not.
    pub fn admit_bytes(&self, usage: &Usage, bytes: u64) -> Result<(), QuotaError> {
        let used = usage.bytes.saturating_add(usage.reserved_bytes);
        match self.bytes {
            // An empty file is always within the quota, even if the usage exceeds it already.
            Some(max) if bytes > 0 && used.saturating_add(bytes) > max => Err(QuotaError::Bytes {
                max,
                used: usage.bytes,
                reserved: usage.reserved_bytes,
            }),
            _ => Ok(()),
        }
    }

    /// Checks that one more running upload is within the quota.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Uploads`] when it is not.
    pub fn admit_upload(&self, usage: &Usage) -> Result<(), QuotaError> {
        match self.uploads {
            Some(max) if usage.uploads >= max => Err(QuotaError::Uploads(max)),
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
    fn reservations_count_as_usage() {
        let usage = Usage {
            bytes: 60,
            files: 1,
            uploads: 1,
            reserved_bytes: 30,
            reserved_files: 1,
        };
        assert_eq!(QUOTA.admit_file(&usage, 10), Ok(()));
        let full = QuotaError::Bytes {
            max: 100,
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
    fn usages_are_added_field_by_field() {
        let usage = |first: u64| Usage {
            bytes: first,
            files: first + 1,
            uploads: first + 2,
            reserved_bytes: first + 3,
            reserved_files: u64::MAX - first,
        };
        let sum = usage(10).plus(&usage(100));
        let expected = Usage {
            bytes: 110,
            files: 112,
            uploads: 114,
            reserved_bytes: 116,
            reserved_files: u64::MAX,
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn an_empty_file_is_within_a_quota_that_is_exceeded() {
        let usage = Usage {
            bytes: 200,
            ..Usage::default()
        };
        assert_eq!(QUOTA.admit_file(&usage, 0), Ok(()));
        assert!(QUOTA.admit_file(&usage, 1).is_err());
    }
}
