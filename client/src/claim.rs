//! Claims: a file that the server has already is stored without sending it, by a proof of possession.

use std::io;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{
    RandomId, Sha1, Sha256,
    possession::{Nonce, Prover},
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::{
    chunk::blocking,
    connection::Client,
    error::ClientError,
    exchange::read_json,
    file_info::FileInfo,
    observer::Notice,
    source::{HashedFile, read_at},
};

/// The number of bytes that are read at once.
const READ_SIZE: u64 = 1024 * 1024;

/// The server's challenge: the ranges of the file that the proof must cover.
#[derive(Deserialize)]
struct Claim {
    id: String,
    /// In base64.
    nonce: String,
    ranges: Vec<Span>,
}

/// A range of the file.
#[derive(Clone, Copy, Deserialize)]
struct Span {
    offset: u64,
    length: u64,
}

/// Tries to store a file without sending it; returns whether that succeeded.
///
/// A failed claim is a notice, since an upload can follow.
///
/// # Errors
///
/// If the file cannot be read.
pub(super) async fn claim(
    client: &Client,
    file: &HashedFile,
    info: &FileInfo,
) -> Result<bool, ClientError> {
    match attempt(client, file, info).await {
        Ok(()) => Ok(true),
        Err(error @ ClientError::Local(_)) => Err(error),
        Err(error) => {
            client.observer.notice(Notice::NotInstant(&error));
            Ok(false)
        }
    }
}

async fn attempt(client: &Client, file: &HashedFile, info: &FileInfo) -> Result<(), ClientError> {
    let request = client.request(Method::POST, "claims").json(&json!({
        "file_sha1": file.content.sha1,
        "file_sha256": file.content.sha256,
        "file_size": file.content.size,
        "file_name": info.name,
        "content_type": info.media_type,
    }));
    let claim: Claim = read_json(client.send(request).await?).await?;
    let pieces = pieces(&claim.ranges, file.content.size)?;
    let nonce = BASE64_STANDARD.decode(&claim.nonce).ok();
    let nonce: Option<[u8; 32]> = nonce.and_then(|bytes| bytes.try_into().ok());
    let nonce = Nonce::from(
        nonce.ok_or_else(|| ClientError::protocol_error("the nonce of the claim is malformed"))?,
    );
    let id: RandomId = claim
        .id
        .parse()
        .map_err(|_| ClientError::protocol_error("the id of the claim is malformed"))?;
    let path = format!("claims/{id}");
    let (file, sha1) = (file.file.clone(), file.content.sha1);
    let proof = blocking(move || {
        let read = |span: Span| {
            let size = usize::try_from(span.length).map_err(io::Error::other)?;
            let bytes = read_at(&file, span.offset, size)?;
            let whole = (bytes.len() == size).then_some(bytes);
            whole.ok_or_else(|| io::Error::other("the file shrank while it was uploaded"))
        };
        prove(&nonce, &id, &sha1, pieces.into_iter().map(read))
    });
    let proof = json!({ "proof": proof.await? });
    let request = client.request(Method::PUT, &path).json(&proof);
    client.send(request).await.map(drop)
}

/// Checks ranges, and splits them into pieces that can be read at once.
fn pieces(ranges: &[Span], size: u64) -> Result<Vec<Span>, ClientError> {
    let mut pieces = Vec::new();
    let mut sum: u64 = 0;
    for range in ranges {
        sum = sum.saturating_add(range.length);
        let end = range.offset.checked_add(range.length);
        if end.is_none_or(|end| end > size) || sum > size {
            return Err(ClientError::protocol_error(
                "the ranges of the claim are outside the file",
            ));
        }
        let mut rest = *range;
        while rest.length > 0 {
            let length = rest.length.min(READ_SIZE);
            pieces.push(Span { length, ..rest });
            rest.offset += length;
            rest.length -= length;
        }
    }
    Ok(pieces)
}

/// Computes the proof of possession from the bytes in the ranges.
fn prove(
    nonce: &Nonce,
    id: &RandomId,
    sha1: &Sha1,
    pieces: impl Iterator<Item = io::Result<Vec<u8>>>,
) -> io::Result<Sha256> {
    let mut prover = Prover::new(nonce, id, sha1);
    for piece in pieces {
        prover.update(&piece?);
    }
    Ok(prover.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_within_the_file_and_are_read_piece_by_piece() {
        let split = |ranges: &[(u64, u64)], size| {
            let ranges: Vec<_> = ranges
                .iter()
                .map(|&(offset, length)| Span { offset, length })
                .collect();
            let pieces = pieces(&ranges, size).ok()?;
            let pieces = pieces.iter().map(|span| (span.offset, span.length));
            Some(pieces.collect::<Vec<_>>())
        };
        assert_eq!(split(&[(0, 3)], 3), Some(vec![(0, 3)]));
        assert_eq!(
            split(&[(5, READ_SIZE + 1)], 2 * READ_SIZE),
            Some(vec![(5, READ_SIZE), (5 + READ_SIZE, 1)])
        );
        assert_eq!(split(&[(0, 0)], 0), Some(vec![]));
        assert_eq!(split(&[(1, 3)], 3), None);
        assert_eq!(split(&[(u64::MAX, 3)], 3), None);
        assert_eq!(split(&[(0, 2), (0, 2)], 3), None);
    }
}
