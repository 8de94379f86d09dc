//! `DELETE /transfers/{transfer_id}`

use actix_web::{HttpResponse, delete, web};

use crate::{
    auth::Caller,
    extract::{path::PathTransfer, query::NoQuery},
    openapi::parameters::TransferPath,
    problem::Problem,
    state::AppState,
};

/// Cancels a transfer
///
/// Files that were moved stay in the target store, all others in the source store. The status of
/// the transfer remains available.
#[utoipa::path(
    tag = "transfers",
    params(TransferPath),
    security(("bearer" = ["admin"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 204, description = "The transfer is cancelled; only files in progress are still moved"),
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`transfer-not-found`"),
        (status = 409, description = "`transfer-over`: the transfer has already ended"),
        (status = 507, description = "`storage-full`: nothing was changed"),
    ),
)]
#[delete("/transfers/{transfer_id}")]
pub(crate) async fn cancel_transfer(
    _: Caller,
    state: web::Data<AppState>,
    PathTransfer(id): PathTransfer,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    state.service.cancel_transfer(id).await?;
    Ok(HttpResponse::NoContent().finish())
}
