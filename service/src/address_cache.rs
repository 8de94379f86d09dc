//! Addr.

use std::time::Instant;

use domain::Sha1;
use persistence::StoredContent;
use quick_cache::sync::Cache;

/// How many contents' addresses are remembered.
const MAX_CACHED_ADDRESSES: usize = 10_000;

/// Where contents were found lately.
///
/// An address is never used for another content, so what is there, and has the right size, is the
/// content, whatever its row says by now. What is not there any more is looked up again.
pub(crate) struct AddressCache(Cache<Sha1, FoundContent>);

#[derive(Clone)]
pub(crate) struct FoundContent {
    pub(crate) content: StoredContent,
    /// When its bytes were last seen to be whole.
    pub(crate) verified_at: Option<Instant>,
}

impl AddressCache {
    /// Forgets where a content is, which has moved.
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
