//! Owners' entries that are asked for again and again.
//!
//! A key has an entry, or a tombstone, or is not there. Nothing is served that was read from the
//! database longer ago than the cache's age, by Redis' own clock, whatever happens between: the
//! reader takes the time before it reads, and the value carries the moment at which it ends. So a
//! value that comes late ends as early, or never begins.
//!
//! Who changes an entry puts a tombstone over it when the change is committed, and readers only put
//! values where nothing is. As the tombstone stays for as long as any value could that was read
//! before, no such value is ever seen after it.

use std::time::Duration;

use domain::{Owner, Sha1};
use redis::{Pipeline, SetExpiry, SetOptions};
use serde::{Serialize, de::DeserializeOwned};

use crate::Redis;

/// No value is larger; an entry with the longest name takes a third of it at most.
const LARGEST: usize = 8 * 1024;

/// What is in the place of an entry that was changed a moment ago.
const TOMBSTONE: &[u8] = b"-";

/// Owners' entries that are asked for again and again, in a form that its user decides on.
#[derive(Clone)]
pub struct HotEntries {
    redis: Redis,
    age: Duration,
    kind: String,
}

/// What the cache has.
pub enum Found<T> {
    /// It is there.
    Hit(T),
    /// It is not: the database has to be asked.
    Miss(Gap),
}

/// Where an entry can be put that is read from the database after this was given.
#[must_use]
pub struct Gap(Option<Place>);

struct Place {
    entries: HotEntries,
    key: String,
    /// When the value ends, in milliseconds by Redis' clock.
    until: u64,
}

impl HotEntries {
    /// The entries in Redis, none of them read from the database longer ago than `age`.
    ///
    /// The number of the format is in each key: processes that write another do not see each
    /// other's.
    #[must_use]
    pub fn new(redis: Redis, age: Duration, format: u32) -> Self {
        Self {
            redis,
            age,
            kind: format!("entry{format}"),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Looks for an owner's entry.
    ///
    /// One round trip. What cannot be read is a miss.
    pub async fn find<T: DeserializeOwned>(&self, owner: &Owner, sha1: &Sha1) -> Found<T> {
        let counters = self.redis.counters();
        let key = self.key(owner, sha1);
        let mut look = Pipeline::new();
        look.cmd("TIME");
        // Not more than that is taken in, whatever is there.
        look.cmd("GETRANGE").arg(&key).arg(0).arg(LARGEST - 1);
        let place = match self.redis.run::<((u64, u64), Vec<u8>)>(&look).await {
            Some(((seconds, microseconds), value)) if value.is_empty() => {
                let now = Duration::from_secs(seconds) + Duration::from_micros(microseconds);
                Some(Place {
                    entries: self.clone(),
                    key,
                    until: milliseconds(now + self.age),
                })
            }
            Some((_, value)) if value != TOMBSTONE => match serde_json::from_slice(&value) {
                Ok(entry) => {
                    counters.hits.count();
                    return Found::Hit(entry);
                }
                Err(_) => None,
            },
            _ => None,
        };
        counters.misses.count();
        Found::Miss(Gap(place))
    }

    /// Makes sure that nobody gets what an owner's entry was before it was changed.
    ///
    /// It is to be called when the change is committed, or may have been. If Redis is away, what it
    /// has of the entry ends with its age.
    pub async fn forget(&self, owner: &Owner, sha1: &Sha1) {
        let key = self.key(owner, sha1);
        // One millisecond more, as the moments of values are rounded.
        let stays = SetExpiry::PX(milliseconds(self.age) + 1);
        let mut bury = Pipeline::new();
        // A server that has no room left takes nothing new, but lets go.
        bury.unlink(&key).ignore();
        bury.set_options(
            &key,
            TOMBSTONE,
            SetOptions::default().with_expiration(stays),
        )
        .ignore();
        if self.redis.run::<()>(&bury).await.is_none() {
            self.redis.counters().lost_tombstones.count();
        }
    }

    /// The SHA-1 has a fixed length, so no two entries have the same key.
    fn key(&self, owner: &Owner, sha1: &Sha1) -> String {
        self.redis.key(&self.kind, &format!("{sha1}:{owner}"))
    }
}

impl Gap {
    /// Puts an entry where there was none, if there still is nothing, for what is left of its age.
    pub async fn fill<T: Serialize>(self, entry: &T) {
        let Some(place) = self.0 else {
            return;
        };
        let value = match serde_json::to_vec(entry) {
            Ok(value) if value.len() <= LARGEST => value,
            _ => return,
        };
        let options = SetOptions::default()
            .conditional_set(redis::ExistenceCheck::NX)
            .with_expiration(SetExpiry::PXAT(place.until));
        let mut put = Pipeline::new();
        put.set_options(&place.key, value, options).ignore();
        place.entries.redis.run::<()>(&put).await;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
