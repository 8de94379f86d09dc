//! `PUT /claims/{claim_id}`

use actix_web::{HttpRequest, HttpResponse, put, web};
use domain::Sha256;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, body, path::PathClaim, query::NoQuery},
    openapi::responses::StoredFile,
    problem::Problem,
    response::stored_file,
    state::AppState,
};

/// The proof of a claim.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClaimProof {
    /// The HMAC-SHA-256 in 64 hexadecimal digits.
    proof: Sha256,
}

/// Proves a claim
///
/// With a valid proof the caller gets the file without uploading it. A claim allows one attempt.
/// The response and its timing are the same whether the service does not have the content, its
/// size or SHA-256 differs, or the proof is wrong.
#[utoipa::path(
    tag = "claims",
    params(("claim_id" = String, Path, description = "Id of the claim", pattern = "^[0-9a-f]{32}$", example = "00000000000000000000000000000000")),
    request_body(content = ClaimProof, content_type = "application/json"),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        StoredFile,
        (status = 400, description = "`invalid-body` or `invalid-query`"),
        (status = 404, description = "`claim-not-found`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`claim-refused`: upload the file"),
        (status = 507, description = "`storage-full` or `quota-full`: nothing was stored"),
    ),
)]
#[put("/claims/{claim_id}")]
pub(crate) async fn prove_claim(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathClaim(id): PathClaim,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let ClaimProof { proof } = body::read_json(request.headers(), payload).await?;
    let stored = state.service.prove(&owner, id, &proof).await?;
    state.metrics.stored(&stored);
    Ok(stored_file(&state, &stored))
}
