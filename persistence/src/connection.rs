//! The target of statements: one pool, or one of several servers.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement, TransactionOptions, TransactionTrait as _,
    prelude::async_trait::async_trait,
};

use crate::{
    error::is_unavailable,
    replicas::{ReplicaSet, Server, Source, no_primary},
};

/// The target of statements.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    /// The only database.
    Single(DatabaseConnection),
    /// The primary: the server that accepts writes.
    Primary(Arc<ReplicaSet>),
    /// Any server that has everything that was committed before; while there is no primary, a
    /// replica with an acceptable lag. A missing row in such a replica counts as an error, not as
    /// absence.
    Any(Arc<ReplicaSet>),
}

impl Connection {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// When the database refuses it, or there is no primary.
    pub(crate) async fn begin(
        &self,
        options: TransactionOptions,
    ) -> Result<DatabaseTransaction, DbErr> {
        match self {
            Self::Single(pool) => pool.begin_with_options(options).await,
            Self::Primary(replicas) | Self::Any(replicas) => {
                let primary = replicas.primary()?;
                let pool = primary.pool();
                tokio::select! {
                    begun = pool.begin_with_options(options) => request_check_on_error(replicas, begun),
                    () = primary.unreachable() => Err(no_primary()),
                }
            }
        }
    }

    /// Checks that a row that was not found does not exist.
    ///
    /// # Errors
    ///
    /// While there is no primary: a replica may lack the row.
    pub(crate) fn ensure_authoritative(&self) -> Result<(), DbErr> {
        match self {
            Self::Single(_) => Ok(()),
            Self::Primary(replicas) | Self::Any(replicas) => replicas.primary().map(drop),
        }
    }

    /// Closes all connections once they are idle.
    pub(crate) async fn close(&self) {
        match self {
            // A connection that cannot be closed cleanly is closed when the process ends.
            Self::Single(pool) => drop(pool.close_by_ref().await),
            Self::Primary(replicas) | Self::Any(replicas) => replicas.close().await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Single(pool) => pool.get_database_backend(),
            Self::Primary(replicas) | Self::Any(replicas) => replicas.backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Single(pool) => pool.execute_raw(statement).await,
            Self::Primary(replicas) | Self::Any(replicas) => {
                let pool = replicas.primary()?.pool();
                request_check_on_error(replicas, pool.execute_raw(statement).await)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Single(pool) => pool.execute_unprepared(sql).await,
            Self::Primary(replicas) | Self::Any(replicas) => {
                let pool = replicas.primary()?.pool();
                request_check_on_error(replicas, pool.execute_unprepared(sql).await)
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let found = self.query(Query::One(statement)).await?;
        Ok(found.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.query(Query::All(statement)).await
    }
}

impl Connection {
    async fn query(&self, query: Query) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Single(pool) => query.send(pool).await,
            Self::Primary(replicas) => {
                let pool = replicas.primary()?.pool();
                request_check_on_error(replicas, query.send(&pool).await)
            }
            Self::Any(replicas) => read(replicas, &query).await,
        }
    }
}

/// A statement that reads.
enum Query {
    /// At most one row.
    One(Statement),
    All(Statement),
}

impl Query {
    async fn send(&self, pool: &DatabaseConnection) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::One(statement) => {
                let row = pool.query_one_raw(statement.clone()).await?;
                Ok(row.into_iter().collect())
            }
            Self::All(statement) => pool.query_all_raw(statement.clone()).await,
        }
    }
}

/// Reads from a replica in sync, or else from the primary; if that server becomes unreachable
/// meanwhile, from another one.
async fn read(replicas: &ReplicaSet, query: &Query) -> Result<Vec<QueryResult>, DbErr> {
    if let Source::Current(server) = replicas.source().await {
        if let Some(answer) = ask(server, query).await {
            return answer;
        }
        replicas.request_check();
        if let Ok(primary) = replicas.primary()
            && !std::ptr::eq(server, primary)
            && let Some(answer) = ask(primary, query).await
        {
            return answer;
        }
    }
    let found = query.send(&replicas.stale()?.pool()).await?;
    if found.is_empty() {
        return Err(no_primary());
    }
    Ok(found)
}

/// A server's answer; `None` if the server becomes unreachable.
async fn ask(server: &Server, query: &Query) -> Option<Result<Vec<QueryResult>, DbErr>> {
    let pool = server.pool();
    tokio::select! {
        answer = query.send(&pool) => match answer {
            Err(error) if is_unavailable(&error) => None,
            answer => Some(answer),
        },
        () = server.unreachable() => None,
    }
}

/// Requests a check of the servers if an operation failed because one is unavailable.
fn request_check_on_error<T>(replicas: &ReplicaSet, outcome: Result<T, DbErr>) -> Result<T, DbErr> {
    if outcome.as_ref().is_err_and(is_unavailable) {
        replicas.request_check();
    }
    outcome
}
