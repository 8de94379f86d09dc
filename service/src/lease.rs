//! Who does what is to be done once in the whole cluster.
//!
//! Nothing becomes wrong if two do it: all that is done under a lease is guarded row by row. A
//! lease is for economy and order.
//!
//! Whoever holds one raises its beat every second; whoever saw the same beat for four seconds, by a
//! clock of their own, takes it over. The holder trusts a beat for three seconds after it was
//! sent, so that one that was held up, or frozen, stops before another begins.
//!
//! With SQLite every process holds all leases: those that share the file are on one machine, and
//! each beat would be a sync of its disk.

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

/// How often a holder gives a sign of life, and others look for one.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// For how long a lease is held for sure after a beat was sent.
const TRUST_PERIOD: Duration = Duration::from_secs(3);

/// What is to be done once in the whole cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseName {
    /// Sweeping, purging, completing what was left behind, and planning transfers.
    Housekeeping,
    /// Telling the broker of the jobs that are due.
    Announcing,
}

/// The right to do something that is to be done once.
///
/// Cloning it is cheap, and gives the same lease.
#[derive(Clone)]
pub struct Lease(Arc<Parts>);

struct Parts {
    database: Database,
    name: LeaseName,
    holder: String,
    is_candidate: AtomicBool,
    /// Until when it is held for sure; `None` if it is not, or not any more.
    until: watch::Sender<Option<Instant>>,
    /// Until when others are to have it, whatever this process sees.
    backed_off_until: Mutex<Option<Instant>>,
}

/// The leases that a process may come to hold.
pub(crate) struct Leases([Lease; 2]);

impl LeaseName {
    /// Every name.
    pub const ALL: [Self; 2] = [Self::Housekeeping, Self::Announcing];

    /// What its lease is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Housekeeping => "housekeeping",
            Self::Announcing => "announcing",
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
    /// Comes to hold the lease and holds it, as far as others let it; does not end.
    pub async fn maintain(self) {
        self.0.is_candidate.store(true, Ordering::Relaxed);
        let mut last_seen = LastSeen::default();
        let mut was_held = false;
        loop {
            if let Err(error) = self.step(&mut last_seen).await {
                tracing::debug!(lease = self.name(), %error, "nothing is known of a lease");
            }
            if was_held != self.is_held() {
                was_held = !was_held;
                if was_held {
                    tracing::info!(lease = self.name(), holder = self.0.holder, "holding");
                } else {
                    tracing::warn!(lease = self.name(), holder = self.0.holder, "not holding");
                }
            }
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        }
    }

    /// Whether it is held now, for sure.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.ends().is_some()
    }

    /// Whether this process would do the work.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        self.0.is_candidate.load(Ordering::Relaxed)
    }

    /// Waits until it is held.
    pub async fn acquired(&self) {
        let mut until = self.0.until.subscribe();
        while !self.is_held() {
            // The sender lives as long as this does.
            let _ = until.changed().await;
        }
    }

    /// Works as long as it is held; gives `None` if it was lost before the work was done.
    ///
    /// The work stops where it waits for something; it never goes on from there when the process
    /// was frozen meanwhile for so long that somebody else may hold the lease.
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

    /// Gives it up, if it is held, so that the next who looks has it.
    ///
    /// If the database does not hear of it, others take it over as from somebody who died.
    pub async fn release(&self) {
        if self.0.until.send_replace(None).is_none() || !self.0.database.is_server() {
            return;
        }
        let leases = self.0.database.leases();
        if let Err(error) = leases.give_up(self.name(), &self.0.holder).await {
            tracing::debug!(lease = self.name(), %error, "a lease runs out by itself");
        }
    }

    /// Leaves it to others for some time, since the work cannot be done here.
    pub async fn back_off(&self, time: Duration) {
        let until = Instant::now() + time;
        *self.0.backed_off_until.lock() = Some(until);
        self.release().await;
    }

    /// What it is called.
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

    /// Gives a sign of life, or looks for that of somebody else.
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
            let is_held = leases.beat(name, &parts.holder).await?;
            // It may have been given up meanwhile.
            parts.until.send_modify(|until| {
                *until = until.and(trusted).filter(|_| is_held);
            });
            return Ok(());
        }
        let found = leases.find(name).await?;
        if last_seen.is_over(found.as_ref(), &parts.holder, began)
            && leases.take(name, &parts.holder, found.as_ref()).await?
        {
            parts.until.send_replace(trusted);
        }
        Ok(())
    }
}

impl Leases {
    pub(crate) fn of(&self, name: LeaseName) -> &Lease {
        let Self([housekeeping, announcing]) = self;
        match name {
            LeaseName::Housekeeping => housekeeping,
            LeaseName::Announcing => announcing,
        }
    }
}
