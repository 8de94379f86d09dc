//! The limits on what clients may do, and the periods for which data is kept.

use std::{num::NonZeroU32, time::Duration};

use domain::Quota;

/// Whose contents may make an answer to an owner another, or faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disclosure {
    /// The contents of all owners: a claim on any content that the service has is granted for a proof,
    /// and uploads of known contents are not written.
    #[default]
    All,
    /// The owner's own contents.
    Owner,
    /// None: all claims are refused.
    Off,
}

/// Limits on requests, and retention periods.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Maximum size of an upload in bytes, if limited.
    pub max_upload_size: Option<u64>,
    /// Time after the last request until an upload expires.
    pub upload_age: Duration,
    /// Maximum number of claims of an owner per minute.
    pub claims_per_minute: u64,
    /// Whose contents claims and uploads are compared with.
    pub disclosure: Disclosure,
    /// Smallest content in bytes that can be claimed.
    pub claim_min_size: u64,
    /// Quota of owners that have no quota of their own.
    pub quota: Quota,
    /// Maximum lifetime of a link.
    pub link_age: Duration,
    /// Time after its last byte in which a visit of a link can be continued.
    pub visit_age: Duration,
    /// Time for which a deleted file can be restored.
    pub deleted_age: Duration,
    /// Time for which a content is kept after its last entry was removed.
    pub purge_grace: Duration,
    /// Time for which the old copy is kept after a content moved to another store.
    pub copy_grace: Duration,
    /// Time in which every content is read once to find damage; `None` if nothing is read.
    pub scrub_time: Option<Duration>,
    /// Maximum number of entries that one request of a search by name looks at.
    pub search_entries: Option<NonZeroU32>,
    /// Maximum number of searches and long pages that this process reads at the same time.
    pub concurrent_listings: u32,
    /// Minimum age of an object without a row to count as an orphan.
    pub orphan_age: Duration,
}

impl Limits {
    /// Time that a write into a store may take before its object counts as abandoned.
    pub(crate) fn upload_grace(&self) -> Duration {
        // A lower bound for short settings: a slow client may need hours for one part of an object, and
        // the part before is recorded with it.
        self.orphan_age.max(Duration::from_hours(24))
    }
}
