//! Whose turn it is to work on an upload: the newest request's.
//!
//! A request that comes later tells the one before to stop, and waits until it has. Turns end
//! with the requests that hold them; nothing else remembers them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use domain::RandomId;
use tokio::{
    sync::{Mutex as Seat, OwnedMutexGuard, watch},
    time::timeout,
};

use crate::{Error, Result};

/// How long to wait for the request before, which at most has to write what it received.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for whoever may be completing the upload already.
const COURTESY: Duration = Duration::from_secs(3);

/// The uploads that are being worked on by this process.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<RandomId, Weak<Queue>>>>);

struct Queue {
    newest: watch::Sender<u64>,
    seat: Arc<Seat<()>>,
}

/// A request's turn.
pub(crate) struct Turn {
    id: RandomId,
    number: u64,
    queue: Arc<Queue>,
    _seat: OwnedMutexGuard<()>,
    turns: Turns,
}

impl Turns {
    /// Takes the next turn, which ends the one that is running.
    ///
    /// # Errors
    ///
    /// [`Error::Superseded`] when another request came meanwhile, [`Error::Contended`] when the
    /// one before does not end.
    pub(crate) async fn take(&self, id: RandomId) -> Result<Turn> {
        let queue = self.queue(id);
        let mut number = 0;
        queue.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let seat = timeout(PATIENCE, Arc::clone(&queue.seat).lock_owned()).await;
        let seat = seat.map_err(|_| Error::Contended)?;
        let turn = self.turn(id, number, queue, seat);
        if turn.is_over() {
            return Err(Error::Superseded);
        }
        Ok(turn)
    }

    /// Waits for a turn that nobody else has, without ending one; only who does not end by itself
    /// is ended.
    ///
    /// # Errors
    ///
    /// As [`Turns::take`].
    pub(crate) async fn join(&self, id: RandomId) -> Result<Turn> {
        let queue = self.queue(id);
        match timeout(COURTESY, Arc::clone(&queue.seat).lock_owned()).await {
            Ok(seat) => {
                let number = *queue.newest.borrow();
                Ok(self.turn(id, number, queue, seat))
            }
            Err(_) => self.take(id).await,
        }
    }

    /// Takes a turn if nobody has one.
    pub(crate) fn take_if_free(&self, id: RandomId) -> Option<Turn> {
        let queue = self.queue(id);
        let seat = Arc::clone(&queue.seat).try_lock_owned().ok()?;
        let number = *queue.newest.borrow();
        Some(self.turn(id, number, queue, seat))
    }

    fn turn(
        &self,
        id: RandomId,
        number: u64,
        queue: Arc<Queue>,
        seat: OwnedMutexGuard<()>,
    ) -> Turn {
        Turn {
            id,
            number,
            queue,
            _seat: seat,
            turns: self.clone(),
        }
    }

    fn queue(&self, id: RandomId) -> Arc<Queue> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&id).and_then(Weak::upgrade) {
            return queue;
        }
        if queues.len() == queues.capacity() {
            // Of those who gave up waiting nothing may be left but this.
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let queue = Arc::new(Queue {
            newest: watch::Sender::new(0),
            seat: Arc::default(),
        });
        queues.insert(id, Arc::downgrade(&queue));
        queue
    }
}

impl Turn {
    /// Whether a newer request waits for its own turn.
    pub(crate) fn is_over(&self) -> bool {
        *self.queue.newest.borrow() != self.number
    }

    /// Waits until a newer request wants its own turn.
    pub(crate) async fn over(&self) {
        let mut newest = self.queue.newest.subscribe();
        // It cannot be closed as long as this holds the queue.
        let _ = newest.wait_for(|newest| *newest != self.number).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever else waits has a reference of its own, and removes it in the end.
        if Arc::strong_count(&self.queue) == 1 {
            queues.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [1; 16];

    #[tokio::test]
    async fn the_newest_request_gets_the_next_turn() {
        let turns = Turns::default();
        let first = turns.take(ID.into()).await.unwrap();
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(ID.into()).await.map(drop) }
        });
        first.over().await;
        let third = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(ID.into()).await.map(drop) }
        });
        while *first.queue.newest.borrow() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(turns.take_if_free(ID.into()).is_none());
        drop(first);
        assert!(matches!(second.await.unwrap(), Err(Error::Superseded)));
        third.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_turns_that_ended() {
        let turns = Turns::default();
        let first = turns.take(ID.into()).await.unwrap();
        let other = turns.take([2; 16].into()).await.unwrap();
        drop((first, other));
        drop(turns.take_if_free(ID.into()).unwrap());
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
