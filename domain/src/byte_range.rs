//! Ranges of a content's bytes.

/// The bytes `start..end`; empty only if the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The position of the first byte.
    pub start: u64,
    /// The position after the last byte.
    pub end: u64,
}

impl ByteRange {
    /// The range of all bytes of a content of `size` bytes.
    #[must_use]
    pub fn whole(size: u64) -> Self {
        Self {
            start: 0,
            end: size,
        }
    }

    /// The number of bytes.
    #[must_use]
    pub fn length(self) -> u64 {
        self.end - self.start
    }
}

/// Joins ranges that overlap or touch, so that no byte is sent twice (RFC 9110 §15.3.7.2).
///
/// Keeps the order of the ranges.
#[must_use]
pub fn coalesce(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut joined: Vec<ByteRange> = Vec::with_capacity(ranges.len());
    for mut range in ranges {
        // A range can bridge the gap between two others.
        while let Some(at) = joined
            .iter()
            .position(|other| range.start <= other.end && other.start <= range.end)
        {
            let other = joined.remove(at);
            range.start = range.start.min(other.start);
            range.end = range.end.max(other.end);
        }
        joined.push(range);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let ranges = ranges
            .iter()
            .map(|&(start, end)| ByteRange { start, end })
            .collect();
        coalesce(ranges)
            .iter()
            .map(|range| (range.start, range.end))
            .collect()
    }

    #[test]
    fn separate_ranges_keep_their_order() {
        assert_eq!(joined(&[(20, 30), (0, 10)]), [(20, 30), (0, 10)]);
    }

    #[test]
    fn ranges_that_overlap_touch_or_bridge_become_one() {
        assert_eq!(joined(&[(0, 10), (5, 20)]), [(0, 20)]);
        assert_eq!(joined(&[(0, 10), (10, 20)]), [(0, 20)]);
        assert_eq!(joined(&[(0, 10), (20, 30), (5, 25)]), [(0, 30)]);
        assert_eq!(joined(&[(0, 100), (3, 4), (50, 60)]), [(0, 100)]);
    }
}
