//! Listings of objects and uploads.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
};

use actix_web::HttpResponse;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    error::{Error, Result},
    objects::iso_date,
    request::Request,
    service::{self, Service},
    store::{Object, Upload},
    xml::{Xml, encode},
};

/// The owner of all objects.
const OWNER: &str = "1000000000000000";

/// A page of a listing: keys, and the prefixes of groups of keys.
struct Page<T> {
    entries: Vec<(String, T)>,
    prefixes: Vec<String>,
    /// The last key or prefix, if another page follows.
    next: Option<String>,
}

/// Returns the page after a key.
fn page<T: Clone>(
    all: &BTreeMap<String, T>,
    prefix: &str,
    delimiter: &str,
    after: &str,
    limit: usize,
) -> Page<T> {
    let mut page = Page {
        entries: Vec::new(),
        prefixes: Vec::new(),
        next: None,
    };
    let mut last = String::new();
    let mut from = match after {
        // The last entry of the previous page was a group.
        _ if group(after, prefix, delimiter) == Some(after) => Included(beyond(after)),
        _ if after >= prefix => Excluded(after.to_owned()),
        _ => Included(prefix.to_owned()),
    };
    while let Some((key, value)) = all.range((from, Unbounded)).next() {
        if !key.starts_with(prefix) {
            break;
        }
        if page.entries.len() + page.prefixes.len() == limit {
            page.next = Some(last);
            break;
        }
        if let Some(group) = group(key, prefix, delimiter) {
            page.prefixes.push(group.to_owned());
            from = Included(beyond(group));
            group.clone_into(&mut last);
        } else {
            page.entries.push((key.clone(), value.clone()));
            from = Excluded(key.clone());
            key.clone_into(&mut last);
        }
    }
    page
}

/// The group of a key: its prefix up to and including the delimiter.
fn group<'k>(key: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
    let rest = key.strip_prefix(prefix)?;
    let end = rest.find(delimiter).filter(|_| !delimiter.is_empty())?;
    Some(&key[..prefix.len() + end + delimiter.len()])
}

/// The smallest string after all keys with this prefix.
fn beyond(group: &str) -> String {
    let mut beyond = group.to_owned();
    while let Some(last) = beyond.pop() {
        let next = (last..=char::MAX).nth(1);
        if let Some(next) = next {
            beyond.push(next);
            break;
        }
    }
    beyond
}

/// `ListObjects` and `ListObjectsV2`.
pub(crate) fn list_objects(service: &Service, request: &Request) -> Result<HttpResponse> {
    let encoded = request.encoded()?;
    let limit = request.number("max-keys", 100, 1000)?;
    let text = |name| request.parameter(name).unwrap_or_default();
    let second = request.parameter("list-type") == Some("2");
    let token = request.parameter("continuation-token");
    let after = match token.filter(|token| second && !token.is_empty()) {
        Some(token) => {
            let key = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
            let key = key.and_then(|key| String::from_utf8(key).ok());
            key.ok_or(Error::InvalidArgument("The specified token is invalid."))?
        }
        None if second => text("start-after").to_owned(),
        None => text("marker").to_owned(),
    };
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let page = page(
        &service.store.state().objects,
        prefix,
        delimiter,
        &after,
        limit,
    );

    let mut answer = Xml::new("ListBucketResult");
    answer.text("Name", &request.bucket);
    answer.text("Prefix", &encode(prefix, encoded));
    answer.value("MaxKeys", limit);
    answer.text("Delimiter", &encode(delimiter, encoded));
    if encoded {
        answer.text("EncodingType", "url");
    }
    answer.value("IsTruncated", page.next.is_some());
    if second {
        answer.text("StartAfter", &encode(text("start-after"), encoded));
        answer.value("KeyCount", page.entries.len() + page.prefixes.len());
        if let Some(token) = token {
            answer.text("ContinuationToken", token);
        }
        if let Some(next) = &page.next {
            answer.text(
                "NextContinuationToken",
                &BASE64_URL_SAFE_NO_PAD.encode(next),
            );
        }
    } else {
        answer.text("Marker", &encode(&after, encoded));
        if let Some(next) = &page.next {
            answer.text("NextMarker", &encode(next, encoded));
        }
    }
    let with_owner = !second || text("fetch-owner") == "true";
    for (key, object) in &page.entries {
        answer.element("Contents", |xml| {
            xml.text("Key", &encode(key, encoded));
            describe(xml, object, with_owner);
        });
    }
    add_prefixes(&mut answer, &page.prefixes, encoded);
    Ok(service::xml(answer))
}

fn describe(xml: &mut Xml, object: &Object, with_owner: bool) {
    let kind = if object.multipart {
        "Multipart"
    } else {
        "Normal"
    };
    xml.text("LastModified", &iso_date(object.blob.modified));
    xml.text("ETag", &format!("\"{}\"", object.etag));
    xml.text("Type", kind);
    xml.value("Size", object.blob.size);
    xml.text("StorageClass", "Standard");
    if with_owner {
        xml.element("Owner", owner);
    }
}

