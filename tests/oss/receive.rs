//! Receiving request bodies.

use std::io::Write as _;

use actix_web::web;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use time::OffsetDateTime;

use crate::{
    checksum::crc64,
    error::{Error, Result},
    faults::{Kind, Operation},
    request::{Request, hex},
    service::Service,
    store::{Blob, Draft},
};

/// The maximum number of bytes that one request may send or copy.
pub(crate) const MAX_SIZE: u64 = 5 << 30;

/// The maximum size of an XML document in bytes.
const MAX_DOCUMENT: usize = 4 << 20;

/// Checksums and number of bytes.
pub(crate) struct Digests {
    md5: Md5,
    crc64: u64,
    size: u64,
}

impl Digests {
    /// The checksums of no bytes.
    pub(crate) fn new() -> Self {
        Self {
            md5: Md5::new(),
            crc64: 0,
            size: 0,
        }
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.crc64 = crc64(self.crc64, bytes);
        self.size += bytes.len() as u64;
    }

    /// Returns the metadata of the bytes. The file must still be kept.
    pub(crate) fn finish(self) -> Blob {
        Blob {
            file: String::new(),
            size: self.size,
            md5: hex(&self.md5.finalize()).to_uppercase(),
            crc64: self.crc64,
            modified: OffsetDateTime::now_utc().unix_timestamp(),
        }
    }
}

/// Writes a body into a file.
pub(crate) async fn body(
    service: &Service,
    request: &Request,
    payload: &mut web::Payload,
) -> Result<(Blob, Draft)> {
    let expected = expected_md5(request)?;
    let length = request.header("content-length");
    let length = length.and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_SIZE) {
        return Err(Error::EntityTooLarge);
    }
    let mut draft = service.store.draft()?;
    let mut digests = Digests::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Error::IncompleteBody)?;
        service.inward.pass(chunk.len()).await;
        let first = digests.size == 0 && !chunk.is_empty();
        digests.update(&chunk);
        let kinds = [Kind::FlipStored];
        if first
            && service
                .faults
                .strike(&kinds, Operation::of(request))
                .is_some()
        {
            draft.file.write_all(&flipped(&chunk))?;
        } else {
            draft.file.write_all(&chunk)?;
        }
    }
    let mut blob = digests.finish();
    if expected.is_some_and(|expected| expected != blob.md5) {
        return Err(Error::InvalidDigest);
    }
    draft.name().clone_into(&mut blob.file);
    Ok((blob, draft))
}

fn flipped(chunk: &Bytes) -> Vec<u8> {
    let mut chunk = chunk.to_vec();
    let middle = chunk.len() / 2;
    chunk[middle] ^= 1;
    chunk
}

/// Reads an XML body.
pub(crate) async fn document(request: &Request, payload: &mut web::Payload) -> Result<String> {
    let expected = expected_md5(request)?;
    let mut document = Vec::new();
    while let Some(chunk) = payload.next().await {
        document.extend_from_slice(&chunk.map_err(|_| Error::IncompleteBody)?);
        if document.len() > MAX_DOCUMENT {
            return Err(Error::MalformedXml);
        }
    }
    let digest = hex(&Md5::digest(&document)).to_uppercase();
    if expected.is_some_and(|expected| expected != digest) {
        return Err(Error::InvalidDigest);
    }
    String::from_utf8(document).map_err(|_| Error::MalformedXml)
}

/// The MD5 of the body in the client's header, in upper-case hex digits.
fn expected_md5(request: &Request) -> Result<Option<String>> {
    let Some(expected) = request.header("content-md5") else {
        return Ok(None);
    };
    let digest = BASE64_STANDARD.decode(expected).unwrap_or_default();
    if digest.len() != 16 {
        return Err(Error::InvalidDigest);
    }
    Ok(Some(hex(&digest).to_uppercase()))
}
