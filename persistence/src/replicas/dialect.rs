//! The queries that ask each kind of server whether it accepts writes, and for its replication
//! position.

use std::time::{Duration, Instant};

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement, TryGetable, Value,
};

use crate::error::{Error, Result};

/// The wait between queries to a replica that has no query to wait for a position.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The kinds of servers that replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    MySql,
    MariaDb,
    Postgres,
}

/// A position in the stream of the primary's writes, in the server's own notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplicationPosition(String);

/// The backend for a database URL.
///
/// # Errors
///
/// [`Error::Unusable`] for a database that has no replicas.
pub(super) fn backend_of(url: &str) -> Result<DbBackend> {
    match url.split_once(':') {
        Some(("mysql", _)) => Ok(DbBackend::MySql),
        Some(("postgres" | "postgresql", _)) => Ok(DbBackend::Postgres),
        _ => Err(Error::Unusable(
            "only database servers have replicas: mysql://... or postgres://...".to_owned(),
        )),
    }
}

impl Dialect {
    /// Detects the kind of a server.
    pub(super) async fn of(server: &DatabaseConnection) -> Result<Self, DbErr> {
        if server.get_database_backend() == DbBackend::Postgres {
            return Ok(Self::Postgres);
        }
        let version: String = query(server, "SELECT VERSION()", []).await?;
        Ok(if version.contains("MariaDB") {
            Self::MariaDb
        } else {
            Self::MySql
        })
    }

    /// Reports whether a server accepts writes.
    pub(super) async fn accepts_writes(self, server: &DatabaseConnection) -> Result<bool, DbErr> {
        let query = match self {
            Self::MySql | Self::MariaDb => "SELECT CAST(@@global.read_only AS CHAR)",
            Self::Postgres => "SELECT current_setting('transaction_read_only')",
        };
        let is_read_only: String = self::query(server, query, []).await?;
        Ok(matches!(is_read_only.as_str(), "0" | "OFF" | "off"))
    }

    /// The position of the primary; `None` if the server does not record its writes.
    pub(super) async fn position(
        self,
        primary: &DatabaseConnection,
    ) -> Result<Option<ReplicationPosition>, DbErr> {
        let query = match self {
            // The position does not advance with writes that have no GTID or are not logged.
            Self::MySql => {
                "SELECT CAST(IF(@@global.gtid_mode IN ('ON', 'ON_PERMISSIVE') AND @@global.log_bin, \
                 @@global.gtid_executed, '') AS CHAR)"
            }
            Self::MariaDb => "SELECT @@global.gtid_binlog_pos",
            Self::Postgres => "SELECT CAST(pg_current_wal_lsn() AS TEXT)",
        };
        let position: String = self::query(primary, query, []).await?;
        Ok((!position.is_empty()).then_some(ReplicationPosition(position)))
    }

    /// Reports whether a replica has reached a position, or reaches it before the timeout.
    pub(super) async fn reaches(
        self,
        replica: &DatabaseConnection,
        position: &ReplicationPosition,
        timeout: Duration,
    ) -> Result<bool, DbErr> {
        let position = Value::from(position.0.as_str());
        let wait = match self {
            // A timeout of zero means no timeout.
            Self::MySql => "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, GREATEST(?, 0.001))",
            Self::MariaDb => "SELECT MASTER_GTID_WAIT(?, ?)",
            Self::Postgres => return has_replayed(replica, position, timeout).await,
        };
        let waited: i32 = query(replica, wait, [position, timeout.as_secs_f64().into()]).await?;
        Ok(waited == 0)
    }
}

/// Polls, because PostgreSQL has no query that waits for a position.
async fn has_replayed(
    replica: &DatabaseConnection,
    position: Value,
    timeout: Duration,
) -> Result<bool, DbErr> {
    let end = Instant::now() + timeout;
    loop {
        let question = "SELECT pg_last_wal_replay_lsn() >= CAST($1 AS pg_lsn)";
        if query(replica, question, [position.clone()]).await? {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn query<T: TryGetable>(
    server: &DatabaseConnection,
    question: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<T, DbErr> {
    let backend = server.get_database_backend();
    let question = Statement::from_sql_and_values(backend, question, values);
    let row = server.query_one_raw(question).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the result has no row".to_owned()))?;
    row.try_get_by_index(0)
}
