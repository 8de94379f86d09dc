//! How servers of each kind tell whether they take writes, and how far they are.

use std::time::{Duration, Instant};

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement, TryGetable, Value,
};

use crate::error::{Error, Result};

/// How long to wait before a replica that cannot wait by itself is asked again.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The kinds of servers that replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    MySql,
    MariaDb,
    Postgres,
}

/// How far a server is in what the primary wrote, as servers of its kind say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplicationPosition(String);

/// What talks to the server of a database's URL.
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
    /// That of a server.
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

    /// Whether a server lets its rows be changed.
    pub(super) async fn accepts_writes(self, server: &DatabaseConnection) -> Result<bool, DbErr> {
        let query = match self {
            Self::MySql | Self::MariaDb => "SELECT CAST(@@global.read_only AS CHAR)",
            Self::Postgres => "SELECT current_setting('transaction_read_only')",
        };
        let is_read_only: String = self::query(server, query, []).await?;
        Ok(matches!(is_read_only.as_str(), "0" | "OFF" | "off"))
    }

    /// How far the primary is; nothing if it does not count what it writes.
    pub(super) async fn position(
        self,
        primary: &DatabaseConnection,
    ) -> Result<Option<ReplicationPosition>, DbErr> {
        let query = match self {
            // It does not move with what is written without a number, or without a log.
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

    /// Whether a replica is as far as a position, or gets there in time.
    pub(super) async fn reaches(
        self,
        replica: &DatabaseConnection,
        position: &ReplicationPosition,
        timeout: Duration,
    ) -> Result<bool, DbErr> {
        let position = Value::from(position.0.as_str());
        let wait = match self {
            // Waiting for no time is waiting for ever.
            Self::MySql => "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, GREATEST(?, 0.001))",
            Self::MariaDb => "SELECT MASTER_GTID_WAIT(?, ?)",
            Self::Postgres => return has_replayed(replica, position, timeout).await,
        };
        let waited: i32 = query(replica, wait, [position, timeout.as_secs_f64().into()]).await?;
        Ok(waited == 0)
    }
}

/// Asks again and again, since this kind of server has nothing to wait for it by.
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
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the answer has no row".to_owned()))?;
    row.try_get_by_index(0)
}
