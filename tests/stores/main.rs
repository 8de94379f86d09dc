//! What the stores promise: a local disk, S3 on a real Ceph gateway, and a stand-in for OSS.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

mod behaviour;
mod book;
mod conformance;
mod faults;
mod home;
mod presigned;
mod settings;
mod turns;
mod uploads;

use domain::{ByteRange, Checksum, ChecksumAlgorithm};
use futures_util::TryStreamExt as _;
use harness::digests;
use storage::{Object, Placed, Received, Store};

/// Makes a test of each function for each store, which has nothing yet.
macro_rules! on_every_store {
    ($($test:ident,)+) => {
        $crate::on_every_store!(@ disk, Disk, $($test)+);
        $crate::on_every_store!(@ ceph, Ceph, $($test)+);
        $crate::on_every_store!(@ oss, Oss, $($test)+);
    };
    (but disk: $($test:ident,)+) => {
        $crate::on_every_store!(@ ceph, Ceph, $($test)+);
        $crate::on_every_store!(@ oss, Oss, $($test)+);
    };
    (@ $module:ident, $kind:ident, $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    $crate::home::with($crate::home::Kind::$kind, super::$test).await;
                }
            )+
        }
    };
}
pub(crate) use on_every_store;

/// Sends bytes in pieces that fit to nothing.
async fn receive(store: &Store, bytes: &[u8]) -> storage::Result<Received> {
    let mut incoming = store.receive();
    for piece in bytes.chunks(100_003) {
        incoming.write(piece).await?;
    }
    incoming.finish().await
}

/// Puts bytes into a store.
async fn place(store: &Store, bytes: &[u8]) -> storage::Result<Placed> {
    receive(store, bytes).await?.place().await
}

/// Puts bytes into a store where they stay, and gives their key.
async fn keep(store: &Store, bytes: &[u8]) -> String {
    let placed = place(store, bytes).await.unwrap();
    let key = placed.address().key;
    placed.keep().await;
    key
}

/// Reads some of an object.
async fn read(store: &Store, key: &str, size: u64, wanted: ByteRange) -> storage::Result<Vec<u8>> {
    let object = store.open_object(key, size, wanted).await?;
    collect(object, wanted).await
}

/// Reads all of an object.
async fn read_whole(store: &Store, key: &str, size: usize) -> storage::Result<Vec<u8>> {
    read(store, key, size as u64, ByteRange::whole(size as u64)).await
}

async fn collect(object: Object, wanted: ByteRange) -> storage::Result<Vec<u8>> {
    let pieces: Vec<_> = object.stream(wanted).try_collect().await?;
    Ok(pieces.concat())
}

fn range(start: usize, end: usize) -> ByteRange {
    ByteRange {
        start: start as u64,
        end: end as u64,
    }
}

/// What a request says of its bytes.
fn sha1(bytes: &[u8]) -> Checksum {
    let sha1 = digests(bytes).sha1.as_bytes().to_vec();
    Checksum::new(ChecksumAlgorithm::Sha1, sha1).unwrap()
}
