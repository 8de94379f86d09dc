//! Connecting: the options of the service, and the settings of each connection pool.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{
    ConnectOptions, DatabaseConnection,
    sqlx::{
        Connection as _, Executor as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use url::Url;

use crate::error::{Error, Result};

/// Time limit for getting a connection from the pool, or a new one.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is pinged before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// Each of the 256 shards has a few statements of its own, and all of them stay prepared.
///
/// MySQL limits the prepared statements of all connections together (`max_prepared_stmt_count`,
/// 16,382 by default), which is enough for twelve connections that have prepared everything.
const STATEMENT_CACHE: usize = 256 * 5;

/// The database's URLs and the sizes of its connection pools.
#[derive(Clone)]
pub struct Options {
    /// `sqlite:PATH`, `mysql://...` or `postgres://...`.
    pub url: String,
    /// Other servers of the same kind with the same rows; any of all servers may be the primary.
    pub replicas: Vec<String>,
    /// The largest lag of a replica that is still read from while there is no primary. The lag is
    /// measured at the time when the primary last answered.
    pub max_lag: Duration,
    /// The largest number of open connections to each server.
    pub connections: u32,
}

impl Options {
    /// The options for one database without replicas.
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

/// The path of a SQLite database, or `None` for a database server.
pub(crate) fn sqlite_path(url: &str) -> Result<Option<PathBuf>> {
    let unusable = |reason: &str| Err(Error::Unusable(reason.to_owned()));
    match url.split_once(':') {
        Some(("mysql" | "postgres" | "postgresql", _)) => Ok(None),
        Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
            "" | ":memory:" => unusable("a SQLite database must be a file: sqlite:PATH"),
            path if path.contains('?') => unusable("sqlite:PATH takes no parameters"),
            path => Ok(Some(path.into())),
        },
        // The message leaves out the URL, which may contain a password.
        _ => unusable("a database URL must start with sqlite:, mysql: or postgres:"),
    }
}

/// The options of a pool for a SQLite database; a statement waits up to `busy_timeout` for locks.
pub(crate) fn sqlite_options(
    path: &Path,
    connections: u32,
    busy_timeout: Duration,
) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite::memory:");
    let path = path.to_owned();
    options
        .max_connections(connections)
        .test_before_acquire(false);
    // Drop a connection whose transaction could not be ended: that transaction would include the
    // next operation's statements.
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                // A rollback may still be queued; the ping waits for it.
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
            .busy_timeout(busy_timeout)
            .statement_cache_capacity(STATEMENT_CACHE)
    });
    options
}

/// The options of a pool for a database server.
pub(crate) fn server_options(url: &str, connections: u32) -> ConnectOptions {
    let mut connect = ConnectOptions::new(url);
    connect
        .max_connections(connections)
        .test_before_acquire(false)
        .test_before_acquire_if_idle_for(PING_AFTER_IDLE)
        .map_sqlx_mysql_opts(|mysql| mysql.statement_cache_capacity(STATEMENT_CACHE))
        // The same level as on PostgreSQL; MySQL's default also locks the gaps between rows.
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

/// Opens a pool.
pub(crate) async fn connect(options: &ConnectOptions) -> Result<DatabaseConnection> {
    connect_within(options, ACQUIRE_TIMEOUT).await
}

/// Prepares a pool that connects on first use; each connection attempt ends after `timeout`.
pub(crate) async fn connect_lazily(
    url: &str,
    connections: u32,
    timeout: Duration,
) -> Result<DatabaseConnection> {
    let mut options = server_options(url, connections);
    options.connect_lazy(true);
    connect_within(&options, timeout).await
}

/// Refuses a URL that cannot be parsed. The library's error would contain it, with the password.
fn refuse_malformed(url: &str) -> Result<()> {
    let is_well_formed = url.starts_with("sqlite:") || Url::parse(url).is_ok();
    is_well_formed.then_some(()).ok_or_else(|| {
        let reason = "its URL is malformed; characters such as # / ? @ in a password have to be \
                      percent-encoded";
        Error::Unusable(reason.to_owned())
    })
}

async fn connect_within(options: &ConnectOptions, timeout: Duration) -> Result<DatabaseConnection> {
    refuse_malformed(options.get_url())?;
    let mut options = options.clone();
    options
        // With either of these, the pool counts its idle connections from time to time and may
        // miscount them while others use it: the count then never ends and occupies a thread
        // (sqlx 0.9).
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .connect_timeout(timeout)
        .acquire_timeout(timeout)
        .sqlx_logging(false);
    Ok(sea_orm::Database::connect(options).await?)
}
