//! `GET /transfers/{transfer_id}`

use actix_web::{HttpResponse, http::header, route, web};

use super::start_transfer::Transfer;
use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, path::PathTransfer, query::NoQuery},
    openapi::parameters::TransferPath,
    problem::Problem,
    state::AppState,
};

/// Status of a transfer
#[utoipa::path(
    get,
    tag = "transfers",
    params(TransferPath),
    security(("bearer" = ["admin"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 200, description = "The transfer", body = Transfer, headers(
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`transfer-not-found`"),
        (status = 406, description = "`not-acceptable`"),
    ),
)]
#[route("/transfers/{transfer_id}", method = "GET", method = "HEAD")]
pub(crate) async fn find_transfer(
    _: AcceptsJson,
    _: Caller,
    state: web::Data<AppState>,
    PathTransfer(id): PathTransfer,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    let report = state.service.find_transfer(id).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Transfer::from(report)))
}
