//! The schema, and the migrations that bring it to the version of this program.

use std::time::Duration;

use migrations::{
    IntoSchemaManagerConnection, MigrationStatus, Migrator, MigratorTrait, SchemaManager,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

use crate::{
    boxed,
    connect::{Options, connect, server_options, sqlite_options, sqlite_path},
    database::Database,
    database_file::DatabaseFile,
    error::{Error, Result},
    replicas::ReplicaSet,
};

/// How often connections of other processes are looked for again before they count.
const CONNECTION_CHECKS: u32 = 10;

/// The time between two such checks.
const BETWEEN_CONNECTION_CHECKS: Duration = Duration::from_millis(200);

/// The time to wait for another process that is changing the schema.
const LOCK_TIMEOUT: Duration = Duration::from_mins(2);

/// The key of PostgreSQL's advisory lock, an arbitrary number.
const LOCK_KEY: i64 = 0x6669_6c65;

/// The schema, over a connection of its own.
///
/// Processes that change it concurrently do so one after the other.
pub struct Schema(DatabaseConnection);

impl Database {
    /// Opens the schema over a connection of its own.
    ///
    /// # Errors
    ///
    /// The same as those of [`Database::connect`].
    #[boxed]
    pub async fn schema(options: &Options) -> Result<Schema> {
        if !options.replicas.is_empty() {
            let replicas = Box::pin(ReplicaSet::connect(options)).await?;
            let primary = server_options(replicas.primary_url()?, 1);
            replicas.close().await;
            return Ok(Schema(connect(&primary).await?));
        }
        let options = match sqlite_path(&options.url)? {
            Some(path) => {
                DatabaseFile::open(&path)?;
                sqlite_options(&path, 1, LOCK_TIMEOUT)
            }
            None => server_options(&options.url, 1),
        };
        Ok(Schema(connect(&options).await?))
    }
}

impl Schema {
    /// Applies the pending migrations.
    ///
    /// # Errors
    ///
    /// When the database fails or refuses a migration.
    #[boxed]
    pub async fn up(&self) -> Result<()> {
        self.exclusively(Change::Up).await
    }

    /// The reasons not to revert the given number of migrations: rows that would be lost, and other
    /// processes that use the database.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn objections_to_down(&self, steps: u32) -> Result<Vec<String>> {
        let mut objections = Vec::new();
        if self.is_in_use().await? {
            objections.push("another process uses the database".to_owned());
        }
        let applied = self.steps().await?;
        let missing = applied.iter().filter(|(_, is_applied)| !is_applied).count();
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        let tables = migrations::dropped_tables(steps.saturating_add(missing));
        let mut filled = Vec::new();
        for table in tables {
            if self.has_rows(&table).await? {
                filled.push(table);
            }
        }
        if let Some(first) = filled.first() {
            objections.push(match filled.len() {
                1 => format!("the rows of {first} would be lost"),
                many => format!("the rows of {many} tables would be lost, of {first} among them"),
            });
        }
        Ok(objections)
    }

    /// Returns whether a table exists and has a row.
    async fn has_rows(&self, table: &str) -> Result<bool> {
        let manager = SchemaManager::new(&self.0);
        if !manager.has_table(table).await? {
            return Ok(false);
        }
        let statement = format!("SELECT 1 FROM {table} LIMIT 1");
        let backend = self.0.get_database_backend();
        let row = self
            .0
            .query_one_raw(Statement::from_string(backend, statement));
        Ok(row.await?.is_some())
    }

    /// Returns whether another process is connected to the database, and stays so: a server may need
    /// a moment to notice that a process has ended.
    async fn is_in_use(&self) -> Result<bool> {
        for _ in 0..CONNECTION_CHECKS {
            if !self.has_others().await? {
                return Ok(false);
            }
            tokio::time::sleep(BETWEEN_CONNECTION_CHECKS).await;
        }
        self.has_others().await
    }

    /// Returns whether another process is connected to the database.
    async fn has_others(&self) -> Result<bool> {
        let backend = self.0.get_database_backend();
        let others = match backend {
            DbBackend::MySql => {
                "SELECT COUNT(*) AS others FROM information_schema.processlist \
                 WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            }
            DbBackend::Postgres => {
                "SELECT COUNT(*) AS others FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                 AND application_name = 'fileserver'"
            }
            // A database leaves WAL mode only while nobody else has it open; the next connection
            // brings it back.
            _ => {
                let left = self
                    .0
                    .execute_unprepared("PRAGMA journal_mode = DELETE")
                    .await;
                let entered = self.0.execute_unprepared("PRAGMA journal_mode = WAL").await;
                return Ok(left.and(entered).is_err());
            }
        };
        let row = self
            .0
            .query_one_raw(Statement::from_string(backend, others));
        let others = row.await?.map(|row| row.try_get::<i64>("", "others"));
        Ok(others.transpose()?.is_some_and(|others| others > 0))
    }

    /// Reverts the given number of migrations, and deletes the data in their tables.
    ///
    /// # Errors
    ///
    /// When the database fails or refuses a migration.
    #[boxed]
    pub async fn down(&self, steps: u32) -> Result<()> {
        self.exclusively(Change::Down(steps)).await
    }

    /// The name of each migration, oldest first, and whether it was applied.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when the database has migrations that this program does not know.
    #[boxed]
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
    #[boxed]
    pub async fn close(self) {
        // A connection that cannot be closed cleanly is closed when the process ends.
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
            // SQLite has one write lock; the transaction applies all migrations or none.
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
        let locked = row
            .map(|row| row.try_get::<i32>("", "locked"))
            .transpose()?;
        match locked {
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
