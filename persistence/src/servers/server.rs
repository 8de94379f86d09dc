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

use super::dialect::{Dialect, Position};
use crate::{Error, Result, database};

/// How long a server may take to say how it is, before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it may take to connect for that: one that refuses is tried for so long, too.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

/// How long a reader waits for a replica to have what the primary has, before the primary is asked
/// instead.
const CATCH_UP: Duration = Duration::from_millis(50);

/// How many connections are for asking how a server is: readers' questions, and the watch's.
const WATCHING: u32 = 3;

/// A server, and what is known of it.
pub(crate) struct Server {
    url: String,
    name: String,
    connections: u32,
    /// For its rows.
    rows: RwLock<DatabaseConnection>,
    /// For asking how it is.
    watching: RwLock<DatabaseConnection>,
    dialect: OnceCell<Dialect>,
    condition: watch::Sender<Condition>,
    followed: Mutex<Followed>,
    /// How often somebody asked whether it has everything.
    asked: AtomicU64,
    answered: tokio::sync::Mutex<Answered>,
}

/// How far it came as a replica.
#[derive(Default)]
struct Followed {
    /// When the primary last had no more than this server is known to have.
    until: Option<Instant>,
    /// What the primary had at a moment, and this server had not.
    lacks: Option<(Instant, Position)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// It has what the primary has, or gets it within a moment.
    Well,
    /// It has not, or nobody knows.
    Behind,
    /// It takes writes, and so follows nobody.
    Leading,
    Silent,
}

/// What the question came to when it was last put.
struct Answered {
    /// The last of those who asked for whom it is the answer.
    upto: u64,
    freshness: Freshness,
}

/// Whether a replica has what the primary had when that was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    NotFresh,
    PrimaryGone,
}

