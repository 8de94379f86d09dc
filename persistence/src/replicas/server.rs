//! One of several database servers.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    sync::{OnceCell, watch},
    time::timeout,
};
use url::Url;

use super::dialect::{Dialect, ReplicationPosition};
use crate::{
    connect::{ACQUIRE_TIMEOUT, connect_lazily},
    error::{Error, Result},
};

/// The time limit for a server's answer about its state; after it, the server counts as
/// unreachable.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The time limit for connecting to ask for the state; a refused connection is retried for as long.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The time that a reader waits for a replica to catch up before it reads from the primary.
const CATCH_UP_TIMEOUT: Duration = Duration::from_millis(50);

/// The number of connections for questions about the state: those of readers and of the monitor.
const MONITORING_CONNECTIONS: u32 = 3;

/// A server and its state.
pub(crate) struct Server {
    url: String,
    name: String,
    connections: u32,
    /// The pool for statements.
    pool: RwLock<DatabaseConnection>,
    /// The pool for questions about the server's state.
    monitoring: RwLock<DatabaseConnection>,
    dialect: OnceCell<Dialect>,
    condition: watch::Sender<Condition>,
    followed: Mutex<Followed>,
    /// The number of questions whether the server has caught up.
    asked: AtomicU64,
    answered: tokio::sync::Mutex<Answered>,
}

/// The server's progress as a replica.
#[derive(Default)]
struct Followed {
    /// The last time at which the server is known to have had everything that the primary had.
    in_sync_at: Option<Instant>,
    /// A position of the primary that the server had not reached, and the time of that position.
    lacks: Option<(Instant, ReplicationPosition)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// A replica that has what the primary has, or catches up in time.
    InSync,
    /// A replica that does not, or whose lag is unknown.
    Lagging,
    /// The server accepts writes.
    Primary,
    Unreachable,
}

/// The last answer to the question whether the server has caught up.
struct Answered {
    /// The number of the last question that this answers.
    up_to: u64,
    freshness: Freshness,
}

/// The answer whether a replica has what the primary had when the question was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    NotFresh,
    PrimaryUnreachable,
}

