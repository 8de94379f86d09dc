//! Several database servers with the same rows: the primary, which accepts writes, and the replicas,
//! which follow it.
//!
//! The primary is detected, not configured: it is the server that accepts writes. All servers are
//! checked twice a second. So a promoted replica is found, and a replica that lags or is
//! unreachable gets no reads until it is in sync again.

mod dialect;
mod server;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{ReplicaSetStatus, ServerStatus};
use futures_util::future::join_all;
use sea_orm::{DbBackend, DbErr};
use tokio::sync::{Notify, watch};

pub(crate) use self::server::Server;
use self::{dialect::backend_of, server::Freshness};
use crate::{
    connect::Options,
    error::{Error, Result, unreachable},
};

/// The interval between checks of the servers while no error occurs.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest time between checks.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The servers and their state.
pub(crate) struct ReplicaSet {
    backend: DbBackend,
    servers: Vec<Server>,
    /// The server that accepts writes, if exactly one does.
    primary: watch::Sender<Option<usize>>,
    /// True while several servers accept writes.
    split_brain: AtomicBool,
    /// The time of the primary's last answer.
    primary_seen_at: Mutex<Option<Instant>>,
    max_lag: Duration,
    /// The round-robin counter for reads.
    next: AtomicUsize,
    check_requested: Notify,
    reads: Reads,
}

/// The number of reads by the kind of server that answered.
#[derive(Default)]
struct Reads {
    from_replicas: AtomicU64,
    from_primary: AtomicU64,
}

/// The choice of a server for a read.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// This server, the primary or a replica, has everything that was committed before the choice.
    Current(&'a Server),
    /// The primary is unreachable: read from a replica with an acceptable lag.
    Stale,
}

impl ReplicaSet {
    /// Creates the connection pools and checks the servers once.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no server accepts writes; [`Error::Unusable`] when several do,
    /// or for a malformed URL.
    pub(crate) async fn connect(options: &Options) -> Result<Arc<Self>> {
        let backend = backend_of(&options.url)?;
        let mut servers = Vec::new();
        for url in std::iter::once(&options.url).chain(&options.replicas) {
            if backend_of(url)? != backend {
                let reason = "the database servers must all be of one kind";
                return Err(Error::Unusable(reason.to_owned()));
            }
            servers.push(Server::new(url, options.connections).await?);
        }
        let replicas = Self {
            backend,
            servers,
            primary: watch::Sender::new(None),
            split_brain: AtomicBool::default(),
            primary_seen_at: Mutex::default(),
            max_lag: options.max_lag,
            next: AtomicUsize::default(),
            check_requested: Notify::new(),
            reads: Reads::default(),
        };
        let writable = replicas.check().await;
        match writable[..] {
            [_] => Ok(Arc::new(replicas)),
            [] => Err(no_primary().into()),
            _ => Err(Error::Unusable(format!(
                "{} take writes; all but one must be read-only",
                replicas.names(&writable)
            ))),
        }
    }

    /// Checks the servers periodically until the last reference is dropped.
    pub(crate) fn monitor(self: &Arc<Self>) {
        tokio::spawn(check_loop(Arc::downgrade(self)));
    }

    /// The URL of the primary.
    ///
    /// # Errors
    ///
    /// When there is no primary at the moment.
    pub(crate) fn primary_url(&self) -> Result<&str> {
        Ok(self.primary()?.url())
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The server that accepts writes.
    ///
    /// # Errors
    ///
    /// When there is none at the moment.
    pub(crate) fn primary(&self) -> Result<&Server, DbErr> {
        let index = *self.primary.borrow();
        index.map(|index| &self.servers[index]).ok_or(no_primary())
    }

    /// Chooses a server that has everything that was committed before.
    ///
    /// It is a replica if one is in sync and catches up in time.
    pub(crate) async fn source(&self) -> Source<'_> {
        let Ok(primary) = self.primary() else {
            return Source::Stale;
        };
        if let Some(replica) = self.next(Server::is_in_sync) {
            match replica.catch_up(primary).await {
                Freshness::Fresh => {
                    self.reads.from_replicas.fetch_add(1, Ordering::Relaxed);
                    return Source::Current(replica);
                }
                Freshness::PrimaryUnreachable => {
                    self.request_check();
                    return Source::Stale;
                }
                Freshness::NotFresh => {}
            }
        }
        self.reads.from_primary.fetch_add(1, Ordering::Relaxed);
        Source::Current(primary)
    }

