//! Turns of searches, so that one owner's searches do not keep the database from all others.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use domain::Owner;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Error, Result};

/// The longest time that a search waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The searches that may run at the same time. Half of them may be one owner's.
pub(crate) struct SearchTurns {
    all: Arc<Semaphore>,
    most_of_owner: usize,
    max_wait: Duration,
    owners: Mutex<HashMap<Owner, Weak<Semaphore>>>,
}

/// The turn of one search; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct SearchTurn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl SearchTurns {
    /// Allows up to `most` searches at the same time, and at least one.
    pub(crate) fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(most)),
            most_of_owner: most.div_ceil(2),
            max_wait: MAX_WAIT,
            owners: Mutex::default(),
        }
    }

    /// Waits for the turn of a search of an owner.
    ///
    /// # Errors
    ///
    /// [`Error::TooManySearches`] if it does not come in time.
    pub(crate) async fn take(&self, owner: &Owner) -> Result<SearchTurn> {
        // The owner's own turn first: those who wait for it keep no others from theirs.
        let own = self.of(owner);
        let take = async {
            Some(SearchTurn {
                _own: own.acquire_owned().await.ok()?,
                _of_all: self.all.clone().acquire_owned().await.ok()?,
            })
        };
        let taken = timeout(self.max_wait, take).await;
        taken.ok().flatten().ok_or(Error::TooManySearches)
    }

    /// The turns of an owner.
    fn of(&self, owner: &Owner) -> Arc<Semaphore> {
        let mut owners = self.owners.lock();
        if let Some(turns) = owners.get(owner).and_then(Weak::upgrade) {
            return turns;
        }
        // Only owners who search now are remembered.
        owners.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.most_of_owner));
        owners.insert(owner.clone(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_owner_gets_half_of_the_turns() {
        let turns = SearchTurns::new(4);
        let [alice, bob]: [Owner; 2] = ["alice", "bob"].map(|owner| owner.parse().unwrap());
        let first = turns.take(&alice).await.unwrap();
        let _second = turns.take(&alice).await.unwrap();
        let mut third = Box::pin(turns.take(&alice));
        assert!((&mut third).now_or_never().is_none());
        let _others = [
            turns.take(&bob).await.unwrap(),
            turns.take(&bob).await.unwrap(),
        ];
        drop(first);
        assert!(third.await.is_ok());
    }

    #[tokio::test]
    async fn owners_who_do_not_search_are_forgotten() {
        let turns = SearchTurns::new(1);
        for number in 0..10 {
            let owner: Owner = format!("owner{number}").parse().unwrap();
            turns.take(&owner).await.unwrap();
        }
        assert_eq!(turns.owners.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_search_does_not_wait_for_ever() {
        let turns = SearchTurns {
            max_wait: Duration::from_millis(50),
            ..SearchTurns::new(1)
        };
        let [alice, bob]: [Owner; 2] = ["alice", "bob"].map(|owner| owner.parse().unwrap());
        let _held = turns.take(&alice).await.unwrap();
        let refused = turns.take(&bob).await;
        assert!(matches!(refused, Err(Error::TooManySearches)));
    }
}
