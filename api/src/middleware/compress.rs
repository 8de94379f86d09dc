//! Compression of what the service writes itself: JSON, the contract and pages (RFC 9110 §8.4, §12.5.3).
//!
//! The bytes of files are never compressed: their ranges and digests are those of the file.
//!
//! A compressed response is another representation, so its strong entity tag has the coding as its
//! suffix. The suffix is taken off again where a request names the tag: a client that read compressed
//! metadata can change the file with `If-Match`.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{LazyLock, Mutex, PoisonError},
};

use actix_http::encoding::Encoder;
use actix_web::{
    Error, HttpMessage as _,
    body::{self, BodySize, BodyStream, BoxBody, MessageBody},
    dev::{ResponseHead, ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{
            self, AcceptEncoding, ContentEncoding, Encoding, Header as _, HeaderMap, HeaderName,
            HeaderValue, Preference, Quality,
        },
    },
    middleware::Next,
    web::Bytes,
};
use futures_util::stream;

use super::context::RequestContext;
use crate::{openapi::RequiredRole, response::Unchanging, roles::Role};

/// The codings, the preferred one first.
const CODINGS: [ContentEncoding; 3] = [
    ContentEncoding::Brotli,
    ContentEncoding::Zstd,
    ContentEncoding::Gzip,
];

/// The smallest body that is compressed, in bytes: a smaller one fits into a packet anyway.
const MIN_SIZE: u64 = 1024;

/// The media types that are compressed.
const MEDIA_TYPES: [&str; 8] = [
    "application/javascript",
    "application/json",
    "application/problem+json",
    "application/yaml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/javascript",
];

/// The fields with entity tags of representations.
const TAG_FIELDS: [HeaderName; 2] = [header::IF_MATCH, header::IF_NONE_MATCH];

