//! `POST /tus`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    post, web,
};
use domain::{
    FileName, MediaType, Owner, RandomId,
    tus::{Concatenation, Metadata},
};
use service::{AppendRequest, Expected, NewUpload, Outcome, Protocol, SessionState, UploadStatus};

use crate::{
    auth::Caller,
    endpoints::append_tus_upload,
    extract::{body, query::NoQuery},
    headers::tus::{self, Length},
    openapi::parameters::{TusChecksum, TusVersion},
    problem::{Problem, ProblemLocation, ProblemType},
    state::AppState,
};

/// Creates a tus upload
///
/// `Upload-Metadata` may contain `filename` and `filetype`, the file's name and media type, and
/// `sha1` and `sha256` in hexadecimal digits, the expected digests of the content. If the caller
/// already has that file, the upload is complete at once. A body contains the first bytes. With
/// `Upload-Concat: final;` and the URLs of partial uploads, the new upload is the concatenation of
/// those, and they are removed.
#[utoipa::path(
    tag = "tus",
    params(
        TusVersion,
        ("Upload-Length" = Option<u64>, Header, description = "Total length of the upload in bytes"),
        ("Upload-Defer-Length" = Option<String>, Header, description = "`1` if a later request announces the length"),
        ("Upload-Metadata" = Option<String>, Header, description = "Keys, and values in base64: `filename d29ybGQudHh0,filetype dGV4dC9wbGFpbg==`"),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and URLs, separated by spaces"),
        TusChecksum,
    ),
    request_body(content = Option<crate::response::FileContent>, content_type = "application/offset+octet-stream"),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 201, description = "The upload was created, and may already be complete", headers(
            ("Location" = String, description = "The upload's URL"),
            ("Upload-Offset" = u64, description = "Current offset of the upload"),
            ("Upload-Expires" = String, description = "Time at which the upload expires without activity"),
            ("Content-Location" = String, description = "The file's URL, if the upload is complete"),
        )),
        (status = 400, description = "`invalid-header`, `invalid-metadata`, `invalid-file-name`, `invalid-concatenation`, `inconsistent-upload-length`, `invalid-query` or `invalid-body`"),
        (status = 409, description = "`digest-collision`: different content with this SHA-1 is stored; or `superseded`: another request concatenates the same parts"),
        (status = 412, description = "`unsupported-version`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`digest-mismatch`: the complete upload does not match the announced digests, and has ended"),
        (status = 460, description = "`checksum-mismatch`: the bytes were discarded, and no upload was created"),
        (status = 507, description = "`storage-full` or `quota-full`"),
    ),
)]
#[post("/tus")]
pub(crate) async fn create_tus_upload(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let creation = Creation::read(headers)?;
    let has_body = body::is_there(headers);
    let service = &state.service;
    let new = match creation {
        Creation::Concatenation(_, _) if has_body => {
            let detail = "a concatenation takes no bytes of its own";
            return Err(Problem::body(detail));
        }
        Creation::Concatenation(new, parts) => {
            let status = service.concatenate(&owner, new, &parts).await?;
            return Ok(created(&status));
        }
        Creation::Bytes(new) => new,
    };
    let first = AppendRequest {
        bytes: body::content_length(headers),
        checksums: tus::checksums(headers)?,
        ..AppendRequest::default()
    };
    let known = if new.is_part {
        None
    } else {
        let expected = &new.expected;
        service.find_existing(&owner, expected, new.length).await?
    };
    let status = service.begin_upload(&owner, new, known.as_ref()).await?;
    let is_empty = status.session.length == Some(0);
    if status.session.state != SessionState::Open || !has_body && !is_empty {
        return Ok(created(&status));
    }
    append_first(&state, &owner, status, first, payload).await
}

/// A request to create an upload.
enum Creation {
    /// A concatenation of partial uploads.
    Concatenation(NewUpload, Vec<RandomId>),
    /// An upload of bytes, from this request or later ones.
    Bytes(NewUpload),
}

