//! `DELETE /transfers/{transfer_id}`

use actix_web::{HttpResponse, delete, web};

use crate::{
    auth::Caller,
    extract::{path::PathTransfer, query::NoQuery},
    openapi::parameters::TransferPath,
    problem::Problem,
    state::AppState,
};

/// Ends a transfer early
///
/// What was moved stays where it is now, and everything else where it was. The transfer can still
/// be asked about.
#[utoipa::path(
    tag = "transfers",
    params(TransferPath),
    security(("bearer" = ["admin"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 204, description = "Nothing more is moved but for what is on its way"),
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`transfer-not-found`"),
        (status = 409, description = "`transfer-over`: it had ended before"),
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
