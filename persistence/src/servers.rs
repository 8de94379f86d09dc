//! Several servers that have the same rows: the primary, which takes the writes, and replicas,
//! which follow it.
//!
//! Which one is the primary is found out, not set: it is the one that takes writes. All of them are
//! looked at twice a second, so that a replica which was promoted is found, and one which is behind
//! or gone is left out until it is well again.

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

use futures_util::future::join_all;
use sea_orm::{DbBackend, DbErr};
use tokio::sync::{Notify, watch};

pub(crate) use self::server::Server;
use self::{dialect::backend_of, server::Freshness};
use crate::{Error, Options, Result, error::nobody_to_ask};

/// How often to look at the servers if nothing goes wrong.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How soon to look again at the earliest.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The servers, and what is known of them.
pub(crate) struct Servers {
    backend: DbBackend,
    all: Vec<Server>,
    /// The one that takes writes, if one does.
    primary: watch::Sender<Option<usize>>,
    /// Whether several do.
    is_torn: AtomicBool,
    /// When the primary was last heard of.
    heard: Mutex<Option<Instant>>,
    max_lag: Duration,
    /// Whose turn it is to be read from.
    turn: AtomicUsize,
    trouble: Notify,
    reads: Reads,
}

/// How many statements were read where.
#[derive(Default)]
struct Reads {
    from_replicas: AtomicU64,
    from_primary: AtomicU64,
}

/// What is known of a database server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatus {
    /// Its host and port.
    pub name: String,
    /// Whether writes go to it.
    pub is_primary: bool,
    /// Whether it answers.
    pub answers: bool,
    /// Whether it can be read from: the primary, or a replica that has what the primary has.
    pub is_usable: bool,
    /// How far behind the primary it is at most; nothing if it never was known to have everything.
    pub lag: Option<Duration>,
}

/// What is known of the database's servers.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersStatus {
    /// Each of them, in the order of the settings.
    pub servers: Vec<ServerStatus>,
    /// How many statements replicas were read for.
    pub reads_from_replicas: u64,
    /// How many the primary was read for that a replica might have answered.
    pub reads_from_primary: u64,
}

/// Where to read.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Here, where all is that was committed before this was asked: the primary, or a replica.
    Current(&'a Server),
    /// From whichever replica has nearly all, as the primary is gone.
    Stale,
}

impl Servers {
    /// Prepares to talk to the servers, and looks at them once.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when none of them takes writes, [`Error::Unusable`] when several do,
    /// or for a URL that cannot be read.
    pub(crate) async fn connect(options: &Options) -> Result<Arc<Self>> {
        let backend = backend_of(&options.url)?;
        let mut all = Vec::new();
        for url in std::iter::once(&options.url).chain(&options.replicas) {
            if backend_of(url)? != backend {
                let reason = "the database's servers are not of one kind";
                return Err(Error::Unusable(reason.to_owned()));
            }
            all.push(Server::new(url, options.connections).await?);
        }
        let servers = Self {
            backend,
            all,
            primary: watch::Sender::new(None),
            is_torn: AtomicBool::default(),
            heard: Mutex::default(),
            max_lag: options.max_lag,
            turn: AtomicUsize::default(),
            trouble: Notify::new(),
            reads: Reads::default(),
        };
        let writable = servers.look().await;
        match writable[..] {
            [_] => Ok(Arc::new(servers)),
            [] => Err(no_primary().into()),
            _ => Err(Error::Unusable(format!(
                "{} take writes; all but one have to be read-only",
                servers.names(&writable)
            ))),
        }
    }

    /// Keeps looking at the servers, as long as somebody has them.
    pub(crate) fn watch(self: &Arc<Self>) {
        tokio::spawn(keep_looking(Arc::downgrade(self)));
    }

    /// The URL of the server that takes writes.
    ///
    /// # Errors
    ///
    /// When there is none at the moment.
    pub(crate) fn primary_url(&self) -> Result<&str> {
        Ok(self.primary()?.url())
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The server that takes writes.
    ///
    /// # Errors
    ///
    /// When there is none at the moment.
    pub(crate) fn primary(&self) -> Result<&Server, DbErr> {
        let index = *self.primary.borrow();
        index.map(|index| &self.all[index]).ok_or(no_primary())
    }

    /// Where to read so that all is seen that was committed before.
    ///
    /// It is a replica if one is well and gets that far within a moment.
    pub(crate) async fn source(&self) -> Source<'_> {
        let Ok(primary) = self.primary() else {
            return Source::Stale;
        };
        if let Some(replica) = self.next(Server::is_well) {
            match replica.catch_up(primary).await {
                Freshness::Fresh => {
                    self.reads.from_replicas.fetch_add(1, Ordering::Relaxed);
                    return Source::Current(replica);
                }
                Freshness::PrimaryGone => {
                    self.report_trouble();
                    return Source::Stale;
                }
                Freshness::NotFresh => {}
            }
        }
        self.reads.from_primary.fetch_add(1, Ordering::Relaxed);
        Source::Current(primary)
    }

