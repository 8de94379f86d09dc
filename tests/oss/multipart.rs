//! Multipart uploads.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
};

use actix_web::{HttpResponse, web};
use md5::{Digest as _, Md5};
use time::OffsetDateTime;

use crate::{
    checksum::combine,
    error::{Error, Result},
    objects::{check_conditions, check_name, iso_date, parse_range, received},
    receive::{self, Digests, MAX_SIZE},
    request::{Request, hex},
    service::{self, Service},
    store::{Blob, Draft, Object, Upload},
    xml::{self, Xml, encode},
};

/// The minimum size of a part in bytes, except for the last one.
const MIN_PART_SIZE: u64 = 100 * 1024;

/// The maximum number of parts.
const MAX_PARTS: u16 = 10_000;

/// `InitiateMultipartUpload`.
pub(crate) fn begin(service: &Service, request: &Request) -> Result<HttpResponse> {
    check_name(&request.key)?;
    let encoded = request.encoded()?;
    let there = service.store.state().objects.contains_key(&request.key);
    if there && request.forbids_overwrite() {
        return Err(Error::FileAlreadyExists);
    }
    let id = service.store.begin(Upload {
        key: request.key.clone(),
        headers: request.stored_headers(),
        begun: OffsetDateTime::now_utc().unix_timestamp(),
        parts: BTreeMap::new(),
    })?;
    let mut answer = Xml::new("InitiateMultipartUploadResult");
    name(&mut answer, request, encoded);
    answer.text("UploadId", &id);
    Ok(service::xml(answer))
}

fn name(answer: &mut Xml, request: &Request, encoded: bool) {
    if encoded {
        answer.text("EncodingType", "url");
    }
    answer.text("Bucket", &request.bucket);
    answer.text("Key", &encode(&request.key, encoded));
}

/// `UploadPart`.
pub(crate) async fn put_part(
    service: &Service,
    request: &Request,
    payload: &mut web::Payload,
) -> Result<HttpResponse> {
    let (id, number) = part(request)?;
    service.store.state().upload(id, &request.key)?;
    let (blob, draft) = receive::body(service, request, payload).await?;
    let answer = received(&blob);
    service
        .store
        .put_part(id, &request.key, number, blob, draft)?;
    Ok(answer)
}

/// The upload and the part number of a request.
fn part(request: &Request) -> Result<(&str, u16)> {
    let id = request.parameter("uploadId").ok_or(Error::NoSuchUpload)?;
    let number = request.parameter("partNumber").unwrap_or_default();
    let number = number.parse().ok();
    let number = number.filter(|number| (1..=MAX_PARTS).contains(number));
    let number = number.ok_or(Error::InvalidArgument(
        "Part number must be an integer between 1 and 10000, inclusive.",
    ))?;
    Ok((id, number))
}

/// `UploadPartCopy`.
pub(crate) async fn copy_part(service: &Service, request: &Request) -> Result<HttpResponse> {
    let (id, number) = part(request)?;
    service.store.state().upload(id, &request.key)?;
    let (bucket, key) = request.copy_source()?;
    if bucket != service.bucket {
        return Err(Error::NoSuchBucket);
    }
    let (source, file) = service.store.find(&key)?;
    check_conditions(request, "x-oss-copy-source-", &source)?;
    let (first, length) = copied_range(request, source.blob.size)?;
    if length > MAX_SIZE {
        return Err(Error::EntityTooLarge);
    }
    let draft = service.store.draft()?;
    let copied = web::block(move || copy_range(file, first, length, draft)).await;
    let (blob, draft) = copied.map_err(io::Error::other)??;
    let mut answer = Xml::new("CopyPartResult");
    answer.text("LastModified", &iso_date(blob.modified));
    answer.text("ETag", &format!("\"{}\"", blob.md5));
    let answer = HttpResponse::Ok()
        .insert_header(("etag", format!("\"{}\"", blob.md5)))
        .insert_header(("x-oss-hash-crc64ecma", blob.crc64.to_string()))
        .content_type("application/xml")
        .body(answer.finish());
    service
        .store
        .put_part(id, &request.key, number, blob, draft)?;
    Ok(answer)
}

/// Returns the offset and length of the range to copy. An invalid range means everything.
fn copied_range(request: &Request, size: u64) -> Result<(u64, u64)> {
    let range = request.header("x-oss-copy-source-range");
    let Some((Some(first), last)) = range.and_then(parse_range) else {
        return Ok((0, size));
    };
    let last = last.unwrap_or(size.saturating_sub(1));
    if first > last || last >= size {
        return Err(Error::InvalidRange);
    }
    Ok((first, last - first + 1))
}

fn copy_range(
    mut file: File,
    first: u64,
    length: u64,
    mut draft: Draft,
) -> io::Result<(Blob, Draft)> {
    file.seek(SeekFrom::Start(first))?;
    let mut source = file.take(length);
    let mut digests = Digests::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        digests.update(&chunk[..read]);
        draft.file.write_all(&chunk[..read])?;
    }
    let mut blob = digests.finish();
    draft.name().clone_into(&mut blob.file);
    Ok((blob, draft))
}

