//! The limit of simultaneous uploads.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::http::header::{self, HeaderValue};
use domain::Owner;

use crate::problem::{Problem, ProblemType};

/// The part of the slots that is kept for owners with few uploads.
const KEPT_PART: usize = 8;

/// The part of the slots that is few.
const FEW_PART: usize = 64;

/// Seconds that a client should wait when too many uploads are running.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The uploads that this process may receive at the same time.
#[derive(Clone)]
pub(crate) struct UploadSlots {
    taken: Arc<Mutex<Taken>>,
    most: usize,
    most_of_owner: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_owner: HashMap<Owner, usize>,
}

/// There is no slot for an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSlot {
    /// The owner has this many uploads.
    #[error("the owner has {0} simultaneous uploads; wait for one to finish")]
    OfOwner(usize),
    /// Others have all slots.
    #[error("too many simultaneous uploads; try again")]
    OfProcess,
}

/// The permit of one upload; dropping it releases the slot.
pub(crate) struct UploadPermit {
    slots: UploadSlots,
    owner: Owner,
}

impl UploadSlots {
    pub(crate) fn new(most: usize, most_of_owner: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
            most_of_owner,
        }
    }

    /// Takes a slot for an upload of an owner. The last eighth of the slots is for owners who have few,
    /// so that a few owners cannot take all.
    ///
    /// # Errors
    ///
    /// If the owner or the process has too many uploads.
    pub(crate) fn take(&self, owner: &Owner) -> Result<UploadPermit, NoSlot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.next_of(&taken, owner)?;
        taken.all += 1;
        taken.by_owner.insert(owner.clone(), own + 1);
        Ok(UploadPermit {
            slots: self.clone(),
            owner: owner.clone(),
        })
    }

    /// Checks that there is a slot, which another upload may take before this one does.
    ///
    /// # Errors
    ///
    /// As [`UploadSlots::take`].
    pub(crate) fn check(&self, owner: &Owner) -> Result<(), NoSlot> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.next_of(&taken, owner).map(drop)
    }

    /// The number of slots that an owner has, who may have one more.
    fn next_of(&self, taken: &Taken, owner: &Owner) -> Result<usize, NoSlot> {
        let own = taken.by_owner.get(owner).copied().unwrap_or_default();
        if own >= self.most_of_owner {
            return Err(NoSlot::OfOwner(own));
        }
        if taken.all >= self.most_for(own) {
            return Err(NoSlot::OfProcess);
        }
        Ok(own)
    }

    /// The number of taken slots from which an owner with `own` ones gets no more.
    fn most_for(&self, own: usize) -> usize {
        let few = (self.most / FEW_PART).max(1);
        if own < few {
            self.most
        } else {
            self.most - self.most / KEPT_PART
        }
    }
}

impl From<NoSlot> for Problem {
    fn from(reason: NoSlot) -> Self {
        let kind = match reason {
            NoSlot::OfOwner(_) => ProblemType::TooManyUploads,
            NoSlot::OfProcess => ProblemType::Unavailable,
        };
        Self::new(kind, reason.to_string()).with_header(header::RETRY_AFTER, RETRY_AFTER)
    }
}

impl Drop for UploadPermit {
    fn drop(&mut self) {
        let taken = &self.slots.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(own) = taken.by_owner.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                taken.by_owner.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_owners_cannot_take_all_slots() {
        let slots = UploadSlots::new(64, 20);
        let mut taken = Vec::new();
        for owner in ["alice", "bob", "carol", "dave"] {
            let owner: Owner = owner.parse().unwrap();
            while let Ok(permit) = slots.take(&owner) {
                taken.push(permit);
            }
        }
        // Eight are kept, of which dave may have one.
        assert_eq!(taken.len(), 57);
        let erin: Owner = "erin".parse().unwrap();
        taken.push(slots.take(&erin).unwrap());
        assert!(slots.take(&erin).is_err(), "she has one now");
    }

    #[test]
    fn places_are_given_back_and_none_is_given_twice() {
        let slots = UploadSlots::new(3, 2);
        let (alice, bob): (Owner, Owner) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let first = slots.take(&alice).unwrap();
        let second = slots.take(&alice).unwrap();
        let refusal = slots.take(&alice).err().unwrap();
        assert_eq!(refusal, NoSlot::OfOwner(2));
        let third = slots.take(&bob).unwrap();
        let refusal = slots.take(&bob).err().unwrap();
        assert_eq!(refusal, NoSlot::OfProcess);
        drop(first);
        let fourth = slots.take(&bob).unwrap();
        drop((second, third, fourth));
        assert!(slots.taken.lock().unwrap().by_owner.is_empty());
        assert_eq!(slots.taken.lock().unwrap().all, 0);
    }
}