    /// A replica to read from while the primary is gone: one that was not far behind when it was
    /// last heard of.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn stale(&self) -> Result<&Server, DbErr> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = heard.and_then(|heard| heard.checked_sub(self.max_lag));
        let was_close =
            |server: &Server| moment.is_some_and(|moment| server.followed_until(moment));
        self.next(was_close).ok_or(no_primary())
    }

    /// Has the servers looked at again soon.
    pub(crate) fn report_trouble(&self) {
        self.trouble.notify_one();
    }

    pub(crate) fn status(&self) -> ServersStatus {
        let primary = *self.primary.borrow();
        let servers = self.all.iter().enumerate();
        let servers = servers.map(|(index, server)| {
            let is_primary = primary == Some(index);
            ServerStatus {
                name: server.name().to_owned(),
                is_primary,
                answers: server.answers(),
                is_usable: is_primary || server.is_well(),
                lag: if is_primary {
                    Some(Duration::ZERO)
                } else {
                    server.lag()
                },
            }
        });
        ServersStatus {
            servers: servers.collect(),
            reads_from_replicas: self.reads.from_replicas.load(Ordering::Relaxed),
            reads_from_primary: self.reads.from_primary.load(Ordering::Relaxed),
        }
    }

    pub(crate) async fn close(&self) {
        join_all(self.all.iter().map(Server::close)).await;
    }

    /// The next of the servers that can be used, in turn.
    fn next(&self, is_usable: impl Fn(&Server) -> bool) -> Option<&Server> {
        let count = self.all.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|step| &self.all[first.wrapping_add(step) % count])
            .find(|server| is_usable(server))
    }

    /// Looks at all servers; gives which of them take writes.
    async fn look(&self) -> Vec<usize> {
        let found = join_all(self.all.iter().map(Server::takes_writes)).await;
        let writable: Vec<usize> = (0..found.len())
            .filter(|&index| found[index] == Some(true))
            .collect();
        self.choose(&writable);
        let now = Instant::now();
        let position = match self.primary() {
            Ok(primary) => primary.position().await,
            Err(_) => None,
        };
        if position.is_some() {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        let followers = self.all.iter().zip(&found);
        let looks = followers.map(|(server, takes_writes)| {
            let position = position.as_ref();
            async move {
                match takes_writes {
                    None => server.fall_silent().await,
                    Some(true) => server.lead(),
                    Some(false) => server.follow(position, now).await,
                }
            }
        });
        join_all(looks).await;
        writable
    }

    /// Decides where writes go.
    ///
    /// A server stays the primary as long as it takes writes. If it does not, and several others
    /// do, then none of them can be told from the right one.
    fn choose(&self, writable: &[usize]) {
        let before = *self.primary.borrow();
        let now = match (before, writable) {
            (Some(before), _) if writable.contains(&before) => Some(before),
            (_, [only]) => Some(*only),
            _ => None,
        };
        let is_torn = writable.len() > 1;
        let was_torn = self.is_torn.swap(is_torn, Ordering::Relaxed);
        if is_torn && !was_torn {
            let servers = self.names(writable);
            tracing::error!(%servers, "several database servers take writes; all but one have to be read-only");
        }
        if before == now {
            return;
        }
        self.primary.send_replace(now);
        if let Some(now) = now {
            let server = self.all[now].name();
            tracing::info!(server, "writes go to this database server");
        } else {
            tracing::error!("no database server takes writes");
        }
    }

    fn names(&self, indices: &[usize]) -> String {
        let names: Vec<&str> = indices
            .iter()
            .map(|&index| self.all[index].name())
            .collect();
        names.join(" and ")
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.all.iter().map(Server::name))
            .finish()
    }
}

async fn keep_looking(servers: Weak<Servers>) {
    loop {
        let Some(servers) = servers.upgrade() else {
            return;
        };
        // What went wrong before is seen by the look that follows. A primary that is there again is
        // to be seen soon: others write to it already.
        if servers.primary().is_ok() {
            let _ = tokio::time::timeout(LOOK_EVERY, servers.trouble.notified()).await;
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        servers.look().await;
    }
}

/// What an operation gets that needs the primary while there is none.
pub(crate) fn no_primary() -> DbErr {
    nobody_to_ask("no database server takes writes")
}