fn owner(xml: &mut Xml) {
    xml.text("ID", OWNER);
    xml.text("DisplayName", OWNER);
}

fn add_prefixes(answer: &mut Xml, prefixes: &[String], encoded: bool) {
    for prefix in prefixes {
        let prefix = encode(prefix, encoded);
        answer.element("CommonPrefixes", |xml| xml.text("Prefix", &prefix));
    }
}

/// `ListMultipartUploads`.
pub(crate) fn list_uploads(service: &Service, request: &Request) -> Result<HttpResponse> {
    let encoded = request.encoded()?;
    let limit = request.number("max-uploads", 1000, 1000)?;
    let text = |name| request.parameter(name).unwrap_or_default();
    let (key_marker, id_marker) = (text("key-marker"), text("upload-id-marker"));
    // A key may have several uploads. A character that no key contains separates key and ID.
    let all: BTreeMap<String, Upload> = {
        let state = service.store.state();
        let uploads = state.uploads.iter();
        let uploads = uploads.map(|(id, upload)| {
            let parts = BTreeMap::new();
            let key = upload.key.clone();
            let headers = Vec::new();
            let begun = upload.begun;
            let upload = Upload {
                key,
                headers,
                begun,
                parts,
            };
            (format!("{}\0{id}", upload.key), upload)
        });
        uploads.collect()
    };
    let after = match (key_marker, id_marker) {
        ("", _) => String::new(),
        (key, "") => format!("{key}\0\u{7f}"),
        (key, id) => format!("{key}\0{id}"),
    };
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let page = page(&all, prefix, delimiter, &after, limit);

    let mut answer = Xml::new("ListMultipartUploadsResult");
    answer.text("Bucket", &request.bucket);
    if encoded {
        answer.text("EncodingType", "url");
    }
    answer.text("KeyMarker", &encode(key_marker, encoded));
    answer.text("UploadIdMarker", id_marker);
    let next = page.next.as_deref().unwrap_or_default();
    let (next_key, next_id) = next.split_once('\0').unwrap_or((next, ""));
    answer.text("NextKeyMarker", &encode(next_key, encoded));
    answer.text("NextUploadIdMarker", next_id);
    answer.text("Delimiter", &encode(delimiter, encoded));
    answer.text("Prefix", &encode(prefix, encoded));
    answer.value("MaxUploads", limit);
    answer.value("IsTruncated", page.next.is_some());
    for (name, upload) in &page.entries {
        let (_, id) = name.split_once('\0').unwrap_or_default();
        answer.element("Upload", |xml| {
            xml.text("Key", &encode(&upload.key, encoded));
            xml.text("UploadId", id);
            xml.text("StorageClass", "Standard");
            xml.text("Initiated", &iso_date(upload.begun));
        });
    }
    add_prefixes(&mut answer, &page.prefixes, encoded);
    Ok(service::xml(answer))
}

/// `GetBucketInfo`.
pub(crate) fn describe_bucket(service: &Service, request: &Request) -> HttpResponse {
    let mut answer = Xml::new("BucketInfo");
    answer.element("Bucket", |xml| {
        xml.text("Name", &service.bucket);
        xml.text("CreationDate", "2020-01-01T00:00:00.000Z");
        xml.text("ExtranetEndpoint", &request.host);
        xml.text("IntranetEndpoint", &request.host);
        xml.text("Location", "oss-cn-hangzhou");
        xml.text("StorageClass", "Standard");
        xml.text("DataRedundancyType", "LRS");
        xml.element("Owner", owner);
        xml.element("AccessControlList", |xml| xml.text("Grant", "private"));
    });
    service::xml(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BTreeMap<String, u8> {
        let keys = ["a", "b/1", "b/2", "b/c/3", "b0", "ü/4"];
        keys.into_iter().map(|key| (key.to_owned(), 0)).collect()
    }

    fn names(page: &Page<u8>) -> Vec<&str> {
        let keys = page.entries.iter().map(|(key, _)| key.as_str());
        let mut names: Vec<&str> = keys.collect();
        names.extend(page.prefixes.iter().map(String::as_str));
        names.sort_unstable();
        names
    }

    #[test]
    fn pages_of_any_size_list_everything_once() {
        for limit in 1..8 {
            for (prefix, delimiter, expected) in [
                ("", "", vec!["a", "b/1", "b/2", "b/c/3", "b0", "ü/4"]),
                ("", "/", vec!["a", "b/", "b0", "ü/"]),
                ("b/", "/", vec!["b/1", "b/2", "b/c/"]),
                ("b/", "", vec!["b/1", "b/2", "b/c/3"]),
            ] {
                let (all, mut seen, mut after) = (all(), Vec::new(), String::new());
                loop {
                    let page = page(&all, prefix, delimiter, &after, limit);
                    seen.extend(names(&page).into_iter().map(str::to_owned));
                    match page.next {
                        Some(next) => after = next,
                        None => break,
                    }
                }
                assert_eq!(seen, expected, "{limit} {prefix} {delimiter}");
            }
        }
    }
}
