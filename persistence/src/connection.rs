//! What statements are sent to: one pool, or whichever of several servers it is to be.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement, TransactionOptions, TransactionTrait as _,
    prelude::async_trait::async_trait,
};

use crate::{
    error::is_unavailable,
    servers::{Server, Servers, Source, no_primary},
};

/// Where statements go.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    /// To the one database.
    Only(DatabaseConnection),
    /// To the server that takes writes.
    Primary(Arc<Servers>),
    /// To any server that has all that was committed before; while none takes writes, to one that
    /// has nearly all. It is never said of that one that it has no such row.
    Any(Arc<Servers>),
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
            Self::Only(pool) => pool.begin_with_options(options).await,
            Self::Primary(servers) | Self::Any(servers) => {
                let primary = servers.primary()?;
                let rows = primary.rows();
                tokio::select! {
                    begun = rows.begin_with_options(options) => note(servers, begun),
                    () = primary.gone() => Err(no_primary()),
                }
            }
        }
    }

    /// Says that what was not found is not there, if that is certain.
    ///
    /// # Errors
    ///
    /// While no server takes writes: a replica may have too little.
    pub(crate) fn vouch_for_absence(&self) -> Result<(), DbErr> {
        match self {
            Self::Only(_) => Ok(()),
            Self::Primary(servers) | Self::Any(servers) => servers.primary().map(drop),
        }
    }

    /// Closes all connections, once they are idle.
    pub(crate) async fn close(&self) {
        match self {
            // What cannot be closed in good order is closed by the process's end.
            Self::Only(pool) => drop(pool.close_by_ref().await),
            Self::Primary(servers) | Self::Any(servers) => servers.close().await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Only(pool) => pool.get_database_backend(),
            Self::Primary(servers) | Self::Any(servers) => servers.backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Only(pool) => pool.execute_raw(statement).await,
            Self::Primary(servers) | Self::Any(servers) => {
                let rows = servers.primary()?.rows();
                note(servers, rows.execute_raw(statement).await)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Only(pool) => pool.execute_unprepared(sql).await,
            Self::Primary(servers) | Self::Any(servers) => {
                let rows = servers.primary()?.rows();
                note(servers, rows.execute_unprepared(sql).await)
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
            Self::Only(pool) => query.send(pool).await,
            Self::Primary(servers) => {
                let rows = servers.primary()?.rows();
                note(servers, query.send(&rows).await)
            }
            Self::Any(servers) => read(servers, &query).await,
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
    async fn send(&self, rows: &DatabaseConnection) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::One(statement) => {
                let row = rows.query_one_raw(statement.clone()).await?;
                Ok(row.into_iter().collect())
            }
            Self::All(statement) => rows.query_all_raw(statement.clone()).await,
        }
    }
}

/// Reads from a replica if one is well, else from the primary; if whoever is asked goes away
/// meanwhile, from another.
async fn read(servers: &Servers, query: &Query) -> Result<Vec<QueryResult>, DbErr> {
    if let Source::Current(server) = servers.source().await {
        if let Some(answer) = ask(server, query).await {
            return answer;
        }
        servers.report_trouble();
        if let Ok(primary) = servers.primary()
            && !std::ptr::eq(server, primary)
            && let Some(answer) = ask(primary, query).await
        {
            return answer;
        }
    }
    let found = query.send(&servers.stale()?.rows()).await?;
    if found.is_empty() {
        return Err(no_primary());
    }
    Ok(found)
}

/// What a server answers; nothing if it is gone.
async fn ask(server: &Server, query: &Query) -> Option<Result<Vec<QueryResult>, DbErr>> {
    let rows = server.rows();
    tokio::select! {
        answer = query.send(&rows) => match answer {
            Err(error) if is_unavailable(&error) => None,
            answer => Some(answer),
        },
        () = server.gone() => None,
    }
}

/// Has the servers looked at if one could not be used.
fn note<T>(servers: &Servers, outcome: Result<T, DbErr>) -> Result<T, DbErr> {
    if outcome.as_ref().is_err_and(is_unavailable) {
        servers.report_trouble();
    }
    outcome
}
