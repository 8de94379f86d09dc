//! What is known of an upload in a bucket, kept in memory.

use std::sync::{Arc, Mutex, MutexGuard};

use domain::{Checksum, RandomId};
use futures_util::future::{BoxFuture, FutureExt as _};
use harness::random;
use storage::{Appending, Error, Known, Ledger, Result, Segment, Step, Store};

use crate::{collect, home::Home, range};

/// An upload in a store, on whichever kind.
pub(crate) struct Upload<'a> {
    home: &'a Home,
    pub(crate) id: RandomId,
    /// What is known of it; a disk knows by itself.
    pub(crate) book: Book,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(home: &'a Home) -> Self {
        let id: [u8; 16] = random(16).try_into().unwrap();
        Self {
            home,
            id: id.into(),
            book: Book::default(),
        }
    }

    /// Goes on with it, and takes the turn from whoever had it.
    pub(crate) async fn go_on(&self, checksums: Vec<Checksum>) -> Result<Appending> {
        match &self.home.store {
            Store::Disk(disk) => disk.append(self.id, checksums).await,
            Store::Bucket(bucket) => {
                let (known, turn) = self.book.take_turn();
                bucket.go_on(self.id, known, turn, checksums)
            }
        }
    }

    /// How many bytes of it count.
    pub(crate) async fn staged(&self) -> usize {
        let staged = match &self.home.store {
            Store::Disk(disk) => disk.staged(self.id).await.unwrap(),
            Store::Bucket(_) => self.book.known().bytes,
        };
        usize::try_from(staged).unwrap()
    }

    /// The bytes of it that count, from a place on.
    pub(crate) async fn read_staged(&self, start: usize) -> Vec<u8> {
        let end = self.staged().await;
        let object = match &self.home.store {
            Store::Disk(disk) => disk
                .open_staged(self.id, end as u64, start as u64)
                .await
                .unwrap(),
            Store::Bucket(bucket) => bucket.open_staged(self.book.known()),
        };
        assert_eq!(object.size(), end as u64);
        collect(object, range(start, end)).await.unwrap()
    }

    /// Removes what is staged of it.
    pub(crate) async fn remove(&self) {
        match &self.home.store {
            Store::Disk(disk) => disk.remove_staged(self.id).await.unwrap(),
            Store::Bucket(bucket) => {
                for segment in self.book.known().segments {
                    bucket.remove(&segment.key).await.unwrap();
                }
            }
        }
    }
}

/// What is known of an upload, whose turn it is, and how often noting something fails.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Page>>);

#[derive(Default)]
struct Page {
    known: Known,
    turn: u64,
    failures: u32,
}

impl Book {
    /// Takes the turn, as somebody does who goes on with the upload.
    pub(crate) fn take_turn(&self) -> (Known, Box<dyn Ledger>) {
        let mut page = self.page();
        page.turn += 1;
        let turn = Turn {
            book: self.clone(),
            number: page.turn,
        };
        (page.known.clone(), Box::new(turn))
    }

    /// What counts; which has to be one segment after the other, up to the last byte.
    pub(crate) fn known(&self) -> Known {
        let known = self.page().known.clone();
        let mut end = 0;
        for segment in &known.segments {
            assert_eq!(
                segment.start, end,
                "no byte is missing: {:?}",
                known.segments
            );
            end += segment.size;
        }
        assert_eq!(known.bytes, end, "{:?}", known.segments);
        known
    }

    /// The keys of the segments that count.
    pub(crate) fn keys(&self) -> std::collections::BTreeSet<String> {
        let segments = self.known().segments.into_iter();
        segments.map(|segment| segment.key).collect()
    }

    /// Cannot be written to for so many times.
    pub(crate) fn fail(&self, times: u32) {
        self.page().failures = times;
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.0.lock().unwrap()
    }
}

struct Turn {
    book: Book,
    number: u64,
}

impl Ledger for Turn {
    fn advance<'a>(&'a self, step: &'a Step) -> BoxFuture<'a, Result<bool>> {
        async move {
            // As a database, which is not done at once.
            tokio::task::yield_now().await;
            let mut page = self.book.page();
            if let Some(left) = page.failures.checked_sub(1) {
                page.failures = left;
                return Err(Error::Ledger("the book is lost".into()));
            }
            if page.turn != self.number {
                return Ok(false);
            }
            let known = &mut page.known;
            let is_left = |segment: &Segment| !step.removed.contains(&segment.start);
            known.segments.retain(is_left);
            known.segments.extend_from_slice(&step.added);
            known.segments.sort_by_key(|segment| segment.start);
            known.bytes = step.bytes;
            known.hash_state = Some(step.hash_state.clone());
            Ok(true)
        }
        .boxed()
    }

    fn is_superseded(&self) -> BoxFuture<'_, Result<bool>> {
        async move { Ok(self.book.page().turn != self.number) }.boxed()
    }
}
