//! How many uploads are taken in at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::http::header::{self, HeaderValue};
use domain::Owner;

use crate::problem::{Problem, ProblemType};

/// How long a client had better wait when too many uploads are running, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The uploads that this process takes in at a time.
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

/// One upload's place; dropping it gives it back.
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

    /// Takes a place for an upload of an owner.
    ///
    /// # Errors
    ///
    /// 429 when the owner has too many, 503 when all have.
    pub(crate) fn take(&self, owner: &Owner) -> Result<UploadPermit, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_owner.get(owner).copied().unwrap_or_default();
        let refused = if own >= self.most_of_owner {
            let detail = format!("{own} uploads of this owner are being sent; wait for one to end");
            Problem::new(ProblemType::TooManyUploads, detail)
        } else if taken.all >= self.most {
            let detail = "as many uploads are being sent as can be taken in; try again";
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
