//! Locks on uploads: the newest request wins.
//!
//! A newer request tells the previous one to stop and waits until it has. A lock ends with its
//! request and leaves no state behind.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use domain::RandomId;
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch},
    time::{Instant, timeout, timeout_at},
};

use crate::{Error, Result};

/// Time to wait for the previous request, which may have to write the bytes that it received.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Grace period for a request that is already completing the upload.
const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The uploads that requests to this process have locked.
#[derive(Clone, Default)]
pub(crate) struct UploadLocks(Arc<Mutex<HashMap<RandomId, Weak<LockState>>>>);

struct LockState {
    newest: watch::Sender<u64>,
    mutex: Arc<AsyncMutex<()>>,
}

/// An upload locked by one request; unlocked on drop.
pub(crate) struct UploadLock {
    id: RandomId,
    number: u64,
    state: Arc<LockState>,
    _guard: OwnedMutexGuard<()>,
    locks: UploadLocks,
}

impl UploadLocks {
    /// Locks an upload, and stops the request that holds the lock.
    ///
    /// # Errors
    ///
    /// [`Error::Superseded`] when a newer request came in the meantime, [`Error::Contended`] when
    /// the previous request does not stop.
    pub(crate) async fn take_over(&self, id: RandomId) -> Result<UploadLock> {
        let state = self.state(id);
        let mut number = 0;
        state.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let guard = timeout(TAKEOVER_TIMEOUT, Arc::clone(&state.mutex).lock_owned()).await;
        let guard = guard.map_err(|_| Error::Contended)?;
        let lock = self.lock_with(id, number, state, guard);
        if lock.is_superseded() {
            return Err(Error::Superseded);
        }
        Ok(lock)
    }

    /// Stops the request that holds the lock, and waits for the lock. Unlike
    /// [`take_over`](Self::take_over) it goes on when a newer request comes.
    ///
    /// # Errors
    ///
    /// [`Error::Contended`] when the previous request does not stop.
    pub(crate) async fn settle(&self, id: RandomId) -> Result<UploadLock> {
        let state = self.state(id);
        state.newest.send_modify(|newest| *newest += 1);
        let guard = timeout(TAKEOVER_TIMEOUT, Arc::clone(&state.mutex).lock_owned()).await;
        let guard = guard.map_err(|_| Error::Contended)?;
        let number = *state.newest.borrow();
        Ok(self.lock_with(id, number, state, guard))
    }

    /// Waits for the lock without stopping the holder; takes it over after the grace period.
    ///
    /// # Errors
    ///
    /// As [`UploadLocks::take_over`].
    pub(crate) async fn join(&self, id: RandomId) -> Result<UploadLock> {
        let state = self.state(id);
        match timeout(JOIN_TIMEOUT, Arc::clone(&state.mutex).lock_owned()).await {
            Ok(guard) => {
                let number = *state.newest.borrow();
                Ok(self.lock_with(id, number, state, guard))
            }
            Err(_) => self.take_over(id).await,
        }
    }

    /// Locks an upload if it is not locked.
    pub(crate) fn try_lock(&self, id: RandomId) -> Option<UploadLock> {
        let state = self.state(id);
        let guard = Arc::clone(&state.mutex).try_lock_owned().ok()?;
        let number = *state.newest.borrow();
        Some(self.lock_with(id, number, state, guard))
    }

    /// Locks an upload if the request that holds the lock ends by itself until then.
    pub(crate) async fn lock_idle(&self, id: RandomId, until: Instant) -> Option<UploadLock> {
        let state = self.state(id);
        let locked = timeout_at(until, Arc::clone(&state.mutex).lock_owned()).await;
        let number = *state.newest.borrow();
        Some(self.lock_with(id, number, state, locked.ok()?))
    }

    fn lock_with(
        &self,
        id: RandomId,
        number: u64,
        state: Arc<LockState>,
        guard: OwnedMutexGuard<()>,
    ) -> UploadLock {
        UploadLock {
            id,
            number,
            state,
            _guard: guard,
            locks: self.clone(),
        }
    }

    fn state(&self, id: RandomId) -> Arc<LockState> {
        let mut locks = self.0.lock();
        if let Some(state) = locks.get(&id).and_then(Weak::upgrade) {
            return state;
        }
        if locks.len() == locks.capacity() {
            // Requests that gave up waiting may have left an entry that nothing refers to.
            locks.retain(|_, state| state.strong_count() > 0);
        }
        let state = Arc::new(LockState {
            newest: watch::Sender::new(0),
            mutex: Arc::default(),
        });
        locks.insert(id, Arc::downgrade(&state));
        state
    }
}

impl UploadLock {
    /// Returns whether a newer request waits for the lock.
    pub(crate) fn is_superseded(&self) -> bool {
        *self.state.newest.borrow() != self.number
    }

    /// Waits until a newer request wants the lock.
    pub(crate) async fn superseded(&self) {
        let mut newest = self.state.newest.subscribe();
        // The channel cannot close while `self` holds the state.
        let _ = newest.wait_for(|newest| *newest != self.number).await;
    }
}

impl Drop for UploadLock {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock();
        // A waiting request has its own reference, and the last one removes the entry.
        if Arc::strong_count(&self.state) == 1 {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [1; 16];

    #[tokio::test]
    async fn the_newest_request_gets_the_lock() {
        let locks = UploadLocks::default();
        let first = locks.take_over(ID.into()).await.unwrap();
        let second = tokio::spawn({
            let locks = locks.clone();
            async move { locks.take_over(ID.into()).await.map(drop) }
        });
        first.superseded().await;
        let third = tokio::spawn({
            let locks = locks.clone();
            async move { locks.take_over(ID.into()).await.map(drop) }
        });
        while *first.state.newest.borrow() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(locks.try_lock(ID.into()).is_none());
        drop(first);
        assert!(matches!(second.await.unwrap(), Err(Error::Superseded)));
        third.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_that_settles_stops_older_ones_and_is_not_stopped() {
        let locks = UploadLocks::default();
        let first = locks.take_over(ID.into()).await.unwrap();
        let settle = || {
            let locks = locks.clone();
            tokio::spawn(async move { locks.settle(ID.into()).await.map(drop) })
        };
        let (one, other) = (settle(), settle());
        while *first.state.newest.borrow() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(first.is_superseded());
        drop(first);
        one.await.unwrap().unwrap();
        other.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn ended_locks_leave_no_state() {
        let locks = UploadLocks::default();
        let first = locks.take_over(ID.into()).await.unwrap();
        let other = locks.take_over([2; 16].into()).await.unwrap();
        drop((first, other));
        drop(locks.try_lock(ID.into()).unwrap());
        assert!(locks.0.lock().is_empty());
    }
}
