//! A cache of owners' entries, shared by all replicas.
//!
//! A key holds an entry, holds a tombstone, or does not exist. No value is served that was read
//! from the database longer ago than the maximum age, measured by Redis' clock. To ensure this, the
//! reader takes the time before it reads the database, and the value expires at that time plus the
//! maximum age. A value that is written late therefore expires no later, or is never stored.
//!
//! A writer replaces the entry with a tombstone when its change is committed, and readers only fill
//! keys that do not exist. The tombstone lives as long as any value read before the change could,
//! so no such value is visible after it.

use std::time::Duration;

use domain::{Owner, Sha1};
use redis::{Pipeline, SetExpiry, SetOptions};
use serde::{Serialize, de::DeserializeOwned};

use crate::Redis;

/// Maximum size of a value in bytes. An entry with the longest name takes at most a third of it.
const MAX_VALUE_SIZE: usize = 8 * 1024;

/// The value that replaces a recently changed entry.
const TOMBSTONE: &[u8] = b"-";

/// A cache of owners' entries. The caller chooses the type that is serialized.
#[derive(Clone)]
pub struct EntryCache {
    redis: Redis,
    max_age: Duration,
    key_kind: String,
}

/// The result of a lookup in the cache.
pub enum Lookup<T> {
    /// The cached entry.
    Hit(T),
    /// The entry is not cached: read it from the database, then fill the slot.
    Miss(CacheSlot),
}

/// Permission to cache an entry that is read from the database after the slot was obtained.
#[must_use]
pub struct CacheSlot(Option<Slot>);

struct Slot {
    cache: EntryCache,
    key: String,
    /// Expiry of the value, in milliseconds by Redis' clock.
    expires_at: u64,
}

impl EntryCache {
    /// Creates a cache whose entries were all read from the database at most `max_age` ago.
    ///
    /// Each key contains the number of the format, so processes that use different formats do not
    /// see each other's entries.
    #[must_use]
    pub fn new(redis: Redis, max_age: Duration, format: u32) -> Self {
        Self {
            redis,
            max_age,
            key_kind: format!("entry{format}"),
        }
    }

    /// The Redis server that stores the entries.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Looks up an owner's entry in one round trip.
    ///
    /// A value that cannot be deserialized is a miss.
    pub async fn find<T: DeserializeOwned>(&self, owner: &Owner, sha1: &Sha1) -> Lookup<T> {
        let counters = self.redis.counters();
        let key = self.key(owner, sha1);
        let mut commands = Pipeline::new();
        commands.cmd("TIME");
        // Limits the bytes received, whatever the size of the stored value.
        commands
            .cmd("GETRANGE")
            .arg(&key)
            .arg(0)
            .arg(MAX_VALUE_SIZE - 1);
        let slot = match self.redis.run::<((u64, u64), Vec<u8>)>(&commands).await {
            Some(((seconds, microseconds), value)) if value.is_empty() => {
                let now = Duration::from_secs(seconds) + Duration::from_micros(microseconds);
                Some(Slot {
                    cache: self.clone(),
                    key,
                    expires_at: milliseconds(now + self.max_age),
                })
            }
            Some((_, value)) if value != TOMBSTONE => match serde_json::from_slice(&value) {
                Ok(entry) => {
                    counters.hits.increment();
                    return Lookup::Hit(entry);
                }
                Err(_) => None,
            },
            _ => None,
        };
        counters.misses.increment();
        Lookup::Miss(CacheSlot(slot))
    }

    /// Replaces an owner's entry with a tombstone, so that no reader gets the old one.
    ///
    /// Call it when the change is committed or may have been. If Redis is unavailable, the old
    /// entry expires at its maximum age.
    pub async fn invalidate(&self, owner: &Owner, sha1: &Sha1) {
        let key = self.key(owner, sha1);
        // One more millisecond, since expiry times of values are rounded.
        let expiry = SetExpiry::PX(milliseconds(self.max_age) + 1);
        let mut commands = Pipeline::new();
        // A server at its memory limit refuses the SET, but still executes UNLINK.
        commands.unlink(&key).ignore();
        commands
            .set_options(
                &key,
                TOMBSTONE,
                SetOptions::default().with_expiration(expiry),
            )
            .ignore();
        if self.redis.run::<()>(&commands).await.is_none() {
            self.redis.counters().lost_tombstones.increment();
        }
    }

    /// The key of an entry. It is unique, since the SHA-1 has a fixed length.
    fn key(&self, owner: &Owner, sha1: &Sha1) -> String {
        self.redis.key(&self.key_kind, &format!("{sha1}:{owner}"))
    }
}

impl CacheSlot {
    /// Stores an entry for the rest of its maximum age, unless the key exists by now.
    pub async fn fill<T: Serialize>(self, entry: &T) {
        let Some(slot) = self.0 else {
            return;
        };
        let value = match serde_json::to_vec(entry) {
            Ok(value) if value.len() <= MAX_VALUE_SIZE => value,
            _ => return,
        };
        let options = SetOptions::default()
            .conditional_set(redis::ExistenceCheck::NX)
            .with_expiration(SetExpiry::PXAT(slot.expires_at));
        let mut commands = Pipeline::new();
        commands.set_options(&slot.key, value, options).ignore();
        slot.cache.redis.run::<()>(&commands).await;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
