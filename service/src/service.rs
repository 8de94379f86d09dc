//! The service: its parts and the operations that belong to no single use case.

use std::{fmt, sync::Arc};

use cache::EntryCache;
use domain::{ReplicaSetStatus, Timestamp};
use parking_lot::Mutex;
use persistence::Database;

use crate::{
    Clock, CursorKey, Lease, LeaseName, Limits, LinkKeys, Result, Stores,
    address_cache::AddressCache, boxed, checksum_cache::ChecksumCache, clock_watch::ClockWatch,
    damage::Damage, lease::Leases, listing_turns::ListingTurns, quota_reservation::Reservations,
    takeover::UploadLocks,
};

/// All files of the service: metadata and bytes.
///
/// Clones are cheap and share the same service.
#[derive(Clone)]
pub struct FileService(pub(crate) Arc<Parts>);

impl fmt::Debug for FileService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileService").finish_non_exhaustive()
    }
}

pub(crate) struct Parts {
    pub(crate) database: Database,
    pub(crate) stores: Stores,
    pub(crate) clock: Clock,
    pub(crate) clock_watch: Mutex<ClockWatch>,
    pub(crate) cursor_key: CursorKey,
    pub(crate) link_keys: LinkKeys,
    pub(crate) limits: Limits,
    pub(crate) upload_locks: UploadLocks,
    pub(crate) reservations: Reservations,
    pub(crate) addresses: AddressCache,
    pub(crate) checksums: ChecksumCache,
    pub(crate) damage: Damage,
    pub(crate) leases: Leases,
    pub(crate) listing_turns: ListingTurns,
    pub(crate) entry_cache: Option<EntryCache>,
}

/// The keys that sign cursors and links.
pub struct Keys {
    /// Key of listing cursors.
    pub cursor: CursorKey,
    /// Keys of links.
    pub links: LinkKeys,
}

impl FileService {
    /// Creates the service over a database and stores, with an optional entry cache.
    #[must_use]
    pub fn new(
        database: Database,
        stores: Stores,
        clock: Clock,
        keys: Keys,
        limits: Limits,
        entry_cache: Option<EntryCache>,
    ) -> Self {
        let largest = stores.primary().max_object_size();
        let limits = Limits {
            max_upload_size: limits.max_upload_size.into_iter().chain(largest).min(),
            ..limits
        };
        Self(Arc::new(Parts {
            leases: Leases::new(&database),
            database,
            stores,
            clock,
            clock_watch: Mutex::default(),
            cursor_key: keys.cursor,
            link_keys: keys.links,
            listing_turns: ListingTurns::new(limits.concurrent_listings),
            limits,
            upload_locks: UploadLocks::default(),
            reservations: Reservations::default(),
            addresses: AddressCache::default(),
            checksums: ChecksumCache::default(),
            damage: Damage::default(),
            entry_cache,
        }))
    }

    /// The limits on what clients may do.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    #[boxed]
    pub async fn probe_database(&self) -> Result<()> {
        Ok(self.0.database.ping().await?)
    }

    /// Status of the database's primary and replicas; `None` if there is only one server.
    #[must_use]
    pub fn replica_set_status(&self) -> Option<ReplicaSetStatus> {
        self.0.database.replicas()
    }

    /// Returns whether processes on other machines can use the database as well.
    #[must_use]
    pub fn is_on_server(&self) -> bool {
        self.0.database.is_server()
    }

    /// The configured stores.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.0.stores
    }

    /// Checks that the primary store answers, which takes new uploads.
    ///
    /// # Errors
    ///
    /// When it does not.
    #[boxed]
    pub async fn probe_store(&self) -> Result<()> {
        Ok(self.0.stores.primary().probe().await?)
    }

    /// Closes the connections to the database.
    #[boxed]
    pub async fn close(self) {
        self.0.database.clone().close().await;
    }

    /// The lease with this name; not held before [`Lease::maintain`] runs.
    #[must_use]
    pub fn lease(&self, name: LeaseName) -> &Lease {
        self.0.leases.of(name)
    }

    /// The entry cache, if there is one.
    #[must_use]
    pub fn entry_cache(&self) -> Option<&EntryCache> {
        self.0.entry_cache.as_ref()
    }
}
