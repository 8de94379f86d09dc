//! Leases: work that only one process of the cluster does at a time.
//!
//! Nothing breaks if two processes do the work: everything under a lease is guarded row by row. A
//! lease saves effort and keeps order.
//!
//! The holder sends a heartbeat every second. Another process takes the lease over after it has
//! seen the same heartbeat for four seconds by its own clock. The holder trusts a heartbeat for
//! three seconds after it was sent, so a delayed or frozen holder stops before another process
//! begins.
//!
//! With SQLite every process holds all leases: processes that share the file run on one machine,
//! and each heartbeat would cost a sync of its disk.

mod last_seen;

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use persistence::Database;
use tokio::sync::watch;

use self::last_seen::LastSeen;

use crate::boxed;

/// Interval between heartbeats of the holder, and between checks by other processes.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Time for which a lease is certainly held after a heartbeat was sent.
const TRUST_PERIOD: Duration = Duration::from_secs(3);

/// Work that only one process of the cluster does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseName {
    /// Sweep, purge, finish abandoned uploads, and plan transfers.
    Housekeeping,
    /// Announce due jobs to the broker.
    Announcing,
    /// Read all contents to find damaged ones.
    Scrubbing,
}

/// The right to do one kind of work.
///
/// Clones are cheap and share the same lease.
#[derive(Clone)]
pub struct Lease(Arc<Parts>);

struct Parts {
    database: Database,
    name: LeaseName,
    holder: String,
    is_candidate: AtomicBool,
    /// End of the time for which the lease is certainly held; `None` if it is not held.
    until: watch::Sender<Option<Instant>>,
    /// While this process backs off, it does not try to acquire the lease.
    backed_off_until: Mutex<Option<Instant>>,
}

/// All leases that this process can hold.
pub(crate) struct Leases([Lease; 3]);

impl LeaseName {
    /// All lease names.
    pub const ALL: [Self; 3] = [Self::Housekeeping, Self::Announcing, Self::Scrubbing];

    /// Name of the lease in the database, in logs and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Housekeeping => "housekeeping",
            Self::Announcing => "announcing",
            Self::Scrubbing => "scrubbing",
        }
    }
}

impl Leases {
    pub(crate) fn new(database: &Database) -> Self {
        let random = getrandom::u64().unwrap_or_default();
        let holder = format!("{}-{random:016x}", std::process::id());
        Self(LeaseName::ALL.map(|name| {
            Lease(Arc::new(Parts {
                database: database.clone(),
                name,
                holder: holder.clone(),
                is_candidate: AtomicBool::new(false),
                until: watch::Sender::new(None),
                backed_off_until: Mutex::default(),
            }))
        }))
    }
}

impl Lease {
    /// Acquires the lease and renews it, forever; runs until the task is dropped.
    #[boxed]
    pub async fn maintain(self) {
        self.0.is_candidate.store(true, Ordering::Relaxed);
        let mut last_seen = LastSeen::default();
        let mut was_held = false;
        loop {
            if let Err(error) = self.step(&mut last_seen).await {
                tracing::debug!(lease = self.name(), %error, "could not renew or check the lease");
            }
            if was_held != self.is_held() {
                was_held = !was_held;
                if was_held {
                    tracing::info!(
                        lease = self.name(),
                        holder = self.0.holder,
                        "lease acquired"
                    );
                } else {
                    tracing::warn!(lease = self.name(), holder = self.0.holder, "lease lost");
                }
            }
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        }
    }

    /// Returns whether this process certainly holds the lease now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.ends().is_some()
    }

    /// Returns whether this process tries to hold the lease.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        self.0.is_candidate.load(Ordering::Relaxed)
    }

    /// Waits until this process holds the lease.
    #[boxed]
    pub async fn acquired(&self) {
        let mut until = self.0.until.subscribe();
        while !self.is_held() {
            // The sender lives as long as `self`.
            let _ = until.changed().await;
        }
    }

    /// Runs `work` while the lease is held; returns `None` if the lease was lost first.
    ///
    /// The work stops at an await point. It never continues after the process was frozen for so
    /// long that another process may hold the lease.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut lost) = (pin!(work), pin!(self.lost()));
        poll_fn(|context| {
            let is_over = lost.as_mut().poll(context).is_ready();
            if is_over || !self.is_held() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Releases the lease, if held, so that the next process that checks can take it.
    ///
    /// If the database cannot be reached, other processes take the lease over after its timeout.
    #[boxed]
    pub async fn release(&self) {
        if self.0.until.send_replace(None).is_none() || !self.0.database.is_server() {
            return;
        }
        let leases = self.0.database.leases();
        if let Err(error) = leases.release(self.name(), &self.0.holder).await {
            tracing::debug!(lease = self.name(), %error, "could not release the lease, it will expire");
        }
    }

    /// Releases the lease and does not acquire it for `time`, because this process cannot do the
    /// work.
    #[boxed]
    pub async fn back_off(&self, time: Duration) {
        let until = Instant::now() + time;
        *self.0.backed_off_until.lock() = Some(until);
        self.release().await;
    }

    /// Name of the lease.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name.name()
    }

    fn ends(&self) -> Option<Instant> {
        let until = *self.0.until.borrow();
        until.filter(|until| Instant::now() < *until)
    }

    async fn lost(&self) {
        let mut until = self.0.until.subscribe();
        while let Some(ends) = self.ends() {
            let _ = tokio::time::timeout_at(ends.into(), until.changed()).await;
        }
    }

    /// Sends a heartbeat if the lease is held; checks the holder's heartbeat otherwise.
    async fn step(&self, last_seen: &mut LastSeen) -> persistence::Result<()> {
        let began = Instant::now();
        let trusted = Some(began + TRUST_PERIOD);
        let parts = &*self.0;
        let is_backed_off = parts
            .backed_off_until
            .lock()
            .is_some_and(|until| began < until);
        if is_backed_off {
            return Ok(());
        }
        if !parts.database.is_server() {
            parts.until.send_replace(trusted);
            return Ok(());
        }
        let (leases, name) = (parts.database.leases(), self.name());
        if parts.until.borrow().is_some() {
            let is_held = leases.heartbeat(name, &parts.holder).await?;
            // The lease may have been released in the meantime.
            parts.until.send_modify(|until| {
                *until = until.and(trusted).filter(|_| is_held);
            });
            return Ok(());
        }
        let found = leases.find(name).await?;
        if last_seen.can_take_over(found.as_ref(), &parts.holder, began)
            && leases.take(name, &parts.holder, found.as_ref()).await?
        {
            parts.until.send_replace(trusted);
        }
        Ok(())
    }
}

impl Leases {
    pub(crate) fn of(&self, name: LeaseName) -> &Lease {
        let Self([housekeeping, announcing, scrubbing]) = self;
        match name {
            LeaseName::Housekeeping => housekeeping,
            LeaseName::Announcing => announcing,
            LeaseName::Scrubbing => scrubbing,
        }
    }
}
