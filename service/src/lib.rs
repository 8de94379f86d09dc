//! The use cases, each once, whichever door a request came through.
//!
//! What they have in common: bytes are safe before the row that points at them is committed;
//! every look-up goes through the owner's own entry; no transaction is open while bytes move.

mod change;
mod check;
mod claim;
mod clock;
mod copy;
mod cursor;
mod error;
mod hot;
mod identity;
mod lease;
mod links;
mod list;
mod open;
mod purge;
mod room;
mod sessions;
mod stores;
mod sweep;
mod tokens;
mod transfers;
mod upload;
mod usage;

use std::{sync::Arc, time::Duration};

use cache::HotEntries;
use domain::{Quota, Timestamp};
use lease::Leases;
use open::Addresses;
use persistence::Database;
use room::Rooms;
use sessions::Turns;

pub use change::Change;
pub use check::{CheckOptions, CheckProgress, Finding, Summary};
pub use claim::{ClaimTicket, NewClaim};
pub use clock::Clock;
pub use copy::Performed;
pub use cursor::CursorKey;
pub use error::{Error, Result};
pub use hot::ENTRY_FORMAT;
pub use lease::{Duty, Lease};
pub use links::{IssuedLink, LinkKeys, LinkedFile, NewLink};
pub use list::Page;
pub use open::Download;
pub use persistence::{
    Entry, EntryFilter, Job, JobId, Limit, Link, Miscount, Novelty, OwnQuota, Protocol, Role,
    ServerStatus, ServersStatus, Session, SessionState, Standing as JobStanding, Token, TokenState,
    Transfer, TransferState,
};
pub use purge::Purged;
pub use sessions::{Append, AppendRequest, Completes, NewUpload, Outcome, Standing};
pub use stores::{Policy, Stores};
pub use tokens::NewToken;
pub use transfers::{Planned, TransferReport};
pub use upload::{Expected, Stored, Upload};
pub use usage::Allowance;

/// The files that the service keeps: their metadata and their bytes.
///
/// Cloning it is cheap, and gives the same catalogue.
#[derive(Clone)]
pub struct FileService(Arc<Parts>);

struct Parts {
    database: Database,
    stores: Stores,
    clock: Clock,
    cursor_key: CursorKey,
    link_keys: LinkKeys,
    limits: Limits,
    turns: Turns,
    rooms: Rooms,
    addresses: Addresses,
    leases: Leases,
    hot: Option<HotEntries>,
}

/// What clients may do at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The most bytes that an upload may have, if there is a limit.
    pub max_upload_size: Option<u64>,
    /// How long an upload is kept of which nothing is heard.
    pub upload_age: Duration,
    /// How many claims an owner may make in a minute.
    pub claims_per_minute: u64,
    /// How much an owner may have who has no quota of its own.
    pub quota: Quota,
    /// The longest that a link may work.
    pub link_age: Duration,
    /// How long a deleted file can be restored.
    pub deleted_age: Duration,
    /// How long a content stays that nobody has any more.
    pub purge_grace: Duration,
    /// How long a copy stays that was moved to another store.
    pub copy_grace: Duration,
    /// How old an object has to be, to which no row leads, to be taken for left behind.
    pub orphan_age: Duration,
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
        hot: Option<HotEntries>,
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
            turns: Turns::default(),
            rooms: Rooms::default(),
            addresses: Addresses::default(),
            hot,
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
    pub fn database_servers(&self) -> Option<ServersStatus> {
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
}
