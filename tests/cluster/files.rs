//! Contents that can be computed again, so that they need not be kept.

use domain::Sha1;
use harness::digests;

/// A file's bytes, which follow from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct File {
    seed: u64,
    size: usize,
}

/// A generator of random numbers.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(getrandom::u64().unwrap() | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = self.next() % u64::try_from(end).unwrap();
        usize::try_from(number).unwrap()
    }

    /// A new file, which no other owner has.
    pub(crate) fn file(&mut self, smallest: usize, largest: usize) -> File {
        File {
            seed: self.next() | 1,
            size: smallest + self.below(largest - smallest),
        }
    }
}

impl File {
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut dice = Dice(self.seed);
        let mut bytes = Vec::with_capacity(self.size + 8);
        while bytes.len() < self.size {
            bytes.extend(dice.next().to_le_bytes());
        }
        bytes.truncate(self.size);
        bytes
    }

    pub(crate) fn sha1(self) -> Sha1 {
        digests(&self.bytes()).sha1
    }
}
