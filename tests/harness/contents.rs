//! Bytes to upload.

use std::time::Duration;

use domain::{Content, ContentHasher};
use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;

/// A body of unknown length that comes in pieces.
///
/// There is a pause before each, so that a proxy cannot have all of it and count.
pub fn pieces<P>(pieces: P) -> reqwest::Body
where
    P: IntoIterator<Item: Into<bytes::Bytes> + Send + 'static, IntoIter: Send + 'static>,
{
    let pieces = stream::iter(pieces).then(async |piece| {
        sleep(Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(piece.into())
    });
    reqwest::Body::wrap_stream(pieces)
}

/// Random bytes, which no other test has.
#[must_use]
pub fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A short random text, which no other test has.
#[must_use]
pub fn unique_text() -> String {
    format!("text {:016x}", getrandom::u64().unwrap())
}

/// The digests of a content.
#[must_use]
pub fn digests(bytes: &[u8]) -> Content {
    let mut hasher = ContentHasher::default();
    hasher.update(bytes);
    hasher.finish()
}
