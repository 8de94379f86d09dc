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

/// How much an owner has, and may have.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnerUsage {
    /// Bytes of all files that are there or can be restored, each counted in full.
    bytes: u64,
    /// Files that are there or can be restored.
    files: u64,
    /// Uploads that are running, or wait to go on.
    uploads: u64,
    /// Bytes that are set aside for them.
    reserved_bytes: u64,
    /// How much there may be.
    quota: OwnerQuota,
}

/// How much an owner may have; what is null has no limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnerQuota {
    /// Bytes of all files together, and of what is set aside for uploads.
    bytes: Option<u64>,
    /// Files.
    files: Option<u64>,
    /// Uploads that are running.
    uploads: Option<u64>,
}

/// Tells how much the caller has, and may have
///
/// Deleted files count as long as they can be restored; `DELETE` with `purge=true` gives their
/// room back.
#[utoipa::path(
    get,
    tag = "usage",
    security(("bearer" = ["files:read"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 200, description = "What there is, and may be", body = OwnerUsage, headers(
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
