//! `POST /claims`

use actix_web::{HttpRequest, HttpResponse, http::header, post, web};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{FileName, MediaType, Sha1, Sha256, Timestamp};
use serde::{Deserialize, Serialize};
use service::{ClaimTicket, NewClaim};
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, body, query::NoQuery},
    problem::{Problem, ProblemLocation},
    state::AppState,
};

/// The file that the caller claims to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileClaim {
    /// The SHA-1 of the content.
    file_sha1: Sha1,
    /// The size of the content in bytes.
    #[schema(maximum = 9_223_372_036_854_775_807_i64)]
    file_size: u64,
    /// The name of the new file.
    file_name: FileName,
    /// The media type of the new file.
    #[schema(nullable = false)]
    content_type: Option<MediaType>,
    /// The SHA-256 of the content.
    #[schema(nullable = false)]
    file_sha256: Option<Sha256>,
}

/// The challenge that the caller has to answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClaimChallenge {
    /// The id of the claim.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// The key of the proof: 32 bytes in base64.
    nonce: String,
    /// The ranges of the file that the proof covers, in this order.
    ranges: Vec<ClaimRange>,
    /// The time at which the claim expires.
    expires_at: Timestamp,
}

/// A range of a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClaimRange {
    /// The position of the first byte.
    offset: u64,
    /// The number of bytes.
    length: u64,
}

/// Claims a file
///
/// A claim lets the caller prove possession of a file instead of uploading it. The response is the
/// same whether or not the service has the content. The proof, which `PUT /claims/{claim_id}`
/// takes, is the HMAC-SHA-256 with the key `nonce` over the claim's `id`, a line feed, `file_sha1`,
/// a line feed, and the bytes of the `ranges`. `GET /files/{file_sha1}` reports without a claim
/// whether the caller already has the file.
#[utoipa::path(
    tag = "claims",
    request_body(content = FileClaim, content_type = "application/json"),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 201, description = "The challenge", body = ClaimChallenge, headers(
            ("Location" = String, description = "URL of the claim"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-body` or `invalid-query`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 429, description = "`too-many-claims`", headers(
            ("Retry-After" = u32, description = "Seconds to wait before a retry"),
        )),
        (status = 507, description = "`storage-full`: nothing was stored"),
    ),
)]
#[post("/claims")]
pub(crate) async fn claim_file(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let claim: FileClaim = body::read_json(request.headers(), payload).await?;
    if i64::try_from(claim.file_size).is_err() {
        let detail = "`file_size` is larger than any file can be";
        return Err(Problem::body(detail).named(ProblemLocation::Body, "file_size"));
    }
    let claim = NewClaim {
        file_sha1: claim.file_sha1,
        file_sha256: claim.file_sha256,
        file_size: claim.file_size,
        file_name: claim.file_name,
        content_type: claim.content_type.unwrap_or_default(),
    };
    let ticket = state.service.claim(&owner, claim).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/claims/{}", ticket.id)))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(ClaimChallenge::from(ticket)))
}

impl From<ClaimTicket> for ClaimChallenge {
    fn from(ticket: ClaimTicket) -> Self {
        let ranges = ticket.ranges.iter().map(|range| ClaimRange {
            offset: range.start,
            length: range.length(),
        });
        Self {
            id: ticket.id.to_string(),
            nonce: BASE64_STANDARD.encode(ticket.nonce.as_bytes()),
            ranges: ranges.collect(),
            expires_at: ticket.expires_at,
        }
    }
}
