//! What can go wrong between the service and its database.

use domain::QuotaError;
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, mysql::MySqlDatabaseError, postgres::PgDatabaseError, sqlite::SqliteError},
};

/// What a database operation gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, does not answer in time, or takes no writes now.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The operation lost against others as often as it may be tried.
    #[error("the database is busy")]
    Busy(#[source] DbErr),
    /// The database has no room left.
    #[error("the database is full")]
    Full(#[source] DbErr),
    /// The connection was lost while a transaction was being committed: it may have been, or not.
    #[error("it is not known whether the transaction was committed")]
    CommitUnknown(#[source] Box<Error>),
    /// An owner has no room for more.
    #[error(transparent)]
    QuotaFull(#[from] QuotaError),
    /// A row holds what the service never writes.
    #[error("{table} has a row that cannot be read: {reason}")]
    CorruptRow {
        /// The table's logical name.
        table: &'static str,
        /// What is wrong with the row.
        reason: String,
    },
    /// This program cannot work with that database, or not with the schema that it has.
    #[error("{0}")]
    Unusable(String),
    /// Any other failure; a defect, or a database that was tampered with.
    #[error("the database refused an operation")]
    Other(#[source] DbErr),
}

impl Error {
    /// Whether the same transaction may well succeed when it is tried again.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    pub(crate) fn corrupt(table: &'static str, reason: impl Into<String>) -> Self {
        Self::CorruptRow {
            table,
            reason: reason.into(),
        }
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match kind(&error) {
            Kind::Unavailable => Self::Unavailable(error),
            Kind::Busy => Self::Busy(error),
            Kind::Full => Self::Full(error),
            Kind::Other => Self::Other(error),
        }
    }
}

/// Whether an error says that a database cannot be used now, and not what it thinks of a
/// statement.
pub(crate) fn is_unavailable(error: &DbErr) -> bool {
    kind(error) == Kind::Unavailable
}

/// That no server can be asked, as an error of a statement.
pub(crate) fn unreachable(why: &str) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(why.to_owned()))
}

#[derive(PartialEq, Eq)]
enum Kind {
    Unavailable,
    Busy,
    Full,
    Other,
}

fn kind(error: &DbErr) -> Kind {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => sqlx_kind(cause),
        DbErr::ConnectionAcquire(_) | DbErr::Conn(RuntimeErr::Internal(_)) => Kind::Unavailable,
        _ => Kind::Other,
    }
}

fn sqlx_kind(error: &sqlx::Error) -> Kind {
    let sqlx::Error::Database(reported) = error else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Kind::Unavailable,
            _ => Kind::Other,
        };
    };
    if let Some(error) = reported.try_downcast_ref::<SqliteError>() {
        return sqlite_kind(sqlx::error::DatabaseError::code(error).as_deref());
    }
    if let Some(error) = reported.try_downcast_ref::<MySqlDatabaseError>() {
        return mysql_kind(error.number());
    }
    if let Some(error) = reported.try_downcast_ref::<PgDatabaseError>() {
        return postgres_kind(error.code());
    }
    Kind::Other
}

/// By the primary result codes, which are the last eight bits of the extended ones.
fn sqlite_kind(code: Option<&str>) -> Kind {
    let code = code.and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED
        Some(5 | 6) => Kind::Busy,
        // SQLITE_FULL
        Some(13) => Kind::Full,
        // SQLITE_READONLY, SQLITE_IOERR, SQLITE_CANTOPEN
        Some(8 | 10 | 14) => Kind::Unavailable,
        _ => Kind::Other,
    }
}

fn mysql_kind(number: u16) -> Kind {
    match number {
        // lock wait timeout, deadlock, record changed since it was read
        1205 | 1213 | 1020 => Kind::Busy,
        // disk full, table full
        1021 | 1114 => Kind::Full,
        // too many connections (of a user, too) or statements, shutting down, offline, killed,
        // read-only server, not part of its cluster, a statement or a connection that took too
        // long, a login that is refused now
        1040 | 1045 | 1047 | 1049 | 1053 | 1077 | 1079 | 1203 | 1226 | 1290 | 1317 | 1461
        | 1836 | 1862 | 1927 | 1969 | 3024 | 3032 | 3118 | 3169 | 4031 => Kind::Unavailable,
        _ => Kind::Other,
    }
}

fn postgres_kind(state: &str) -> Kind {
    match state {
        // serialization failure, deadlock, lock not available
        "40001" | "40P01" | "55P03" => Kind::Busy,
        // disk full
        "53100" => Kind::Full,
        // read-only transaction, a database that is not there now
        "25006" | "3D000" => Kind::Unavailable,
        // connections, logins, resources, an operator's intervention, the system
        state if ["08", "28", "53", "57", "58"].contains(&state.get(..2).unwrap_or_default()) => {
            Kind::Unavailable
        }
        _ => Kind::Other,
    }
}
