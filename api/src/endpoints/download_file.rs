//! `GET /files/{file_sha1}/content`

mod byteranges;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{
        Method,
        header::{self, ETag, HeaderName, HeaderValue, LastModified},
    },
    route, web,
};
use catalog::{Download, Entry};
use domain::ByteRange;
use futures_util::{TryStreamExt as _, stream};
use storage::Object;

use crate::{
    endpoints::FileContent,
    http::{
        conditional::{Validators, Verdict},
        digest_fields::{self, REPR_DIGEST},
        disposition,
        parameters::{DownloadFields, FilePath, Precondition, Revalidation},
        path::PathSha1,
        query::Query,
        ranges::{Wanted, wanted},
    },
    problem::{Problem, ProblemType},
    service::{Caller, Service},
};

/// Downloads a file
///
/// All of it, or the ranges that are asked for. The entity tag is the SHA-1 and never changes.
/// `disposition=inline` lets a browser show the file, unless it is of a type that can run script;
/// then it is still `attachment`.
#[utoipa::path(
    get,
    tag = "files",
    params(
        FilePath,
        ("disposition" = Option<String>, Query, description = "`attachment` (default) or `inline`", pattern = "^(attachment|inline)$"),
        DownloadFields,
        Precondition,
        Revalidation,
    ),
    responses(
        (status = 200, description = "The whole file, of its own media type", content((FileContent = "application/octet-stream"), (FileContent = "*/*")), headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Content-Disposition" = String, description = "The file's name (RFC 6266, RFC 8187)"),
            ("Repr-Digest" = String, description = "The whole file's digests (RFC 9530)"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Cache-Control" = String, description = "`private, immutable`"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
            ("Content-Security-Policy" = String, description = "Nothing that it could bring along may run"),
        )),
        (status = 206, description = "The ranges that were asked for: one, or several as `multipart/byteranges`", content((FileContent = "application/octet-stream"), (FileContent = "multipart/byteranges"), (FileContent = "*/*")), headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Content-Range" = String, description = "Which bytes these are, if it is one range"),
            ("Content-Disposition" = String, description = "The file's name (RFC 6266, RFC 8187)"),
            ("Repr-Digest" = String, description = "The whole file's digests (RFC 9530)"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Cache-Control" = String, description = "`private, immutable`"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
            ("Content-Security-Policy" = String, description = "Nothing that it could bring along may run"),
        )),
        (status = 304, description = "The client has the file", headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Cache-Control" = String, description = "`private, immutable`"),
        )),
        (status = 400, description = "`invalid-sha1` or `invalid-query`"),
        (status = 404, description = "`not-found`"),
        (status = 412, description = "`precondition-failed`"),
        (status = 416, description = "`range-not-satisfiable`", headers(
            ("Content-Range" = String, description = "How many bytes there are, as `bytes */11`"),
        )),
    ),
)]
#[route("/files/{file_sha1}/content", method = "GET", method = "HEAD")]
pub(crate) async fn download_file(
    Caller(owner): Caller,
    service: web::Data<Service>,
    PathSha1(sha1): PathSha1,
    mut query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let inline = read_disposition(&mut query)?;
    query.end()?;
    let entry = service.catalog.find(&owner, &sha1).await?;
    let validators = Validators::of_content(&sha1, entry.meta.upload_at);
    match validators.weigh(&request) {
        Verdict::Failed => return Err(catalog::Error::PreconditionFailed.into()),
        Verdict::NotModified => {
            let mut response = HttpResponse::NotModified();
            identify(&mut response, &validators);
            return Ok(response.finish());
        }
        Verdict::Proceed => {}
    }
    let answer = Answer {
        entry,
        validators,
        inline,
    };
    if request.method() == Method::HEAD {
        return Ok(answer.header_alone());
    }
    let size = answer.entry.meta.file_size;
    let ranges = if answer.validators.allow_range(&request) {
        wanted(&request, size)
    } else {
        Wanted::Whole
    };
    if ranges == Wanted::Unsatisfiable {
        return Err(unsatisfiable(size));
    }
    let download = service.catalog.locate(&answer.entry).await?;
    match ranges {
        Wanted::Parts(parts) => answer.parts(&download, &parts).await,
        _ => answer.whole(&download).await,
    }
}

