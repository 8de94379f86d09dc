//! Properties that parsers have for every input: `fuzz/` searches for inputs that break them, and a
//! test tries those that it kept.

#![expect(clippy::unwrap_used, reason = "a property that does not hold panics")]

use std::{fmt::Debug, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::Digest as _;

use crate::{
    Address, ByteRange, ChecksumAlgorithm, FileName, MediaType, Owner, RandomId, Scopes, Sha1,
    Sha256, Timestamp, TokenText, coalesce, parse_byte_count,
    possession::{Nonce, Prover, SPAN, SPANS, WHOLE_UP_TO, ranges},
    tus::{Concatenation, Metadata, parse_checksum},
};

/// What is written from a parsed value is parsed as the same value.
fn round_trips<T: FromStr + ToString + PartialEq + Debug>(text: &str) -> Option<T> {
    let parsed: T = text.parse().ok()?;
    let written = parsed.to_string();
    assert_eq!(written.parse().ok().as_ref(), Some(&parsed), "{written:?}");
    Some(parsed)
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The fields of tus are read as they were written, within their limits.
pub fn tus_fields(input: &[u8]) {
    checksum_of(input);
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let _ = parse_checksum(text).map(|checksum| checksum.verifier().matches());
    if let Ok(metadata) = Metadata::parse(text) {
        assert!(text.len() <= Metadata::MAX_BYTES && metadata.as_str() == text);
        let pairs = text.split(',').map(|pair| pair.trim_matches(' '));
        let keys: Vec<&str> = pairs.map(|pair| pair.split(' ').next().unwrap()).collect();
        let written = keys.iter().map(|key| match metadata.value(key) {
            Some(value) => format!("{key} {}", BASE64_STANDARD.encode(value)),
            None => (*key).to_owned(),
        });
        let again = Metadata::parse(&written.collect::<Vec<_>>().join(",")).unwrap();
        for key in keys {
            assert_eq!(again.value(key), metadata.value(key), "{key}");
        }
    }
    if let Ok(Concatenation::Final(parts)) = Concatenation::parse(text) {
        assert!((1..=Concatenation::MAX_PARTS).contains(&parts.len()));
        let written: Vec<String> = parts.iter().map(|part| format!("/tus/{part}")).collect();
        let again = Concatenation::parse(&format!("final;{}", written.join(" ")));
        assert_eq!(again, Ok(Concatenation::Final(parts)));
    }
}

/// The checksum of some bytes matches them, however they are cut, and no others.
fn checksum_of(bytes: &[u8]) {
    let (begin, end) = bytes.split_at(bytes.len() / 3);
    for algorithm in ChecksumAlgorithm::ALL {
        let mut value = match algorithm {
            ChecksumAlgorithm::Crc32 => crc32fast::hash(bytes).to_be_bytes().to_vec(),
            ChecksumAlgorithm::Md5 => md5::Md5::digest(bytes).to_vec(),
            ChecksumAlgorithm::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            ChecksumAlgorithm::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
        };
        for is_right in [true, false] {
            let field = format!("{} {}", algorithm.name(), BASE64_STANDARD.encode(&value));
            let mut verifier = parse_checksum(&field).unwrap().verifier();
            verifier.update(begin);
            verifier.update(end);
            assert_eq!(verifier.matches(), is_right, "{field}");
            value[0] ^= 1;
        }
    }
}

/// Names are one line within their limits, and are stored and answered as they were read.
pub fn names(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    if let Some(name) = round_trips::<FileName>(text) {
        assert!(name.as_str() == text && is_one_line(text));
        assert!((1..=FileName::MAX_BYTES).contains(&text.len()));
        assert!(!text.contains(['/', '\\']) && text != "." && text != "..");
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(serde_json::from_str::<FileName>(&json).unwrap(), name);
    }
    if let Some(owner) = round_trips::<Owner>(text) {
        assert!(owner.as_str() == text && is_one_line(text) && text.trim() == text);
        assert!((1..=Owner::MAX_BYTES).contains(&text.len()));
    }
    if let Some(media_type) = round_trips::<MediaType>(text) {
        assert!(media_type.as_str().len() <= MediaType::MAX_BYTES);
        assert!(is_one_line(media_type.as_str()), "{media_type}");
        let upper: Result<MediaType, _> = text.to_ascii_uppercase().parse();
        assert_eq!(
            upper.map(|upper| upper.runs_no_script()),
            Ok(media_type.runs_no_script())
        );
    }
}

/// Tokens, ids and numbers have one spelling, which is parsed as what was written.
pub fn tokens(input: &[u8]) {
    let mut secret = [0; 32];
    for (byte, given) in secret.iter_mut().zip(input) {
        *byte = *given;
    }
    let token = TokenText::new(secret);
    assert_eq!(token.reveal().parse(), Ok(token.clone()));
    let at = usize::from(input.first().copied().unwrap_or_default()) % token.reveal().len();
    let mut forged = token.reveal().as_bytes().to_vec();
    forged[at] ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    assert!(forged.parse::<TokenText>().is_err(), "{forged}");

    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    if let Ok(token) = text.parse::<TokenText>() {
        assert_eq!(token.reveal(), text);
    }
    if let Some(id) = round_trips::<RandomId>(text) {
        assert_eq!(id.to_string(), text);
    }
    let lower = text.to_ascii_lowercase();
    if let Some(sha1) = round_trips::<Sha1>(text) {
        assert_eq!(sha1.to_string(), lower);
    }
    if let Some(sha256) = round_trips::<Sha256>(text) {
        assert_eq!(sha256.to_string(), lower);
    }
    round_trips::<Scopes>(text);
    if let Ok(count) = parse_byte_count(text) {
        assert!(i64::try_from(count).is_ok());
        assert_eq!(parse_byte_count(&count.to_string()), Ok(count));
    }
    if let Ok(time) = serde_json::from_slice::<Timestamp>(input) {
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text);
    }
}

/// A proof covers bytes that are there, each once; it is accepted, and no other is.
pub fn proofs(input: &[u8]) {
    let Some((nonce, rest)) = input.split_first_chunk::<32>() else {
        return;
    };
    let Some((size, bytes)) = rest.split_first_chunk::<8>() else {
        return;
    };
    let nonce = Nonce::from(*nonce);
    let size = u64::from_be_bytes(*size) >> (size[0] % 64);
    let covered = ranges(&nonce, size);
    let total: u64 = covered.iter().map(|range| range.length()).sum();
    let is_whole = size <= WHOLE_UP_TO;
    assert_eq!(total, if is_whole { size } else { SPANS as u64 * SPAN });
    assert!(covered.windows(2).all(|pair| pair[0].end <= pair[1].start));
    assert!(
        covered
            .iter()
            .all(|range| range.start < range.end && range.end <= size)
    );

    let id = RandomId::from([nonce.as_bytes()[0]; 16]);
    let sha1 = Sha1::from([nonce.as_bytes()[1]; 20]);
    let prove = |bytes: &[&[u8]]| {
        let mut prover = Prover::new(&nonce, &id, &sha1);
        for bytes in bytes {
            prover.update(bytes);
        }
        prover
    };
    let proof = prove(&[bytes]).finish();
    let (begin, end) = bytes.split_at(bytes.len() / 2);
    assert!(prove(&[begin, end]).verify(&proof));
    assert!(!prove(&[bytes, b"x"]).verify(&proof));
    let mut forged = *proof.as_bytes();
    forged[usize::from(nonce.as_bytes()[2]) % 32] ^= 1 << (nonce.as_bytes()[3] % 8);
    assert!(!prove(&[bytes]).verify(&Sha256::from(forged)));
}

/// Joined ranges have the bytes of the given ones, each once.
pub fn joined_ranges(input: &[u8]) {
    let given: Vec<ByteRange> = input
        .chunks_exact(2)
        .map(|pair| {
            let start = u64::from(pair[0]);
            let end = start + u64::from(pair[1]) + 1;
            ByteRange { start, end }
        })
        .collect();
    let has = |ranges: &[ByteRange], at: u64| {
        let having = ranges
            .iter()
            .filter(|range| (range.start..range.end).contains(&at));
        having.count()
    };
    let joined = coalesce(given.clone());
    for at in 0..512 {
        assert_eq!(has(&joined, at), has(&given, at).min(1), "{at}");
        let touching = joined
            .iter()
            .filter(|range| range.start == at || range.end == at);
        assert!(touching.count() <= 1, "two ranges touch at {at}");
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn every_kept_input_has_its_property() {
        replay("tus_fields", tus_fields);
        replay("names", names);
        replay("tokens", tokens);
        replay("proofs", proofs);
        replay("joined_ranges", joined_ranges);
    }
}
