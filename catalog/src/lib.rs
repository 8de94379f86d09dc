//! The use cases, each once, whichever door a request came through.
//!
//! What they have in common: bytes are safe before the row that points at them is committed;
//! every look-up goes through the owner's own entry; no transaction is open while bytes move.

mod change;
mod check;
mod clock;
mod cursor;
mod error;
mod list;
mod open;
mod sweep;
mod upload;

use std::sync::Arc;

use persistence::Database;
use storage::Disk;

pub use change::Change;
pub use check::{CheckOptions, CheckProgress, Finding, Summary};
pub use clock::Clock;
pub use cursor::CursorKey;
pub use error::{Error, Result};
pub use list::Page;
pub use open::Download;
pub use persistence::{Entry, EntryFilter, Novelty};
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
}

impl Catalog {
    /// The catalogue over a database and a store.
    #[must_use]
    pub fn new(database: Database, store: Disk, clock: Clock, cursor_key: CursorKey) -> Self {
        Self(Arc::new(Parts {
            database,
            store,
            clock,
            cursor_key,
        }))
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
