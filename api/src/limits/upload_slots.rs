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
    /// 429 if the owner has too many uploads, 503 if the process has.
    pub(crate) fn take(&self, owner: &Owner) -> Result<UploadPermit, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_owner.get(owner).copied().unwrap_or_default();
        let refused = if own >= self.most_of_owner {
            let detail =
                format!("the owner has {own} simultaneous uploads; wait for one to finish");
            Problem::new(ProblemType::TooManyUploads, detail)
        } else if taken.all >= self.most_for(own) {
            let detail = "too many simultaneous uploads; try again";
            Problem::new(ProblemType::Unavailable, detail)
        } else {
            taken.all += 1;
            taken.by_owner.insert(owner.clone(), own + 1);
            return Ok(UploadPermit {
                slots: self.clone(),
                owner: owner.clone(),
            });
        };
        Err(refused.with_header(header::RETRY_AFTER, RETRY_AFTER))
    }
}

impl UploadSlots {
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
        assert_eq!(refusal.kind, ProblemType::TooManyUploads);
        let third = slots.take(&bob).unwrap();
        let refusal = slots.take(&bob).err().unwrap();
        assert_eq!(refusal.kind, ProblemType::Unavailable);
        drop(first);
        let fourth = slots.take(&bob).unwrap();
        drop((second, third, fourth));
        assert!(slots.taken.lock().unwrap().by_owner.is_empty());
        assert_eq!(slots.taken.lock().unwrap().all, 0);
    }
}
