//! The request for a file's bytes: its conditions and its ranges.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderValue},
    },
};
use domain::Owner;
use service::{Entry, Link};

use super::response::DownloadResponse;
use crate::{
    extract::query::Query,
    headers::{
        conditional::{Precondition, Validators},
        ranges::{RequestedRange, parse_range},
    },
    middleware::context::AuditSubject,
    problem::{Problem, ProblemType},
    state::AppState,
};

/// An authorized request for a file's bytes.
pub(crate) struct DownloadRequest<'a> {
    pub(crate) state: &'a AppState,
    /// The file's owner.
    pub(crate) owner: &'a Owner,
    pub(crate) entry: Entry,
    /// Whether the client asks to display the file rather than to save it.
    pub(crate) inline: bool,
    /// The link that allows the request, where it has no credentials.
    pub(crate) link: Option<&'a Link>,
}

/// Reads `disposition` from the query.
pub(crate) fn read_disposition(query: &mut Query) -> Result<Option<bool>, Problem> {
    match query.one("disposition")?.as_deref() {
        None => Ok(None),
        Some("attachment") => Ok(Some(false)),
        Some("inline") => Ok(Some(true)),
        Some(_) => {
            let detail = "`disposition` must be `attachment` or `inline`";
            Err(Problem::query("disposition", detail))
        }
    }
}

impl DownloadRequest<'_> {
    /// Answers with the file's bytes, a part of them, or the header alone.
    pub(crate) async fn answer(self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        let subject = AuditSubject {
            owner: self.owner.clone(),
            sha1: self.entry.meta.file_sha1,
        };
        let mut response = self.evaluate(request).await?;
        response.extensions_mut().insert(subject);
        Ok(response)
    }

    /// Evaluates the conditions (RFC 9110 §13.2.2) and the range (§14.2) of the request.
    async fn evaluate(self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        let meta = &self.entry.meta;
        let validators = Validators::of_content(&meta.file_sha1, meta.upload_at);
        let precondition = validators.evaluate(request);
        let response = DownloadResponse {
            request: self,
            validators,
        };
        match precondition {
            Precondition::Failed => return Err(service::Error::PreconditionFailed.into()),
            Precondition::NotModified => return Ok(response.not_modified()),
            Precondition::Proceed if *request.method() == Method::HEAD => {
                return Ok(response.header_alone());
            }
            Precondition::Proceed => {}
        }
        let size = response.request.entry.meta.file_size;
        let range = if response.validators.allow_range(request) {
            parse_range(request, size)
        } else {
            RequestedRange::Whole
        };
        if range == RequestedRange::Unsatisfiable {
            return Err(unsatisfiable(size));
        }
        response.send(request, range).await
    }
}

fn unsatisfiable(size: u64) -> Problem {
    let problem = Problem::new(
        ProblemType::RangeNotSatisfiable,
        format!("the file has {size} bytes"),
    );
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => problem.with_header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}
