//! A real Redis for one test, which can be killed or frozen.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use tempfile::TempDir;

use crate::{nginx::free_port, program, stores::StoreSettings};

/// The password of the server.
const PASSWORD: &str = "secret-of-redis";

/// A Redis, which is stopped when this is dropped.
pub struct Redis {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts an empty one.
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

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// The service's settings for it, with a timeout that suits a busy machine, and an age that no
    /// test outlasts.
    #[must_use]
    pub fn settings(&self) -> StoreSettings {
        vec![
            ("FILESERVER_REDIS_URL", self.url()),
            ("FILESERVER_REDIS_TIMEOUT", "5000".to_owned()),
            ("FILESERVER_CACHE_AGE", "3600".to_owned()),
        ]
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it, if it runs, and restarts it empty on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = run(self.port, &self.folder);
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command, and returns its output.
    #[must_use]
    pub fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = program("redis-cli")
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
    let mut child = program("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--requirepass", PASSWORD, "--dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A connection is no proof: one to a free port may connect to itself.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_ready = lines.any(|line| line.unwrap().contains("Ready to accept connections"));
    assert!(is_ready, "redis-server does not start");
    child
}
