//! The configured stores.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    time::{Duration, Instant},
};

use domain::Address;
use parking_lot::Mutex;
use storage::Store;

/// Time for which a failed store is read only after the other store that has a copy.
const AVOID_FAILED_FOR: Duration = Duration::from_mins(1);

/// Policy that copies every upload to another store after the client got its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name of the store that receives the copy.
    pub to: String,
    /// True if the copy in the primary store stays.
    pub keeps_source: bool,
}

/// All stores, including the primary store, which takes new uploads.
pub struct Stores {
    primary: Store,
    all: BTreeMap<String, Store>,
    policy: Option<Policy>,
    /// Time of the last failure of each store.
    failed: Mutex<HashMap<String, Instant>>,
}

impl Stores {
    /// Creates the set from the primary store, the other stores, and the policy for new uploads.
    #[must_use]
    pub fn new(primary: Store, others: Vec<Store>, policy: Option<Policy>) -> Self {
        let all = others.into_iter().chain([primary.clone()]);
        Self {
            all: all.map(|store| (store.name().to_owned(), store)).collect(),
            primary,
            policy,
            failed: Mutex::default(),
        }
    }

    /// The store that takes new uploads.
    #[must_use]
    pub fn primary(&self) -> &Store {
        &self.primary
    }

    /// The copy policy for new uploads, if there is one.
    pub(crate) fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// All stores, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.all.values()
    }

    /// Returns whether any store is a bucket.
    pub(crate) fn has_buckets(&self) -> bool {
        self.iter().any(|store| store.as_bucket().is_some())
    }

    /// Returns whether any store is a local disk.
    #[must_use]
    pub fn has_disks(&self) -> bool {
        self.iter().any(|store| store.as_disk().is_some())
    }

    /// Finds a store by name; `None` if it is not configured.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Store> {
        self.all.get(name)
    }

    /// The store of an address.
    ///
    /// # Errors
    ///
    /// When the store is not configured, so that nothing is known about its contents.
    pub(crate) fn of(&self, address: &Address) -> Result<&Store, storage::Error> {
        self.named(&address.store)
    }

    pub(crate) fn named(&self, name: &str) -> Result<&Store, storage::Error> {
        self.get(name).ok_or_else(|| {
            let error = io::Error::other(format!("the store {name} is not configured"));
            storage::Error::Unavailable(error)
        })
    }

    /// Records success or failure of a request to a store.
    pub(crate) fn record_result<T>(&self, store: &str, outcome: &Result<T, storage::Error>) {
        let mut failed = self.failed.lock();
        match outcome {
            Err(storage::Error::Unavailable(_) | storage::Error::Ended(_)) => {
                failed.insert(store.to_owned(), Instant::now());
            }
            _ if failed.is_empty() => {}
            _ => {
                failed.remove(store);
            }
        }
    }

    /// Returns whether the store failed within the last minute.
    pub(crate) fn failed_recently(&self, store: &str) -> bool {
        let failed = self.failed.lock();
        failed
            .get(store)
            .is_some_and(|at| at.elapsed() < AVOID_FAILED_FOR)
    }
}
