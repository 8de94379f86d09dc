//! The memory for the bytes of requests: what all transfers of a process may hold together.
//!
//! Large pieces make a transfer fast. A transfer from or to a disk takes them while there is memory, and
//! small ones otherwise, so that it never waits. An upload into a bucket needs whole parts, and waits for
//! its turn.

use std::{
    collections::HashMap,
    io, mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use domain::Owner;
use memmap2::MmapMut;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    error::{Error, Result},
    sizes::{BATCH_SIZE, SMALL_SIZE},
};

/// The unit, in bytes, in which memory is counted.
const UNIT: u64 = 1024;

/// Time limit for an upload into a bucket that waits for memory: less than the time for which a newer
/// request for the same upload waits.
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// The memory that the transfers of a process share. Cloning is cheap, and the clone is the same memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pool: Option<Arc<Pool>>,
    /// What one owner may have of it.
    share: Option<Arc<Semaphore>>,
}

#[derive(Debug)]
struct Pool {
    free: Arc<Semaphore>,
    size: u32,
    /// What one upload into a bucket may need, in units. It is left to those that wait for memory.
    kept: AtomicU32,
    shares: Mutex<HashMap<Owner, Weak<Semaphore>>>,
}

/// A part of the memory; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Room {
    _of_all: OwnedSemaphorePermit,
    _of_share: Option<OwnedSemaphorePermit>,
}

/// Bytes that are collected until there are enough of them to be worth a write.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Memory,
    filling: Filled,
}

/// Bytes with the room that they take up.
struct Held {
    bytes: Bytes,
    _room: Room,
}

/// Collected bytes, and the part of the memory that they take up.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    space: Space,
    room: Option<Room>,
}

#[derive(Debug)]
enum Space {
    Heap(BytesMut),
    /// Pages of their own, and the number of bytes in them. They go back to the system when they are
    /// dropped, whereas a heap keeps most of what it had at a peak.
    Pages(MmapMut, usize),
}

impl Memory {
    /// The bytes that a transfer from or to a disk takes up without any of this memory.
    pub const PER_TRANSFER: u64 = 2 * SMALL_SIZE as u64;

    /// Memory of this many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let size = units(bytes);
        let pool = Pool {
            free: Arc::new(Semaphore::new(size as usize)),
            size,
            kept: AtomicU32::new(0),
            shares: Mutex::default(),
        };
        Self {
            pool: Some(Arc::new(pool)),
            share: None,
        }
    }

    /// Leaves so many bytes to transfers that wait for memory, and to owners who have none yet.
    pub(crate) fn keep(&self, bytes: usize) {
        if let Some(pool) = &self.pool {
            pool.kept.fetch_max(units(bytes as u64), Relaxed);
        }
    }

    /// The same memory for an owner, who waits while the owner's other uploads have their share of it.
    #[must_use]
    pub fn share_of(&self, owner: &Owner) -> Self {
        let share = self.pool.as_ref().map(|pool| pool.share_of(owner));
        Self {
            pool: self.pool.clone(),
            share,
        }
    }

    /// Its size in bytes, if it is limited.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.pool.as_ref().map(|pool| u64::from(pool.size) * UNIT)
    }

    /// The bytes of it that are taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.pool.as_ref().map_or(0, |pool| {
            let free = pool.free.available_permits() as u64;
            (u64::from(pool.size) - free) * UNIT
        })
    }

    /// Takes bytes if they are free, and are not kept for others.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Room> {
        let pool = self.pool.as_ref()?;
        let free = Arc::clone(&pool.free);
        let wanted = units(bytes as u64);
        let left = free.available_permits().checked_sub(wanted as usize)?;
        if left < pool.kept.load(Relaxed) as usize {
            return None;
        }
        let taken = free.try_acquire_many_owned(wanted);
        taken.ok().map(|of_all| Room {
            _of_all: of_all,
            _of_share: None,
        })
    }

    /// Takes bytes, but no more than there are in all, after all who came earlier.
    pub(crate) async fn take(&self, bytes: usize) -> Option<Room> {
        let pool = self.pool.as_ref()?;
        let wanted = units(bytes as u64).min(pool.size);
        // The owner's share first: those who wait for it keep no others from theirs. An upload that needs
        // more than a share is the owner's only one.
        let of_share = match &self.share {
            Some(share) => {
                let most = wanted.min(pool.share_size());
                Some(Arc::clone(share).acquire_many_owned(most).await.ok()?)
            }
            None => None,
        };
        let of_all = Arc::clone(&pool.free).acquire_many_owned(wanted);
        Some(Room {
            _of_all: of_all.await.ok()?,
            _of_share: of_share,
        })
    }

    /// Takes bytes for a client, who does not wait for ever.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if they are not free in time.
    pub(crate) async fn take_in_time(&self, bytes: usize) -> Result<Option<Room>> {
        let taken = timeout(TIME_LIMIT, self.take(bytes)).await;
        taken.map_err(|_| {
            let reason = "other transfers take up the memory for requests (--request-memory)";
            Error::Unavailable(io::Error::other(reason))
        })
    }

    /// Returns whether large pieces are always free.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.pool.is_none()
    }
}

