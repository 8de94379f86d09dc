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

/// What is to be moved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransferRequest {
    /// The store that is emptied.
    #[schema(example = "ceph")]
    from: String,
    /// The store that gets everything.
    #[schema(example = "oss")]
    to: String,
    /// How many bytes a second are moved at most; as many as go unless given.
    #[schema(nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    rate: Option<u64>,
}

/// A transfer of everything that a store has to another.
#[derive(Serialize, ToSchema)]
pub(crate) struct Transfer {
    /// Its id.
    #[schema(value_type = String, example = "000102030405060708090a0b0c0d0e0f")]
    pub(crate) id: String,
    /// The store that is emptied.
    pub(crate) from: String,
    /// The store that gets everything.
    pub(crate) to: String,
    /// How many bytes a second are moved at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) rate: Option<u64>,
    /// How far it has come.
    pub(crate) state: TransferState,
    /// Files that were in the store when it began.
    pub(crate) total_files: u64,
    /// Their bytes.
    pub(crate) total_bytes: u64,
    /// Files that were moved.
    pub(crate) copied_files: u64,
    /// Their bytes.
    pub(crate) copied_bytes: u64,
    /// Files that are next.
    pub(crate) waiting_files: u64,
    /// Files that could not be moved, and are where they were.
    pub(crate) failed_files: u64,
    /// When it began.
    pub(crate) create_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) end_at: Option<Timestamp>,
}

/// How far a transfer has come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TransferState {
    /// It is going on.
    Running,
    /// Everything was moved, but for what failed.
    Done,
    /// It was ended early.
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

/// Moves everything that a store has to another
///
/// The service goes on meanwhile: files can be read, uploaded, renamed and deleted. What was moved
/// is read back and compared before it counts, and the old copy stays for a time. If a transfer
/// between the two is running, it goes on, at another rate if one is asked for. What is uploaded is
/// still put into the primary store: let that be another before you empty it.
#[utoipa::path(
    tag = "transfers",
    security(("bearer" = ["admin"])),
    extensions(("x-role" = json!("api"))),
    request_body(content = TransferRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The transfer that is running", body = Transfer),
        (status = 201, description = "The transfer", body = Transfer, headers(
            ("Location" = String, description = "Where it can be asked about"),
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
    let parse_range: TransferRequest = body::read_json(request.headers(), payload).await?;
    if parse_range
        .rate
        .is_some_and(|rate| rate == 0 || i64::try_from(rate).is_err())
    {
        let detail = "a rate is at least 1, and not more than there can be";
        return Err(Problem::body(detail).named(ProblemLocation::Body, "rate"));
    }
    let started =
        state
            .service
            .start_transfer(&parse_range.from, &parse_range.to, parse_range.rate);
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
