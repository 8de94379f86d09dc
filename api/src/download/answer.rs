//! Answering a request for a file's bytes: its conditions, its ranges, and who sends the bytes.

use actix_web::{
    HttpRequest, HttpResponse,
    body::BoxBody,
    http::{
        Method,
        header::{self, HeaderValue},
    },
};
use domain::ByteRange;

use super::{
    accel::accel_prefix, charged_body::ChargedBody, request::DownloadRequest,
    response::DownloadResponse,
};
use crate::{
    headers::{
        conditional::{Precondition, Validators},
        digest_fields::WantedDigests,
        ranges::{RequestedRange, parse_range},
    },
    middleware::context::AuditSubject,
    problem::{Problem, ProblemType},
};

/// The largest number of bytes that are sent at once, so that nothing of them can be given back.
const SHORT: u64 = 64 * 1024;

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
        let size = response.request.entry.meta.file_size;
        let range = if response.validators.allow_range(request) {
            parse_range(request, size)
        } else {
            RequestedRange::Whole
        };
        let is_head = *request.method() == Method::HEAD;
        if is_head
            || precondition != Precondition::Proceed
            || range == RequestedRange::Unsatisfiable
        {
            response.check_visit(is_head).await?;
        }
        match precondition {
            Precondition::Failed => return Err(service::Error::PreconditionFailed.into()),
            Precondition::NotModified => return Ok(response.not_modified()),
            Precondition::Proceed if is_head => return Ok(response.header_alone()),
            Precondition::Proceed => {}
        }
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
    /// Checks that the visitor of a link would get the whole file, or any byte, if it asked.
    async fn check_visit(&self, whole: bool) -> Result<(), Problem> {
        let Some(linked) = self.request.link else {
            return Ok(());
        };
        let range = whole.then(|| ByteRange::whole(self.request.entry.meta.file_size));
        let service = &self.request.state.service;
        Ok(service.check_visit(linked, range.as_slice()).await?)
    }

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
        let whole = [ByteRange::whole(entry.meta.file_size)];
        let bytes = match &ranges {
            RequestedRange::Parts(parts) => &parts[..],
            _ => &whole,
        };
        let is_limited = link.is_some_and(|linked| linked.link.max_downloads.is_some());
        let mut download = state.service.locate(owner, entry).await?;
        let elsewhere = match accel_prefix(state, request) {
            // nginx refuses any range of an empty file.
            _ if entry.meta.file_size == 0 => None,
            // nginx does not join ranges that overlap, so that it would send more than is charged.
            _ if is_limited && asks_for_several(request) => None,
            Some(prefix) => self.accel_redirect(prefix, &mut download, &ranges).await?,
            // A presigned URL gives any number of copies.
            None if is_limited => None,
            None => self.redirect(request, &mut download).await?,
        };
        let is_ours = elsewhere.is_none();
        let prepared = match (elsewhere, &ranges) {
            (Some(elsewhere), _) => elsewhere,
            (None, RequestedRange::Parts(parts)) => self.parts(&mut download, parts).await?,
            (None, _) => self.whole(&mut download).await?,
        };
        let Some(linked) = link else {
            return Ok(prepared);
        };
        // The download counts only once the bytes are known to exist.
        let continues = continues(request, bytes);
        let visit = state.service.charge_visit(linked, bytes, continues).await?;
        Ok(match (visit, bytes) {
            (Some(visit), &[range]) if is_ours && range.length() > SHORT => {
                prepared.map_body(|_, body| BoxBody::new(ChargedBody::new(body, visit, range)))
            }
            _ => prepared,
        })
    }
}

/// Returns whether a request asks for several ranges, even if they can be joined.
fn asks_for_several(request: &HttpRequest) -> bool {
    let range = request.headers().get(header::RANGE);
    range.is_some_and(|range| range.as_bytes().contains(&b','))
}

/// Returns whether a request proves that it continues a download: it knows the file's entity tag,
/// which only a response had, and begins after the first byte.
fn continues(request: &HttpRequest, ranges: &[ByteRange]) -> bool {
    // `If-Range` matched, or the range would have been ignored.
    let condition = request.headers().get(header::IF_RANGE);
    let is_tag = condition.is_some_and(|condition| condition.as_bytes().starts_with(b"\""));
    is_tag && ranges.first().is_some_and(|range| range.start > 0)
}
