//! The connection to Redis, and its reconnect in the background.
//!
//! A process has one connection, which pipelines the commands of all requests. When a command fails
//! in a way that needs a new connection, the connection is dropped with all pending commands, and is
//! not opened again before a delay has passed. The next call after the delay starts the reconnect in
//! the background. Until the new connection has answered a PING, every call returns `None` at once.

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

use crate::{Counts, InvalidOptions, Options, counts::Counters, network, options::Server};

/// The delay between a failure and the next connection attempt.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Time limit of a connection attempt. Only [`Redis::open`] waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The minimum time between two log lines about failures.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A Redis server, which may be unavailable.
///
/// Clones are cheap and share the connection.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    server: Server,
    prefix: String,
    timeout: Duration,
    /// The runtime that drives the connection. It is not the caller's, since a thread that serves
    /// requests may end before the others.
    runtime: Handle,
    state: Mutex<State>,
    generations: AtomicU64,
    counters: Counters,
    log_state: Mutex<LogState>,
}

/// The last state that was logged.
#[derive(Default)]
struct LogState {
    /// True if the last log line was that Redis is connected.
    is_connected: bool,
    /// The time of the last log line about a failure.
    last_failure: Option<Instant>,
}

enum State {
    Ready(Connection),
    /// A connection attempt is in progress.
    Connecting,
    /// No connection attempt starts before this moment.
    Unavailable(Instant),
}

/// A connection that has answered a PING.
struct Connection {
    commands: MultiplexedConnection,
    generation: u64,
    _driver: Driver,
}

/// The task that does the I/O of a connection. Dropping it closes the connection at once, even with
/// commands pending.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The reason why a command or a connection attempt failed.
#[derive(Debug, thiserror::Error)]
enum RedisFailure {
    #[error("Redis did not answer in time")]
    TimedOut,
    #[error("could not connect to Redis: {0}")]
    Network(#[from] io::Error),
    #[error("Redis returned an error: {0}")]
    Failed(#[from] RedisError),
}

impl Redis {
    /// Prepares the use of a server, and makes a first attempt to connect to it.
    ///
    /// It waits for that attempt, so that the first calls can use the connection. A server that is
    /// unavailable is not an error: the failure is logged. The runtime that this is called in
    /// drives the connection.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`] if the options cannot be used.
    pub async fn open(options: &Options) -> Result<Self, InvalidOptions> {
        let redis = Self(Arc::new(Shared {
            server: options.check()?,
            prefix: options.prefix.clone(),
            timeout: options.timeout,
            runtime: Handle::current(),
            state: Mutex::new(State::Connecting),
            generations: AtomicU64::new(0),
            counters: Counters::default(),
            log_state: Mutex::default(),
        }));
        redis.clone().connect().await;
        Ok(redis)
    }

    /// Hits, misses and failures so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }

    /// Reports whether the last use of Redis left a working connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(*self.state(), State::Ready(_))
    }

    /// The key of a name within a kind.
    ///
    /// It is unique, since neither prefix nor kind contains a colon.
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.0.prefix)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Runs commands in order; `None` unless all of them succeed in time.
    pub(crate) async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Option<T> {
        let (mut connection, generation) = self.connection()?;
        let reply = timeout(self.0.timeout, commands.query_async(&mut connection)).await;
        let failure = match reply {
            Ok(Ok(reply)) => return Some(reply),
            Ok(Err(error)) => RedisFailure::Failed(error),
            Err(_) => RedisFailure::TimedOut,
        };
        self.0.counters.failures.increment();
        if failure.needs_reconnect() {
            self.disconnect(generation);
        }
        self.log_failure(&failure);
        None
    }

    /// Returns the connection if there is one. Starts a connection attempt if one is due.
    fn connection(&self) -> Option<(MultiplexedConnection, u64)> {
        let mut state = self.state();
        match &*state {
            State::Ready(ready) => return Some((ready.commands.clone(), ready.generation)),
            State::Unavailable(until) if Instant::now() >= *until => {}
            State::Unavailable(_) | State::Connecting => return None,
        }
        *state = State::Connecting;
        drop(state);
        drop(self.0.runtime.spawn(self.clone().connect()));
        None
    }

    async fn connect(self) {
        let connected = timeout(CONNECT_TIMEOUT, self.open_connection()).await;
        let state = match connected.unwrap_or(Err(RedisFailure::TimedOut)) {
            Ok(connection) => {
                self.log_connected();
                State::Ready(connection)
            }
            Err(failure) => {
                self.0.counters.failures.increment();
                self.log_failure(&failure);
                State::Unavailable(Instant::now() + RECONNECT_DELAY)
            }
        };
        *self.state() = state;
    }

    async fn open_connection(&self) -> Result<Connection, RedisFailure> {
        let stream = network::connect(&self.0.server).await?;
        // This module applies its own timeouts.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let login = &self.0.server.login;
        let connecting = MultiplexedConnection::new_with_config(login, stream, config);
        let (mut commands, driver) = connecting.await?;
        let driver = Driver(self.0.runtime.spawn(driver).abort_handle());
        let ping = redis::cmd("PING");
        let reply = timeout(self.0.timeout, ping.exec_async(&mut commands)).await;
        // A server that is too slow for PING is too slow for every command.
        reply.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        Ok(Connection {
            commands,
            generation: self.0.generations.fetch_add(1, Ordering::Relaxed),
            _driver: driver,
        })
    }

    /// Drops the connection of this generation, but not a newer one.
    fn disconnect(&self, generation: u64) {
        let mut state = self.state();
        if matches!(&*state, State::Ready(ready) if ready.generation == generation) {
            *state = State::Unavailable(Instant::now() + RECONNECT_DELAY);
        }
    }

    /// Logs the failure, at most once per interval.
    fn log_failure(&self, failure: &RedisFailure) {
        let mut log_state = self.log_state();
        let is_due = |last: Instant| last.elapsed() >= LOG_INTERVAL;
        if log_state.last_failure.is_none_or(is_due) {
            tracing::warn!(error = %failure, "going on without Redis");
            *log_state = LogState {
                is_connected: false,
                last_failure: Some(Instant::now()),
            };
        }
    }

    /// Logs that Redis is connected, unless the last log line said so.
    fn log_connected(&self) {
        if !mem::replace(&mut self.log_state().is_connected, true) {
            tracing::info!("connected to Redis");
        }
    }

    fn log_state(&self) -> MutexGuard<'_, LogState> {
        self.0.log_state.lock()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl RedisFailure {
    /// Returns whether the connection has to be replaced.
    ///
    /// A server at its memory limit, or one that forbids a command, still answers other commands.
    /// So does a server that was made a replica, but its name may lead to another server by now.
    fn needs_reconnect(&self) -> bool {
        let Self::Failed(error) = self else {
            return true;
        };
        let harmless = ["ERR", "NOPERM", "OOM", "WRONGTYPE"];
        let errors = error.clone().into_server_errors();
        errors.is_none_or(|errors| {
            !errors
                .iter()
                .all(|(_, error)| harmless.contains(&error.code()))
        })
    }
}
