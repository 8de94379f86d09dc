//! The stores that the settings name.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    time::{Duration, Instant},
};

use domain::Address;
use parking_lot::Mutex;
use storage::Store;

/// For how long a store that failed is asked only after another that has the same bytes.
const AVOID_FAILED_FOR: Duration = Duration::from_mins(1);

/// Where every upload is copied to once its client has been answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The store that gets a copy.
    pub to: String,
    /// Whether the copy in the primary store stays.
    pub keeps_source: bool,
}

/// All stores, one of which takes what is uploaded.
pub struct Stores {
    primary: Store,
    all: BTreeMap<String, Store>,
    policy: Option<Policy>,
    /// When a store failed last.
    failed: Mutex<HashMap<String, Instant>>,
}

impl Stores {
    /// The store that takes what is uploaded, others, and what becomes of uploads.
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

    /// The store that takes what is uploaded.
    #[must_use]
    pub fn primary(&self) -> &Store {
        &self.primary
    }

    /// Where uploads are copied to, if they are.
    pub(crate) fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// All stores, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.all.values()
    }

    /// Whether any store is not a local disk.
    pub(crate) fn has_buckets(&self) -> bool {
        self.iter().any(|store| store.as_bucket().is_some())
    }

    /// Whether any store is a local disk.
    #[must_use]
    pub fn has_disks(&self) -> bool {
        self.iter().any(|store| store.as_disk().is_some())
    }

    /// The store of a name, if the settings have it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Store> {
        self.all.get(name)
    }

    /// The store that an address is in.
    ///
    /// # Errors
    ///
    /// When the settings do not have it: nothing can be said of what it has.
    pub(crate) fn of(&self, address: &Address) -> Result<&Store, storage::Error> {
        self.named(&address.store)
    }

    pub(crate) fn named(&self, name: &str) -> Result<&Store, storage::Error> {
        self.get(name).ok_or_else(|| {
            let error = io::Error::other(format!("the settings have no store {name}"));
            storage::Error::Unavailable(error)
        })
    }

    /// Remembers what came of asking a store.
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

    /// Whether a store failed a moment ago.
    pub(crate) fn failed_recently(&self, store: &str) -> bool {
        let failed = self.failed.lock();
        failed
            .get(store)
            .is_some_and(|at| at.elapsed() < AVOID_FAILED_FOR)
    }
}
