//! `FileService`.

use std::sync::Arc;

use cache::HotEntries;
use domain::Timestamp;
use persistence::{Database, ServersStatus};

use crate::{
    Clock, CursorKey, Lease, LeaseName, Limits, LinkKeys, Result, Stores,
    address_cache::AddressCache, lease::Leases, quota_reservation::Reservations,
    takeover::UploadLocks,
};

/// The files that the service keeps: their metadata and their bytes.
///
/// Cloning it is cheap, and gives the same catalogue.
#[derive(Clone)]
pub struct FileService(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) database: Database,
    pub(crate) stores: Stores,
    pub(crate) clock: Clock,
    pub(crate) cursor_key: CursorKey,
    pub(crate) link_keys: LinkKeys,
    pub(crate) limits: Limits,
    pub(crate) upload_locks: UploadLocks,
    pub(crate) reservations: Reservations,
    pub(crate) addresses: AddressCache,
    pub(crate) leases: Leases,
    pub(crate) entry_cache: Option<HotEntries>,
}

/// The secrets that the service proves its own words with.
pub struct Keys {
    /// That of listings' cursors.
    pub cursor: CursorKey,
    /// Those of links.
    pub links: LinkKeys,
}

impl FileService {
    /// the service over a database and stores, perhaps with a cache.
    #[must_use]
    pub fn new(
        database: Database,
        stores: Stores,
        clock: Clock,
        keys: Keys,
        limits: Limits,
        entry_cache: Option<HotEntries>,
    ) -> Self {
        let largest = stores.primary().largest_object();
        let limits = Limits {
            max_upload_size: limits.max_upload_size.into_iter().chain(largest).min(),
            ..limits
        };
        Self(Arc::new(Parts {
            leases: Leases::new(&database),
            database,
            stores,
            clock,
            cursor_key: keys.cursor,
            link_keys: keys.links,
            limits,
            upload_locks: UploadLocks::default(),
            reservations: Reservations::default(),
            addresses: AddressCache::default(),
            entry_cache,
        }))
    }

    /// What clients may do at most.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Makes sure that the database answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn probe_database(&self) -> Result<()> {
        Ok(self.0.database.ping().await?)
    }

    /// What is known of the database's servers, if there are several.
    #[must_use]
    pub fn replica_set_status(&self) -> Option<ServersStatus> {
        self.0.database.servers()
    }

    /// Whether processes on other machines can use the database as well.
    #[must_use]
    pub fn is_on_server(&self) -> bool {
        self.0.database.is_server()
    }

    /// The stores.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.0.stores
    }

    /// Makes sure that the store answers that takes what is uploaded.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn probe_store(&self) -> Result<()> {
        Ok(self.0.stores.primary().probe().await?)
    }

    /// Closes the connections to the database.
    pub async fn close(self) {
        self.0.database.clone().close().await;
    }

    /// The lease with this name; not held before [`Lease::maintain`] runs.
    #[must_use]
    pub fn lease(&self, name: LeaseName) -> &Lease {
        self.0.leases.of(name)
    }

    /// The cache, if there is one.
    #[must_use]
    pub fn entry_cache(&self) -> Option<&HotEntries> {
        self.0.entry_cache.as_ref()
    }
}
