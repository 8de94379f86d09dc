//! `GET /uploads`

use actix_web::{HttpResponse, http::header, route, web};
use domain::{Sha1, Sha256, Timestamp};
use serde::Serialize;
use service::{Protocol, Role, UploadStatus};
use utoipa::ToSchema;

use super::list_files::{DEFAULT_LIMIT, read_limit};
use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, query::Query},
    problem::Problem,
    state::AppState,
};

/// A page of a listing of uploads.
#[derive(Serialize, ToSchema)]
struct UploadList {
    /// The unfinished uploads, newest first.
    uploads: Vec<UnfinishedUpload>,
    /// The `cursor` of the next page, or null on the last page.
    next: Option<String>,
}

/// An upload that can be continued or cancelled.
#[derive(Serialize, ToSchema)]
struct UnfinishedUpload {
    /// Id of the upload.
    #[schema(example = "000102030405060708090a0b0c0d0e0f")]
    id: String,
    /// The protocol that continues the upload.
    protocol: UploadProtocol,
    /// What becomes of the upload.
    kind: UploadKind,
    /// Name of the file.
    file_name: String,
    /// Total length in bytes; null if it is not known yet.
    length: Option<u64>,
    /// Number of received bytes; null while partial uploads are concatenated.
    offset: Option<u64>,
    /// The announced SHA-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    file_sha1: Option<Sha1>,
    /// The announced SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    file_sha256: Option<Sha256>,
    /// Start time.
    create_at: Timestamp,
    /// Time at which the upload expires without activity.
    expires_at: Timestamp,
    /// URL path of the upload, which continues or cancels it.
    #[schema(example = "/tus/000102030405060708090a0b0c0d0e0f")]
    location: String,
}

/// Protocol of an upload.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UploadProtocol {
    /// tus 1.0.0.
    Tus,
    /// Resumable Uploads for HTTP.
    Http,
}

/// What becomes of an upload.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UploadKind {
    /// A file.
    File,
    /// A part of a concatenation.
    Part,
    /// A file made of partial uploads.
    Concatenation,
}

/// Lists the caller's unfinished uploads, newest first
///
/// A page has up to `limit` uploads. If there are more, `next` is the `cursor` of the next page, and
/// a `Link` field has its URL (RFC 8288). The offsets are those of the moment: requests that append
/// go on. Before it continues, a client asks the upload's resource for its offset, which ends them.
/// `DELETE` on that resource cancels the upload, and frees the space that it reserves in the quota.
#[utoipa::path(
    get,
    tag = "uploads",
    params(
        ("limit" = Option<u64>, Query, description = "Maximum number of uploads; default 20", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next` of the previous page"),
    ),
    security(("bearer" = ["files:read"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 200, description = "A page of the listing", body = UploadList, headers(
            ("Link" = String, description = "URL of the next page, with `rel=\"next\"`; absent on the last page"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query` or `invalid-cursor`"),
        (status = 406, description = "`not-acceptable`"),
    ),
)]
#[route("/uploads", method = "GET", method = "HEAD")]
pub(crate) async fn list_uploads(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let limit = query.one("limit")?;
    let limit = limit.map_or(Ok(DEFAULT_LIMIT), |limit| read_limit(&limit))?;
    let cursor = query.one("cursor")?.filter(|cursor| !cursor.is_empty());
    query.end()?;
    let page = state
        .service
        .list_uploads(&owner, cursor.as_deref(), limit)
        .await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(next) = &page.next {
        let link = format!("</uploads?limit={limit}&cursor={next}>; rel=\"next\"");
        response.insert_header((header::LINK, link));
    }
    let below = state.public_url.as_ref().map_or("", |url| url.path());
    let uploads = page.uploads.into_iter();
    Ok(response.json(UploadList {
        uploads: uploads.map(|status| present(status, below)).collect(),
        next: page.next,
    }))
}

fn present(status: UploadStatus, below: &str) -> UnfinishedUpload {
    let session = status.session;
    let (protocol, folder) = match session.protocol {
        Protocol::Tus => (UploadProtocol::Tus, "tus"),
        Protocol::Http => (UploadProtocol::Http, "uploads"),
    };
    UnfinishedUpload {
        id: session.id.to_string(),
        protocol,
        kind: match session.role {
            Role::Whole => UploadKind::File,
            Role::Part => UploadKind::Part,
            Role::Final => UploadKind::Concatenation,
        },
        file_name: session.file_name.to_string(),
        length: session.length,
        offset: status.offset,
        file_sha1: session.expected_sha1,
        file_sha256: session.expected_sha256,
        create_at: session.create_at,
        expires_at: session.expires_at,
        location: format!("{below}/{folder}/{}", session.id),
    }
}
