//! The behaviour of every store: a local disk, S3 on a real Ceph gateway, and a stand-in for OSS.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

mod behaviour;
mod conformance;
mod faults;
mod fixture;
mod memory;
mod presigned;
mod settings;
mod takeover;
mod upload;
mod uploads;

use domain::{ByteRange, Checksum, ChecksumAlgorithm};
use futures_util::TryStreamExt as _;
use harness::digests;
use storage::{Object, StagedObject, Store, UncommittedObject};

/// Makes a test of each function for each store, run by another function or in an empty store.
macro_rules! on_every_store {
    ($($test:ident,)+) => {
        $crate::on_every_store!(by $crate::fixture::with; $($test,)+);
    };
    (but disk: $($test:ident,)+) => {
        $crate::on_every_store!(@ ceph, Ceph, $crate::fixture::with, $($test)+);
        $crate::on_every_store!(@ oss, Oss, $crate::fixture::with, $($test)+);
    };
    (by $run:path; $($test:ident,)+) => {
        $crate::on_every_store!(@ disk, Disk, $run, $($test)+);
        $crate::on_every_store!(@ ceph, Ceph, $run, $($test)+);
        $crate::on_every_store!(@ oss, Oss, $run, $($test)+);
    };
    (@ $module:ident, $kind:ident, $run:path, $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    $run($crate::fixture::Kind::$kind, super::$test).await;
                }
            )+
        }
    };
}
pub(crate) use on_every_store;

/// Stages bytes, written in pieces whose size divides no other.
async fn stage(store: &Store, bytes: &[u8]) -> storage::Result<StagedObject> {
    let mut writer = store.writer(None);
    for piece in bytes.chunks(100_003) {
        writer.write(piece).await?;
    }
    writer.finish().await
}

/// Writes an object, which is not committed.
async fn persist(store: &Store, bytes: &[u8]) -> storage::Result<UncommittedObject> {
    stage(store, bytes).await?.persist().await
}

/// Writes and commits an object, and returns its key.
async fn write_object(store: &Store, bytes: &[u8]) -> String {
    let object = persist(store, bytes).await.unwrap();
    let key = object.address().key;
    object.commit().await;
    key
}

/// Reads a range of an object.
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

/// The SHA-1 of bytes as a checksum.
fn sha1(bytes: &[u8]) -> Checksum {
    let sha1 = digests(bytes).sha1.as_bytes().to_vec();
    Checksum::new(ChecksumAlgorithm::Sha1, sha1)
}
