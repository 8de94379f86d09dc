//! A database of its own for each test, on real servers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    thread,
    time::Duration,
};

use sea_orm::sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tempfile::TempDir;
use tokio::runtime;

use crate::{binary, program, stack, variable};

/// The kinds of databases that the service works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, or with `TEST_STACK=full` a primary with a replica.
    Sqlite,
    /// A `MariaDB` server.
    MariaDb,
    /// A `PostgreSQL` server.
    Postgres,
}

/// An empty database, which is removed when this is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    kind: Kind,
    name: String,
    server: String,
    /// Whether it is removed together with its server.
    is_left: bool,
    folder: TempDir,
}

impl TestDatabase {
    /// Makes an empty database.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let server = match kind {
            Kind::Sqlite | Kind::MariaDb if stack::is_full() => {
                return Self::make(Kind::MariaDb, stack::database(), false);
            }
            Kind::Sqlite => String::new(),
            Kind::MariaDb => variable("TEST_MYSQL_URL"),
            Kind::Postgres => variable("TEST_POSTGRES_URL"),
        };
        Self::make(kind, server, false)
    }

    /// Makes a database that has the newest schema and no rows, where it can be copied.
    ///
    /// Each program of tests makes the schema once, since that takes longer than the rest of a server's
    /// start. `MariaDB` cannot copy it: there a server that starts makes it.
    #[must_use]
    pub(crate) fn with_schema(kind: Kind) -> Self {
        static FILE: OnceLock<Vec<u8>> = OnceLock::new();
        static TEMPLATE: OnceLock<String> = OnceLock::new();
        if kind == Kind::Postgres {
            let server = variable("TEST_POSTGRES_URL");
            let template = TEMPLATE.get_or_init(|| template(&server));
            let copied = format!(" TEMPLATE {template} STRATEGY file_copy");
            return Self::make_as(kind, server, false, &copied);
        }
        let database = Self::new(kind);
        if database.kind == Kind::Sqlite {
            fs::write(database.file(), FILE.get_or_init(file)).unwrap();
        }
        database
    }

    /// Makes an empty database on a server that no other test uses.
    #[must_use]
    pub(crate) fn on(kind: Kind, server: String) -> Self {
        Self::make(kind, server, true)
    }

    fn make(kind: Kind, server: String, is_left: bool) -> Self {
        Self::make_as(kind, server, is_left, "")
    }

    fn make_as(kind: Kind, server: String, is_left: bool, options: &str) -> Self {
        let database = Self {
            kind,
            name: format!("test_{:016x}", getrandom::u64().unwrap()),
            server,
            is_left,
            folder: tempfile::tempdir().unwrap(),
        };
        database.administrate(&format!("CREATE DATABASE {}{options}", database.name));
        database
    }

    /// The URL that the service connects to.
    #[must_use]
    pub fn url(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("sqlite:{}", self.file().display()),
            _ => format!("{}/{}", self.server, self.name),
        }
    }

    /// Its name on its server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Runs SQL in the database, and returns the rows as the program of the database prints them.
    #[must_use]
    pub fn sql(&self, statement: &str) -> String {
        let output = match self.kind {
            Kind::Sqlite => return sqlite(&self.file(), statement),
            Kind::MariaDb => {
                self.mariadb(&["--batch", "--skip-column-names", &self.name], statement)
            }
            Kind::Postgres => run(program("psql")
                .args(["--tuples-only", "--no-align", "--command", statement])
                .arg(self.url())),
        };
        String::from_utf8(output.stdout).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    fn administrate(&self, statement: &str) {
        match self.kind {
            Kind::Sqlite => {}
            Kind::MariaDb => drop(self.mariadb(&[], statement)),
            Kind::Postgres => drop(run(program("psql")
                .args(["--quiet", "--command", statement])
                .arg(format!("{}/postgres", self.server)))),
        }
    }

    fn mariadb(&self, options: &[&str], statement: &str) -> Output {
        let address = self.server.strip_prefix("mysql://").unwrap();
        let (user, address) = address.split_once('@').unwrap();
        let (user, password) = user.split_once(':').unwrap();
        let (host, port) = address.split_once(':').unwrap();
        run(program("mariadb")
            .args(["--no-defaults", "--default-character-set=utf8mb4"])
            .args(["--user", user, "--host", host, "--port", port])
            .arg(format!("--password={password}"))
            .args(["--execute", statement])
            .args(options))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        let force = if self.kind == Kind::Postgres {
            " WITH (FORCE)"
        } else {
            ""
        };
        self.administrate(&format!("DROP DATABASE {}{force}", self.name));
    }
}

/// The file of a `SQLite` database that has the newest schema, and nothing else.
fn file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schema.db");
    migrate(&format!("sqlite:{}", file.display()));
    let log = file.with_extension("db-wal");
    assert!(!log.exists(), "the database was not closed");
    fs::read(file).unwrap()
}

/// The name of a database of `PostgreSQL` that has the newest schema, and nothing else. It goes with the
/// server.
fn template(server: &str) -> String {
    let database = TestDatabase::make(Kind::Postgres, server.to_owned(), true);
    migrate(&database.url());
    database.name().to_owned()
}

fn migrate(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(binary())
        .args(["migrate", "up"])
        .env("FILESERVER_DATABASE_URL", url)
        .env("FILESERVER_DATA_DIR", folder.path()));
}

/// Runs SQL in a file of SQLite's, without its program, which is not everywhere.
fn sqlite(file: &Path, statement: &str) -> String {
    let work = async {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .foreign_keys(false)
            .busy_timeout(Duration::from_secs(20));
        let mut connection = options.connect().await.unwrap();
        let rows = raw_sql(AssertSqlSafe(statement.to_owned()))
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        connection.close().await.unwrap();
        rows.iter().map(line).collect()
    };
    let run = || {
        let mut runtime = runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(work)
    };
    // The caller's thread may belong to a runtime, which must not be blocked.
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn line(row: &SqliteRow) -> String {
    let text = |column| row.try_get_unchecked::<Option<String>, _>(column).unwrap();
    let columns: Vec<String> = (0..row.len())
        .map(|column| text(column).unwrap_or_default())
        .collect();
    columns.join("|") + "\n"
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}
