//! What statements are sent to: one pool, or whichever of several servers it is to be.

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

/// Where statements go.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    /// To the one database.
    Single(DatabaseConnection),
    /// To the server that takes writes.
    Primary(Arc<ReplicaSet>),
    /// To any server that has all that was committed before; while none takes writes, to one that
    /// has nearly all. It is never said of that one that it has no such row.
    Any(Arc<ReplicaSet>),
}

impl Connection {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// What the database says against it, or that no server takes writes.
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

    /// Says that what was not found is not there, if that is certain.
    ///
    /// # Errors
    ///
    /// While no server takes writes: a replica may have too little.
    pub(crate) fn ensure_authoritative(&self) -> Result<(), DbErr> {
        match self {
            Self::Single(_) => Ok(()),
            Self::Primary(replicas) | Self::Any(replicas) => replicas.primary().map(drop),
        }
    }

    /// Closes all connections, once they are idle.
    pub(crate) async fn close(&self) {
        match self {
            // What cannot be closed in good order is closed by the process's end.
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
    /// One row, if there is one.
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

/// Reads from a replica if one is well, else from the primary; if whoever is asked goes away
/// meanwhile, from another.
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

/// What a server answers; nothing if it is gone.
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

/// Has the servers looked at if one could not be used.
fn request_check_on_error<T>(replicas: &ReplicaSet, outcome: Result<T, DbErr>) -> Result<T, DbErr> {
    if outcome.as_ref().is_err_and(is_unavailable) {
        replicas.request_check();
    }
    outcome
}
