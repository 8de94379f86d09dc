//! A bound on the number of whole copies of a file that pieces of it can be put together to.

use std::ops::Range;

use crate::ByteRange;

/// The number of parts of a file that are counted; a shorter file has one for each byte.
const PARTS: u64 = 64;

/// Counts how often each part of a file was given away, as ranges of any size.
///
/// A part counts as given with any of its bytes. A whole copy has a byte of each part, and a range
/// gives each of its bytes once, so nobody has more copies than the part has that was given least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    size: u64,
    counts: Vec<u32>,
}

impl Coverage {
    /// The coverage of a file of `size` bytes of which nothing was given away.
    #[must_use]
    pub fn none(size: u64) -> Self {
        let parts = usize::try_from(size.min(PARTS)).unwrap_or_default();
        Self {
            size,
            counts: vec![0; parts],
        }
    }

    /// Counts a range that is given away.
    pub fn add(&mut self, range: ByteRange) {
        let parts = self.parts(range);
        for count in &mut self.counts[parts] {
            *count = count.saturating_add(1);
        }
    }

    /// Takes the parts of a counted range back of which no byte was given; its first `given` bytes were.
    pub fn take_back(&mut self, range: ByteRange, given: u64) {
        let all = self.parts(range);
        let given = self.parts(ByteRange {
            start: range.start,
            end: range.start.saturating_add(given).min(range.end),
        });
        let first = if given.is_empty() {
            all.start
        } else {
            given.end
        };
        for count in &mut self.counts[first..all.end] {
            *count = count.saturating_sub(1);
        }
    }

    /// The number of whole copies that can have been given away, at most.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.counts.iter().min().copied().unwrap_or_default().into()
    }

    /// The counts as they are stored: four bytes each, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.counts
            .iter()
            .flat_map(|count| count.to_le_bytes())
            .collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) returned for a file of `size` bytes.
    #[must_use]
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (counts, rest) = bytes.as_chunks();
        let counts: Vec<u32> = counts
            .iter()
            .map(|count| u32::from_le_bytes(*count))
            .collect();
        let is_whole = rest.is_empty() && counts.len() as u64 == size.min(PARTS);
        is_whole.then_some(Self { size, counts })
    }

    /// The parts of which the range has a byte.
    fn parts(&self, range: ByteRange) -> Range<usize> {
        let end = range.end.min(self.size);
        if range.start >= end {
            return 0..0;
        }
        self.part(range.start)..self.part(end - 1) + 1
    }

    /// The part that a byte of the file is in.
    fn part(&self, byte: u64) -> usize {
        let part = u128::from(byte) * self.counts.len() as u128 / u128::from(self.size);
        usize::try_from(part).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    fn of(size: u64, ranges: &[(u64, u64)]) -> Coverage {
        let mut coverage = Coverage::none(size);
        for &(start, end) in ranges {
            coverage.add(range(start, end));
        }
        coverage
    }

    #[test]
    fn as_many_copies_are_given_as_the_rarest_part() {
        for size in [3, 63, 64, 65, 1000, u64::MAX] {
            let half = size / 2;
            assert_eq!(Coverage::none(size).copies(), 0);
            assert_eq!(of(size, &[(0, size)]).copies(), 1);
            assert_eq!(of(size, &[(0, half), (half, size)]).copies(), 1);
            assert_eq!(of(size, &[(0, half), (0, half)]).copies(), 0);
            assert_eq!(of(size, &[(0, 1), (0, size)]).copies(), 1);
            assert_eq!(of(size, &[(0, size), (0, size)]).copies(), 2);
        }
        assert_eq!(of(0, &[(0, 0)]).copies(), 0);
    }

    #[test]
    fn a_byte_of_each_part_counts_as_a_copy() {
        let some: Vec<_> = (0..64).map(|part| (part * 100, part * 100 + 1)).collect();
        assert_eq!(of(6400, &some).copies(), 1);
        assert_eq!(of(6400, &some[1..]).copies(), 0);
    }

    #[test]
    fn what_was_not_given_is_taken_back() {
        let mut coverage = of(6400, &[(0, 6400)]);
        coverage.take_back(range(0, 6400), 3200);
        assert_eq!(coverage, of(6400, &[(0, 3200)]));
        let mut coverage = of(6400, &[(0, 6400)]);
        coverage.take_back(range(0, 6400), 3201);
        assert_eq!(coverage, of(6400, &[(0, 3300)]), "a part that was begun");
        for (given, left) in [(0, (0, 0)), (5000, (150, 5000)), (u64::MAX, (150, 5000))] {
            let mut coverage = of(6400, &[(150, 5000)]);
            coverage.take_back(range(150, 5000), given);
            assert_eq!(coverage, of(6400, &[left]), "{given}");
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        for size in [0, 5, 6400] {
            let coverage = of(size, &[(0, size), (1, 2)]);
            let bytes = coverage.to_bytes();
            assert_eq!(Coverage::from_bytes(size, &bytes), Some(coverage));
        }
        for wrong in [0, 1, 4, 255, 257, 260] {
            assert_eq!(Coverage::from_bytes(6400, &vec![0; wrong]), None);
        }
    }
}
