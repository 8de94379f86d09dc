//! Two database servers for a test: a primary, and a replica that can take over.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Kind, TestDatabase, freeze, nginx::free_port, program, require};

/// A primary and a replica, which are stopped when this is dropped.
///
/// They are set up as the project documents: `MariaDB` by `docker/mariadb`, semi-synchronously, and
/// `PostgreSQL` with a synchronous standby.
pub struct Pair {
    kind: Kind,
    ends_with_thread: bool,
    folder: TempDir,
    servers: [Member; 2],
}

struct Member {
    port: u16,
    process: Option<Child>,
}

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The server that was the primary at first.
    First,
    /// The server that was the replica at first.
    Second,
}

impl Which {
    /// The other server.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Pair {
    /// Starts both servers, the second as the first one's replica.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        Self::start_as(kind, false)
    }

    /// Starts both, which end with the calling thread.
    pub(crate) fn start_for_all(kind: Kind) -> Self {
        Self::start_as(kind, true)
    }

    fn start_as(kind: Kind, ends_with_thread: bool) -> Self {
        require("a pair of database servers");
        let member = || Member {
            port: free_port(),
            process: None,
        };
        let mut pair = Self {
            kind,
            ends_with_thread,
            folder: tempfile::tempdir().unwrap(),
            servers: [member(), member()],
        };
        match kind {
            Kind::MariaDb => pair.set_up_mariadb(),
            Kind::Postgres => pair.set_up_postgres(),
            Kind::Sqlite => panic!("SQLite has no servers"),
        }
        pair
    }

    /// An empty database on them.
    #[must_use]
    pub fn database(&self) -> TestDatabase {
        TestDatabase::on(self.kind, self.server(Which::First))
    }

    /// The URL of a database on one of them.
    #[must_use]
    pub fn url(&self, which: Which, database: &TestDatabase) -> String {
        format!("{}/{}", self.server(which), database.name())
    }

    /// The service's settings for both.
    #[must_use]
    pub fn settings(&self, database: &TestDatabase) -> [(&'static str, String); 2] {
        [
            ("FILESERVER_DATABASE_URL", self.url(Which::First, database)),
            (
                "FILESERVER_DATABASE_REPLICAS",
                self.url(Which::Second, database),
            ),
        ]
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self, which: Which) -> u32 {
        self.servers[which as usize].process.as_ref().unwrap().id()
    }

    /// Kills a server with SIGKILL.
    pub fn kill(&mut self, which: Which) {
        let mut process = self.servers[which as usize].process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Freezes a server, or lets it go on.
    pub fn freeze(&self, which: Which, frozen: bool) {
        let server = self.id(which);
        freeze(server, frozen);
        if self.kind == Kind::Postgres {
            // Each connection has a process.
            let signal = if frozen { "-STOP" } else { "-CONT" };
            run(program("pkill").args([signal, "--parent", &server.to_string()]));
        }
    }

    /// Restarts a server that was killed: as the replica, or as the primary.
    pub fn restart(&mut self, which: Which, is_primary: bool) {
        match self.kind {
            Kind::MariaDb => self.run_mariadb(which, is_primary),
            _ => self.run_postgres(which),
        }
    }

    /// Stops the replica from applying what it receives, or lets it go on.
    pub fn hold_back(&self, replica: Which, held: bool) {
        let statement = match (self.kind, held) {
            (Kind::MariaDb, true) => "STOP SLAVE SQL_THREAD",
            (Kind::MariaDb, false) => "START SLAVE SQL_THREAD",
            (_, true) => "SELECT pg_wal_replay_pause()",
            (_, false) => "SELECT pg_wal_replay_resume()",
        };
        let _ = self.administrate(replica, statement);
    }

    /// The name of a server in the service's log.
    #[must_use]
    pub fn name(&self, which: Which) -> String {
        format!("127.0.0.1:{}", self.servers[which as usize].port)
    }

    /// Lets the primary acknowledge commits that no replica has.
    pub fn acknowledge_alone(&self, primary: Which) {
        if self.kind == Kind::MariaDb {
            let alone = "SET GLOBAL rpl_semi_sync_master_enabled = OFF";
            let _ = self.administrate(primary, alone);
        } else {
            let alone = "ALTER SYSTEM RESET synchronous_standby_names";
            let _ = self.administrate(primary, alone);
            let _ = self.administrate(primary, "SELECT pg_reload_conf()");
        }
    }

    /// Promotes the replica of a dead primary.
    pub fn promote(&self, which: Which) {
        if self.kind == Kind::MariaDb {
            return self.script("promote", &[which, which.other()]);
        }
        let _ = self.administrate(which, "SELECT pg_promote()");
        // It has no standby to wait for.
        self.acknowledge_alone(which);
    }

    /// Makes a restarted server the replica of the other one.
    pub fn rejoin(&self, which: Which) {
        assert_eq!(self.kind, Kind::MariaDb, "a standby is copied anew");
        self.script("rejoin", &[which, which.other()]);
    }

    /// Runs a statement as an administrator, and returns its output.
    #[must_use]
    pub fn administrate(&self, which: Which, statement: &str) -> String {
        let member = &self.servers[which as usize];
        let output = match self.kind {
            Kind::MariaDb => run(program("mariadb")
                .args([
                    "--no-defaults",
                    "--user=root",
                    "--batch",
                    "--skip-column-names",
                ])
                .arg(format!("--socket={}", self.path(which, "socket").display()))
                .args(["--execute", statement])),
            _ => run(program("psql")
                .args(["--tuples-only", "--no-align", "--command", statement])
                .arg(format!(
                    "postgres://tester@127.0.0.1:{}/postgres",
                    member.port
                ))),
        };
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn server(&self, which: Which) -> String {
        let port = self.servers[which as usize].port;
        match self.kind {
            Kind::MariaDb => format!("mysql://tester:tester@127.0.0.1:{port}"),
            _ => format!("postgres://tester@127.0.0.1:{port}"),
        }
    }

    fn path(&self, which: Which, name: &str) -> PathBuf {
        self.folder
            .path()
            .join(format!("{}.{name}", which as usize + 1))
    }

    fn set_up_mariadb(&mut self) {
        let data = self.path(Which::First, "data");
        run(program("mariadb-install-db")
            .args(["--no-defaults", "--user=root", "--skip-test-db"])
            .args(["--auth-root-authentication-method=normal"])
            .args(["--innodb-log-file-size=16M"])
            .arg(format!("--datadir={}", data.display())));
        let copy = self.path(Which::Second, "data");
        run(program("cp").arg("-a").args([&data, &copy]));
        for which in [Which::First, Which::Second] {
            self.write_option_file(which);
            self.run_mariadb(which, which == Which::First);
            let _ = self.administrate(
                which,
                "SET sql_log_bin = 0; CREATE USER admin@127.0.0.1 IDENTIFIED BY 'admin';
                 GRANT ALL ON *.* TO admin@127.0.0.1 WITH GRANT OPTION",
            );
        }
        self.script("set-up-primary", &[Which::First]);
        // No more than the tests' databases: some privileges allow to write to a read-only replica.
        let _ = self.administrate(
            Which::First,
            r"GRANT ALL ON `test\_%`.* TO tester@127.0.0.1",
        );
        self.script("set-up-replica", &[Which::First, Which::Second]);
    }

    fn run_mariadb(&mut self, which: Which, is_primary: bool) {
        let role = if is_primary { "primary" } else { "replica" };
        let shipped = shipped();
        let (data, socket) = (self.path(which, "data"), self.path(which, "socket"));
        let port = self.servers[which as usize].port;
        let settings = format!(
            "!include {shipped}/replication.cnf\n!include {shipped}/{role}.cnf\n[mariadbd]\n\
             server_id = {}\ndatadir = {}\nsocket = {}\nport = {port}\n\
             bind_address = 127.0.0.1\nskip_name_resolve\nmax_connections = 500\n\
             innodb_buffer_pool_size = 64M\ninnodb_log_file_size = 16M\n\
             innodb_flush_method = nosync\n\
             table_open_cache = 4000\n",
            which as usize + 1,
            data.display(),
            socket.display(),
            shipped = shipped.display(),
        );
        let file = self.path(which, "my.cnf");
        fs::write(&file, settings).unwrap();
        let mut server = if self.ends_with_thread {
            let mut server = program("setpriv");
            server.args(["--pdeathsig", "KILL", "mariadbd"]);
            server
        } else {
            program("mariadbd")
        };
        server.arg(format!("--defaults-file={}", file.display()));
        server.arg("--user=root");
        self.begin(which, &mut server);
        self.await_answer(which, || {
            program("mariadb")
                .args(["--no-defaults", "--user=root", "--execute", "DO 1"])
                .arg(format!("--socket={}", socket.display()))
                .output()
        });
    }

    /// Writes the file in which the project's scripts find a server.
    fn write_option_file(&self, which: Which) {
        let port = self.servers[which as usize].port;
        let text = format!(
            "[client]\nprotocol = tcp\nhost = 127.0.0.1\nport = {port}\nuser = admin\n\
             password = admin\n\
             [replication]\nhost = 127.0.0.1\nport = {port}\nuser = replication\n\
             password = replication\nfrom = 127.0.0.1\n\
             [service]\ndatabase = test_service\nuser = tester\npassword = tester\n\
             from = 127.0.0.1\n"
        );
        let file = self.path(which, "cnf");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn script(&self, name: &str, servers: &[Which]) {
        let files = servers.iter().map(|&which| self.path(which, "cnf"));
        run(Command::new(shipped().join(name)).args(files));
    }

    fn set_up_postgres(&mut self) {
        let data = self.path(Which::First, "data");
        // It refuses to run as root.
        let postgres = user("postgres");
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        chown(self.folder.path(), Some(postgres), Some(postgres)).unwrap();
        run(as_postgres("initdb")
            .arg(format!("--pgdata={}", data.display()))
            .args(["--username=tester", "--auth=trust", "--encoding=UTF8"])
            .args(["--no-locale", "--no-sync"]));
        self.run_postgres(Which::First);
        let copy = self.path(Which::Second, "data");
        run(as_postgres("pg_basebackup")
            .args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast"])
            .arg(format!(
                "--dbname={}/postgres?application_name=second",
                self.server(Which::First)
            ))
            .arg(format!("--pgdata={}", copy.display())));
        self.run_postgres(Which::Second);
        let wait = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        let _ = self.administrate(Which::First, wait);
        let _ = self.administrate(Which::First, "SELECT pg_reload_conf()");
    }

    fn run_postgres(&mut self, which: Which) {
        let data = self.path(which, "data");
        let port = self.servers[which as usize].port;
        let mut command = as_postgres("postgres");
        command
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "max_connections=300", "-c", "fsync=off"])
            .args(["-c", "max_locks_per_transaction=1024"])
            // In its folder, which is removed even if the server is killed.
            .args(["-c", "dynamic_shared_memory_type=mmap"]);
        self.begin(which, &mut command);
        let server = self.server(which);
        self.await_answer(which, || {
            program("psql")
                .args(["--command", "SELECT 1"])
                .arg(format!("{server}/postgres"))
                .output()
        });
    }

    fn begin(&mut self, which: Which, program: &mut Command) {
        let log = self.path(which, "log");
        let log = fs::OpenOptions::new().create(true).append(true).open(log);
        let process = program
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.servers[which as usize].process = Some(process.unwrap());
    }

    fn await_answer(&self, which: Which, ask: impl Fn() -> std::io::Result<Output>) {
        let begun = Instant::now();
        while !ask().unwrap().status.success() {
            if begun.elapsed() > Duration::from_mins(1) {
                let log = fs::read_to_string(self.path(which, "log")).unwrap();
                panic!("it does not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for server in &mut self.servers {
            if let Some(mut process) = server.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/mariadb")
}

/// A program of `PostgreSQL`'s, run as its own user.
fn as_postgres(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap();
    let newest = versions
        .map(|version| version.unwrap().path())
        .max()
        .unwrap();
    let mut command = program("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(newest.join("bin").join(name));
    command
}

fn user(name: &str) -> u32 {
    let output = run(program("id").args(["-u", name]));
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}
