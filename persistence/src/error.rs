//! Errors of the database, classified by what callers do about them.

use domain::QuotaError;
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, mysql::MySqlDatabaseError, postgres::PgDatabaseError, sqlite::SqliteError},
};

/// The result of a database operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a database operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, does not answer in time, or accepts no writes at the moment.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The operation lost races against others in every allowed attempt.
    #[error("the database is busy")]
    Busy(#[source] DbErr),
    /// The database has no space left.
    #[error("the database is full")]
    Full(#[source] DbErr),
    /// The connection was lost during a commit: the transaction may or may not be committed.
    #[error("the outcome of the commit is unknown")]
    CommitUnknown(#[source] Box<Error>),
    /// The operation exceeds an owner's quota.
    #[error(transparent)]
    QuotaFull(#[from] QuotaError),
    /// A row holds a value that the service never writes.
    #[error("a row of {table} cannot be read: {reason}")]
    CorruptRow {
        /// The table's logical name.
        table: &'static str,
        /// The reason why the row cannot be read.
        reason: String,
    },
    /// This program cannot work with the database or its schema.
    #[error("{0}")]
    Unusable(String),
    /// Any other failure: a defect, or a database that was modified by hand.
    #[error("the database refused an operation")]
    Other(#[source] DbErr),
}

impl Error {
    /// True if the same transaction may succeed when it is retried.
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

/// True if the error means that the database is unavailable, and not that it refused the statement.
pub(crate) fn is_unavailable(error: &DbErr) -> bool {
    kind(error) == Kind::Unavailable
}

/// The error of a statement for which there is no server.
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

/// Classifies by the primary result code, the last eight bits of the extended one.
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
        // too many connections (in total or of a user) or statements, shutting down, offline,
        // killed, read-only server, not part of its cluster, a statement or a connection that took
        // too long, a login that is refused at the moment
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
        // read-only transaction, a database that does not exist at the moment
        "25006" | "3D000" => Kind::Unavailable,
        // connections, logins, resources, operator intervention, system errors
        state if ["08", "28", "53", "57", "58"].contains(&state.get(..2).unwrap_or_default()) => {
            Kind::Unavailable
        }
        _ => Kind::Other,
    }
}
