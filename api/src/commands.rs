//! The subcommands.

pub(crate) mod check;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod ls;
pub(crate) mod migrate;
pub(crate) mod mv;
pub(crate) mod openapi;
pub(crate) mod put;
pub(crate) mod quota;
pub(crate) mod rm;
pub(crate) mod serve;
pub(crate) mod token;
pub(crate) mod transfer;
pub(crate) mod worker;

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use persistence::Database;
use service::{Clock, CursorKey, FileService, Keys, LinkKeys};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

use crate::{
    problem::Causes,
    settings::{LogFormat, Settings, each},
    traces::{self, Outbox, TARGET, TraceLayer},
};

/// How long a database server may take to be followed by another before a process gives up its
/// start.
const FAILOVER: Duration = Duration::from_secs(30);

/// How soon to see whether it was.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Why a subcommand could not do its work, in one line.
pub(crate) struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Causes(&error).to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tells why a subcommand could not do its work.
fn fail(failure: &Failure) -> ExitCode {
    eprintln!("fileserver: {failure}");
    ExitCode::from(2)
}

/// What a subcommand lists, a line each.
struct Table<W>(W);

impl<W: io::Write> Table<W> {
    fn new(output: W) -> Self {
        Self(output)
    }

    /// Prints a row, whose cells are separated by tabulators.
    fn row(&mut self, cells: &[&dyn fmt::Display]) -> Result<(), Failure> {
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        self.line(&cells.join("\t"))
    }

    fn line(&mut self, line: &dyn fmt::Display) -> Result<(), Failure> {
        Ok(writeln!(self.0, "{line}")?)
    }
}

/// What tells a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Begins to log, and to send traces if the settings say where to.
fn observe(settings: &Settings) -> Result<Option<Outbox>, Failure> {
    let (layer, outbox) = traces::begin(&settings.traces).map_err(Failure)?.unzip();
    log_beside(settings, layer)?;
    Ok(outbox)
}

/// Begins to log.
fn log(settings: &Settings) -> Result<(), Failure> {
    log_beside(settings, None)
}

fn log_beside(settings: &Settings, traces: Option<TraceLayer>) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| Failure(format!("the log's filter cannot be read: {error}")))?;
    let filter = filter.and(filter_fn(|metadata| metadata.target() != TARGET));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let as_text = match settings.log_format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = if as_text {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    let begun = registry().with(traces).with(lines.with_filter(filter));
    begun
        .try_init()
        .map_err(|error| Failure(format!("logging cannot begin: {error}")))
}

/// the service that the settings describe; its database has the schema that it needs.
async fn open_service(settings: &Settings) -> Result<FileService, Failure> {
    let data = &settings.data_dir;
    fs::create_dir_all(data).map_err(|error| Failure(format!("{}: {error}", data.display())))?;
    let database = open_database(settings).await?;
    let stores = settings.transfers.open(&settings.stores, data).await;
    let stores = stores.map_err(Failure)?;
    let keys = Keys {
        cursor: cursor_key(settings)?,
        links: link_keys(settings)?,
    };
    let limits = settings.limits();
    let hot = settings.redis.open().await.map_err(Failure)?;
    let service = FileService::new(database, stores, Clock::system(), keys, limits, hot);
    service.identify_disks().await?;
    Ok(service)
}

/// The database, with the schema that is needed.
///
/// Of several servers one may just be taking the place of another: that is waited for.
async fn open_database(settings: &Settings) -> Result<Database, Failure> {
    let has_others = !settings.database().replicas.is_empty();
    let began = Instant::now();
    let missing = loop {
        match Box::pin(bring_up_to_date(settings)).await {
            Ok((missing, database)) if missing.is_empty() => return Ok(database),
            Ok((missing, _)) => break missing,
            Err(error @ (persistence::Error::Unavailable(_) | persistence::Error::TimedOut))
                if has_others && began.elapsed() < FAILOVER =>
            {
                tracing::warn!(error = %Causes(&error), "waiting for the database");
                sleep(TRY_AGAIN_AFTER).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    Err(Failure(format!(
        "the database's schema lacks {}; run `fileserver migrate up`",
        missing.join(", ")
    )))
}

/// Changes the schema as far as the settings allow it, and gives what it lacks then.
async fn bring_up_to_date(settings: &Settings) -> persistence::Result<(Vec<String>, Database)> {
    let schema = Database::schema(&settings.database()).await?;
    if !settings.no_migrate {
        schema.up().await?;
    }
    let steps = schema.steps().await?.into_iter();
    let missing = steps.filter_map(|(step, taken)| (!taken).then_some(step));
    let missing = missing.collect();
    schema.close().await;
    Ok((missing, Database::connect(&settings.database()).await?))
}

fn cursor_key(settings: &Settings) -> Result<CursorKey, Failure> {
    let digits = match &settings.cursor_key {
        Some(digits) => digits.clone(),
        None => kept_key(&settings.data_dir.join("cursor.key"))?,
    };
    let key = read_key(&digits);
    let key = key.map_err(|error| Failure(format!("the cursors' key cannot be read: {error}")))?;
    Ok(CursorKey::new(key))
}

fn link_keys(settings: &Settings) -> Result<LinkKeys, Failure> {
    let mut all = each(&settings.link_keys);
    if all.is_empty() {
        all.push(kept_key(&settings.data_dir.join("link.key"))?);
    }
    let keys = all.iter().map(|digits| read_key(digits));
    let keys: Vec<[u8; 32]> = keys
        .collect::<Result<_, _>>()
        .map_err(|error| Failure(format!("a key of links cannot be read: {error}")))?;
    LinkKeys::new(keys).ok_or_else(|| Failure("there is no key for links".to_owned()))
}

/// A key in hexadecimal digits; its shape is that of a SHA-256.
fn read_key(digits: &str) -> Result<[u8; 32], domain::DigestError> {
    let key: domain::Sha256 = digits.trim().parse()?;
    Ok(*key.as_bytes())
}

/// The key in a file, which is made if it is not there.
///
/// The file gets its name when it is whole, so that nobody ever reads a part of it.
fn kept_key(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure(format!("{}: {error}", path.display()));
    if !path.exists() {
        let (mut key, mut name) = ([0; 32], [0; 8]);
        getrandom::fill(&mut key)?;
        getrandom::fill(&mut name)?;
        let whole = path.with_extension(format!("{:016x}", u64::from_ne_bytes(name)));
        let named = write_key(&whole, &domain::Sha256::from(key).to_string())
            .and_then(|()| fs::hard_link(&whole, path));
        // Another process may have been faster; then its key is the one.
        let named = named.or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
        let _ = fs::remove_file(&whole);
        named.map_err(failed)?;
    }
    fs::read_to_string(path).map_err(failed)
}

fn write_key(path: &Path, digits: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(digits.as_bytes())?;
    file.sync_all()
}
