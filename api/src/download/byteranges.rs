//! Several ranges in one response (RFC 9110 §14.6).

use actix_web::{HttpResponse, HttpResponseBuilder, body::SizedStream, http::header, web::Bytes};
use domain::{ByteRange, MediaType};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use service::VerifiedObject;

use crate::headers::ranges::content_range;

pub(super) fn send(
    mut response: HttpResponseBuilder,
    object: VerifiedObject,
    parts: &[ByteRange],
    content_type: &MediaType,
) -> HttpResponse {
    let boundary = boundary();
    let size = object.size();
    let heads: Vec<Bytes> = parts
        .iter()
        .map(|part| {
            let range = content_range(*part, size);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n"
            );
            head.into()
        })
        .collect();
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let length = heads.iter().map(|head| head.len() as u64).sum::<u64>()
        + parts.iter().map(|part| part.length()).sum::<u64>()
        + end.len() as u64;

    let bodies: Vec<_> = heads.into_iter().zip(parts.to_vec()).collect();
    let body = stream::iter(bodies)
        .flat_map(move |(head, part)| {
            let bytes = object.clone().stream(part).map_err(std::io::Error::other);
            stream::once(future::ok(head)).chain(bytes)
        })
        .chain(stream::once(future::ok(end)));
    response
        .insert_header((
            header::CONTENT_TYPE,
            format!("multipart/byteranges; boundary={boundary}"),
        ))
        .body(SizedStream::new(length, body))
}

/// A random boundary, which no file contains by accident.
fn boundary() -> String {
    let [first, second] = [getrandom::u64(), getrandom::u64()].map(Result::unwrap_or_default);
    format!("{first:016x}{second:016x}")
}
