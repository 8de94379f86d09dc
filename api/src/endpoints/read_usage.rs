//! `GET /usage`

use actix_web::{HttpResponse, http::header, route, web};
use serde::Serialize;
use service::Allowance;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, query::NoQuery},
    problem::Problem,
    state::AppState,
};

/// Usage and quota of an owner.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnerUsage {
    /// Total size in bytes of all available and restorable files, each counted in full.
    bytes: u64,
    /// Number of available and restorable files.
    files: u64,
    /// Number of running and resumable uploads.
    uploads: u64,
    /// Bytes that are reserved for these uploads.
    reserved_bytes: u64,
    /// Limits of the owner.
    quota: OwnerQuota,
}

/// Quota of an owner; null stands for no limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnerQuota {
    /// Total bytes of all files and of the reservations for uploads.
    bytes: Option<u64>,
    /// Number of files.
    files: Option<u64>,
    /// Number of running uploads.
    uploads: Option<u64>,
}

/// Usage and quota of the caller
///
/// Deleted files count as long as they can be restored; `DELETE` with `purge=true` frees their
/// space.
#[utoipa::path(
    get,
    tag = "usage",
    security(("bearer" = ["files:read"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 200, description = "Usage and quota", body = OwnerUsage, headers(
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query`"),
        (status = 406, description = "`not-acceptable`"),
    ),
)]
#[route("/usage", method = "GET", method = "HEAD")]
pub(crate) async fn read_usage(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    let allowance = state.service.find_usage(&owner).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(OwnerUsage::from(allowance)))
}

impl From<Allowance> for OwnerUsage {
    fn from(Allowance { usage, quota, .. }: Allowance) -> Self {
        Self {
            bytes: usage.bytes,
            files: usage.files,
            uploads: usage.uploads,
            reserved_bytes: usage.reserved_bytes,
            quota: OwnerQuota {
                bytes: quota.bytes,
                files: quota.files,
                uploads: quota.uploads,
            },
        }
    }
}