impl Server {
    /// Prepares to talk to a server, which need not be there.
    ///
    /// # Errors
    ///
    /// When the URL cannot be read.
    pub(super) async fn new(url: &str, connections: u32) -> Result<Self> {
        Ok(Self {
            url: url.to_owned(),
            name: name(url)?,
            connections,
            rows: RwLock::new(for_rows(url, connections).await?),
            watching: RwLock::new(for_watching(url).await?),
            dialect: OnceCell::new(),
            condition: watch::Sender::new(Condition::Silent),
            followed: Mutex::default(),
            asked: AtomicU64::default(),
            answered: tokio::sync::Mutex::new(Answered {
                upto: 0,
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

    /// Where its rows are.
    pub(crate) fn rows(&self) -> DatabaseConnection {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.clone()
    }

    /// Whether it lets its rows be changed; nothing if it does not answer.
    pub(super) async fn takes_writes(&self) -> Option<bool> {
        let server = self.watching();
        let asked = async { self.dialect(&server).await?.takes_writes(&server).await };
        self.answer(asked).await
    }

    /// How far it is as the primary; nothing if it does not say.
    pub(super) async fn position(&self) -> Option<Position> {
        let server = self.watching();
        let asked = async { self.dialect(&server).await?.position(&server).await };
        self.answer(asked).await.flatten()
    }

    /// Whether it has, or gets within a moment, all that the primary has now.
    ///
    /// That is found out for all together who ask at a time: what they are told was asked of the
    /// servers after the last of them had asked.
    pub(super) async fn catch_up(&self, primary: &Self) -> Freshness {
        let asker = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut answered = self.answered.lock().await;
        if answered.upto < asker {
            let upto = self.asked.load(Ordering::SeqCst);
            let freshness = self.compare(primary).await;
            *answered = Answered { upto, freshness };
        }
        answered.freshness
    }

    async fn compare(&self, primary: &Self) -> Freshness {
        let Some(position) = primary.position().await else {
            return Freshness::PrimaryGone;
        };
        match self.reaches(&position, CATCH_UP).await {
            Some(true) => return Freshness::Fresh,
            Some(false) => self.count_as(Condition::Behind),
            None => self.fall_silent().await,
        }
        Freshness::NotFresh
    }

    /// Finds out how it does as a replica of a primary that had come so far at a moment; or, if
    /// there is none, how far it came.
    pub(super) async fn follow(&self, primary: Option<&Position>, at: Instant) {
        let lacked = self.followed().lacks.take();
        if let Some((since, lacked)) = lacked {
            let has_it = self.reaches(&lacked, Duration::ZERO).await == Some(true);
            let mut followed = self.followed();
            if has_it {
                followed.until = Some(since);
            } else {
                followed.lacks = Some((since, lacked));
            }
        }
        let Some(position) = primary else {
            return self.count_as(Condition::Behind);
        };
        match self.reaches(position, CATCH_UP).await {
            Some(true) => {
                *self.followed() = Followed {
                    until: Some(at),
                    lacks: None,
                };
                self.count_as(Condition::Well);
            }
            Some(false) => {
                let mut followed = self.followed();
                followed.lacks.get_or_insert((at, position.clone()));
                drop(followed);
                self.count_as(Condition::Behind);
            }
            None => self.fall_silent().await,
        }
    }

    /// Notes that it takes writes, and so follows nobody.
    pub(super) fn lead(&self) {
        self.count_as(Condition::Leading);
        *self.followed() = Followed::default();
    }

    /// Notes that it does not answer, and lets go of connections that may wait for it for long.
    pub(super) async fn fall_silent(&self) {
        if self.condition() != Condition::Silent {
            self.count_as(Condition::Silent);
            // The URL was read before.
            if let Ok(rows) = Box::pin(for_rows(&self.url, self.connections)).await {
                *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
            }
        }
    }

    /// Ends when it does not answer.
    pub(crate) async fn gone(&self) {
        let mut condition = self.condition.subscribe();
        let is_silent = |condition: &Condition| *condition == Condition::Silent;
        // The sender lives as long as this does.
        let _ = condition.wait_for(is_silent).await;
    }

    /// Whether it can be read from, as far as is known.
    pub(super) fn is_well(&self) -> bool {
        self.condition() == Condition::Well
    }

    pub(super) fn answers(&self) -> bool {
        self.condition() != Condition::Silent
    }

    /// Whether it follows, and had everything that the primary had at a moment.
    pub(super) fn followed_until(&self, moment: Instant) -> bool {
        matches!(self.condition(), Condition::Well | Condition::Behind)
            && self.followed().until.is_some_and(|until| until >= moment)
    }

    /// How far it is behind at most; nothing if that is not known.
    pub(super) fn lag(&self) -> Option<Duration> {
        match self.condition() {
            Condition::Well => Some(Duration::ZERO),
            _ => self.followed().until.map(|until| until.elapsed()),
        }
    }

    pub(super) async fn close(&self) {
        // What cannot be closed in good order is closed by the process's end.
        let _ = self.rows().close().await;
        let _ = self.watching().close().await;
    }

    async fn reaches(&self, position: &Position, patience: Duration) -> Option<bool> {
        let server = self.watching();
        let asked = async {
            let dialect = self.dialect(&server).await?;
            dialect.reaches(&server, position, patience).await
        };
        self.answer(asked).await
    }

    async fn dialect(&self, server: &DatabaseConnection) -> Result<Dialect, DbErr> {
        let find = || Dialect::of(server);
        self.dialect.get_or_try_init(find).await.copied()
    }

    /// What the server answers; nothing if it does not, or not in time.
    async fn answer<T>(&self, asked: impl Future<Output = Result<T, DbErr>>) -> Option<T> {
        match timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(server = self.name, %error, "a database server cannot be asked");
            }
            Err(_) => {
                tracing::debug!(
                    server = self.name,
                    "a database server does not answer in time"
                );
                // A connection whose answer nobody waited for is of no use until it comes.
                if let Ok(watching) = Box::pin(for_watching(&self.url)).await {
                    *self
                        .watching
                        .write()
                        .unwrap_or_else(PoisonError::into_inner) = watching;
                }
            }
        }
        None
    }

    fn count_as(&self, condition: Condition) {
        if self.condition.send_replace(condition) == condition {
            return;
        }
        let server = &self.name;
        match condition {
            Condition::Well => tracing::info!(server, "this database replica is read from"),
            Condition::Behind => {
                tracing::warn!(
                    server,
                    "this database replica is not read from: it is behind"
                );
            }
            Condition::Silent => tracing::warn!(server, "this database server does not answer"),
            Condition::Leading => {}
        }
    }

    fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    fn watching(&self) -> DatabaseConnection {
        let watching = self.watching.read().unwrap_or_else(PoisonError::into_inner);
        watching.clone()
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn for_rows(url: &str, connections: u32) -> Result<DatabaseConnection> {
    database::connect_later(url, connections, database::ACQUIRE_TIMEOUT).await
}

async fn for_watching(url: &str) -> Result<DatabaseConnection> {
    database::connect_later(url, WATCHING, CONNECT_WITHIN).await
}

/// What a server is called in logs: its host and port, and nothing else of its URL.
fn name(url: &str) -> Result<String> {
    let unusable = || Error::Unusable("the URL of a database server cannot be read".to_owned());
    let url = Url::parse(url).map_err(|_| unusable())?;
    let host = url.host_str().ok_or_else(unusable)?;
    Ok(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}