/// `CompleteMultipartUpload`.
pub(crate) async fn complete(
    service: &Service,
    request: &Request,
    payload: &mut web::Payload,
) -> Result<HttpResponse> {
    let encoded = request.encoded()?;
    let id = request.parameter("uploadId").unwrap_or_default();
    let upload = service.store.state().upload(id, &request.key)?.clone();
    let document = receive::document(request, payload).await?;
    let parts = chosen(&upload, &document)?;
    let forbids = request.forbids_overwrite();
    if forbids && service.store.state().objects.contains_key(&request.key) {
        return Err(Error::FileAlreadyExists);
    }
    let files = parts.iter().map(|part| service.store.read(part));
    let files = files.collect::<io::Result<Vec<_>>>()?;
    let draft = service.store.draft()?;
    let joined = web::block(move || join(files, draft)).await;
    let draft = joined.map_err(io::Error::other)??;

    let etag = joint_etag(&parts);
    let mut blob = Digests::new().finish();
    draft.name().clone_into(&mut blob.file);
    for part in &parts {
        blob.size += part.size;
        blob.crc64 = combine(blob.crc64, part.crc64, part.size);
    }
    let crc64 = blob.crc64.to_string();
    let object = Object {
        blob,
        etag: etag.clone(),
        headers: upload.headers,
        multipart: true,
    };
    service
        .store
        .complete(id, &request.key, object, draft, forbids)?;
    let mut answer = Xml::new("CompleteMultipartUploadResult");
    name(&mut answer, request, encoded);
    let location = encode(&request.key, true);
    answer.text(
        "Location",
        &format!("http://{}/{}/{location}", request.host, request.bucket),
    );
    answer.text("ETag", &format!("\"{etag}\""));
    Ok(HttpResponse::Ok()
        .insert_header(("etag", format!("\"{etag}\"")))
        .insert_header(("x-oss-hash-crc64ecma", crc64))
        .content_type("application/xml")
        .body(answer.finish()))
}

/// Returns the parts of the object, if they are valid.
fn chosen(upload: &Upload, document: &str) -> Result<Vec<Blob>> {
    let mut parts = Vec::new();
    let mut before = 0;
    for part in xml::elements(document, "Part")? {
        let number = xml::text(part, "PartNumber")?;
        let number: u16 = number.trim().parse().map_err(|_| Error::MalformedXml)?;
        let etag = xml::text(part, "ETag")?;
        if number <= before {
            return Err(Error::InvalidPartOrder);
        }
        before = number;
        let part = upload.parts.get(&number).ok_or(Error::InvalidPart)?;
        if !etag
            .trim()
            .trim_matches('"')
            .eq_ignore_ascii_case(&part.md5)
        {
            return Err(Error::InvalidPart);
        }
        parts.push(part.clone());
    }
    match parts.split_last() {
        None => Err(Error::MalformedXml),
        Some((_, others)) if others.iter().any(|part| part.size < MIN_PART_SIZE) => {
            Err(Error::EntityTooSmall)
        }
        Some(_) => Ok(parts),
    }
}

fn join(files: Vec<File>, mut draft: Draft) -> io::Result<Draft> {
    for mut file in files {
        // Copied in the kernel where it supports that.
        io::copy(&mut file, &mut draft.file)?;
    }
    Ok(draft)
}

/// The entity tag of an object of several parts.
fn joint_etag(parts: &[Blob]) -> String {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part.md5.as_bytes());
    }
    format!("{}-{}", hex(&digest.finalize()).to_uppercase(), parts.len())
}

/// `AbortMultipartUpload`.
pub(crate) fn abort(service: &Service, request: &Request) -> Result<HttpResponse> {
    let id = request.parameter("uploadId").unwrap_or_default();
    service.store.abort(id, &request.key)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `ListParts`.
pub(crate) fn list_parts(service: &Service, request: &Request) -> Result<HttpResponse> {
    let encoded = request.encoded()?;
    let id = request.parameter("uploadId").unwrap_or_default();
    let limit = request.number("max-parts", 1000, 1000)?;
    let marker = request.parameter("part-number-marker").unwrap_or_default();
    let marker: u16 = marker.parse().unwrap_or_default();
    let state = service.store.state();
    let parts = &state.upload(id, &request.key)?.parts;
    let after = parts.range(marker.saturating_add(1)..);
    let is_truncated = after.clone().nth(limit).is_some();
    let shown: Vec<_> = after.take(limit).collect();

    let mut answer = Xml::new("ListPartsResult");
    name(&mut answer, request, encoded);
    answer.text("UploadId", id);
    answer.text("StorageClass", "Standard");
    answer.value("PartNumberMarker", marker);
    let last = shown.last().map_or(0, |(number, _)| **number);
    answer.value("NextPartNumberMarker", last);
    answer.value("MaxParts", limit);
    answer.value("IsTruncated", is_truncated);
    for (number, part) in shown {
        answer.element("Part", |xml| {
            xml.value("PartNumber", number);
            xml.text("LastModified", &iso_date(part.modified));
            xml.text("ETag", &format!("\"{}\"", part.md5));
            xml.value("HashCrc64ecma", part.crc64);
            xml.value("Size", part.size);
        });
    }
    Ok(service::xml(answer))
}