/// What only a release changes, compressed: by its entity tag and the coding. There are as many as the
/// contract and the pages have files.
static UNCHANGING: LazyLock<Mutex<HashMap<(String, &'static str), Bytes>>> =
    LazyLock::new(Mutex::default);

/// Compresses a response, if its client accepts that.
pub(crate) async fn compress(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if has_bytes_of_files(&request) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let coding = negotiate(&request);
    let is_head = request.method() == Method::HEAD;
    let known: Vec<HeaderValue> = request
        .headers()
        .get_all(header::IF_NONE_MATCH)
        .cloned()
        .collect();
    for name in TAG_FIELDS {
        strip_codings(request.headers_mut(), &name);
    }
    let mut response = next.call(request).await?.map_into_boxed_body();
    let is_not_modified = response.status() == StatusCode::NOT_MODIFIED;
    if !is_not_modified && !is_compressible(response.headers()) {
        return Ok(response);
    }
    let coding = match (coding, response.response().body().size()) {
        _ if is_not_modified => {
            restore_tag(response.headers_mut(), &known, coding);
            None
        }
        (Some(coding), BodySize::Sized(bytes)) if bytes >= MIN_SIZE => Some(coding),
        _ => None,
    };
    if let Some(coding) = coding {
        let is_unchanging = response.response().extensions().contains::<Unchanging>();
        let unchanging = entity_tag(response.headers()).filter(|_| is_unchanging);
        response = match unchanging.map(str::to_owned) {
            _ if is_head => response.map_body(|head, _| {
                name_coding(head, coding);
                without_bytes()
            }),
            Some(tag) => compress_once(response, tag, coding).await?,
            None => {
                response.map_body(|head, body| BoxBody::new(Encoder::response(coding, head, body)))
            }
        };
        add_coding(response.headers_mut(), coding);
    }
    vary(response.headers_mut());
    Ok(response)
}

/// Compresses what is the same in each response with this entity tag.
async fn compress_once(
    response: ServiceResponse<BoxBody>,
    tag: String,
    coding: ContentEncoding,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let key = (tag, coding.as_str());
    let all = || UNCHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let known = all().get(&key).cloned();
    let (request, response) = response.into_parts();
    let (mut response, original) = response.into_parts();
    let compressed = if let Some(compressed) = known {
        compressed
    } else {
        let encoder = Encoder::response(coding, response.head_mut(), original);
        let compressed = body::to_bytes(BoxBody::new(encoder)).await?;
        all().insert(key, compressed.clone());
        compressed
    };
    name_coding(response.head_mut(), coding);
    let response = response.set_body(BoxBody::new(compressed));
    Ok(ServiceResponse::new(request, response))
}

fn name_coding(head: &mut ResponseHead, coding: ContentEncoding) {
    head.headers_mut()
        .insert(header::CONTENT_ENCODING, coding.to_header_value());
}

/// Returns whether an operation sends the bytes of files.
fn has_bytes_of_files(request: &ServiceRequest) -> bool {
    let context = request.extensions().get::<Rc<RequestContext>>().cloned();
    let route = context.as_ref().and_then(|context| context.route.as_ref());
    route.is_some_and(|route| matches!(route.required_role, RequiredRole::Role(Role::Download)))
}

/// The coding that the client likes best; none if it likes none of ours.
fn negotiate(request: &ServiceRequest) -> Option<ContentEncoding> {
    let accepted = AcceptEncoding::parse(request).ok()?;
    let quality = |coding: ContentEncoding| {
        let named = accepted
            .iter()
            .find(|item| item.item == Preference::Specific(Encoding::Known(coding)));
        let any = accepted.iter().find(|item| item.item == Preference::Any);
        named.or(any).map_or(Quality::ZERO, |item| item.quality)
    };
    let mut best = None;
    for coding in CODINGS {
        let quality = quality(coding);
        if quality > best.map_or(Quality::ZERO, |(_, best)| best) {
            best = Some((coding, quality));
        }
    }
    best.map(|(coding, _)| coding)
}

fn is_compressible(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next());
    let is_listed = media_type.is_some_and(|given| {
        MEDIA_TYPES
            .iter()
            .any(|listed| given.trim().eq_ignore_ascii_case(listed))
    });
    is_listed && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The end of an entity tag of a compressed representation.
fn suffix(coding: ContentEncoding) -> String {
    format!("-{}\"", coding.as_str())
}

/// Takes the codings off the entity tags of a request.
fn strip_codings(headers: &mut HeaderMap, name: &HeaderName) {
    let lines: Vec<HeaderValue> = headers.get_all(name).map(strip_coding).collect();
    headers.remove(name);
    for line in lines {
        headers.append(name.clone(), line);
    }
}

fn strip_coding(tags: &HeaderValue) -> HeaderValue {
    let stripped = tags.to_str().ok().map(|tags| {
        CODINGS.iter().fold(tags.to_owned(), |tags, coding| {
            tags.replace(&suffix(*coding), "\"")
        })
    });
    let stripped = stripped.and_then(|tags| HeaderValue::try_from(tags).ok());
    stripped.unwrap_or_else(|| tags.clone())
}

fn entity_tag(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ETAG).and_then(|tag| tag.to_str().ok())
}

/// Adds the coding to the entity tag of a response.
fn add_coding(headers: &mut HeaderMap, coding: ContentEncoding) {
    let coded = entity_tag(headers).and_then(|tag| tag.strip_suffix('"'));
    let coded = coded.map(|begin| format!("{begin}{}", suffix(coding)));
    if let Some(Ok(coded)) = coded.map(HeaderValue::try_from) {
        headers.insert(header::ETAG, coded);
    }
}

/// Gives a 304 the tag of the representation that the client has: of the negotiated coding, of none,
/// or else of another.
fn restore_tag(
    headers: &mut HeaderMap,
    known: &[HeaderValue],
    negotiated: Option<ContentEncoding>,
) {
    let known: Vec<&str> = known.iter().filter_map(|line| line.to_str().ok()).collect();
    let is_known = |tag: &str| known.iter().any(|line| line.contains(tag));
    let Some(tag) = entity_tag(headers) else {
        return;
    };
    let Some(begin) = tag.strip_suffix('"') else {
        return;
    };
    let has = |coding: &ContentEncoding| is_known(&format!("{begin}{}", suffix(*coding)));
    let coding = match negotiated.filter(&has) {
        None if is_known(tag) => None,
        None => CODINGS.into_iter().find(has),
        coding => coding,
    };
    if let Some(coding) = coding {
        add_coding(headers, coding);
    }
}

