//! Cache of the checksums of blocks.

use std::sync::Arc;

use domain::{Sha1, block::BLOCKS_PER_GROUP};
use quick_cache::sync::Cache;

use crate::{FileService, Result};

/// Maximum number of cached groups, of up to 4 KiB each.
const MAX_CACHED_GROUPS: usize = 4 * 1024 * 1024 / (4 * BLOCKS_PER_GROUP);

/// Recently used groups of checksums, by the content and the number of the group.
pub(crate) struct ChecksumCache(Cache<(Sha1, u64), Arc<[u32]>>);

impl Default for ChecksumCache {
    fn default() -> Self {
        Self(Cache::new(MAX_CACHED_GROUPS))
    }
}

impl FileService {
    /// Finds a group of a content's checksums; an empty one if they are not known.
    pub(crate) async fn find_checksums(&self, sha1: &Sha1, number: u64) -> Result<Arc<[u32]>> {
        let ChecksumCache(cache) = &self.0.checksums;
        if let Some(group) = cache.get(&(*sha1, number)) {
            return Ok(group);
        }
        let found = self.0.database.checksums().find_group(sha1, number).await?;
        let Some(group) = found else {
            return Ok(Arc::default());
        };
        let group: Arc<[u32]> = group.into();
        cache.insert((*sha1, number), Arc::clone(&group));
        Ok(group)
    }
}
