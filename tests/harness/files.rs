//! Contents that can be computed again, so that they need not be kept.

use domain::Sha1;

use crate::digests;

/// A file's bytes, which follow from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    seed: u64,
    size: usize,
}

/// A generator of random numbers.
pub struct Dice(u64);

impl Dice {
    /// One that nobody can predict.
    #[must_use]
    pub fn random() -> Self {
        Self::seeded(getrandom::u64().unwrap())
    }

    /// One whose numbers follow from a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        // The bits of small seeds are spread, and the state is never 0.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below another.
    pub fn below(&mut self, end: usize) -> usize {
        let number = self.next() % u64::try_from(end).unwrap();
        usize::try_from(number).unwrap()
    }

    /// A new file, which no other owner has.
    pub fn file(&mut self, smallest: usize, largest: usize) -> File {
        File {
            seed: self.next() | 1,
            size: smallest + self.below(largest - smallest),
        }
    }
}

impl File {
    /// Computes the bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut dice = Dice(self.seed);
        let mut bytes = Vec::with_capacity(self.size + 8);
        while bytes.len() < self.size {
            bytes.extend(dice.next().to_le_bytes());
        }
        bytes.truncate(self.size);
        bytes
    }

    /// Computes the SHA-1.
    #[must_use]
    pub fn sha1(self) -> Sha1 {
        digests(&self.bytes()).sha1
    }
}