/// Tells caches that the response depends on `Accept-Encoding`.
fn vary(headers: &mut HeaderMap) {
    let mut fields: Vec<String> = Vec::new();
    for value in headers.get_all(header::VARY) {
        let names = value.to_str().unwrap_or_default().split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            if !fields.iter().any(|field| field.eq_ignore_ascii_case(name)) {
                fields.push(name.to_owned());
            }
        }
    }
    fields.retain(|field| !field.eq_ignore_ascii_case("accept-encoding"));
    fields.push("Accept-Encoding".to_owned());
    if let Ok(vary) = HeaderValue::try_from(fields.join(", ")) {
        headers.insert(header::VARY, vary);
    }
}

/// The body of a response to `HEAD` whose length is not known.
fn without_bytes() -> BoxBody {
    BoxBody::new(BodyStream::new(stream::empty::<Result<Bytes, Error>>()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_preferred_coding_of_the_client_is_taken() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Some(ContentEncoding::Brotli)),
            ("gzip", Some(ContentEncoding::Gzip)),
            ("br;q=0.5, zstd", Some(ContentEncoding::Zstd)),
            ("*", Some(ContentEncoding::Brotli)),
            ("*, br;q=0", Some(ContentEncoding::Zstd)),
            ("identity", None),
            ("deflate", None),
            ("gzip;q=0", None),
            ("", None),
        ] {
            let request = TestRequest::default().insert_header((header::ACCEPT_ENCODING, accepted));
            assert_eq!(negotiate(&request.to_srv_request()), coding, "{accepted}");
        }
        assert_eq!(negotiate(&TestRequest::default().to_srv_request()), None);
    }

    #[test]
    fn tags_have_their_coding_and_lose_it_again() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_static("\"1-a\""));
        add_coding(&mut headers, ContentEncoding::Zstd);
        assert_eq!(headers.get(header::ETAG).unwrap(), "\"1-a-zstd\"");
        let tags = HeaderValue::from_static("\"1-a-zstd\", W/\"2-b-br\", \"3-c\"");
        headers.insert(header::IF_MATCH, tags);
        let line = HeaderValue::from_static("\"4-d-gzip\"");
        headers.append(header::IF_MATCH, line);
        strip_codings(&mut headers, &header::IF_MATCH);
        let stripped: Vec<_> = headers.get_all(header::IF_MATCH).collect();
        assert_eq!(stripped, ["\"1-a\", W/\"2-b\", \"3-c\"", "\"4-d\""]);
    }

    #[test]
    fn a_304_has_the_tag_that_the_client_has() {
        for (known, negotiated, tag) in [
            ("\"a\"", Some(ContentEncoding::Brotli), "\"a\""),
            ("\"a-br\"", Some(ContentEncoding::Brotli), "\"a-br\""),
            ("\"a\", \"a-br\"", Some(ContentEncoding::Brotli), "\"a-br\""),
            ("\"a\", \"a-br\"", None, "\"a\""),
            ("\"a-gzip\"", Some(ContentEncoding::Brotli), "\"a-gzip\""),
            ("*", Some(ContentEncoding::Brotli), "\"a\""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ETAG, HeaderValue::from_static("\"a\""));
            let lines: Vec<_> = known.split(", ").map(HeaderValue::from_static).collect();
            restore_tag(&mut headers, &lines, negotiated);
            assert_eq!(headers.get(header::ETAG).unwrap(), tag, "{known}");
        }
    }

    #[test]
    fn vary_names_each_field_once() {
        let mut headers = HeaderMap::new();
        for value in ["Authorization, X-Owner", "accept-encoding", "Origin"] {
            headers.append(header::VARY, HeaderValue::from_static(value));
        }
        vary(&mut headers);
        let all: Vec<_> = headers.get_all(header::VARY).collect();
        assert_eq!(all, ["Authorization, X-Owner, Origin, Accept-Encoding"]);
    }
}
