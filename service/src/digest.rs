//! Digests of stored objects.

use domain::{ByteRange, Content};
use futures_util::StreamExt as _;
use storage::{Digesting, Store};

/// Reads an object and computes its digests.
pub(crate) async fn digest(store: &Store, key: &str, size: u64) -> Result<Content, storage::Error> {
    let whole = ByteRange::whole(size);
    let object = store.open_object(key, size, whole).await?;
    let mut digesting = Digesting::default();
    let mut pieces = object.stream(whole);
    while let Some(piece) = pieces.next().await {
        digesting.update(&piece?).await?;
    }
    Ok(digesting.finish().await?.finish())
}
