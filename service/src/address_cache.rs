//! Cache of content addresses.
//!
//! An address is never reused for another content. So bytes at a cached address with the right size
//! are the content, whatever its row says by now. When the bytes are gone, the content is looked up
//! again.

use std::time::Instant;

use domain::{Sha1, StoredContent};
use quick_cache::sync::Cache;

/// Maximum number of cached contents.
const MAX_CACHED_ADDRESSES: usize = 10_000;

/// Recently used contents with their addresses.
pub(crate) struct AddressCache(Cache<Sha1, FoundContent>);

#[derive(Clone)]
pub(crate) struct FoundContent {
    pub(crate) content: StoredContent,
    /// Last time a copy was found to be whole.
    pub(crate) verified_at: Option<Instant>,
}

impl AddressCache {
    /// Removes a content that moved.
    pub(crate) fn forget(&self, sha1: &Sha1) {
        self.0.remove(sha1);
    }

    pub(crate) fn find(&self, sha1: &Sha1) -> Option<FoundContent> {
        self.0.get(sha1)
    }

    pub(crate) fn insert(&self, found: FoundContent) {
        self.0.insert(found.content.content.sha1, found);
    }
}

impl Default for AddressCache {
    fn default() -> Self {
        Self(Cache::new(MAX_CACHED_ADDRESSES))
    }
}
