//! Writing, reading, copying and removing objects.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{
        Method, StatusCode,
        header::{ContentRange, ContentRangeSpec, HttpDate},
    },
    web,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use time::OffsetDateTime;

use crate::{
    error::{Error, Result},
    faults::{Kind, Operation},
    receive::{self, MAX_SIZE},
    request::Request,
    service::{self, Service},
    store::{Blob, Object},
    xml::{self, Xml},
};

/// The number of bytes that are read at once.
const CHUNK: u64 = 256 * 1024;

/// `PutObject`.
pub(crate) async fn put(
    service: &Service,
    request: &Request,
    payload: &mut web::Payload,
) -> Result<HttpResponse> {
    check_name(&request.key)?;
    let forbids = request.forbids_overwrite();
    if forbids && service.store.state().objects.contains_key(&request.key) {
        return Err(Error::FileAlreadyExists);
    }
    let (blob, draft) = receive::body(service, request, payload).await?;
    let object = Object {
        etag: blob.md5.clone(),
        headers: request.stored_headers(),
        multipart: false,
        blob: blob.clone(),
    };
    service.store.put(&request.key, object, draft, forbids)?;
    Ok(received(&blob))
}

/// The response to received bytes.
pub(crate) fn received(blob: &Blob) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("etag", format!("\"{}\"", blob.md5)))
        .insert_header(("content-md5", content_md5(&blob.md5)))
        .insert_header(("x-oss-hash-crc64ecma", blob.crc64.to_string()))
        .finish()
}

/// Checks that a key is valid.
pub(crate) fn check_name(key: &str) -> Result<()> {
    if key.len() > 1023 || key.starts_with(['/', '\\']) {
        return Err(Error::InvalidObjectName);
    }
    Ok(())
}

/// `GetObject` and `HeadObject`.
pub(crate) fn read(service: &web::Data<Service>, request: &Request) -> Result<HttpResponse> {
    let (object, file) = service.store.find(&request.key)?;
    check_conditions(request, "", &object)?;
    let is_head = request.method() == Method::HEAD;
    let size = object.blob.size;
    let range = if is_head { None } else { range(request, size)? };
    let status = range.map_or(StatusCode::OK, |_| StatusCode::PARTIAL_CONTENT);
    let mut answer = HttpResponse::build(status);
    describe(&mut answer, request, &object);
    if let Some((first, length)) = range {
        answer.insert_header(ContentRange(ContentRangeSpec::Bytes {
            range: Some((first, first + length - 1)),
            instance_length: Some(size),
        }));
    }
    let (first, length) = range.unwrap_or((0, size));
    if is_head {
        let nothing = stream::empty::<io::Result<Bytes>>();
        return Ok(answer.body(SizedStream::new(length, nothing)));
    }
    let fault = if length == 0 {
        None
    } else {
        let kinds = [Kind::Truncate, Kind::Flip];
        service.faults.strike(&kinds, Operation::of(request))
    };
    let sent = sent(bytes(file, first, length, fault), service.clone());
    Ok(answer.body(SizedStream::new(length, sent)))
}

/// Streams bytes over the link.
fn sent(
    bytes: impl stream::Stream<Item = io::Result<Bytes>>,
    service: web::Data<Service>,
) -> impl stream::Stream<Item = io::Result<Bytes>> {
    bytes.and_then(move |chunk| {
        let service = service.clone();
        async move {
            service.outward.pass(chunk.len()).await;
            Ok(chunk)
        }
    })
}

/// Reads bytes of a file, and injects a fault into them.
fn bytes(
    file: File,
    first: u64,
    length: u64,
    fault: Option<Kind>,
) -> impl stream::Stream<Item = io::Result<Bytes>> {
    let middle = length / 2;
    let end = match fault {
        Some(Kind::Truncate) => middle,
        _ => length,
    };
    stream::try_unfold((file, 0), move |(file, offset)| async move {
        if offset == end {
            // The body is shorter than its declared length, so the server closes the connection.
            return if end == length {
                Ok(None)
            } else {
                Err(io::ErrorKind::ConnectionAborted.into())
            };
        }
        let size = CHUNK.min(end - offset);
        let mut chunk = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        file.read_exact_at(&mut chunk, first + offset)?;
        if fault == Some(Kind::Flip) && (offset..offset + size).contains(&middle) {
            chunk[usize::try_from(middle - offset).map_err(io::Error::other)?] ^= 1;
        }
        Ok(Some((Bytes::from(chunk), (file, offset + size))))
    })
}

/// Adds the header fields of an object.
fn describe(answer: &mut HttpResponseBuilder, request: &Request, object: &Object) {
    let kind = if object.multipart {
        "Multipart"
    } else {
        "Normal"
    };
    answer
        .insert_header(("content-type", "application/octet-stream"))
        .insert_header(("etag", format!("\"{}\"", object.etag)))
        .insert_header(("last-modified", http_date(object.blob.modified)))
        .insert_header(("accept-ranges", "bytes"))
        .insert_header(("x-oss-object-type", kind))
        .insert_header(("x-oss-storage-class", "Standard"))
        .insert_header(("x-oss-hash-crc64ecma", object.blob.crc64.to_string()));
    if !object.multipart {
        answer.insert_header(("content-md5", content_md5(&object.blob.md5)));
    }
    for (name, value) in &object.headers {
        answer.insert_header((name.as_str(), value.as_str()));
    }
    for name in [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    ] {
        if let Some(value) = request.parameter(&format!("response-{name}")) {
            answer.insert_header((name, value));
        }
    }
}