impl Creation {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        if body::is_there(headers) {
            body::require_media_type(headers, tus::MEDIA_TYPE)?;
            body::refuse_content_coding(headers)?;
        }
        let concatenation = tus::concatenation(headers)?;
        let length = tus::length(headers)?;
        let metadata = tus::metadata(headers)?;
        let mut new = from_metadata(metadata.as_ref())?;
        new.concat = concatenation.as_ref().map(|(_, text)| text.clone());
        let concatenation = concatenation.map(|(concatenation, _)| concatenation);
        if let Some(Concatenation::Final(parts)) = concatenation {
            if length != Length::Unsaid {
                let detail = "a concatenation has the length of its parts";
                return Err(tus::wrong_length(detail));
            }
            return Ok(Self::Concatenation(new, parts));
        }
        new.is_part = concatenation.is_some();
        new.length = match length {
            Length::Known(length) => Some(length),
            Length::Deferred => None,
            Length::Unsaid => {
                return Err(tus::wrong_length(
                    "send Upload-Length, or Upload-Defer-Length: 1",
                ));
            }
        };
        Ok(Self::Bytes(new))
    }
}

/// Appends the body of the request that created the upload.
async fn append_first(
    state: &AppState,
    owner: &Owner,
    mut status: UploadStatus,
    first: AppendRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let service = &state.service;
    let id = status.session.id;
    let appended = match service.append(owner, Protocol::Tus, id, first).await {
        Ok(append) => append_tus_upload::append_body(state, append, payload).await,
        Err(error) => Err(error.into()),
    };
    match appended {
        Ok(Outcome::Open { offset, expires_at }) => {
            status.offset = Some(offset);
            status.session.expires_at = expires_at;
        }
        Ok(Outcome::Stored { stored, expires_at }) => {
            state.metrics.stored(&stored);
            status.offset = Some(stored.entry.meta.file_size);
            status.session.state = SessionState::Done(stored.entry.meta.file_sha1);
            status.session.expires_at = expires_at;
        }
        Err(problem) => {
            // The client has not received the upload's URL, so nothing can resume it.
            match service.remove_upload(owner, Protocol::Tus, id).await {
                Ok(()) | Err(service::Error::UploadGone) => return Err(problem),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(created(&status))
}

fn created(status: &UploadStatus) -> HttpResponse {
    let session = &status.session;
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, format!("{}/{}", tus::PREFIX, session.id)));
    tus::progress(&mut response, status.offset, session.expires_at);
    if let SessionState::Done(sha1) = session.state {
        tus::done(&mut response, &sha1);
    }
    response.finish()
}

/// Reads the name, media type and digests of the upload from its metadata.
fn from_metadata(metadata: Option<&Metadata>) -> Result<NewUpload, Problem> {
    let value = |key: &str| {
        let value = metadata.and_then(|metadata| metadata.value(key));
        value
            .map(|value| {
                std::str::from_utf8(value)
                    .map_err(|_| invalid_metadata(&format!("the value of `{key}` is not UTF-8")))
            })
            .transpose()
    };
    let file_name = value("filename")?.map(|name| {
        FileName::try_from(name.to_owned()).map_err(|error| {
            Problem::new(ProblemType::InvalidFileName, error.to_string())
                .named(ProblemLocation::Header, "upload-metadata")
        })
    });
    let content_type: Option<MediaType> = value("filetype")?.map(parse).transpose()?;
    Ok(NewUpload {
        protocol: Protocol::Tus,
        is_part: false,
        length: None,
        file_name: file_name.transpose()?,
        content_type: content_type.unwrap_or_default(),
        expected: Expected {
            sha1: value("sha1")?.map(parse).transpose()?,
            sha256: value("sha256")?.map(parse).transpose()?,
            size: None,
        },
        metadata: metadata.map(|metadata| metadata.as_str().to_owned()),
        concat: None,
    })
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|error: T::Err| invalid_metadata(&error.to_string()))
}

fn invalid_metadata(detail: &str) -> Problem {
    Problem::new(ProblemType::InvalidMetadata, detail)
        .named(ProblemLocation::Header, "upload-metadata")
}
