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

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use persistence::Database;
use tokio::sync::watch;

use crate::FileService;

/// How often a holder gives a sign of life, and others look for one.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// For how long a lease is held for sure after a beat was sent.
const TRUSTED_FOR: Duration = Duration::from_secs(3);

/// After how long without a sign of life a lease is taken over.
const OVER_AFTER: Duration = Duration::from_secs(4);

/// What is to be done once in the whole cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
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
    duty: Duty,
    holder: String,
    is_kept: AtomicBool,
    /// Until when it is held for sure; `None` if it is not, or not any more.
    until: watch::Sender<Option<Instant>>,
    /// Until when others are to have it, whatever this process sees.
    left_until: Mutex<Option<Instant>>,
}

/// The leases that a process may come to hold.
pub(crate) struct Leases([Lease; 2]);

/// What was last seen of a lease that somebody else holds, and since when it was the same.
#[derive(Default)]
struct Sight(Option<(persistence::Lease, Instant)>);

impl Duty {
    /// Every duty.
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
        Self(Duty::ALL.map(|duty| {
            Lease(Arc::new(Parts {
                database: database.clone(),
                duty,
                holder: holder.clone(),
                is_kept: AtomicBool::new(false),
                until: watch::Sender::new(None),
                left_until: Mutex::default(),
            }))
        }))
    }
}

impl FileService {
    /// The lease of a duty, which is held by nobody unless somebody keeps it ([`Lease::keep`]).
    #[must_use]
    pub fn lease(&self, duty: Duty) -> &Lease {
        let Leases([housekeeping, announcing]) = &self.0.leases;
        match duty {
            Duty::Housekeeping => housekeeping,
            Duty::Announcing => announcing,
        }
    }
}

impl Lease {
    /// Comes to hold the lease and holds it, as far as others let it; does not end.
    pub async fn keep(self) {
        self.0.is_kept.store(true, Ordering::Relaxed);
        let mut sight = Sight::default();
        let mut is_told = false;
        loop {
            if let Err(error) = self.step(&mut sight).await {
                tracing::debug!(lease = self.name(), %error, "nothing is known of a lease");
            }
            if is_told != self.is_held() {
                is_told = !is_told;
                if is_told {
                    tracing::info!(lease = self.name(), holder = self.0.holder, "holding");
                } else {
                    tracing::warn!(lease = self.name(), holder = self.0.holder, "not holding");
                }
            }
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    /// Whether it is held now, for sure.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.ends().is_some()
    }

    /// Whether this process would do the work.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.is_kept.load(Ordering::Relaxed)
    }

    /// Waits until it is held.
    pub async fn held(&self) {
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
    pub async fn give_up(&self) {
        if self.0.until.send_replace(None).is_none() || !self.0.database.is_server() {
            return;
        }
        let leases = self.0.database.leases();
        if let Err(error) = leases.give_up(self.name(), &self.0.holder).await {
            tracing::debug!(lease = self.name(), %error, "a lease runs out by itself");
        }
    }

    /// Leaves it to others for some time, since the work cannot be done here.
    pub async fn leave(&self, time: Duration) {
        let until = Instant::now() + time;
        *self
            .0
            .left_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.give_up().await;
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.duty.name()
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
    async fn step(&self, sight: &mut Sight) -> persistence::Result<()> {
        let began = Instant::now();
        let trusted = Some(began + TRUSTED_FOR);
        let parts = &*self.0;
        let is_left = parts
            .left_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|until| began < until);
        if is_left {
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
        if sight.is_over(found.as_ref(), &parts.holder, began)
            && leases.take(name, &parts.holder, found.as_ref()).await?
        {
            parts.until.send_replace(trusted);
        }
        Ok(())
    }
}

impl Sight {
    /// Whether a lease can be taken that was found as it is by a look that began at a time.
    fn is_over(&mut self, found: Option<&persistence::Lease>, own: &str, began: Instant) -> bool {
        let Some(found) = found else {
            return true;
        };
        if found.holder.as_deref().is_none_or(|holder| holder == own) {
            return true;
        }
        match &self.0 {
            Some((before, since)) if before == found => {
                began.saturating_duration_since(*since) >= OVER_AFTER
            }
            _ => {
                self.0 = Some((found.clone(), Instant::now()));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(holder: &str, beat: i64) -> persistence::Lease {
        persistence::Lease {
            holder: Some(holder.to_owned()),
            beat,
        }
    }

    #[test]
    fn a_lease_is_over_when_its_beat_was_the_same_for_long() {
        let mut sight = Sight::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(!sight.is_over(Some(&beat("a", 1)), "b", start));
        assert!(!sight.is_over(Some(&beat("a", 1)), "b", later(3)));
        // Each beat, and each other holder, counts from when it was seen first.
        assert!(!sight.is_over(Some(&beat("a", 2)), "b", later(9)));
        assert!(!sight.is_over(Some(&beat("c", 2)), "b", later(9)));
        assert!(!sight.is_over(Some(&beat("c", 2)), "b", start));
        assert!(sight.is_over(Some(&beat("c", 2)), "b", later(9)));
    }

    #[test]
    fn what_nobody_holds_is_taken_at_once() {
        let now = Instant::now();
        let free = persistence::Lease {
            holder: None,
            beat: 7,
        };
        assert!(Sight::default().is_over(None, "b", now));
        assert!(Sight::default().is_over(Some(&free), "b", now));
        // An answer that was lost: it was taken.
        assert!(Sight::default().is_over(Some(&beat("b", 1)), "b", now));
    }
}