    /// Chooses a replica to read from while there is no primary: one whose lag was acceptable when
    /// the primary last answered.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn stale(&self) -> Result<&Server, DbErr> {
        let seen_at = *self
            .primary_seen_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let since = seen_at.and_then(|seen_at| seen_at.checked_sub(self.max_lag));
        let is_recent = |server: &Server| since.is_some_and(|since| server.was_in_sync_at(since));
        self.next(is_recent).ok_or(no_primary())
    }

    /// Requests an early check of the servers.
    pub(crate) fn request_check(&self) {
        self.check_requested.notify_one();
    }

    pub(crate) fn status(&self) -> ReplicaSetStatus {
        let primary = *self.primary.borrow();
        let servers = self.servers.iter().enumerate();
        let servers = servers.map(|(index, server)| {
            let is_primary = primary == Some(index);
            ServerStatus {
                name: server.name().to_owned(),
                is_primary,
                is_reachable: server.is_reachable(),
                is_readable: is_primary || server.is_in_sync(),
                lag: if is_primary {
                    Some(Duration::ZERO)
                } else {
                    server.lag()
                },
            }
        });
        ReplicaSetStatus {
            servers: servers.collect(),
            reads_from_replicas: self.reads.from_replicas.load(Ordering::Relaxed),
            reads_from_primary: self.reads.from_primary.load(Ordering::Relaxed),
        }
    }

    pub(crate) async fn close(&self) {
        join_all(self.servers.iter().map(Server::close)).await;
    }

    /// The next server that meets a condition, round-robin.
    fn next(&self, condition: impl Fn(&Server) -> bool) -> Option<&Server> {
        let count = self.servers.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|step| &self.servers[first.wrapping_add(step) % count])
            .find(|server| condition(server))
    }

    /// Checks all servers and returns the indices of those that accept writes.
    async fn check(&self) -> Vec<usize> {
        let found = join_all(self.servers.iter().map(Server::accepts_writes)).await;
        let writable: Vec<usize> = (0..found.len())
            .filter(|&index| found[index] == Some(true))
            .collect();
        self.elect(&writable);
        let now = Instant::now();
        let position = match self.primary() {
            Ok(primary) => primary.position().await,
            Err(_) => None,
        };
        if position.is_some() {
            *self
                .primary_seen_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        let servers = self.servers.iter().zip(&found);
        let checks = servers.map(|(server, accepts_writes)| {
            let position = position.as_ref();
            async move {
                match accepts_writes {
                    None => server.mark_unreachable().await,
                    Some(true) => server.mark_primary(),
                    Some(false) => server.check_replica(position, now).await,
                }
            }
        });
        join_all(checks).await;
        writable
    }

    /// Chooses the primary.
    ///
    /// A server stays the primary as long as it accepts writes. If it stops and several others
    /// accept writes, there is no way to tell which of them is the right one, and there is no
    /// primary.
    fn elect(&self, writable: &[usize]) {
        let before = *self.primary.borrow();
        let now = match (before, writable) {
            (Some(before), _) if writable.contains(&before) => Some(before),
            (_, [only]) => Some(*only),
            _ => None,
        };
        let split_brain = writable.len() > 1;
        let was_split_brain = self.split_brain.swap(split_brain, Ordering::Relaxed);
        if split_brain && !was_split_brain {
            let servers = self.names(writable);
            tracing::error!(
                %servers,
                "several database servers take writes; all but one must be read-only"
            );
        }
        if before == now {
            return;
        }
        self.primary.send_replace(now);
        if let Some(now) = now {
            let server = self.servers[now].name();
            tracing::info!(server, "found the primary database server");
        } else {
            tracing::error!("no database server takes writes");
        }
    }

    fn names(&self, indices: &[usize]) -> String {
        let names: Vec<&str> = indices
            .iter()
            .map(|&index| self.servers[index].name())
            .collect();
        names.join(" and ")
    }
}

impl fmt::Debug for ReplicaSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.servers.iter().map(Server::name))
            .finish()
    }
}

async fn check_loop(replicas: Weak<ReplicaSet>) {
    loop {
        let Some(replicas) = replicas.upgrade() else {
            return;
        };
        // A request that came before the check below is served by that check. Without a primary,
        // check as often as possible: other processes may already write to a new primary.
        if replicas.primary().is_ok() {
            let requested = replicas.check_requested.notified();
            let _ = tokio::time::timeout(CHECK_INTERVAL, requested).await;
        }
        tokio::time::sleep(MIN_CHECK_INTERVAL).await;
        replicas.check().await;
    }
}

/// The error of an operation that needs the primary while there is none.
pub(crate) fn no_primary() -> DbErr {
    unreachable("no database server takes writes")
}
