//! Uploads that come in one request, as a form or as the whole body.

use actix_web::{HttpRequest, web::Payload};
use domain::{FileName, Owner};
use service::{Expected, Stored};

use super::{
    body_kind::{Body, body_kind},
    form, raw,
    request::{UploadRequest, UploadedFile},
};
use crate::{
    extract::body,
    headers::digest_fields::{self, REPR_DIGEST},
    problem::{Problem, ProblemLocation},
    state::AppState,
};

/// Receives and stores a file that comes as a form or as the whole body.
///
/// `named` is the file's name in the query, `announced` the digests in the URL.
pub(super) async fn receive(
    state: &AppState,
    owner: &Owner,
    request: &HttpRequest,
    payload: Payload,
    named: Option<FileName>,
    announced: Expected,
) -> Result<Stored, Problem> {
    let headers = request.headers();
    body::refuse_content_coding(headers)?;
    let declared = digest_fields::read(headers, &REPR_DIGEST, ProblemLocation::Header)?;
    let announced = digest_fields::join(announced, declared)?;
    let (kind, service) = (body_kind(headers)?, &state.service);
    let most = body::content_length(headers);
    let bytes = match &kind {
        // A form has more bytes than its file.
        Body::Form => None,
        Body::Raw(_) => {
            raw::refuse_too_large(most, service.limits().max_upload_size)?;
            most
        }
    };
    let upload = service.upload(owner, &announced, bytes, most).await?;
    let reading = UploadRequest {
        state,
        headers,
        named,
        announced,
        upload,
    };
    let arrived = match kind {
        Body::Form => form::read(reading, payload).await?,
        Body::Raw(content_type) => raw::read(reading, payload, content_type).await?,
    };
    let UploadedFile {
        upload,
        file_name,
        content_type,
        expected,
    } = arrived;
    let stored = upload.finish(file_name, content_type, expected).await?;
    state.metrics.stored(&stored);
    Ok(stored)
}
