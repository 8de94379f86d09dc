//! A database of its own for each test, on real servers.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::stack;

/// The kinds of databases that the service works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, or with `TEST_STACK=full` what is there instead: a primary with a replica.
    Sqlite,
    /// A `MariaDB` server.
    MariaDb,
    /// A `PostgreSQL` server.
    Postgres,
}

/// An empty database, which goes when this is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    kind: Kind,
    name: String,
    server: String,
    /// Whether it goes when its server does.
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
            Kind::MariaDb => server("TEST_MYSQL_URL"),
            Kind::Postgres => server("TEST_POSTGRES_URL"),
        };
        Self::make(kind, server, false)
    }

    /// Makes an empty database on a server that is for this test alone.
    #[must_use]
    pub(crate) fn on(kind: Kind, server: String) -> Self {
        Self::make(kind, server, true)
    }

    fn make(kind: Kind, server: String, is_left: bool) -> Self {
        let database = Self {
            kind,
            name: format!("test_{:016x}", getrandom::u64().unwrap()),
            server,
            is_left,
            folder: tempfile::tempdir().unwrap(),
        };
        database.administrate(&format!("CREATE DATABASE {}", database.name));
        database
    }

    /// What the service connects to.
    #[must_use]
    pub fn url(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("sqlite:{}", self.folder.path().join("test.db").display()),
            _ => format!("{}/{}", self.server, self.name),
        }
    }

    /// What it is called on its server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Runs SQL in the database, and gives what it printed.
    #[must_use]
    pub fn sql(&self, statement: &str) -> String {
        let output = match self.kind {
            Kind::Sqlite => run(Command::new("sqlite3")
                .args(["-cmd", ".timeout 20000"])
                .arg(self.folder.path().join("test.db"))
                .arg(statement)),
            Kind::MariaDb => {
                self.mariadb(&["--batch", "--skip-column-names", &self.name], statement)
            }
            Kind::Postgres => run(Command::new("psql")
                .args(["--tuples-only", "--no-align", "--command", statement])
                .arg(self.url())),
        };
        String::from_utf8(output.stdout).unwrap()
    }

    fn administrate(&self, statement: &str) {
        match self.kind {
            Kind::Sqlite => {}
            Kind::MariaDb => drop(self.mariadb(&[], statement)),
            Kind::Postgres => drop(run(Command::new("psql")
                .args(["--quiet", "--command", statement])
                .arg(format!("{}/postgres", self.server)))),
        }
    }

    fn mariadb(&self, options: &[&str], statement: &str) -> Output {
        let address = self.server.strip_prefix("mysql://").unwrap();
        let (user, address) = address.split_once('@').unwrap();
        let (user, password) = user.split_once(':').unwrap();
        let (host, port) = address.split_once(':').unwrap();
        run(Command::new("mariadb")
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

fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: `tests/run` starts the servers that the tests need")
    })
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}
