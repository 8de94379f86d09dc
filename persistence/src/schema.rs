//! Bringing the schema to what this program needs.

use std::time::Duration;

use migrations::{IntoSchemaManagerConnection, MigrationStatus, Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

use crate::{
    connect::{Options, connect, server_options, sqlite_options, sqlite_path},
    database::Database,
    error::{Error, Result},
    replicas::ReplicaSet,
};

/// How long to wait for another process that is changing the schema.
const LOCK_TIMEOUT: Duration = Duration::from_mins(2);

/// An arbitrary number that PostgreSQL's advisory lock goes by.
const LOCK_KEY: i64 = 0x6669_6c65;

/// The schema, over one connection of its own.
///
/// Processes that change it at the same time do so one after the other.
pub struct Schema(DatabaseConnection);

impl Database {
    /// Opens the schema over a connection of its own.
    ///
    /// # Errors
    ///
    /// The same as those of [`Database::connect`].
    pub async fn schema(options: &Options) -> Result<Schema> {
        if !options.replicas.is_empty() {
            let replicas = Box::pin(ReplicaSet::connect(options)).await?;
            let primary = server_options(replicas.primary_url()?, 1);
            replicas.close().await;
            return Ok(Schema(connect(&primary).await?));
        }
        let options = match sqlite_path(&options.url)? {
            Some(path) => sqlite_options(&path, 1, LOCK_TIMEOUT),
            None => server_options(&options.url, 1),
        };
        Ok(Schema(connect(&options).await?))
    }
}

impl Schema {
    /// Takes the steps that are missing.
    ///
    /// # Errors
    ///
    /// Whatever the database says against it.
    pub async fn up(&self) -> Result<()> {
        self.exclusively(Change::Up).await
    }

    /// Takes back the last so many steps, and what the tables hold with them.
    ///
    /// # Errors
    ///
    /// Whatever the database says against it.
    pub async fn down(&self, steps: u32) -> Result<()> {
        self.exclusively(Change::Down(steps)).await
    }

    /// Each step's name, oldest first, and whether it was taken.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when the database has steps that this program does not know.
    pub async fn steps(&self) -> Result<Vec<(String, bool)>> {
        let steps = Migrator::get_migration_with_status_read_only(&self.0).await;
        let steps = steps.map_err(|error| match error {
            DbErr::Custom(reason) => Error::Unusable(reason),
            error => error.into(),
        })?;
        Ok(steps
            .iter()
            .map(|step| {
                (
                    step.name().to_owned(),
                    step.status() == MigrationStatus::Applied,
                )
            })
            .collect())
    }

    /// Closes the connection.
    pub async fn close(self) {
        // What cannot be closed in good order is closed by the process's end.
        let _ = self.0.close().await;
    }

    async fn exclusively(&self, change: Change) -> Result<()> {
        let seconds = LOCK_TIMEOUT.as_secs();
        let (lock, unlock) = match self.0.get_database_backend() {
            DbBackend::MySql => (
                format!("SELECT GET_LOCK('fileserver.schema', {seconds}) AS locked"),
                "SELECT RELEASE_LOCK('fileserver.schema')".to_owned(),
            ),
            DbBackend::Postgres => (
                format!(
                    "SELECT 1 AS locked FROM set_config('lock_timeout', '{seconds}s', false), \
                     pg_advisory_lock({LOCK_KEY})"
                ),
                format!("SELECT pg_advisory_unlock({LOCK_KEY})"),
            ),
            // The one write lock, and all steps or none.
            _ => {
                let immediate = TransactionOptions {
                    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                    ..Default::default()
                };
                let transaction = self.0.begin_with_options(immediate).await?;
                change.make(&transaction).await?;
                return Ok(transaction.commit().await?);
            }
        };
        self.acquire(lock).await?;
        let outcome = change.make(&self.0).await;
        self.0.execute_unprepared(&unlock).await?;
        Ok(outcome?)
    }

    async fn acquire(&self, lock: String) -> Result<()> {
        let statement = Statement::from_string(self.0.get_database_backend(), lock);
        let row = self.0.query_one_raw(statement).await?;
        let lock = row
            .map(|row| row.try_get::<i32>("", "locked"))
            .transpose()?;
        match lock {
            Some(1) => Ok(()),
            _ => Err(Error::Unusable(format!(
                "another process has been changing the schema for {} s",
                LOCK_TIMEOUT.as_secs()
            ))),
        }
    }
}

#[derive(Clone, Copy)]
enum Change {
    Up,
    Down(u32),
}

impl Change {
    async fn make<'c>(self, connection: impl IntoSchemaManagerConnection<'c>) -> Result<(), DbErr> {
        match self {
            Self::Up => Migrator::up(connection, None).await,
            Self::Down(steps) => Migrator::down(connection, Some(steps)).await,
        }
    }
}
