//! Digests of stored objects.

use domain::{BlockChecksums, ByteRange, Content, ContentHasher};
use futures_util::StreamExt as _;
use storage::{BackgroundHasher, Store};

/// Reads an object and computes its digests.
pub(crate) async fn digest(store: &Store, key: &str, size: u64) -> Result<Content, storage::Error> {
    Ok(hash(store, key, size).await?.finish())
}

/// The same, with the checksums of the blocks.
pub(crate) async fn digest_and_checksums(
    store: &Store,
    key: &str,
    size: u64,
) -> Result<(Content, Option<BlockChecksums>), storage::Error> {
    let mut hasher = hash(store, key, size).await?;
    let checksums = hasher.take_checksums();
    Ok((hasher.finish(), checksums))
}

async fn hash(store: &Store, key: &str, size: u64) -> Result<ContentHasher, storage::Error> {
    let whole = ByteRange::whole(size);
    let object = store.open_object(key, size, whole).await?;
    let mut digesting = BackgroundHasher::default();
    let mut pieces = object.stream(whole);
    while let Some(piece) = pieces.next().await {
        digesting.update(&piece?).await?;
    }
    digesting.finish().await
}