fn read_disposition(query: &mut Query) -> Result<bool, Problem> {
    match query.one("disposition")?.as_deref() {
        None | Some("attachment") => Ok(false),
        Some("inline") => Ok(true),
        Some(_) => {
            let detail = "`disposition` is `attachment` or `inline`";
            Err(Problem::query("disposition", detail))
        }
    }
}

fn unsatisfiable(size: u64) -> Problem {
    let problem = Problem::new(
        ProblemType::RangeNotSatisfiable,
        format!("the file has {size} bytes"),
    );
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => problem.with_header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}

/// What all answers say about the file's identity.
fn identify(response: &mut HttpResponseBuilder, validators: &Validators) {
    response
        .insert_header(ETag(validators.etag.clone()))
        .insert_header((header::CACHE_CONTROL, "private, immutable"));
    if let Some(modified) = validators.last_modified {
        response.insert_header(LastModified(modified));
    }
}

/// What a file's bytes are sent with.
struct Answer {
    entry: Entry,
    validators: Validators,
    inline: bool,
}

impl Answer {
    async fn whole(&self, download: &Download) -> Result<HttpResponse, Problem> {
        let object = download.open(0).await?;
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.entry.meta.content_type.as_str()));
        Ok(send(
            response,
            object,
            ByteRange::whole(self.entry.meta.file_size),
        ))
    }

    fn header_alone(&self) -> HttpResponse {
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.entry.meta.content_type.as_str()));
        // The answer to `HEAD` says how long the answer to `GET` would be.
        let nothing = stream::empty::<Result<web::Bytes, std::io::Error>>();
        response.body(SizedStream::new(self.entry.meta.file_size, nothing))
    }

    async fn parts(
        &self,
        download: &Download,
        parts: &[ByteRange],
    ) -> Result<HttpResponse, Problem> {
        let size = self.entry.meta.file_size;
        let content_type = &self.entry.meta.content_type;
        let mut response = self.begin(HttpResponse::PartialContent());
        let [part] = parts else {
            let object = download.open(parts[0].start).await?;
            return Ok(byteranges::send(response, object, parts, content_type));
        };
        let object = download.open(part.start).await?;
        response
            .insert_header((header::CONTENT_TYPE, content_type.as_str()))
            .insert_header((header::CONTENT_RANGE, content_range(*part, size)));
        Ok(send(response, object, *part))
    }

    fn begin(&self, mut response: HttpResponseBuilder) -> HttpResponseBuilder {
        let meta = &self.entry.meta;
        let inline = self.inline && meta.content_type.runs_no_script();
        let disposition = if inline { "inline" } else { "attachment" };
        identify(&mut response, &self.validators);
        response
            .insert_header((
                header::CONTENT_DISPOSITION,
                disposition::value(disposition, &meta.file_name),
            ))
            .insert_header((
                REPR_DIGEST,
                digest_fields::value(&meta.file_sha1, &meta.file_sha256),
            ))
            .insert_header((header::ACCEPT_RANGES, "bytes"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((
                HeaderName::from_static("content-security-policy"),
                "default-src 'none'; sandbox",
            ));
        response
    }
}

fn content_range(part: ByteRange, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}

/// Sends one range; a short one together with the header.
fn send(mut response: HttpResponseBuilder, object: Object, range: ByteRange) -> HttpResponse {
    if let Some(bytes) = object.ready(range) {
        response.body(bytes)
    } else {
        let bytes = object.stream(range).map_err(std::io::Error::other);
        response.body(SizedStream::new(range.length(), bytes))
    }
}