/// Converts an MD5 to the form of `Content-MD5`.
fn content_md5(hex: &str) -> String {
    let digits = hex.as_bytes().as_chunks::<2>().0.iter();
    let bytes = digits.filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    BASE64_STANDARD.encode(bytes.collect::<Vec<_>>())
}

fn http_date(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    HttpDate::from(std::time::SystemTime::from(time)).to_string()
}

/// Checks the conditions in header fields with this prefix.
pub(crate) fn check_conditions(request: &Request, prefix: &str, object: &Object) -> Result<()> {
    let header = |name| request.header(&format!("{prefix}{name}"));
    let is_it = |tags: &str| {
        let mut tags = tags.split(',').map(|tag| tag.trim().trim_matches('"'));
        tags.any(|tag| tag == "*" || tag == object.etag)
    };
    let modified_after = |date: &str| {
        let date = date.parse::<HttpDate>().ok()?;
        let date = OffsetDateTime::from(std::time::SystemTime::from(date));
        Some(object.blob.modified > date.unix_timestamp())
    };
    let since = header("if-unmodified-since").and_then(modified_after);
    if header("if-match").is_some_and(|tags| !is_it(tags)) || since == Some(true) {
        return Err(Error::PreconditionFailed);
    }
    let since = header("if-modified-since").and_then(modified_after);
    if header("if-none-match").is_some_and(is_it) || since == Some(false) {
        return Err(Error::NotModified);
    }
    Ok(())
}

/// Returns the offset and length of the requested range, or `None` for the whole object.
///
/// OSS ignores a range that is not within the object, unless the client requests the standard's
/// behaviour.
fn range(request: &Request, size: u64) -> Result<Option<(u64, u64)>> {
    let Some((first, last)) = request.header("range").and_then(parse_range) else {
        return Ok(None);
    };
    let standard = request.header("x-oss-range-behavior") == Some("standard");
    let (first, end) = match (first, last) {
        (Some(first), Some(last)) => (first, last.saturating_add(1)),
        (Some(first), None) => (first, size),
        (None, suffix) => {
            let suffix = suffix.unwrap_or_default();
            if suffix > size && !standard {
                return Ok(None);
            }
            (size.saturating_sub(suffix), size)
        }
    };
    if first >= size || first >= end {
        return if standard {
            Err(Error::InvalidRange)
        } else {
            Ok(None)
        };
    }
    if end > size && !standard {
        return Ok(None);
    }
    Ok(Some((first, end.min(size) - first)))
}

/// Parses `bytes=1-2`, `bytes=1-` or `bytes=-2`. A range whose end is before its start is no range.
pub(crate) fn parse_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| match text {
        "" => Some(None),
        _ => text.parse().ok().map(Some),
    };
    match (number(first)?, number(last)?) {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        range => Some(range),
    }
}

/// `CopyObject`.
pub(crate) fn copy(service: &Service, request: &Request) -> Result<HttpResponse> {
    check_name(&request.key)?;
    let (bucket, key) = request.copy_source()?;
    if bucket != service.bucket {
        return Err(Error::NoSuchBucket);
    }
    let (source, _) = service.store.find(&key)?;
    check_conditions(request, "x-oss-copy-source-", &source)?;
    if source.blob.size > MAX_SIZE {
        return Err(Error::EntityTooLarge);
    }
    let headers = match request.header("x-oss-metadata-directive") {
        Some(directive) if directive.eq_ignore_ascii_case("replace") => request.stored_headers(),
        _ => source.headers.clone(),
    };
    let forbids = request.forbids_overwrite();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let object = service
        .store
        .copy(&source, &request.key, headers, forbids, now)?;
    let mut answer = Xml::new("CopyObjectResult");
    answer.text("ETag", &format!("\"{}\"", object.etag));
    answer.text("LastModified", &iso_date(object.blob.modified));
    Ok(HttpResponse::Ok()
        .insert_header(("etag", format!("\"{}\"", object.etag)))
        .insert_header(("x-oss-hash-crc64ecma", object.blob.crc64.to_string()))
        .content_type("application/xml")
        .body(answer.finish()))
}

/// Formats a time for XML.
pub(crate) fn iso_date(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// `DeleteObject`.
pub(crate) fn delete(service: &Service, request: &Request) -> Result<HttpResponse> {
    service.store.remove(&request.key)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DeleteMultipleObjects`.
pub(crate) async fn delete_several(
    service: &Service,
    request: &Request,
    payload: &mut web::Payload,
) -> Result<HttpResponse> {
    let encoded = request.encoded()?;
    let document = receive::document(request, payload).await?;
    let keys = xml::elements(&document, "Object")?;
    let keys: Vec<_> = keys
        .into_iter()
        .map(|object| xml::text(object, "Key"))
        .collect::<Result<_>>()?;
    if keys.is_empty() || keys.len() > 1000 {
        return Err(Error::MalformedXml);
    }
    let quiet = xml::elements(&document, "Quiet")?;
    let mut answer = Xml::new("DeleteResult");
    if encoded {
        answer.text("EncodingType", "url");
    }
    for key in &keys {
        service.store.remove(key)?;
        let key = xml::encode(key, encoded);
        answer.element("Deleted", |deleted| deleted.text("Key", &key));
    }
    if quiet.iter().any(|quiet| quiet.trim() == "true") {
        return Ok(HttpResponse::Ok().finish());
    }
    Ok(service::xml(answer))
}
