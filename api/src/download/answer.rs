//! Answering a request for a file's bytes: its conditions, its ranges, and who sends the bytes.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderValue},
    },
};

use super::{accel::accel_prefix, request::DownloadRequest, response::DownloadResponse};
use crate::{
    headers::{
        conditional::{Precondition, Validators},
        digest_fields::WantedDigests,
        ranges::{RequestedRange, parse_range},
    },
    middleware::context::AuditSubject,
    problem::{Problem, ProblemType},
};

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
        let now = self.state.service.now();
        // A clock of another process may be ahead.
        let validators = Validators::of_content(&meta.file_sha1, meta.upload_at.min(now));
        let precondition = validators.evaluate(request);
        let response = DownloadResponse {
            request: self,
            validators,
            wanted: WantedDigests::read(request.headers()),
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

impl DownloadResponse<'_> {
    /// Sends the bytes, or refers to the server that does.
    async fn send(
        &self,
        request: &HttpRequest,
        ranges: RequestedRange,
    ) -> Result<HttpResponse, Problem> {
        let DownloadRequest {
            state,
            owner,
            entry,
            link,
            ..
        } = &self.request;
        let mut download = state.service.locate(owner, entry).await?;
        let elsewhere = match accel_prefix(state, request) {
            // nginx refuses any range of an empty file.
            _ if entry.meta.file_size == 0 => None,
            Some(prefix) => self.accel_redirect(prefix, &mut download, &ranges).await?,
            None => self.redirect(request, &mut download).await?,
        };
        let prepared = match (elsewhere, ranges) {
            (Some(elsewhere), _) => elsewhere,
            (None, RequestedRange::Parts(parts)) => self.parts(&mut download, &parts).await?,
            (None, _) => self.whole(&mut download).await?,
        };
        // The download counts only once the bytes are known to exist.
        if let Some(link) = link {
            state.service.count_download(link).await?;
        }
        Ok(prepared)
    }
}
