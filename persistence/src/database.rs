//! The database: its connections, and the operations on the database as a whole.

use std::{sync::Arc, time::Duration};

use domain::ReplicaSetStatus;
use sea_orm::{
    ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait as _, QuerySelect as _,
};
use tokio::time::timeout;

use crate::{
    boxed,
    connect::{ACQUIRE_TIMEOUT, Options, connect, server_options, sqlite_options, sqlite_path},
    connection::Connection,
    database_file::DatabaseFile,
    entities::user_file,
    error::Result,
    meter::note_system,
    replicas::ReplicaSet,
    transaction::{self, attempt},
};

/// The time limit for closing the connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The database that holds the metadata.
///
/// Each repository adds a method to it in its own file: [`Database::entries`],
/// [`Database::jobs`], and so on.
#[derive(Clone, Debug)]
pub struct Database {
    reading: Connection,
    writing: Connection,
    /// The file of a SQLite database.
    file: Option<DatabaseFile>,
}

impl Database {
    /// Connects to the database; creates a SQLite database that does not exist.
    ///
    /// Several servers are monitored from then on.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) when the database cannot be reached or no
    /// server is a primary; [`Error::Unusable`](crate::Error::Unusable) when several are;
    /// [`Error::Other`](crate::Error::Other) for a malformed URL or wrong credentials.
    #[boxed]
    pub async fn connect(options: &Options) -> Result<Self> {
        note_system(&options.url);
        if !options.replicas.is_empty() {
            let replicas = Box::pin(ReplicaSet::connect(options)).await?;
            replicas.monitor();
            return Ok(Self {
                reading: Connection::Any(Arc::clone(&replicas)),
                writing: Connection::Primary(replicas),
                file: None,
            });
        }
        if let Some(path) = sqlite_path(&options.url)? {
            // SQLite allows one writer at a time. Writers that queue for one connection are
            // served in order and at once, unlike writers that wait for SQLite's own lock.
            let file = DatabaseFile::open(&path)?;
            let writing = connect(&sqlite_options(&path, 1, ACQUIRE_TIMEOUT)).await?;
            let options = sqlite_options(&path, options.connections, ACQUIRE_TIMEOUT);
            let reading = connect(&options).await?;
            return Ok(Self {
                reading: Connection::Single(reading),
                writing: Connection::Single(writing),
                file: Some(file),
            });
        }
        let connection = connect(&server_options(&options.url, options.connections)).await?;
        Ok(Self {
            reading: Connection::Single(connection.clone()),
            writing: Connection::Single(connection),
            file: None,
        })
    }

    /// Checks that the database answers a query, and that the file of a SQLite database is still
    /// there: one that was removed answers as long as it is open, and is lost with the process.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or
    /// [`Error::TimedOut`](crate::Error::TimedOut) when it does not.
    #[boxed]
    pub async fn ping(&self) -> Result<()> {
        let find = || {
            user_file::Entity::find()
                .select_only()
                .column(user_file::Column::Id)
                .into_tuple::<i64>()
                .one(&self.reading)
        };
        if let Some(file) = &self.file {
            file.verify()?;
        }
        attempt(find).await.map(drop)
    }

    /// True if a transaction can still be committed a moment after its client died, by a server
    /// that has already received the commit.
    #[must_use]
    pub fn commits_outlive_clients(&self) -> bool {
        self.is_server()
    }

    /// True if processes on other machines can use the database as well.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.writing.get_database_backend() != DbBackend::Sqlite
    }

    /// Closes all connections once they are idle.
    ///
    /// Leaves a connection whose server no longer answers to the end of the process.
    #[boxed]
    pub async fn close(self) {
        let closing = async { tokio::join!(self.reading.close(), self.writing.close()) };
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!("could not close all database connections in time");
        }
    }

    /// The state of the database's servers, if there are several.
    #[must_use]
    pub fn replicas(&self) -> Option<ReplicaSetStatus> {
        match &self.reading {
            Connection::Any(replicas) => Some(replicas.status()),
            _ => None,
        }
    }

    /// The connection for reads; replicas answer them while there is no primary.
    pub(crate) fn reading(&self) -> &Connection {
        &self.reading
    }

    /// The connection for reads that precede a write: only the primary answers them.
    pub(crate) fn newest(&self) -> &Connection {
        match self.writing.get_database_backend() {
            // Readers see everything that was committed before, and need not queue behind writers.
            DbBackend::Sqlite => &self.reading,
            _ => &self.writing,
        }
    }

    /// The connection for writes.
    pub(crate) fn writing(&self) -> &Connection {
        &self.writing
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction> {
        Ok(self.writing.begin(transaction::WRITING).await?)
    }

    /// Runs a transaction that writes; see [`transaction::transact`].
    pub(crate) async fn transact<T, W>(
        &self,
        work: impl Fn(Arc<DatabaseTransaction>) -> W,
    ) -> Result<T>
    where
        W: Future<Output = Result<T>>,
    {
        transaction::transact(&self.writing, work).await
    }
}
