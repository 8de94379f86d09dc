//! Checksums of a content's blocks, by which a reader notices bytes that changed in a store.

use std::mem;

/// The size of a block in bytes; the last block of a content may be shorter.
pub const BLOCK_SIZE: u64 = 64 * 1024;

/// The number of checksums that are stored and read together: those of 64 MiB.
pub const BLOCKS_PER_GROUP: usize = 1024;

/// The most blocks whose checksums are kept: those of 64 GiB, which take 4 MiB of memory.
const MAX_BLOCKS: usize = 1024 * BLOCKS_PER_GROUP;

/// The CRC-32 (IEEE 802.3) of each block of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockChecksums(Vec<u32>);

impl BlockChecksums {
    /// The checksum of the only block, or else the checksum of all checksums.
    #[must_use]
    pub fn summary(&self) -> u32 {
        match self.0[..] {
            [only] => only,
            ref all => checksum(&group_to_bytes(all)),
        }
    }

    /// The checksums in the groups in which they are stored; none if the content has one block, whose
    /// checksum is the [summary](Self::summary).
    pub fn groups(&self) -> impl Iterator<Item = &[u32]> {
        let all = if self.0.len() > 1 { &self.0[..] } else { &[] };
        all.chunks(BLOCKS_PER_GROUP)
    }
}

/// Computes the checksums of a content's blocks.
#[derive(Debug, Clone, Default)]
pub struct BlockHasher {
    finished: Vec<u32>,
    current: crc32fast::Hasher,
    /// The number of bytes of the current block.
    filled: u64,
    is_too_long: bool,
}

impl BlockHasher {
    /// Adds the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_too_long {
            let missing = usize::try_from(BLOCK_SIZE - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.current.update(now);
            self.filled += now.len() as u64;
            bytes = later;
            if self.filled == BLOCK_SIZE {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        self.finished.push(mem::take(&mut self.current).finalize());
        self.filled = 0;
        if self.finished.len() > MAX_BLOCKS {
            self.is_too_long = true;
            self.finished = Vec::new();
        }
    }

    /// The checksums of all blocks; `None` for a content of more than 64 GiB.
    #[must_use]
    pub fn finish(mut self) -> Option<BlockChecksums> {
        if self.is_too_long {
            return None;
        }
        if self.filled > 0 || self.finished.is_empty() {
            self.end_block();
        }
        (!self.is_too_long).then_some(BlockChecksums(self.finished))
    }
}

/// The CRC-32 of some bytes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A group as it is stored: four bytes for each checksum, little-endian.
#[must_use]
pub fn group_to_bytes(group: &[u32]) -> Vec<u8> {
    group.iter().flat_map(|sum| sum.to_le_bytes()).collect()
}

/// Reads a group from what [`group_to_bytes`] returned; `None` for a wrong number of bytes.
#[must_use]
pub fn group_of_bytes(bytes: &[u8]) -> Option<Vec<u32>> {
    let (sums, rest) = bytes.as_chunks();
    rest.is_empty()
        .then(|| sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksums(bytes: &[u8], piece: usize) -> BlockChecksums {
        let mut hasher = BlockHasher::default();
        bytes.chunks(piece).for_each(|piece| hasher.update(piece));
        hasher.finish().unwrap()
    }

    #[test]
    fn each_block_has_its_checksum() {
        let block = usize::try_from(BLOCK_SIZE).unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(2 * block + 1).collect();
        let sums: Vec<u32> = bytes.chunks(block).map(checksum).collect();
        for piece in [1000, block - 1, block, block + 1, bytes.len()] {
            let found = checksums(&bytes, piece);
            assert_eq!(found, BlockChecksums(sums.clone()));
            assert_eq!(found.groups().collect::<Vec<_>>(), [&sums[..]]);
            assert_eq!(found.summary(), checksum(&group_to_bytes(&sums)));
        }
    }

    #[test]
    fn the_only_block_needs_no_group() {
        for length in [0, 1, 65_536] {
            let bytes = vec![7; length];
            let found = checksums(&bytes, 4096);
            assert_eq!(found.summary(), checksum(&bytes));
            assert_eq!(found.groups().count(), 0);
        }
    }

    #[test]
    fn a_group_is_read_as_it_was_written() {
        let group = [1, u32::MAX, 0x0102_0304];
        let bytes = group_to_bytes(&group);
        assert_eq!(group_of_bytes(&bytes).unwrap(), group);
        assert_eq!(group_of_bytes(&bytes[1..]), None);
    }
}
