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

/// What somebody says they have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileClaim {
    /// The content's SHA-1.
    file_sha1: Sha1,
    /// How many bytes it has.
    #[schema(maximum = 9_223_372_036_854_775_807_i64)]
    file_size: u64,
    /// The name that the file gets.
    file_name: FileName,
    /// The media type that it gets.
    #[schema(nullable = false)]
    content_type: Option<MediaType>,
    /// The content's SHA-256.
    #[schema(nullable = false)]
    file_sha256: Option<Sha256>,
}

/// What has to be proven.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClaimChallenge {
    /// The claim's id.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// The proof's key: 32 bytes in base64.
    nonce: String,
    /// The parts of the file that the proof is over, in this order.
    ranges: Vec<ClaimRange>,
    /// Until when it can be proven.
    expires_at: Timestamp,
}

/// A part of a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClaimRange {
    /// Where it begins.
    offset: u64,
    /// How many bytes it has.
    length: u64,
}

/// Claims a file, to be proven instead of uploaded
///
/// The answer is the same whether the service has the content or not. The proof, which
/// `PUT /claims/{claim_id}` takes, is the HMAC-SHA-256 with the key `nonce` over the claim's `id`,
/// a line feed, `file_sha1`, a line feed, and the bytes of the `ranges`. Whether the caller has the
/// file already, `GET /files/{file_sha1}` tells without a claim.
#[utoipa::path(
    tag = "claims",
    request_body(content = FileClaim, content_type = "application/json"),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 201, description = "What has to be proven", body = ClaimChallenge, headers(
            ("Location" = String, description = "The claim's URL"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-body` or `invalid-query`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 429, description = "`too-many-claims`", headers(
            ("Retry-After" = u32, description = "How many seconds to wait"),
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
        let detail = "no file has so many bytes";
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
