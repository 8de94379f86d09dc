//! The connections, and what holds for every operation on them.

use std::{
    any::type_name_of_val,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use domain::Backoff;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, EntityTrait, QuerySelect, SqliteTransactionMode, TransactionOptions,
    sea_query::Alias,
    sqlx::{
        Connection as _, Executor as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio::time::timeout;

use crate::{
    Accounts, Claims, Contents, Entries, Error, Identities, Jobs, Leases, Leftovers, Links,
    Purging, Result, Schema, ServersStatus, Sessions, Stagings, Tokens, Transfers,
    connection::Connection,
    entities::user_file,
    meter::{Operation, measured, note_retry, note_system},
    schema,
    servers::Servers,
};

/// How long one operation may take, all its tries included, before the database counts as gone.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long closing the connections may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for a connection of the pool, or for a new one.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that lay idle for so long is asked whether it still works before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// When and how often to try again after a deadlock or a lost race.
const RETRIES: Backoff = Backoff {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(400),
    tries: 12,
};

/// SQLite refuses a write to a transaction that began as a reader and is no longer the newest;
/// so it begins as a writer. The others need nothing.
const WRITING: TransactionOptions = TransactionOptions {
    isolation_level: None,
    access_mode: None,
    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
};

/// Each of the 256 shards has a few statements of its own, and all of them stay prepared.
///
/// MySQL bounds what all connections have prepared together (`max_prepared_stmt_count`, 16,382
/// by default), which is enough for twelve connections that have prepared everything.
const STATEMENT_CACHE: usize = 256 * 5;

/// Where the database is and how many connections it gets.
#[derive(Clone)]
pub struct Options {
    /// `sqlite:PATH`, `mysql://...` or `postgres://...`.
    pub url: String,
    /// Other servers with the same rows, of the same kind; any one of all takes writes.
    pub replicas: Vec<String>,
    /// How far behind a replica may have been when the primary was last heard of, to be read from
    /// until one is there again.
    pub max_lag: Duration,
    /// The most connections to each server that are open at a time.
    pub connections: u32,
}

impl Options {
    /// One database, and no replicas.
    #[must_use]
    pub fn alone(url: impl Into<String>, connections: u32) -> Self {
        Self {
            url: url.into(),
            replicas: Vec::new(),
            max_lag: Duration::ZERO,
            connections,
        }
    }
}

/// The database that has the metadata.
#[derive(Clone, Debug)]
pub struct Database {
    reading: Connection,
    writing: Connection,
}

impl Database {
    /// Connects to the database; a SQLite database that is not there is made.
    ///
    /// If it has several servers, they are watched from then on.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it cannot be reached, or no server takes writes;
    /// [`Error::Unusable`] when several do; [`Error::Other`] for a URL that cannot be read or
    /// credentials that are wrong.
    pub async fn connect(options: &Options) -> Result<Self> {
        note_system(&options.url);
        if !options.replicas.is_empty() {
            let servers = Box::pin(Servers::connect(options)).await?;
            servers.watch();
            return Ok(Self {
                reading: Connection::Any(Arc::clone(&servers)),
                writing: Connection::Primary(servers),
            });
        }
        if let Some(path) = sqlite_path(&options.url)? {
            // SQLite takes one writer at a time. Writers that queue for one connection are
            // served in order and at once, which its own locking does not do.
            let writing = connect(&sqlite_options(&path, 1, ACQUIRE_TIMEOUT)).await?;
            let options = sqlite_options(&path, options.connections, ACQUIRE_TIMEOUT);
            let reading = connect(&options).await?;
            return Ok(Self {
                reading: Connection::Only(reading),
                writing: Connection::Only(writing),
            });
        }
        let connection = connect(&server_options(&options.url, options.connections)).await?;
        Ok(Self {
            reading: Connection::Only(connection.clone()),
            writing: Connection::Only(connection),
        })
    }

    /// The steps by which the schema was and can be changed.
    ///
    /// # Errors
    ///
    /// As [`Database::connect`]: it takes a connection of its own.
    pub async fn schema(options: &Options) -> Result<Schema> {
        if !options.replicas.is_empty() {
            let servers = Box::pin(Servers::connect(options)).await?;
            let primary = server_options(servers.primary_url()?, 1);
            servers.close().await;
            return Ok(Schema::new(connect(&primary).await?));
        }
        let options = match sqlite_path(&options.url)? {
            Some(path) => sqlite_options(&path, 1, schema::LOCK_TIMEOUT),
            None => server_options(&options.url, 1),
        };
        Ok(Schema::new(connect(&options).await?))
    }

    /// The rows of the contents.
    #[must_use]
    pub fn contents(&self) -> Contents<'_> {
        Contents(self)
    }

    /// The owners' entries.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries(self)
    }

    /// The uploads that can be resumed.
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions(self)
    }

    /// What is staged of those in stores that are no local disk.
    #[must_use]
    pub fn stagings(&self) -> Stagings<'_> {
        Stagings(self)
    }

    /// The claims on contents.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims(self)
    }

    /// How much owners have, and may have.
    #[must_use]
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts(self)
    }

    /// The service's own tokens.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(self)
    }

    /// The links to owners' files.
    #[must_use]
    pub fn links(&self) -> Links<'_> {
        Links(self)
    }

    /// The contents that nobody has any more.
    #[must_use]
    pub fn purging(&self) -> Purging<'_> {
        Purging(self)
    }

    /// The objects that are to go at a time.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers<'_> {
        Leftovers(self)
    }

    /// Which disks the stores are.
    #[must_use]
    pub fn identities(&self) -> Identities<'_> {
        Identities(self)
    }

    /// Who does what is to be done once in the whole cluster.
    #[must_use]
    pub fn leases(&self) -> Leases<'_> {
        Leases(self)
    }

    /// The copies that are to be made from store to store.
    #[must_use]
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs(self)
    }

    /// The transfers of stores' contents to others.
    #[must_use]
    pub fn transfers(&self) -> Transfers<'_> {
        Transfers(self)
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::TimedOut`] when there is none.
    pub async fn ping(&self) -> Result<()> {
        let look = || {
            user_file::Entity::find()
                .select_only()
                .column(user_file::Column::Id)
                .into_tuple::<i64>()
                .one(&self.reading)
        };
        attempt(look).await.map(drop)
    }

    /// Whether a transaction whose client died can still be committed a moment later, by a
    /// server that has been told to already.
    #[must_use]
    pub fn commits_outlive_clients(&self) -> bool {
        self.writing.get_database_backend() != DbBackend::Sqlite
    }

    /// Whether processes on other machines can use the database as well.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.writing.get_database_backend() != DbBackend::Sqlite
    }

    /// Closes all connections, once they are idle.
    ///
    /// One whose server does not answer any more is left to the process's end.
    pub async fn close(self) {
        let closing = async { tokio::join!(self.reading.close(), self.writing.close()) };
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!("not all connections to the database could be closed in good order");
        }
    }

    /// What is known of the database's servers, if there are several.
    #[must_use]
    pub fn servers(&self) -> Option<ServersStatus> {
        match &self.reading {
            Connection::Any(servers) => Some(servers.status()),
            _ => None,
        }
    }

    /// For statements that read, and are answered from replicas while there is no primary.
    pub(crate) fn reading(&self) -> &Connection {
        &self.reading
    }

    /// For statements that read what is then changed: the primary is asked, or nobody.
    pub(crate) fn newest(&self) -> &Connection {
        match self.writing.get_database_backend() {
            // Readers see what was committed before, and need not queue behind writers.
            DbBackend::Sqlite => &self.reading,
            _ => &self.writing,
        }
    }

    /// For statements that change something.
    pub(crate) fn writing(&self) -> &Connection {
        &self.writing
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction> {
        Ok(self.writing.begin(WRITING).await?)
    }
}

/// What a sum is to be cast to, which is of another type on every database.
pub(crate) fn big_integer(backend: DbBackend) -> Alias {
    Alias::new(match backend {
        DbBackend::MySql => "SIGNED",
        _ => "BIGINT",
    })
}

/// Makes a transaction, from the start again if it lost a race.
///
/// The work in it, and its end, are bounded in time one by one: what is cut off while it is being
/// committed may be committed all the same.
pub(crate) async fn transact<T, W>(work: impl Fn() -> W) -> Result<T>
where
    W: Future<Output = Result<(DatabaseTransaction, Result<T>)>>,
{
    let closure = type_name_of_val(&work);
    // Pinned here, since each who passes it on would make room for it again.
    let made = pin!(retried(Operation::Transaction, || async {
        let work = timeout(OPERATION_TIMEOUT, work()).await;
        let (transaction, outcome) = work.unwrap_or(Err(Error::TimedOut))?;
        end(transaction, outcome).await
    }));
    measured(Operation::Transaction, closure, made).await
}

/// Ends a transaction: commits it if its work was done, and else rolls it back.
pub(crate) async fn end<T>(transaction: DatabaseTransaction, work: Result<T>) -> Result<T> {
    match work {
        Ok(done) => match timeout(OPERATION_TIMEOUT, transaction.commit()).await {
            Ok(Ok(())) => Ok(done),
            Ok(Err(error)) => Err(commit_error(error)),
            Err(_) => Err(Error::CommitUnknown(Box::new(Error::TimedOut))),
        },
        Err(error) => {
            // A rollback that fails leaves nothing to do: the server rolls back what its client
            // has abandoned.
            let _ = timeout(OPERATION_TIMEOUT, transaction.rollback()).await;
            Err(error)
        }
    }
}

/// Runs an operation in bounded time, from the start again if it lost a race.
pub(crate) async fn attempt<T, E, O>(operation: impl Fn() -> O) -> Result<T>
where
    O: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    let closure = type_name_of_val(&operation);
    let made = pin!(async {
        timeout(OPERATION_TIMEOUT, retried(Operation::Statement, operation))
            .await
            .unwrap_or(Err(Error::TimedOut))
    });
    measured(Operation::Statement, closure, made).await
}

async fn retried<T, E, O>(kind: Operation, operation: impl Fn() -> O) -> Result<T>
where
    O: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    let mut failed = 0;
    loop {
        let error = match operation().await.map_err(Into::into) {
            Err(error) if error.is_lost_race() => error,
            outcome => return outcome,
        };
        failed += 1;
        let Some(wait) = RETRIES.wait(failed, getrandom::u32().unwrap_or(u32::MAX)) else {
            return Err(error);
        };
        note_retry(kind, failed);
        tracing::debug!(failed, ?wait, %error, "the database is busy, trying again");
        tokio::time::sleep(wait).await;
    }
}

fn commit_error(error: DbErr) -> Error {
    match Error::from(error) {
        // The database itself said that it did not commit.
        refused @ (Error::Busy(_) | Error::Full(_)) => refused,
        unclear => Error::CommitUnknown(Box::new(unclear)),
    }
}

/// The path of a SQLite database, or `None` for a database server.
fn sqlite_path(url: &str) -> Result<Option<PathBuf>> {
    let unusable = |reason: &str| Err(Error::Unusable(reason.to_owned()));
    match url.split_once(':') {
        Some(("mysql" | "postgres" | "postgresql", _)) => Ok(None),
        Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
            "" | ":memory:" => unusable("a SQLite database has to be a file: sqlite:PATH"),
            path if path.contains('?') => unusable("sqlite:PATH takes no parameters"),
            path => Ok(Some(path.into())),
        },
        // The URL itself may hold a password.
        _ => unusable("a database URL starts with sqlite:, mysql: or postgres:"),
    }
}

fn sqlite_options(path: &Path, connections: u32, patience: Duration) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite::memory:");
    let path = path.to_owned();
    options
        .max_connections(connections)
        .test_before_acquire(false);
    // A transaction that could not be ended would take in whatever is done next.
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                // A rollback may still be waiting its turn.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
    });
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .in_memory(false)
            .shared_cache(false)
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(patience)
            .statement_cache_capacity(STATEMENT_CACHE)
    });
    options
}

/// Prepares to connect to a server when it is needed, each time within some time at most.
pub(crate) async fn connect_later(
    url: &str,
    connections: u32,
    patience: Duration,
) -> Result<DatabaseConnection> {
    let mut options = server_options(url, connections);
    options.connect_lazy(true);
    connect_within(&options, patience).await
}

fn server_options(url: &str, connections: u32) -> ConnectOptions {
    let mut connect = ConnectOptions::new(url);
    connect
        .max_connections(connections)
        .test_before_acquire(false)
        .test_before_acquire_if_idle_for(PING_AFTER_IDLE)
        .map_sqlx_mysql_opts(|mysql| mysql.statement_cache_capacity(STATEMENT_CACHE))
        // As on PostgreSQL; MySQL's own default locks the gaps between rows as well.
        .map_sqlx_mysql_pool_opts(|pool| {
            pool.after_connect(|connection, _| {
                let level = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
                Box::pin(async move { connection.execute(level).await.map(drop) })
            })
        })
        .map_sqlx_postgres_opts(|postgres| {
            postgres
                .application_name("fileserver")
                .statement_cache_capacity(STATEMENT_CACHE)
        });
    connect
}

async fn connect(options: &ConnectOptions) -> Result<DatabaseConnection> {
    connect_within(options, ACQUIRE_TIMEOUT).await
}

async fn connect_within(
    options: &ConnectOptions,
    patience: Duration,
) -> Result<DatabaseConnection> {
    let mut options = options.clone();
    options
        // Were there any, the pool would count its idle connections from time to time, and may miscount
        // them while others use it: it never ends counting then, and keeps a thread (sqlx 0.9).
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .connect_timeout(patience)
        .acquire_timeout(patience)
        .sqlx_logging(false);
    Ok(sea_orm::Database::connect(options).await?)
}