impl Pool {
    /// The most of it that one owner may have, in units: three quarters, unless an upload of another owner
    /// needs more than the rest; but at least one upload.
    fn share_size(&self) -> u32 {
        let kept = self.kept.load(Relaxed);
        let others = kept.max(self.size / 4);
        (self.size - others.min(self.size)).max(kept.min(self.size))
    }

    fn share_of(&self, owner: &Owner) -> Arc<Semaphore> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(owner).and_then(Weak::upgrade) {
            return share;
        }
        // Only owners who have some are remembered.
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share_size() as usize));
        shares.insert(owner.clone(), Arc::downgrade(&share));
        share
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Default for Space {
    fn default() -> Self {
        Self::Heap(BytesMut::new())
    }
}

impl Space {
    /// Has space for `size` bytes.
    fn grow(&mut self, size: usize) {
        if let Self::Heap(bytes) = self
            && bytes.capacity() < size
        {
            let pages = (size > SMALL_SIZE).then(|| MmapMut::map_anon(size));
            if let Some(Ok(mut pages)) = pages {
                pages[..bytes.len()].copy_from_slice(bytes);
                *self = Self::Pages(pages, bytes.len());
            } else {
                bytes.reserve(size - bytes.len());
            }
        }
    }

    fn extend(&mut self, more: &[u8]) {
        match self {
            Self::Heap(bytes) => bytes.extend_from_slice(more),
            Self::Pages(pages, length) => {
                let end = *length + more.len();
                pages[*length..end].copy_from_slice(more);
                *length = end;
            }
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Heap(bytes) => bytes.clear(),
            Self::Pages(_, length) => *length = 0,
        }
    }
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        match &self.space {
            Space::Heap(bytes) => bytes,
            Space::Pages(pages, length) => &pages[..*length],
        }
    }
}

impl Room {
    /// Keeps it until these bytes are dropped.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Buffer {
    pub(crate) fn new(memory: &Memory) -> Self {
        Self {
            memory: memory.clone(),
            filling: Filled::default(),
        }
    }

    /// Takes as many of the bytes as fit, and returns the others.
    pub(crate) fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.outgrows_small(bytes) {
            self.filling.room = self.memory.try_take(BATCH_SIZE);
        }
        let most = if self.is_large() {
            BATCH_SIZE
        } else {
            SMALL_SIZE
        };
        let (fitting, rest) = bytes.split_at(bytes.len().min(most - self.len()));
        if self.len() + bytes.len() > SMALL_SIZE {
            self.filling.space.grow(most);
        }
        self.filling.space.extend(fitting);
        rest
    }

    /// Returns whether these bytes would make it large for the first time.
    pub(crate) fn outgrows_small(&self, bytes: &[u8]) -> bool {
        self.len() + bytes.len() > SMALL_SIZE && !self.is_large()
    }

    /// Returns whether it can have [`BATCH_SIZE`] bytes.
    fn is_large(&self) -> bool {
        self.filling.room.is_some() || self.memory.is_unlimited()
    }

    /// Lets it have [`BATCH_SIZE`] bytes, which are a part of this room.
    pub(crate) fn give(&mut self, room: Option<Room>) {
        self.filling.room = room;
    }

    pub(crate) fn len(&self) -> usize {
        self.filling.as_ref().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the collected bytes, and reuses the space of `spare` for the next ones.
    pub(crate) fn replace(&mut self, mut spare: Filled) -> Filled {
        spare.space.clear();
        mem::replace(&mut self.filling, spare)
    }

    /// Takes the bytes and what they take up.
    pub(crate) fn take(&mut self) -> Filled {
        mem::take(&mut self.filling)
    }
}

