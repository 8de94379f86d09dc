//! The response that carries a file's bytes.

use std::time::SystemTime;

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::header::{self, Date, ETag, HeaderName, HeaderValue, LastModified},
    web,
};
use domain::ByteRange;
use futures_util::{TryStreamExt as _, stream};
use service::{Download, VerifiedObject};

use super::{byteranges, request::DownloadRequest};
use crate::{
    headers::{
        conditional::Validators,
        digest_fields::{self, REPR_DIGEST, WantedDigests},
        disposition,
        ranges::content_range,
    },
    problem::Problem,
};

/// The caching rule of files: each use of a stored copy is asked for, since the caller's credentials,
/// the name and the file itself may be gone.
pub(super) const CACHING: &str = "private, no-cache";

/// The response to a request whose conditions hold.
pub(super) struct DownloadResponse<'a> {
    pub(super) request: DownloadRequest<'a>,
    pub(super) validators: Validators,
    pub(super) wanted: WantedDigests,
}

impl DownloadResponse<'_> {
    /// Answers that the client has the file already.
    pub(super) fn not_modified(&self) -> HttpResponse {
        let mut response = HttpResponse::NotModified();
        self.identify(&mut response);
        response.finish()
    }

    /// Sends the whole content.
    pub(super) async fn whole(&self, download: &mut Download) -> Result<HttpResponse, Problem> {
        let size = self.request.entry.meta.file_size;
        let object = download.open(ByteRange::whole(size)).await?;
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.content_type()));
        Ok(send(response, object, ByteRange::whole(size)))
    }

    /// Answers `HEAD`.
    pub(super) fn header_alone(&self) -> HttpResponse {
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.content_type()));
        // `Content-Length` is that of the answer to `GET`.
        let nothing = stream::empty::<Result<web::Bytes, std::io::Error>>();
        response.body(SizedStream::new(self.request.entry.meta.file_size, nothing))
    }

    /// Sends one range, or several as `multipart/byteranges`.
    pub(super) async fn parts(
        &self,
        download: &mut Download,
        parts: &[ByteRange],
    ) -> Result<HttpResponse, Problem> {
        let meta = &self.request.entry.meta;
        let mut response = self.begin(HttpResponse::PartialContent());
        let object = download.open(parts[0]).await?;
        let [part] = parts else {
            let content_type = &meta.content_type;
            return Ok(byteranges::send(response, object, parts, content_type));
        };
        response
            .insert_header((header::CONTENT_TYPE, self.content_type()))
            .insert_header((header::CONTENT_RANGE, content_range(*part, meta.file_size)));
        Ok(send(response, object, *part))
    }

    pub(super) fn content_type(&self) -> &str {
        self.request.entry.meta.content_type.as_str()
    }

    /// The value of `Content-Disposition`; types that can run script are never displayed.
    pub(super) fn disposition(&self) -> HeaderValue {
        let meta = &self.request.entry.meta;
        let inline = self.request.inline && meta.content_type.runs_no_script();
        let disposition = if inline { "inline" } else { "attachment" };
        disposition::value(disposition, &meta.file_name)
    }

    /// Adds the fields that identify and date the content.
    fn identify(&self, response: &mut HttpResponseBuilder) {
        response
            .insert_header(ETag(self.validators.etag.clone()))
            .insert_header((header::CACHE_CONTROL, CACHING));
        if let Some(modified) = self.validators.last_modified {
            response.insert_header(LastModified(modified));
            let now = SystemTime::from(self.request.state.service.now());
            if Validators::is_recent(modified, now) {
                // The date that is added otherwise is up to a second old (RFC 9110 §8.8.2.1).
                response.insert_header(Date(now.into()));
            }
        }
    }

    /// Begins a response with the fields that all of them have.
    pub(super) fn begin(&self, mut response: HttpResponseBuilder) -> HttpResponseBuilder {
        let meta = &self.request.entry.meta;
        self.identify(&mut response);
        response
            .insert_header((header::CONTENT_DISPOSITION, self.disposition()))
            .insert_header((
                REPR_DIGEST,
                digest_fields::value(self.wanted, &meta.file_sha1, &meta.file_sha256),
            ))
            .insert_header((header::ACCEPT_RANGES, "bytes"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((
                HeaderName::from_static("content-security-policy"),
                "default-src 'none'; sandbox",
            ));
        if self.request.link.is_some() {
            // Pages that the file links to must not learn the URL.
            response.insert_header((header::REFERRER_POLICY, "no-referrer"));
        }
        response
    }
}

/// Sends one range; a short one in the same write as the header.
fn send(
    mut response: HttpResponseBuilder,
    object: VerifiedObject,
    range: ByteRange,
) -> HttpResponse {
    if let Some(bytes) = object.ready(range) {
        response.body(bytes)
    } else {
        let bytes = object.stream(range).map_err(std::io::Error::other);
        response.body(SizedStream::new(range.length(), bytes))
    }
}
