//! A file that is the whole body of its request.

use actix_web::web::Payload;
use domain::MediaType;
use futures_util::StreamExt as _;

use super::{
    names::{only_one, unnamed},
    request::{UploadRequest, UploadedFile},
};
use crate::{
    extract::body::broken_off,
    headers::{
        digest_fields::{self, CONTENT_DIGEST},
        disposition,
    },
    problem::{Problem, ProblemLocation},
};

pub(super) async fn read(
    reading: UploadRequest<'_>,
    mut payload: Payload,
    content_type: MediaType,
) -> Result<UploadedFile, Problem> {
    let UploadRequest {
        state,
        headers,
        named,
        announced,
        mut upload,
    } = reading;
    let file_name = only_one(
        named,
        disposition::file_name(headers, ProblemLocation::Header)?,
    )?
    .ok_or_else(|| {
        unnamed("give the file a name: `?file_name=`, or a Content-Disposition field")
    })?;
    // The body is the file, so both have the same digest.
    let of_message = digest_fields::read(headers, &CONTENT_DIGEST, ProblemLocation::Header)?;
    let expected = digest_fields::join(announced, of_message)?;
    while let Some(bytes) = payload.next().await {
        let bytes = bytes.map_err(|error| broken_off(&error))?;
        state.metrics.received(bytes.len());
        upload.write(&bytes).await?;
    }
    Ok(UploadedFile {
        upload,
        file_name,
        content_type,
        expected,
    })
}

/// Refuses a body that is too large before the client sends it.
pub(super) fn refuse_too_large(bytes: Option<u64>, limit: Option<u64>) -> Result<(), Problem> {
    match (bytes, limit) {
        (Some(bytes), Some(limit)) if bytes > limit => Err(service::Error::TooLarge(limit).into()),
        _ => Ok(()),
    }
}
