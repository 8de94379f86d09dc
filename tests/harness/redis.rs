//! A real Redis of a test's own, which can be killed or frozen.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{nginx::free_port, stores::StoreSettings};

/// What its users have to know.
const PASSWORD: &str = "secret-of-redis";

/// A Redis; it goes when this is dropped.
pub struct Redis {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts one that is empty.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        Self {
            child: run(port, &folder),
            port,
            folder,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// The settings by which the service knows it, and waits long enough for it on a machine that is
    /// busy; what it has stays, unless it is told of a change.
    #[must_use]
    pub fn settings(&self) -> StoreSettings {
        vec![
            ("FILESERVER_REDIS_URL", self.url()),
            ("FILESERVER_REDIS_TIMEOUT", "5000".to_owned()),
            ("FILESERVER_CACHE_AGE", "3600".to_owned()),
        ]
    }

    /// Kills it where it is.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it, if it runs, and starts it empty where it was.
    pub fn restart(&mut self) {
        self.kill();
        self.child = run(self.port, &self.folder);
    }

    /// Its process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command in it, and gives what it printed.
    #[must_use]
    pub fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["--no-auth-warning", "-a", PASSWORD, "-p", &port])
            .args(command)
            .output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        said.trim_end_matches('\n').to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(port: u16, folder: &TempDir) -> Child {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--requirepass", PASSWORD, "--dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Only to connect would not do: a connection to a free port may come to meet itself.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_ready = lines.any(|line| line.unwrap().contains("Ready to accept connections"));
    assert!(is_ready, "redis-server does not start");
    child
}
