//! Turns of searches and of long pages, so that one owner's listings do not keep the database from all
//! others.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use domain::Owner;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{Error, Result};

/// The longest time that a listing waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The listings that may run at the same time. Half of them may be one owner's.
pub(crate) struct ListingTurns {
    all: Arc<Semaphore>,
    most_of_owner: usize,
    max_wait: Duration,
    owners: Mutex<HashMap<Owner, Weak<Semaphore>>>,
}

/// The turn of one listing; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ListingTurn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl ListingTurns {
    /// Allows up to `most` listings at the same time, and at least one.
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

    /// Waits for the turn of an owner's listing, for a limited time. A caller that stops waiting gives
    /// its place in the queue up.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyListings`] if the owner's other listings took all the time,
    /// [`Error::ListingsBusy`] if those of others did.
    pub(crate) async fn take(&self, owner: &Owner) -> Result<ListingTurn> {
        let end = Instant::now() + self.max_wait;
        // The owner's own turn first: those who wait for it keep no others from theirs.
        let own = timeout_at(end, self.of(owner).acquire_owned()).await;
        let own = own.ok().and_then(Result::ok);
        let own = own.ok_or(Error::TooManyListings)?;
        let of_all = timeout_at(end, self.all.clone().acquire_owned()).await;
        let of_all = of_all.ok().and_then(Result::ok);
        Ok(ListingTurn {
            _own: own,
            _of_all: of_all.ok_or(Error::ListingsBusy)?,
        })
    }

    /// The turns of an owner.
    fn of(&self, owner: &Owner) -> Arc<Semaphore> {
        let mut owners = self.owners.lock();
        if let Some(turns) = owners.get(owner).and_then(Weak::upgrade) {
            return turns;
        }
        // Only owners who list now are remembered.
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
        let turns = ListingTurns::new(4);
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
    async fn owners_who_do_not_list_are_forgotten() {
        let turns = ListingTurns::new(1);
        for number in 0..10 {
            let owner: Owner = format!("owner{number}").parse().unwrap();
            turns.take(&owner).await.unwrap();
        }
        assert_eq!(turns.owners.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_listing_does_not_wait_for_ever() {
        let turns = ListingTurns {
            max_wait: Duration::from_millis(50),
            ..ListingTurns::new(1)
        };
        let [alice, bob]: [Owner; 2] = ["alice", "bob"].map(|owner| owner.parse().unwrap());
        let _held = turns.take(&alice).await.unwrap();
        let (own, other) = tokio::join!(turns.take(&alice), turns.take(&bob));
        assert!(matches!(own, Err(Error::TooManyListings)));
        assert!(matches!(other, Err(Error::ListingsBusy)));
    }

    #[tokio::test]
    async fn a_listing_that_nobody_waits_for_takes_no_turn() {
        let turns = ListingTurns::new(2);
        let alice: Owner = "alice".parse().unwrap();
        let held = turns.take(&alice).await.unwrap();
        let mut abandoned: Vec<_> = (0..200).map(|_| Box::pin(turns.take(&alice))).collect();
        for waiting in &mut abandoned {
            assert!(waiting.now_or_never().is_none());
        }
        let mut last = Box::pin(turns.take(&alice));
        assert!((&mut last).now_or_never().is_none());
        drop(abandoned);
        drop(held);
        assert!(last.now_or_never().unwrap().is_ok());
    }
}
