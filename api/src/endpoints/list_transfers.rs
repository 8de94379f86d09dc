//! `GET /transfers`

use actix_web::{HttpResponse, http::header, route, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::start_transfer::Transfer;
use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, query::NoQuery},
    problem::Problem,
    state::AppState,
};

/// The length of the list.
const MAX_TRANSFERS: u64 = 100;

/// Transfers, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct TransferList {
    /// Up to 100 transfers.
    transfers: Vec<Transfer>,
}

/// Lists the transfers between stores, newest first
#[utoipa::path(
    get,
    tag = "transfers",
    security(("bearer" = ["admin"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 200, description = "The newest 100 transfers", body = TransferList, headers(
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query`"),
        (status = 406, description = "`not-acceptable`"),
    ),
)]
#[route("/transfers", method = "GET", method = "HEAD")]
pub(crate) async fn list_transfers(
    _: AcceptsJson,
    _: Caller,
    state: web::Data<AppState>,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    let transfers = state.service.list_transfers(MAX_TRANSFERS).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(TransferList {
            transfers: transfers.into_iter().map(Transfer::from).collect(),
        }))
}
