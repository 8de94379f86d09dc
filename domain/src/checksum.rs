//! Checksums of one request's bytes.

use sha1::Digest as _;

/// A checksum algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// CRC-32 as in Ethernet and zip (ISO 3309), four bytes big-endian.
    Crc32,
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// SHA-256 (FIPS 180-4).
    Sha256,
}

impl ChecksumAlgorithm {
    /// All algorithms, the strongest first.
    pub const ALL: [Self; 4] = [Self::Sha256, Self::Sha1, Self::Md5, Self::Crc32];

    /// The algorithm's name in the tus protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// The size of a checksum in bytes.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Crc32 => 4,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// The declared checksum of a request's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    value: Vec<u8>,
}

impl Checksum {
    /// A checksum. One whose size is not the algorithm's matches no bytes.
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm, value: Vec<u8>) -> Self {
        Self { algorithm, value }
    }

    /// Starts to verify bytes against the checksum.
    #[must_use]
    pub fn verifier(self) -> ChecksumVerifier {
        let state = match self.algorithm {
            ChecksumAlgorithm::Crc32 => State::Crc32(crc32fast::Hasher::new()),
            ChecksumAlgorithm::Md5 => State::Md5(md5::Md5::new()),
            ChecksumAlgorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            ChecksumAlgorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
        };
        ChecksumVerifier {
            expected: self.value,
            state,
        }
    }
}

/// Verifies bytes against their checksum, piece by piece.
#[derive(Clone)]
pub struct ChecksumVerifier {
    expected: Vec<u8>,
    state: State,
}

#[derive(Clone)]
enum State {
    Crc32(crc32fast::Hasher),
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl ChecksumVerifier {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc32(hasher) => hasher.update(bytes),
            State::Md5(hasher) => hasher.update(bytes),
            State::Sha1(hasher) => hasher.update(bytes),
            State::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// True if the added bytes have the checksum.
    #[must_use]
    pub fn matches(self) -> bool {
        match self.state {
            State::Crc32(hasher) => hasher.finalize().to_be_bytes() == *self.expected,
            State::Md5(hasher) => *hasher.finalize() == *self.expected,
            State::Sha1(hasher) => *hasher.finalize() == *self.expected,
            State::Sha256(hasher) => *hasher.finalize() == *self.expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<u8> = hexadecimal
            .chars()
            .map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap())
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    #[test]
    fn known_checksums_match() {
        for (algorithm, value) in [
            (ChecksumAlgorithm::Crc32, "cbf43926"),
            (ChecksumAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (
                ChecksumAlgorithm::Sha1,
                "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
            ),
            (
                ChecksumAlgorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let name = algorithm.name();
            let checksum = Checksum::new(algorithm, bytes(value));
            let mut verifier = checksum.clone().verifier();
            verifier.update(b"12345");
            verifier.update(b"6789");
            assert!(verifier.matches(), "{name}");
            let mut verifier = checksum.verifier();
            verifier.update(b"123456780");
            assert!(!verifier.matches(), "{name}");
            let longer = Checksum::new(algorithm, vec![0; algorithm.size() + 1]);
            assert!(!longer.verifier().matches());
        }
    }
}
