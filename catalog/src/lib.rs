//! The use cases, each once, whichever door a request came through.
//!
//! What they have in common: bytes are safe before the row that points at them is committed;
//! every look-up goes through the owner's own entry; no transaction is open while bytes move.

mod change;
mod check;
mod claim;
mod clock;
mod cursor;
mod error;
mod list;
mod open;
mod sessions;
mod sweep;
mod upload;

use std::{sync::Arc, time::Duration};

use persistence::Database;
use sessions::Turns;
use storage::Disk;

pub use change::Change;
pub use check::{CheckOptions, CheckProgress, Finding, Summary};
pub use claim::{ClaimTicket, NewClaim};
pub use clock::Clock;
pub use cursor::CursorKey;
pub use error::{Error, Result};
pub use list::Page;
pub use open::Download;
pub use persistence::{Entry, EntryFilter, Novelty, Protocol, Role, Session, SessionState};
pub use sessions::{Append, AppendRequest, Completes, NewUpload, Outcome, Standing};
pub use upload::{Expected, Stored, Upload};

/// The files that the service keeps: their metadata and their bytes.
///
/// Cloning it is cheap, and gives the same catalogue.
#[derive(Clone)]
pub struct Catalog(Arc<Parts>);

struct Parts {
    database: Database,
    store: Disk,
    clock: Clock,
    cursor_key: CursorKey,
    limits: Limits,
    turns: Turns,
}

/// What clients may do at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes that an upload may have, if there is a limit.
    pub max_upload_size: Option<u64>,
    /// How long an upload is kept of which nothing is heard.
    pub upload_age: Duration,
    /// How many claims an owner may make in a minute.
    pub claims_per_minute: u64,
}

impl Catalog {
    /// The catalogue over a database and a store.
    #[must_use]
    pub fn new(
        database: Database,
        store: Disk,
        clock: Clock,
        cursor_key: CursorKey,
        limits: Limits,
    ) -> Self {
        Self(Arc::new(Parts {
            database,
            store,
            clock,
            cursor_key,
            limits,
            turns: Turns::default(),
        }))
    }

    /// What clients may do at most.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Makes sure that the database answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn probe_database(&self) -> Result<()> {
        Ok(self.0.database.ping().await?)
    }

    /// Makes sure that the store takes bytes.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn probe_store(&self) -> Result<()> {
        Ok(self.0.store.probe().await?)
    }

    /// Closes the connections to the database.
    pub async fn close(self) {
        self.0.database.clone().close().await;
    }
}
