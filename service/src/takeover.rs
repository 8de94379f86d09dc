//! Whose turn it is to work on an upload: the newest request's.
//!
//! A request that comes later tells the one before to stop, and waits until it has. UploadLocks end
//! with the requests that hold them; nothing else remembers them.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use domain::RandomId;
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch},
    time::timeout,
};

use crate::{Error, Result};

/// How long to wait for the request before, which at most has to write what it received.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for whoever may be completing the upload already.
const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The uploads that are being worked on by this process.
#[derive(Clone, Default)]
pub(crate) struct UploadLocks(Arc<Mutex<HashMap<RandomId, Weak<LockState>>>>);

struct LockState {
    newest: watch::Sender<u64>,
    mutex: Arc<AsyncMutex<()>>,
}

/// A request's turn.
pub(crate) struct UploadLock {
    id: RandomId,
    number: u64,
    state: Arc<LockState>,
    _guard: OwnedMutexGuard<()>,
    locks: UploadLocks,
}

impl UploadLocks {
    /// Takes the next turn, which ends the one that is running.
    ///
    /// # Errors
    ///
    /// [`Error::Superseded`] when another request came meanwhile, [`Error::Contended`] when the
    /// one before does not end.
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

    /// Waits for a turn that nobody else has, without ending one; only who does not end by itself
    /// is ended.
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

    /// Takes a turn if nobody has one.
    pub(crate) fn try_lock(&self, id: RandomId) -> Option<UploadLock> {
        let state = self.state(id);
        let guard = Arc::clone(&state.mutex).try_lock_owned().ok()?;
        let number = *state.newest.borrow();
        Some(self.lock_with(id, number, state, guard))
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
            // Of those who gave up waiting nothing may be left but this.
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
    /// Whether a newer request waits for its own turn.
    pub(crate) fn is_superseded(&self) -> bool {
        *self.state.newest.borrow() != self.number
    }

    /// Waits until a newer request wants its own turn.
    pub(crate) async fn superseded(&self) {
        let mut newest = self.state.newest.subscribe();
        // It cannot be closed as long as this holds the queue.
        let _ = newest.wait_for(|newest| *newest != self.number).await;
    }
}

impl Drop for UploadLock {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock();
        // Whoever else waits has a reference of its own, and removes it in the end.
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
    async fn the_newest_request_gets_the_next_turn() {
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
    async fn nothing_is_remembered_of_turns_that_ended() {
        let locks = UploadLocks::default();
        let first = locks.take_over(ID.into()).await.unwrap();
        let other = locks.take_over([2; 16].into()).await.unwrap();
        drop((first, other));
        drop(locks.try_lock(ID.into()).unwrap());
        assert!(locks.0.lock().is_empty());
    }
}
