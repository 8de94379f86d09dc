//! `POST /transfers`

use actix_web::{HttpRequest, HttpResponse, http::header, post, web};
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, body, query::NoQuery},
    problem::{Problem, ProblemLocation},
    state::AppState,
};

/// Properties of a new transfer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransferRequest {
    /// The source store, which the transfer empties.
    #[schema(example = "ceph")]
    from: String,
    /// The target store.
    #[schema(example = "oss")]
    to: String,
    /// Maximum rate in bytes per second; unlimited by default.
    #[schema(nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    rate: Option<u64>,
}

/// A transfer of all files from one store to another.
#[derive(Serialize, ToSchema)]
pub(crate) struct Transfer {
    /// Id of the transfer.
    #[schema(value_type = String, example = "000102030405060708090a0b0c0d0e0f")]
    pub(crate) id: String,
    /// The source store, which the transfer empties.
    pub(crate) from: String,
    /// The target store.
    pub(crate) to: String,
    /// Maximum rate in bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) rate: Option<u64>,
    /// State of the transfer.
    pub(crate) state: TransferState,
    /// Number of files in the source store at the start.
    pub(crate) total_files: u64,
    /// Total size of these files in bytes.
    pub(crate) total_bytes: u64,
    /// Number of moved files.
    pub(crate) copied_files: u64,
    /// Total size of the moved files in bytes.
    pub(crate) copied_bytes: u64,
    /// Number of files that are scheduled next.
    pub(crate) waiting_files: u64,
    /// Number of files that could not be moved, and remain in the source store.
    pub(crate) failed_files: u64,
    /// Start time.
    pub(crate) create_at: Timestamp,
    /// End time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) end_at: Option<Timestamp>,
}

/// State of a transfer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TransferState {
    /// The transfer is running.
    Running,
    /// All files were moved, except those that failed.
    Done,
    /// The transfer was cancelled.
    Cancelled,
}

impl From<service::TransferReport> for Transfer {
    fn from(report: service::TransferReport) -> Self {
        let transfer = report.transfer;
        Self {
            id: transfer.id.to_string(),
            from: transfer.from,
            to: transfer.to,
            rate: transfer.rate,
            state: match transfer.state {
                service::TransferState::Running => TransferState::Running,
                service::TransferState::Done => TransferState::Done,
                service::TransferState::Cancelled => TransferState::Cancelled,
            },
            total_files: transfer.total_files,
            total_bytes: transfer.total_bytes,
            copied_files: transfer.copied_files,
            copied_bytes: transfer.copied_bytes,
            waiting_files: report.waiting,
            failed_files: report.failed,
            create_at: transfer.create_at,
            end_at: transfer.end_at,
        }
    }
}

/// Moves all files from one store to another
///
/// The service keeps working meanwhile: files can be read, uploaded, renamed and deleted. Each copy
/// is read back and compared before it counts as moved, and the old copy is kept for some time. If a
/// transfer between the two stores is already running, it continues, at the new rate if the request
/// has one. Uploads still go to the primary store: make another store the primary one before you
/// empty it.
#[utoipa::path(
    tag = "transfers",
    security(("bearer" = ["admin"])),
    extensions(("x-role" = json!("api"))),
    request_body(content = TransferRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The transfer was already running", body = Transfer),
        (status = 201, description = "The transfer was started", body = Transfer, headers(
            ("Location" = String, description = "URL of the transfer"),
        )),
        (status = 400, description = "`invalid-body` or `invalid-query`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 507, description = "`storage-full`: nothing was stored"),
    ),
)]
#[post("/transfers")]
pub(crate) async fn start_transfer(
    _: AcceptsJson,
    _: Caller,
    state: web::Data<AppState>,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let transfer_request: TransferRequest = body::read_json(request.headers(), payload).await?;
    if transfer_request
        .rate
        .is_some_and(|rate| rate == 0 || i64::try_from(rate).is_err())
    {
        let detail = "`rate` is a whole number from 1 to 9223372036854775807";
        return Err(Problem::body(detail).named(ProblemLocation::Body, "rate"));
    }
    let started = state.service.start_transfer(
        &transfer_request.from,
        &transfer_request.to,
        transfer_request.rate,
    );
    let (report, is_new) = started.await?;
    let transfer = Transfer::from(report);
    if !is_new {
        return Ok(HttpResponse::Ok().json(transfer));
    }
    let location = format!("/transfers/{}", transfer.id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(transfer))
}
