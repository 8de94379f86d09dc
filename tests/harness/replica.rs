//! Another process of a service, with a data folder of its own.

use std::{ffi::OsString, time::Duration};

use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    Client, Server, Signal,
    server::{Log, Process, signal},
};

/// A process with a server's database and stores; it goes when this is dropped.
pub struct Replica {
    process: Process,
    settings: Vec<(&'static str, OsString)>,
    log: Log,
    client: Client,
    _folder: TempDir,
}

impl Replica {
    /// Starts one with a server's settings, and others over them.
    pub async fn of(server: &Server, others: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = server.settings();
        let data = folder.path().as_os_str().to_owned();
        let others = others.iter().map(|(name, value)| (*name, value.into()));
        for (name, value) in [("FILESERVER_DATA_DIR", data)].into_iter().chain(others) {
            settings.retain(|(other, _)| *other != name);
            settings.push((name, value));
        }
        let log = Log::default();
        let process = Process::start(&settings, &log).await;
        let client = Client::new(format!("http://{}", process.address)).await;
        Self {
            process,
            settings,
            log,
            client,
            _folder: folder,
        }
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.process.address
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.child.id().unwrap()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&mut self) {
        self.process.child.kill().await.unwrap();
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        signal(self.id(), Signal::TERM);
        self.has_stopped().await;
    }

    /// Waits until it has stopped.
    pub async fn has_stopped(&mut self) {
        let stopped = timeout(Duration::from_mins(1), self.process.child.wait()).await;
        let status = stopped.expect("it stops").unwrap();
        assert!(status.success(), "it stopped with {status}");
    }

    /// Starts it again on the port that it had.
    pub async fn start_again(&mut self) {
        let address = self.process.address.clone();
        self.settings
            .retain(|(name, _)| *name != "FILESERVER_LISTEN");
        self.settings.push(("FILESERVER_LISTEN", address.into()));
        self.process = Process::start(&self.settings, &self.log).await;
    }
}
