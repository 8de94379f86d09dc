//! Bytes to upload.

use domain::{Content, ContentHasher};

/// So many bytes as nobody had before.
#[must_use]
pub fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A short text as nobody had before.
#[must_use]
pub fn unique_text() -> String {
    format!("text {:016x}", getrandom::u64().unwrap())
}

/// What identifies a content.
#[must_use]
pub fn digests(bytes: &[u8]) -> Content {
    let mut hasher = ContentHasher::default();
    hasher.update(bytes);
    hasher.finish()
}
