//! Proofs of possession: a client proves that it has a file without sending it.
//!
//! The service chooses unpredictable spans of the file and a key. A client that has the bytes can
//! compute their HMAC; a client that only knows the file's digests cannot.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Digest as _;

use crate::{ByteRange, RandomId, Sha1, Sha256};

/// The key of one proof: 32 random bytes, which also determine its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Nonce {
    fn from(random: [u8; 32]) -> Self {
        Self(random)
    }
}

/// The size in bytes up to which a proof covers the whole file.
pub const WHOLE_UP_TO: u64 = 256 * 1024;

/// The number of spans that a proof covers in a larger file.
pub const SPANS: usize = 32;

/// The size of a span in bytes.
pub const SPAN: u64 = 4 * 1024;

/// The ranges that a proof covers in a file of `size` bytes, in ascending order.
///
/// The whole file if it is small, and nothing of an empty one; otherwise spans that do not overlap,
/// each set of which is equally likely. They depend on the nonce and the size only.
#[must_use]
pub fn ranges(nonce: &Nonce, size: u64) -> Vec<ByteRange> {
    if size == 0 {
        return Vec::new();
    }
    if size <= WHOLE_UP_TO {
        return vec![ByteRange::whole(size)];
    }
    // Positions among the bytes outside of all spans; each span then shifts the following ones.
    let free = size - SPANS as u64 * SPAN;
    let mut starts: Vec<u64> = (0..SPANS as u64)
        .map(|number| draw(nonce, number, free + 1))
        .collect();
    starts.sort_unstable();
    (0..)
        .zip(starts)
        .map(|(before, start)| {
            let start = start + before * SPAN;
            let end = start + SPAN;
            ByteRange { start, end }
        })
        .collect()
}

/// A number below `bound`, derived from the nonce.
fn draw(nonce: &Nonce, number: u64, bound: u64) -> u64 {
    let mut digest = sha2::Sha256::new();
    digest.update(b"fileserver possession");
    digest.update(nonce.0);
    digest.update(number.to_be_bytes());
    let mut random = [0; 16];
    random.copy_from_slice(&digest.finalize()[..16]);
    // The number is so much wider than the bound that the bias is negligible.
    let drawn = u128::from_be_bytes(random) % u128::from(bound);
    u64::try_from(drawn).unwrap_or_default()
}

/// Computes a proof (HMAC-SHA-256, RFC 2104) from the bytes of the ranges, piece by piece.
pub struct Prover(Hmac<sha2::Sha256>);

impl Prover {
    /// Starts a proof for a claim to a content.
    #[must_use]
    pub fn new(nonce: &Nonce, claim: &RandomId, sha1: &Sha1) -> Self {
        // HMAC pads a key with zeros to the block size of its hash (RFC 2104 §2).
        let mut block = [0; 64];
        block[..nonce.0.len()].copy_from_slice(&nonce.0);
        let mut mac = Hmac::new(&block.into());
        mac.update(format!("{claim}\n{sha1}\n").as_bytes());
        Self(mac)
    }

    /// Adds the next bytes of the ranges.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The proof, in the form of a SHA-256.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        let proof: [u8; 32] = self.0.finalize().into_bytes().into();
        proof.into()
    }

    /// True if this is the proof; the comparison takes constant time.
    #[must_use]
    pub fn verify(self, proof: &Sha256) -> bool {
        self.0.verify_slice(proof.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: u64 = 1 << 40;

    #[test]
    fn a_proof_covers_the_whole_of_a_small_file() {
        let nonce = Nonce::from([7; 32]);
        assert_eq!(ranges(&nonce, 0), []);
        for size in [1, SPAN, WHOLE_UP_TO] {
            assert_eq!(ranges(&nonce, size), [ByteRange::whole(size)]);
        }
    }

    #[test]
    fn spans_are_within_the_file_and_do_not_overlap() {
        for size in [WHOLE_UP_TO + 1, 1 << 30, 5 * TIB, i64::MAX.unsigned_abs()] {
            for seed in 0..20 {
                let spans = ranges(&Nonce::from([seed; 32]), size);
                assert_eq!(spans.len(), SPANS);
                assert!(spans.iter().all(|span| span.length() == SPAN));
                assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
                assert!(spans.last().unwrap().end <= size);
            }
        }
    }

    #[test]
    fn spans_are_unpredictable_and_reach_every_part() {
        let size = 1 << 30;
        let first = ranges(&Nonce::from([1; 32]), size);
        assert_eq!(first, ranges(&Nonce::from([1; 32]), size));
        assert_ne!(first, ranges(&Nonce::from([2; 32]), size));
        let mut eighths = [false; 8];
        for seed in 0..10 {
            for span in ranges(&Nonce::from([seed; 32]), size) {
                eighths[usize::try_from(span.start / (size / 8)).unwrap()] = true;
            }
        }
        assert_eq!(eighths, [true; 8]);
    }

    #[test]
    fn a_proof_depends_on_the_claim_the_digest_and_the_bytes() {
        let sha1: Sha1 = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed".parse().unwrap();
        let prove = |nonce: u8, claim: u8, bytes: &[u8]| {
            let claim = RandomId::from([claim; 16]);
            let mut prover = Prover::new(&Nonce::from([nonce; 32]), &claim, &sha1);
            prover.update(bytes);
            prover
        };
        let proof = prove(0, 0x11, b"hello world").finish();
        // Computed by another implementation: openssl dgst -sha256 -mac HMAC -macopt hexkey:00...
        assert_eq!(
            proof.to_string(),
            "52035f192bd06d081c7e367641044738c03a6053c9d730995dee01b0bc874b26"
        );
        assert!(prove(0, 0x11, b"hello world").verify(&proof));
        assert!(!prove(1, 0x11, b"hello world").verify(&proof));
        assert!(!prove(0, 0x12, b"hello world").verify(&proof));
        assert!(!prove(0, 0x11, b"hello worlD").verify(&proof));
    }
}
