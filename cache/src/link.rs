//! The connection to Redis, which is done without while it does not work.
//!
//! There is one for a process, and commands of all requests go through it one behind the other. When
//! one fails it is dropped with all that waits on it, and for a moment nobody tries. Then a new one
//! is made in the background; until it is there, and has answered, every call gives nothing at once.

use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use redis::{
    AsyncConnectionConfig, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection,
};
use tokio::{runtime::Handle, task::AbortHandle, time::timeout};

use crate::{Counts, Options, Unusable, counts::Counters, network, options::Place};

/// How long Redis is left alone after it failed.
const REST: Duration = Duration::from_secs(1);

/// How long a new connection may take to come about; nobody waits for it but the start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is told at most that Redis fails.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A Redis server, or the lack of one.
///
/// Cloning it is cheap, and gives the same.
#[derive(Clone)]
pub struct Redis(Arc<Parts>);

struct Parts {
    place: Place,
    prefix: String,
    timeout: Duration,
    /// Where the connection is kept going, whoever asked for it: a thread that answers requests may
    /// end before the others.
    runtime: Handle,
    state: Mutex<State>,
    generations: AtomicU64,
    counters: Counters,
    told: Mutex<Told>,
}

/// What the log was told last.
#[derive(Default)]
struct Told {
    /// Whether it was told that Redis is there.
    is_there: bool,
    /// When it was told that Redis fails.
    trouble: Option<Instant>,
}

enum State {
    Ready(Link),
    /// It is being connected to.
    Connecting,
    /// Nobody tries before this moment.
    Away(Instant),
}

/// A connection that has answered.
struct Link {
    connection: MultiplexedConnection,
    generation: u64,
    _driver: Driver,
}

/// What carries a connection's bytes. Dropping it closes the connection at once, whatever is still
/// waited for.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("Redis does not answer in time")]
    TimedOut,
    #[error("Redis cannot be reached: {0}")]
    Network(#[from] io::Error),
    #[error("Redis fails: {0}")]
    Failed(#[from] RedisError),
}

impl Redis {
    /// Gets ready to talk to a server, which need not be there; what is wrong is told in the log.
    ///
    /// It waits a moment for the server, so that what comes first is served as well as what comes
    /// later. The connection is kept going by the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`Unusable`] settings.
    pub async fn open(options: &Options) -> Result<Self, Unusable> {
        let redis = Self(Arc::new(Parts {
            place: options.check()?,
            prefix: options.prefix.clone(),
            timeout: options.timeout,
            runtime: Handle::current(),
            state: Mutex::new(State::Connecting),
            generations: AtomicU64::new(0),
            counters: Counters::default(),
            told: Mutex::default(),
        }));
        redis.clone().connect().await;
        Ok(redis)
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }

    /// Whether it was there when it was asked last.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(*self.state(), State::Ready(_))
    }

    /// The key of something of a kind.
    ///
    /// A prefix and a kind have no colon, so no two things have the same key.
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.0.prefix)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Runs commands one behind the other; `None` if they were not all done in time, or not at all.
    pub(crate) async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Option<T> {
        let (mut connection, generation) = self.connection()?;
        let answer = timeout(self.0.timeout, commands.query_async(&mut connection)).await;
        let trouble = match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => Trouble::Failed(error),
            Err(_) => Trouble::TimedOut,
        };
        self.0.counters.failures.count();
        if trouble.is_lasting() {
            self.lose(generation);
        }
        self.tell(&trouble);
        None
    }

    /// The connection, if there is one; if it is time to look for one, that is begun.
    fn connection(&self) -> Option<(MultiplexedConnection, u64)> {
        let mut state = self.state();
        match &*state {
            State::Ready(link) => return Some((link.connection.clone(), link.generation)),
            State::Away(until) if Instant::now() >= *until => {}
            State::Away(_) | State::Connecting => return None,
        }
        *state = State::Connecting;
        drop(state);
        drop(self.0.runtime.spawn(self.clone().connect()));
        None
    }

    async fn connect(self) {
        let connected = timeout(CONNECT_TIMEOUT, self.link()).await;
        let state = match connected.unwrap_or(Err(Trouble::TimedOut)) {
            Ok(link) => {
                self.tell_of_good();
                State::Ready(link)
            }
            Err(trouble) => {
                self.0.counters.failures.count();
                self.tell(&trouble);
                State::Away(Instant::now() + REST)
            }
        };
        *self.state() = state;
    }

    async fn link(&self) -> Result<Link, Trouble> {
        let stream = network::connect(&self.0.place).await?;
        // Time is kept here.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let login = &self.0.place.login;
        let connecting = MultiplexedConnection::new_with_config(login, stream, config);
        let (mut connection, driver) = connecting.await?;
        let driver = Driver(self.0.runtime.spawn(driver).abort_handle());
        let ping = redis::cmd("PING");
        let answer = timeout(self.0.timeout, ping.exec_async(&mut connection)).await;
        // What is too slow to be used is not begun with.
        answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        Ok(Link {
            connection,
            generation: self.0.generations.fetch_add(1, Ordering::Relaxed),
            _driver: driver,
        })
    }

    /// Drops the connection, unless there is a newer one.
    fn lose(&self, generation: u64) {
        let mut state = self.state();
        if matches!(&*state, State::Ready(link) if link.generation == generation) {
            *state = State::Away(Instant::now() + REST);
        }
    }

    /// Says in the log what is wrong, but not each time.
    fn tell(&self, trouble: &Trouble) {
        let mut told = self.told();
        let is_time = |told: Instant| told.elapsed() >= TELL_EVERY;
        if told.trouble.is_none_or(is_time) {
            tracing::warn!(error = %trouble, "going on without Redis");
            *told = Told {
                is_there: false,
                trouble: Some(Instant::now()),
            };
        }
    }

    /// Says in the log that Redis is there, if the last word was another.
    fn tell_of_good(&self) {
        if !mem::replace(&mut self.told().is_there, true) {
            tracing::info!("Redis is there");
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl Trouble {
    /// Whether the connection had better be made anew.
    ///
    /// A server that has no room, or does not allow a command, answers others all the same. One that
    /// was made a replica does, too, but another may be found under its name.
    fn is_lasting(&self) -> bool {
        let Self::Failed(error) = self else {
            return true;
        };
        let passes = ["ERR", "NOPERM", "OOM", "WRONGTYPE"];
        let refused = error.clone().into_server_errors();
        refused.is_none_or(|refused| !refused.iter().all(|(_, why)| passes.contains(&why.code())))
    }
}