impl Server {
    /// Creates the connection pools; the server need not be reachable.
    ///
    /// # Errors
    ///
    /// When the URL is malformed.
    pub(super) async fn new(url: &str, connections: u32) -> Result<Self> {
        Ok(Self {
            url: url.to_owned(),
            name: name(url)?,
            connections,
            pool: RwLock::new(connect_pool(url, connections).await?),
            monitoring: RwLock::new(connect_monitoring(url).await?),
            dialect: OnceCell::new(),
            condition: watch::Sender::new(Condition::Unreachable),
            followed: Mutex::default(),
            asked: AtomicU64::default(),
            answered: tokio::sync::Mutex::new(Answered {
                up_to: 0,
                freshness: Freshness::NotFresh,
            }),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The pool for statements.
    pub(crate) fn pool(&self) -> DatabaseConnection {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        pool.clone()
    }

    /// Reports whether the server accepts writes; `None` if it does not answer.
    pub(super) async fn accepts_writes(&self) -> Option<bool> {
        let server = self.monitoring();
        let asked = async { self.dialect(&server).await?.accepts_writes(&server).await };
        self.answer(asked).await
    }

    /// The server's position as the primary; `None` if it does not answer or has none.
    pub(super) async fn position(&self) -> Option<ReplicationPosition> {
        let server = self.monitoring();
        let asked = async { self.dialect(&server).await?.position(&server).await };
        self.answer(asked).await.flatten()
    }

    /// Waits a short time for the server to have everything that the primary has now.
    ///
    /// Concurrent questions share one answer: the servers are asked after the last of these
    /// questions came in.
    pub(super) async fn catch_up(&self, primary: &Self) -> Freshness {
        let question = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut answered = self.answered.lock().await;
        if answered.up_to < question {
            let up_to = self.asked.load(Ordering::SeqCst);
            let freshness = self.compare(primary).await;
            *answered = Answered { up_to, freshness };
        }
        answered.freshness
    }

    async fn compare(&self, primary: &Self) -> Freshness {
        let Some(position) = primary.position().await else {
            return Freshness::PrimaryUnreachable;
        };
        match self.reaches(&position, CATCH_UP_TIMEOUT).await {
            Some(true) => return Freshness::Fresh,
            Some(false) => self.set_condition(Condition::Lagging),
            None => self.mark_unreachable().await,
        }
        Freshness::NotFresh
    }

    /// Compares the server with the primary's position at a given time; without a primary, only
    /// updates how far the server came.
    pub(super) async fn check_replica(&self, primary: Option<&ReplicationPosition>, at: Instant) {
        let lacked = self.followed().lacks.take();
        if let Some((since, lacked)) = lacked {
            let has_it = self.reaches(&lacked, Duration::ZERO).await == Some(true);
            let mut followed = self.followed();
            if has_it {
                followed.in_sync_at = Some(since);
            } else {
                followed.lacks = Some((since, lacked));
            }
        }
        let Some(position) = primary else {
            return self.set_condition(Condition::Lagging);
        };
        match self.reaches(position, CATCH_UP_TIMEOUT).await {
            Some(true) => {
                *self.followed() = Followed {
                    in_sync_at: Some(at),
                    lacks: None,
                };
                self.set_condition(Condition::InSync);
            }
            Some(false) => {
                let mut followed = self.followed();
                followed.lacks.get_or_insert((at, position.clone()));
                drop(followed);
                self.set_condition(Condition::Lagging);
            }
            None => self.mark_unreachable().await,
        }
    }

    /// Notes that the server accepts writes, and so follows no other server.
    pub(super) fn mark_primary(&self) {
        self.set_condition(Condition::Primary);
        *self.followed() = Followed::default();
    }

    /// Notes that the server does not answer, and drops connections that may wait for it for long.
    pub(super) async fn mark_unreachable(&self) {
        if self.condition() != Condition::Unreachable {
            self.set_condition(Condition::Unreachable);
            // Cannot fail for the URL: `new` has parsed it.
            if let Ok(pool) = Box::pin(connect_pool(&self.url, self.connections)).await {
                *self.pool.write().unwrap_or_else(PoisonError::into_inner) = pool;
            }
        }
    }

    /// Completes when the server becomes unreachable.
    pub(crate) async fn unreachable(&self) {
        let mut condition = self.condition.subscribe();
        let is_unreachable = |condition: &Condition| *condition == Condition::Unreachable;
        // Cannot fail: the sender lives as long as this server.
        let _ = condition.wait_for(is_unreachable).await;
    }

    /// True for a replica that was in sync when it was last checked.
    pub(super) fn is_in_sync(&self) -> bool {
        self.condition() == Condition::InSync
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.condition() != Condition::Unreachable
    }

    /// True for a replica that had everything that the primary had at a given time.
    pub(super) fn was_in_sync_at(&self, time: Instant) -> bool {
        matches!(self.condition(), Condition::InSync | Condition::Lagging)
            && self.followed().in_sync_at.is_some_and(|at| at >= time)
    }

    /// The upper bound of the lag; `None` if it is unknown.
    pub(super) fn lag(&self) -> Option<Duration> {
        match self.condition() {
            Condition::InSync => Some(Duration::ZERO),
            _ => self.followed().in_sync_at.map(|at| at.elapsed()),
        }
    }

    pub(super) async fn close(&self) {
        // A connection that cannot be closed cleanly is closed when the process ends.
        let _ = self.pool().close().await;
        let _ = self.monitoring().close().await;
    }

    async fn reaches(&self, position: &ReplicationPosition, timeout: Duration) -> Option<bool> {
        let server = self.monitoring();
        let asked = async {
            let dialect = self.dialect(&server).await?;
            dialect.reaches(&server, position, timeout).await
        };
        self.answer(asked).await
    }

    async fn dialect(&self, server: &DatabaseConnection) -> Result<Dialect, DbErr> {
        let find = || Dialect::of(server);
        self.dialect.get_or_try_init(find).await.copied()
    }

    /// The server's answer; `None` if it fails or does not come in time.
    async fn answer<T>(&self, asked: impl Future<Output = Result<T, DbErr>>) -> Option<T> {
        match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(server = self.name, %error, "could not query a database server");
            }
            Err(_) => {
                tracing::debug!(
                    server = self.name,
                    "a database server did not answer in time"
                );
                // A connection with an abandoned question is unusable until the answer comes.
                if let Ok(monitoring) = Box::pin(connect_monitoring(&self.url)).await {
                    *self
                        .monitoring
                        .write()
                        .unwrap_or_else(PoisonError::into_inner) = monitoring;
                }
            }
        }
        None
    }

    fn set_condition(&self, condition: Condition) {
        if self.condition.send_replace(condition) == condition {
            return;
        }
        let server = &self.name;
        match condition {
            Condition::InSync => tracing::info!(server, "a database replica is in sync"),
            Condition::Lagging => {
                tracing::warn!(server, "a database replica lags and gets no reads");
            }
            Condition::Unreachable => tracing::warn!(server, "a database server is unreachable"),
            Condition::Primary => {}
        }
    }

    fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    fn monitoring(&self) -> DatabaseConnection {
        let pool = &self.monitoring;
        pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect_pool(url: &str, connections: u32) -> Result<DatabaseConnection> {
    connect_lazily(url, connections, ACQUIRE_TIMEOUT).await
}

async fn connect_monitoring(url: &str) -> Result<DatabaseConnection> {
    connect_lazily(url, MONITORING_CONNECTIONS, CONNECT_TIMEOUT).await
}

/// The server's name in logs: the host and the port, without the rest of the URL.
fn name(url: &str) -> Result<String> {
    let malformed = || Error::Unusable("the URL of a database server is malformed".to_owned());
    let url = Url::parse(url).map_err(|_| malformed())?;
    let host = url.host_str().ok_or_else(malformed)?;
    Ok(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}