impl Filled {
    /// Returns the bytes, which have their room until they are dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// Takes the room, for these bytes and others.
    pub(crate) fn take_room(&mut self) -> Option<Room> {
        self.room.take()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_buffer_is_small_when_the_memory_is_taken() {
        let memory = Memory::new(BATCH_SIZE as u64);
        let bytes = vec![7; BATCH_SIZE];
        let (mut first, mut second) = (Buffer::new(&memory), Buffer::new(&memory));
        assert!(first.fill(&bytes[..SMALL_SIZE]).is_empty());
        assert_eq!(second.fill(&bytes), &[] as &[u8]);
        assert_eq!(first.fill(&bytes[..1]).len(), 1, "it is full");
        let taken = second.take();
        assert_eq!(taken.as_ref(), bytes);
        assert_eq!(
            first.fill(&bytes[..1]).len(),
            1,
            "the taken bytes have their room"
        );
        drop(taken.freeze());
        assert_eq!(first.fill(&bytes).len(), SMALL_SIZE);
    }

    #[test]
    fn bytes_of_a_buffer_keep_their_order() {
        let memory = Memory::default();
        let mut buffer = Buffer::new(&memory);
        let bytes: Vec<u8> = (0..2_000_000u32)
            .map(|byte| byte.to_le_bytes()[0])
            .collect();
        let (mut collected, mut rest) = (Vec::new(), bytes.as_slice());
        let mut spare = Filled::default();
        while !rest.is_empty() {
            let (some, others) = rest.split_at(rest.len().min(50_000));
            let left = buffer.fill(some).len();
            rest = &rest[some.len() - left..];
            if left > 0 || others.is_empty() {
                spare = buffer.replace(spare);
                collected.extend_from_slice(spare.as_ref());
            }
        }
        assert_eq!(collected, bytes);
    }

    #[tokio::test]
    async fn an_owner_gets_three_quarters_and_others_the_rest() {
        let memory = Memory::new(8 * UNIT);
        let [alice, bob]: [Owner; 2] = ["alice", "bob"].map(|owner| owner.parse().unwrap());
        let kib = |number: u64| usize::try_from(number * UNIT).unwrap();
        let first = memory.share_of(&alice).take(kib(4)).await;
        let of_alice = memory.share_of(&alice);
        let mut second = Box::pin(of_alice.take(kib(4)));
        assert!((&mut second).now_or_never().is_none());
        let of_bob = memory.share_of(&bob).take(kib(4)).await;
        assert_eq!(memory.taken(), 8 * UNIT);
        drop((first, of_bob));
        assert!(second.await.is_some());
        // As much as there is, for an upload that needs more than a share.
        assert!(of_alice.take(kib(100)).await.is_some());
        assert!(memory.share_of(&bob).take(1).await.is_some());
        let shares = &memory.pool.as_ref().unwrap().shares;
        assert!(shares.lock().len() <= 2);
    }

    #[tokio::test]
    async fn what_one_upload_needs_is_left_to_others() {
        let memory = Memory::new(8 * UNIT);
        memory.keep(6 * 1024);
        // Those who do without large pieces do not take it, nor does an owner's second upload.
        let taken = memory.try_take(2 * 1024);
        assert!(taken.is_some() && memory.try_take(1).is_none());
        drop(taken);
        let [alice, bob]: [Owner; 2] = ["alice", "bob"].map(|owner| owner.parse().unwrap());
        let of_alice = memory.share_of(&alice);
        let first = of_alice.take(6 * 1024).await;
        assert!(of_alice.take(1024).now_or_never().is_none());
        assert!(
            memory
                .share_of(&bob)
                .take(2 * 1024)
                .now_or_never()
                .is_some()
        );
        drop(first);
        assert!(
            memory
                .share_of(&bob)
                .take(6 * 1024)
                .now_or_never()
                .is_some()
        );
    }

    #[tokio::test]
    async fn too_much_is_all_and_others_wait_for_it() {
        let memory = Memory::new(10 * UNIT);
        let all = memory.take(1 << 40).await;
        assert!(memory.try_take(1).is_none());
        assert_eq!(memory.taken(), 10 * UNIT);
        let waiting = memory.take_in_time(1);
        let giving_back = async {
            tokio::task::yield_now().await;
            drop(all);
        };
        let (taken, ()) = tokio::join!(waiting, giving_back);
        assert!(taken.unwrap().is_some());
        assert_eq!(memory.taken(), 0);
        assert!(memory.try_take(1).is_some());
    }
}
